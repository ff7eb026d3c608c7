"""The loss of a MODEL: its own when it has one, else one made for its outputs."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..ir.symbol import Group, Symbol, var
from ..ops.base import make
from ..train.metrics import KNOWN

LOSSES = ("cross_entropy", "mse")


def add_objective(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--loss",
        choices=LOSSES,
        help="loss of the model's output against the labels y, where the model's first output is "
        "not a loss itself (default: cross_entropy)",
    )
    parser.add_argument(
        "--metrics",
        default=None,
        metavar="NAMES",
        help=f"comma-separated: {', '.join(KNOWN)} (default: accuracy for cross_entropy)",
    )


def objective(
    model: Group, loss: str | None, metrics: str | None
) -> tuple[Symbol, Group | None, tuple[str, ...]]:
    """(loss, outputs, metrics) of a model; labels are the variable y.

    A model whose first output is a single number brings its loss; the others are its outputs.
    """
    own = model[0].shape == ()
    names = tuple(n for n in (metrics or "").split(",") if n)
    if own and loss is not None:
        raise InputError("--loss: the model's first output is a loss already")
    if own:
        return model[0], (Group(model.symbols[1:]) if len(model) > 1 else None), names
    if loss == "mse":
        target = var("y", model[0].shape, model[0].dtype)
        return make("mse_loss", model[0], target), model, names
    rows = model[0].shape[:1] if model[0].shape else ("N",)
    labels = var("y", rows, "int32")
    default = () if metrics is not None else ("accuracy",)
    return make("cross_entropy", model[0], labels), model, names or default
