"""`symgraph test`: measure a trained network on held-back data."""

from __future__ import annotations

import argparse

from .. import train as training
from .command import Command, add_model, add_target, compile_options
from .data_argument import DATA_HELP, load_data
from .model_argument import load_model
from .objective import add_objective, objective


def configure(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--params", required=True, metavar="FILE", help="trained parameters")
    parser.add_argument("--data", required=True, help=DATA_HELP)
    add_objective(parser)
    parser.add_argument("--batch-size", type=int, default=256, metavar="N", help="default: 256")
    add_target(parser)


def run(arguments: argparse.Namespace) -> int:
    loss, outputs, metrics = objective(
        load_model(arguments.model), arguments.loss, arguments.metrics
    )
    _, held_back = load_data(arguments.data)
    model = training.Model.of(
        loss, data=held_back, outputs=outputs, metrics=metrics, **compile_options(arguments)
    )
    report = model.load(arguments.params)
    if report.missing or report.unused:
        print(f"{arguments.params}: {report}")
    figures = model.evaluate(held_back, batch_size=arguments.batch_size)
    print(f"{len(next(iter(held_back.values())))} samples")
    for name, value in figures.items():
        print(f"{name} {value:.6g}")
    return 0


COMMAND = Command(
    "test",
    "measure a trained network on held-back data",
    """\
Computes the loss and the metrics of a network on the part of the data that training holds back.

  symgraph test lenet5 --params lenet.safetensors --data digits
""",
    configure,
    run,
)
