"""`symgraph memory`: what a network needs while it runs, and why."""

from __future__ import annotations

import argparse

from ..compiler import compile
from ..errors import InputError
from ..viz import draw_memory
from .command import Command, add_model, add_target, compile_options, given_shapes
from .model_argument import load_model


def configure(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_target(parser)
    parser.add_argument(
        "--at",
        action="append",
        default=[],
        metavar="NAME=EXTENT",
        help="value of an open extent, e.g. N=8; the plan holds for every value",
    )
    parser.add_argument("--json", action="store_true", help="the whole report as JSON")
    parser.add_argument("-o", "--out", metavar="FILE", help="a chart of the arena, as .svg")


def run(arguments: argparse.Namespace) -> int:
    extents = _extents(arguments.at)
    executable = compile(
        load_model(arguments.model),
        shapes=given_shapes(arguments.shape),
        name=arguments.model.replace(":", "_"),
        **compile_options(arguments),
    )
    report = executable.memory_report(**extents)
    print(report.to_json() if arguments.json else report, end="\n" if arguments.json else "")
    if arguments.out is not None:
        chart = draw_memory(executable.program, **report.extents)
        path = chart.save(arguments.out)
        if not arguments.json:
            print(f"\nwrote {path}")
    return 0


def _extents(items: list[str]) -> dict[str, int]:
    found = {}
    for item in items:
        name, _, size = item.partition("=")
        if not name.isidentifier() or not size.isdigit():
            raise InputError(f"--at: need NAME=EXTENT such as N=8, got {item!r}")
        found[name] = int(size)
    return found


COMMAND = Command(
    "memory",
    "the memory a network needs while it runs, and what would lower it",
    """\
Plans the intermediates of a network in one arena and prints the arena's size, the least possible
one, the sum of all tensors, and the tensors alive at the peak with the lines that declare them.

  symgraph memory lenet5 --at N=64
  symgraph memory resnet18 --shape x=1,3,224,224 -o arena.svg
  symgraph memory lstm --json
""",
    configure,
    run,
)
