"""`symgraph compile`: a network as files to ship."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..aot import export
from ..aot.kinds import KINDS
from ..errors import InputError
from ..ir.symbol import Group
from .arrays import parameters
from .command import Command, add_algorithms, add_model, add_planning, given_shapes
from .entries import add_entries, entries_arguments, given_entries, given_state
from .model_argument import load_model
from .progress import Progress
from .train_step import (
    KIND,
    STEP_OPTIONS,
    SUFFIX,
    add_train_step,
    refuse_options,
    step_arguments,
    write_start,
)

LIMITS = {
    "workspace": ("bytes", 1024),
    "text": ("bytes of code", 1024),
    "stack": ("bytes of stack", 1024),
    "flops": ("operations", 1000),
}
"""What can be limited: the unit, and how many of it K is."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--params", metavar="FILE", help="trained parameters (default: initial values)"
    )
    parser.add_argument(
        "-o", "--out", metavar="FOLDER", default="build", help="where to write (default: build)"
    )
    parser.add_argument("--name", metavar="NAME", help="of the files and of the C functions")
    add_entries(parser)
    parser.add_argument(
        "--emit",
        default="o,h,json",
        metavar="KINDS",
        help=f"files to write, of {','.join(KINDS)} (default: o,h,json); with {KIND}, those of a "
        f"training step",
    )
    parser.add_argument(
        "--target",
        default="x86_64-linux",
        metavar="PLATFORM",
        help="x86_64-linux, aarch64-linux, wasm32, ... or native (default: x86_64-linux)",
    )
    parser.add_argument(
        "--cpu",
        metavar="CPU",
        help="processor of the platform; several levels of x86-64, separated by commas, make one "
        "object that chooses when it runs",
    )
    parser.add_argument(
        "--selftest", action="store_true", help="put a test of every operator into the object"
    )
    parser.add_argument(
        "--threads",
        type=int,
        choices=(1,),
        help="1: for the calling thread alone, without what shares work among threads",
    )
    parser.add_argument(
        "--strict", action="store_true", help="the same bits on every processor (slower)"
    )
    add_algorithms(parser)
    add_planning(parser)
    parser.add_argument(
        "--weights",
        choices=("embedded", "file", "pointer"),
        default="embedded",
        help="where the weights are (default: in the object)",
    )
    parser.add_argument(
        "--dim",
        action="append",
        default=[],
        metavar="NAME=LOW..HIGH",
        help="legal values of an open extent, e.g. N=1..32",
    )
    parser.add_argument(
        "--specialise",
        action="append",
        default=[],
        metavar="NAME=SIZES",
        help="faster versions for these sizes of an open extent, e.g. N=1,32",
    )
    for name, (unit, _) in LIMITS.items():
        parser.add_argument(
            f"--max-{name}", metavar="N", help=f"fail above this many {unit}; K, M, G are allowed"
        )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of initial values")
    add_train_step(parser)
    parser.set_defaults(step_defaults={k: parser.get_default(k) for k in STEP_OPTIONS})


def run(arguments: argparse.Namespace) -> int:
    shapes = given_shapes(arguments.shape)
    kinds = tuple(kind for kind in arguments.emit.split(",") if kind)
    is_step = KIND in kinds
    entries = given_entries(arguments.model, arguments.entry)
    name = arguments.name or Path(arguments.model.rpartition(":")[2]).stem
    model = Group([]) if entries else load_model(arguments.model)
    if is_step and (entries or arguments.state):
        option = "--entry" if entries else "--state"
        raise InputError(f"{option} has no meaning for a training step (--emit {KIND})")
    if entries:
        refuse_options(arguments)
        what = entries_arguments(entries, arguments, shapes)
    elif is_step:
        name += SUFFIX
        kinds = tuple(kind for kind in kinds if kind != KIND) or ("o", "h", "json")
        what = step_arguments(model, arguments, shapes)
    else:
        refuse_options(arguments)
        params = parameters(model, arguments.params, shapes, arguments.seed)
        state = given_state(arguments.state)
        what = {"outputs": model, "params": params, "shapes": shapes, "state": state}
    story = Progress(f"compiling {name} for {arguments.target}")
    artifact = export(
        path=Path(arguments.out) / name,
        target=arguments.target,
        cpu=given_cpus(arguments.cpu),
        strict=arguments.strict,
        selftest=arguments.selftest,
        weights=arguments.weights,
        emit=kinds,
        ranges=given_ranges(arguments.dim),
        specialise=given_sizes(arguments.specialise),
        budgets=given_budgets(arguments),
        progress=story.stage,
        **{
            name: given
            for name in ("algorithms", "denormals", "threads", "planning_effort")
            if (given := getattr(arguments, name)) is not None
        },
        **what,
    )
    print(artifact)
    if is_step:
        place = write_start(Path(arguments.out), name, what["params"])
        print(f"{place}  parameters and optimizer state to start from")
    story.done()
    return 0


def given_sizes(items: list[str]) -> dict[str, tuple[int, ...]]:
    """`["N=1,32"]` as `{"N": (1, 32)}`.  Raises: InputError."""
    found = {}
    for item in items:
        name, _, text = item.partition("=")
        sizes = text.split(",")
        if not name or not all(size.isdigit() for size in sizes):
            raise InputError(f"--specialise: need NAME=SIZES such as N=1,32, got {item!r}")
        found[name] = tuple(int(size) for size in sizes)
    return found


def given_budgets(arguments: argparse.Namespace) -> dict[str, int]:
    """The limits that were given: 256K is 256 * 1024 bytes, or 256,000 operations.

    Raises: InputError.
    """
    found = {}
    for name, (_, thousand) in LIMITS.items():
        text = getattr(arguments, f"max_{name}")
        if text is None:
            continue
        number, scale = (text[:-1], "KMG".index(text[-1]) + 1) if text[-1:] in "KMG" else (text, 0)
        if not number.isdigit():
            raise InputError(f"--max-{name}: need a number such as 4096 or 256K, got {text!r}")
        found[name] = int(number) * thousand**scale
    return found


def given_cpus(text: str | None) -> str | tuple[str, ...] | None:
    """One processor, or several."""
    return tuple(text.split(",")) if text is not None and "," in text else text


def given_ranges(items: list[str]) -> dict[str, Any]:
    """`["N=1..32"]` as `{"N": (1, 32)}`.  Raises: InputError."""
    ranges = {}
    for item in items:
        name, _, text = item.partition("=")
        low, dots, high = text.partition("..")
        high = high if dots else low
        if not name or not low.isdigit() or not high.isdigit():
            raise InputError(f"--dim: need NAME=LOW..HIGH such as N=1..32, got {item!r}")
        ranges[name] = (int(low), int(high))
    return ranges


COMMAND = Command(
    "compile",
    "compile a network into an object file with a C header",
    """\
Writes NAME.o (needs nothing: no runtime, no library), NAME.h (C and C++) and NAME.json.

  symgraph compile lenet5 -o build
  symgraph compile lenet5 --params lenet.safetensors --target aarch64-linux --dim N=1..32
  symgraph compile net.py:model --emit a,h --weights file
  symgraph compile lenet5 --emit train-step --optimizer sgd --momentum 0.9
  symgraph compile net.py --entry prefill=prefill --entry step=step --state cache=next_cache
""",
    configure,
    run,
)
