"""`symgraph run`: compile a network and run it once."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from ..aot import load
from ..codegen.executable import Executable
from ..errors import InputError
from ..train import load_parameters
from .arrays import compiled, given_arrays, made_up
from .command import Command, add_model, add_target, compile_options, given_shapes
from .model_argument import load_model

OBJECTS = (".o", ".so", ".whl")
"""Suffixes of shipped objects."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--params", metavar="FILE", help="trained parameters (default: initial values)"
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=FILE.npy",
        help="an input's array, or an .npz with several (default: random numbers)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of made-up numbers")
    parser.add_argument("-o", "--out", metavar="FILE.npz", help="write the outputs here")
    add_target(parser)


def run(arguments: argparse.Namespace) -> int:
    given = given_arrays(arguments.input)
    executable = _executable(arguments)
    unknown = [name for name in given if name not in executable.inputs]
    if unknown:
        raise InputError(
            f"--input: there is no input {unknown[0]!r}; the inputs are "
            f"{', '.join(executable.inputs) or 'none'}"
        )
    arrays = made_up(executable, given, arguments.seed)
    for name, array in arrays.items():
        source = "" if name in given else "  (made up)"
        print(f"input  {name}: {array.dtype}{list(array.shape)}{source}")
    result = executable(**arrays)
    outputs = result if isinstance(result, tuple) else (result,)
    for name, array in zip(executable.outputs, outputs, strict=True):
        print(f"output {name}: {array.dtype}{list(array.shape)}  {_figures(array)}")
    if arguments.out:
        np.savez(arguments.out, **dict(zip(executable.outputs, outputs, strict=True)))
        print(f"wrote {arguments.out}")
    return 0


def _executable(arguments: argparse.Namespace) -> Executable:
    """The network compiled, or the shipped object loaded."""
    if not arguments.model.endswith(OBJECTS):
        return compiled(
            load_model(arguments.model),
            arguments.params,
            given_shapes(arguments.shape),
            arguments.seed,
            compile_options(arguments),
        )
    for option in ("shape", "target"):
        if getattr(arguments, option):
            raise InputError(
                f"--{option} has no meaning here: {arguments.model} is compiled already"
            )
    weights: Any = arguments.params
    if weights is not None and not weights.endswith(".weights"):
        weights = load_parameters(weights)  # packed by the object itself
    return load(arguments.model, weights=weights, threads=arguments.threads or 0)


def _figures(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
    if array.size == 0:
        return "empty"
    if array.size <= 10:
        return np.array2string(array, precision=4, suppress_small=True).replace("\n", "")
    values = array.astype(np.float64)
    return f"min {values.min():.4g}  mean {values.mean():.4g}  max {values.max():.4g}"


COMMAND = Command(
    "run",
    "compile a network, or load an object, and run it on arrays from files",
    """\
Compiles a network, or loads an object that was shipped, runs it once and prints its outputs.

  symgraph run lenet5 --shape x=3,1,28,28
  symgraph run lenet5 --params lenet.safetensors --input x=images.npy -o logits.npz
  symgraph run build/lenet5.o --input x=images.npy     # an object of `symgraph compile`
""",
    configure,
    run,
)
