"""`symgraph summary`: a network as a table."""

from __future__ import annotations

import argparse

from ..viz import summary as make_summary
from .command import Command, add_model, given_shapes
from .model_argument import load_model


def configure(parser: argparse.ArgumentParser) -> None:
    add_model(parser)


def run(arguments: argparse.Namespace) -> int:
    model = load_model(arguments.model)
    print(make_summary(model, given=given_shapes(arguments.shape)).text, end="")
    return 0


COMMAND = Command(
    "summary",
    "a table of a network: shapes, parameters, FLOP, bytes",
    """\
Prints each operator of a network with its output's shape, its parameters, its operations and its
bytes, and totals.

  symgraph summary lenet5
  symgraph summary lenet5 --shape x=64,1,28,28
""",
    configure,
    run,
)
