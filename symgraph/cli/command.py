"""What a command of `symgraph` is, and the options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import InputError
from ..options import ALGORITHMS, DENORMALS, from_environment


@dataclass(frozen=True)
class Command:
    """One command: its name, one line for the list of commands, a text for its own help, a
    function that declares its arguments and one that runs it."""

    name: str
    help: str
    text: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_model(parser: argparse.ArgumentParser) -> None:
    """The MODEL argument and the shapes of its inputs."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a known network (lenet5), a graph file (net.json), or a function that returns "
        "symbols (package.module:function, file.py:function)",
    )
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=EXTENTS",
        help="shape of an input, e.g. x=64,1,28,28; a name as an extent leaves it open",
    )


def add_target(parser: argparse.ArgumentParser) -> None:
    """The options that say where and how to run."""
    default = from_environment().target
    parser.add_argument(
        "--target", metavar="NAME", help=f"llvm, opencl or interp (default: {default})"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: one a core)")
    add_algorithms(parser)
    add_planning(parser)


def add_planning(parser: argparse.ArgumentParser) -> None:
    """How long memory is planned."""
    parser.add_argument(
        "--planning-effort", type=float, metavar="FACTOR",
        help="search so many times as long for a smaller arena where quick methods do not prove "
        "theirs least; counted in work, not in seconds (default: 1)",
    )  # fmt: skip


def add_algorithms(parser: argparse.ArgumentParser) -> None:
    """Which equivalent forms of operators may be chosen, and how the least numbers are treated."""
    parser.add_argument(
        "--algorithms",
        choices=tuple(ALGORITHMS),
        help="forms of operators to choose among by speed: none, those about as accurate, all "
        f"(default: {from_environment().algorithms})",
    )
    parser.add_argument(
        "--denormals",
        choices=DENORMALS,
        help="numbers below the normal ones: computed with as numpy does, or taken for 0, which is "
        f"faster where they occur (default: {from_environment().denormals})",
    )


def compile_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was given of `add_target`, as keywords of `compile`."""
    names = ("target", "threads", "algorithms", "denormals", "planning_effort")
    found = {name: getattr(arguments, name) for name in names}
    return {key: value for key, value in found.items() if value is not None}


def given_shapes(items: list[str]) -> dict[str, tuple[int | str, ...]]:
    """`["x=64,1,28,28"]` as `{"x": (64, 1, 28, 28)}`.  Raises: InputError."""
    shapes: dict[str, tuple[int | str, ...]] = {}
    for item in items:
        name, _, text = item.partition("=")
        parts = [p.strip() for p in text.split(",") if p.strip()]
        if not name or "=" not in item or not all(p.isdigit() or p.isidentifier() for p in parts):
            raise InputError(
                f"--shape: need NAME=EXTENTS such as x=64,1,28,28 or x=N,1,28,28, got {item!r}"
            )
        shapes[name] = tuple(int(p) if p.isdigit() else p for p in parts)
    return shapes
