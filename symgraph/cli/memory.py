"""`symgraph memory`: what a network needs while it runs, and why."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..codegen.executable import Executable
from ..errors import InputError
from ..ir.symbol import Group
from ..train.step import build_step
from ..viz import draw_memory
from .arrays import compiled, parameters
from .command import Command, add_model, add_target, compile_options, given_shapes
from .model_argument import load_model
from .objective import add_objective, objective
from .optimizer_argument import add_optimizer, make_clip, make_optimizer


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
    parser.add_argument(
        "--training", action="store_true", help="of a training step rather than of inference"
    )
    parser.add_argument("--json", action="store_true", help="the whole report as JSON")
    parser.add_argument("-o", "--out", metavar="FILE", help="a chart of the arena, as .svg")
    group = parser.add_argument_group("with --training")
    add_objective(group)
    add_optimizer(group)


def run(arguments: argparse.Namespace) -> int:
    extents = _extents(arguments.at)
    executable = _step(arguments) if arguments.training else _network(arguments)
    report = executable.memory_report(**extents)
    print(report.to_json() if arguments.json else report, end="\n" if arguments.json else "")
    if arguments.out is not None:
        chart = draw_memory(executable.program, **report.extents)
        path = chart.save(arguments.out)
        if not arguments.json:
            print(f"\nwrote {path}")
    return 0


def _network(arguments: argparse.Namespace) -> Executable:
    """With its parameters as constants, since that is how it is shipped and called."""
    model, shapes = load_model(arguments.model), given_shapes(arguments.shape)
    name = Path(arguments.model.rpartition(":")[2]).stem
    options = compile_options(arguments) | {"name": name}
    return compiled(model, None, shapes, 0, options)


def _step(arguments: argparse.Namespace) -> Executable:
    shapes = given_shapes(arguments.shape)
    loss, _, _ = objective(load_model(arguments.model), arguments.loss, arguments.metrics)
    given = {n: s for n, s in shapes.items() if n in loss.graph.names.values()}
    params = parameters(Group([loss]), None, given, 0)
    step = build_step(loss, params, make_optimizer(arguments), clip=make_clip(arguments))
    return step.compile(params, shapes=given, **compile_options(arguments))


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
  symgraph memory lenet5 --shape x=64,1,28,28 --training --optimizer sgd --momentum 0.9
  symgraph memory lstm --json
""",
    configure,
    run,
)
