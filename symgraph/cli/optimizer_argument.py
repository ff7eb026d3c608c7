"""The optimiser on the command line: its name and its options."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from .. import train as training
from ..errors import InputError

OPTIMIZERS: dict[str, type[training.Optimizer]] = {
    "sgd": training.SGD,
    "adam": training.Adam,
    "adamw": training.AdamW,
    "rmsprop": training.RMSProp,
    "adagrad": training.AdaGrad,
}


def add_optimizer(parser: argparse._ActionsContainer) -> None:
    """The options that every training has; the learning rate is not among them."""
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="default: adam")
    parser.add_argument("--momentum", type=float, metavar="M", help="of sgd and rmsprop")
    parser.add_argument("--nesterov", action="store_true", help="Nesterov's momentum (sgd)")
    parser.add_argument("--weight-decay", type=float, metavar="D", help="default: the optimizer's")
    parser.add_argument("--clip-norm", type=float, metavar="LIMIT", help="clip gradients by norm")


def make_optimizer(
    arguments: argparse.Namespace, learning_rate: float | None = None
) -> training.Optimizer:
    """The optimiser with the options that were given.  Raises: InputError for one it has not."""
    given: dict[str, Any] = {
        "learning_rate": learning_rate,
        "momentum": arguments.momentum,
        "nesterov": arguments.nesterov or None,
        "weight_decay": arguments.weight_decay,
    }
    chosen = {key: value for key, value in given.items() if value is not None}
    cls = OPTIMIZERS[arguments.optimizer]
    unknown = sorted(set(chosen) - {f.name for f in fields(cls)})
    if unknown:
        raise InputError(f"--{unknown[0]}: the optimizer {arguments.optimizer} has no such option")
    return cls(**chosen)


def make_clip(arguments: argparse.Namespace) -> training.ClipNorm | None:
    """The limit of the gradients' norm, where one was given."""
    return training.ClipNorm(arguments.clip_norm) if arguments.clip_norm else None
