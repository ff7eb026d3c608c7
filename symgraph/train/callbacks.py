"""Callbacks: what `fit` calls after steps and epochs.

A callback is an object with any of these methods, or a function, which is called as `on_epoch`.
What a callback must remember for a resumed training goes through `state` and `restore`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError, InputError

if TYPE_CHECKING:
    from .run import Run

Array = np.ndarray[Any, np.dtype[Any]]


class Callback:
    """Base of the callbacks; every method does nothing."""

    def on_start(self, run: Run) -> None:
        """Before the first step, after a resumed state was restored."""

    def on_step(self, run: Run) -> None:
        """After each step."""

    def on_epoch(self, run: Run) -> None:
        """After each epoch, its figures being `run.history.epochs[-1]`."""

    def on_end(self, run: Run) -> None:
        """After the last epoch."""

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What to keep in a checkpoint: plain data, and arrays by name."""
        return {}, {}

    def restore(self, data: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Take back what `state` gave."""


@dataclass
class Function(Callback):
    """A function of the run, called after each epoch."""

    function: Callable[[Run], object]

    def on_epoch(self, run: Run) -> None:
        self.function(run)


@dataclass
class EarlyStopping(Callback):
    """Stop when a figure has not improved by more than `min_delta` for `patience` epochs.

    `monitor` is a key of the epoch's figures; `mode` "min" or "max"; with `restore_best` the
    model ends with the parameters of its best epoch.
    """

    monitor: str = "validation_loss"
    patience: int = 3
    min_delta: float = 0.0
    mode: str = "min"
    restore_best: bool = False
    best: float | None = field(default=None, init=False)
    best_epoch: int = field(default=0, init=False)
    waited: int = field(default=0, init=False)
    kept: dict[str, Array] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.mode not in ("min", "max"):
            raise AttributeValueError(f"EarlyStopping: mode must be min or max, got {self.mode!r}")
        if self.patience < 1:
            raise AttributeValueError(
                f"EarlyStopping: patience must be at least 1, got {self.patience!r}"
            )

    def on_start(self, run: Run) -> None:
        if self.waited >= self.patience:
            run.stop()

    def on_epoch(self, run: Run) -> None:
        figures = run.history.epochs[-1]
        if self.monitor not in figures:
            raise InputError(
                f"EarlyStopping: there is no figure {self.monitor!r}; this training has "
                f"{', '.join(figures)} (validation figures need validation=)"
            )
        value = figures[self.monitor]
        if self._improved(value):
            self.best, self.best_epoch, self.waited = value, run.epoch, 0
            if self.restore_best:
                self.kept = {name: array.copy() for name, array in run.params.items()}
            return
        self.waited += 1
        if self.waited >= self.patience:
            run.stop()

    def on_end(self, run: Run) -> None:
        for name, array in self.kept.items():
            run.params[name][...] = array

    def _improved(self, value: float) -> bool:
        if self.best is None:
            return True
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        data = {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}
        return data, dict(self.kept)

    def restore(self, data: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self.best, self.best_epoch = data["best"], data["best_epoch"]
        self.waited = data["waited"]
        self.kept = dict(arrays)


def as_callback(item: Any) -> Callback:
    """A callback from a callback or a function.  Raises: InputError."""
    if isinstance(item, Callback):
        return item
    if callable(item):
        return Function(item)
    raise InputError(f"callbacks: need a Callback or a function, got {type(item).__name__}")
