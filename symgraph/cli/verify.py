"""`symgraph verify`: a shipped object against the interpreter."""

from __future__ import annotations

import argparse
from pathlib import Path

from .arrays import parameters
from .command import Command, add_model, given_shapes
from .model_argument import load_model


def configure(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("file", metavar="FILE", help="the object (.o, .so or .whl) to verify")
    parser.add_argument(
        "--params", metavar="FILE", help="the parameters it was compiled with (default: initial)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of made-up numbers")
    parser.add_argument(
        "--tolerance", type=float, default=1e-4, metavar="X", help="relative (default: 1e-4)"
    )


def run(arguments: argparse.Namespace) -> int:
    # `symgraph --help` must not load LLVM.
    from ..aot.verify import verify

    model = load_model(arguments.model)
    shapes = given_shapes(arguments.shape)
    report = verify(
        model,
        Path(arguments.file),
        params=parameters(model, arguments.params, shapes, arguments.seed),
        shapes=shapes,
        seed=arguments.seed,
        tolerance=arguments.tolerance,
    )
    print(report)
    return 0 if report.is_right else 1


COMMAND = Command(
    "verify",
    "compare a shipped object with the interpreter, on this machine",
    """\
Runs an object and the interpreter of the same network on made-up inputs of several sizes and
prints the largest difference of each output.  The exit status is 1 when one is too large.

  symgraph verify lenet5 build/lenet5.o
""",
    configure,
    run,
)
