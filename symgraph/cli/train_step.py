"""`symgraph compile --emit train-step`: one training step as an object like any other."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..ir.origin import Origin, deriving
from ..ir.symbol import Group
from ..train import save_parameters
from ..train.step import build_step
from .arrays import parameters
from .objective import add_objective, objective
from .optimizer_argument import add_optimizer, make_clip, make_optimizer

KIND = "train-step"
SUFFIX = "_train_step"
STEP_OPTIONS = (
    "loss", "metrics", "optimizer", "momentum", "nesterov", "weight_decay", "clip_norm",
)  # fmt: skip


def add_train_step(parser: argparse.ArgumentParser) -> None:
    """The options that only a training step has."""
    group = parser.add_argument_group(f"with --emit {KIND}")
    add_objective(group)
    add_optimizer(group)


def refuse_options(arguments: argparse.Namespace) -> None:
    """Raises: InputError for an option of training steps where none is made."""
    for name in STEP_OPTIONS:
        if getattr(arguments, name) != arguments.step_defaults[name]:
            option = name.replace("_", "-")
            raise InputError(f"--{option}: only a training step has one: add --emit {KIND}")


def step_arguments(
    model: Group, arguments: argparse.Namespace, shapes: Mapping[str, Any]
) -> dict[str, Any]:
    """The step as keywords of `export`.

    Raises: InputError for options that have no meaning for a step.
    """
    if arguments.weights != "embedded":
        raise InputError(
            f"--weights: the parameters of a training step are inputs already (--emit {KIND})"
        )
    if "whl" in arguments.emit.split(","):
        raise InputError(f"--emit: a wheel holds a network, not a training step (--emit {KIND})")
    # How the command was started must not be in what it writes.
    with deriving(Origin("", 0, "training step")):
        loss, _, _ = objective(model, arguments.loss, arguments.metrics)
        given = {n: s for n, s in shapes.items() if n in loss.graph.names.values()}
        params = parameters(Group([loss]), arguments.params, given, arguments.seed)
        step = build_step(loss, params, make_optimizer(arguments), clip=make_clip(arguments))
        return step.arguments(params, given)


def write_start(folder: Path, name: str, arrays: Mapping[str, Any]) -> Path:
    """What training starts from: parameters and the optimiser's arrays, by the inputs' names."""
    return save_parameters(folder / f"{name}.safetensors", dict(arrays))
