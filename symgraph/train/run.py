"""`Run`: a training in progress, and the loop that drives it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..codegen.executable import Executable
from ..data import Batches
from .callbacks import Callback
from .feed import Converter, Data, sized
from .history import History
from .model import Model
from .schedules import Schedule
from .step import RATE, STEP

Array = np.ndarray[Any, np.dtype[Any]]


class Bar(Protocol):
    """What the loop needs of a progress bar."""

    def update(self, n: int) -> object: ...

    def set_postfix_str(self, s: str) -> object: ...

    def close(self) -> object: ...


class Run:
    """A training in progress; callbacks read it and may `stop` it.

    `epoch` counts finished epochs, `batch` the batches done in the current one, `step` all steps;
    `params` and `state` (the optimiser's) are the live arrays; `history` the figures so far.
    """

    def __init__(
        self,
        model: Model,
        executable: Executable,
        batches: Batches,
        schedule: Schedule,
        callbacks: Sequence[Callback],
        same: Mapping[str, Any],
    ) -> None:
        self.model = model
        self.executable = executable
        self.batches = batches
        self.schedule = schedule
        self.callbacks = tuple(callbacks)
        self.same = dict(same)
        self.params = model.params
        live = executable.parameters
        self.state = {name: a for name, a in live.items() if name not in model.params}
        self.epoch = self.batch = self.step = self.rows = 0
        self.totals: dict[str, float] = {}
        self.stopped = False
        self._convert = Converter(executable)

    @property
    def history(self) -> History:
        return self.model.history

    @history.setter
    def history(self, value: History) -> None:
        self.model.history = value

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return self.schedule(self.step)

    def stop(self) -> None:
        """End the training after the present step (from `on_step`) or epoch."""
        self.stopped = True

    def train(
        self,
        epochs: int,
        validation: Data | None,
        batch_size: int,
        make_bar: Callable[[int, int, int], Bar] | None,
    ) -> None:
        """Run until `epochs` epochs are finished, or stopped."""
        for callback in self.callbacks:
            callback.on_start(self)
        while self.epoch < epochs and not self.stopped:
            started = time.perf_counter()
            bar = make_bar and make_bar(self.epoch, len(self.batches), self.batch)
            try:
                finished = self._epoch(bar)
                if finished:
                    self._close_epoch(validation, batch_size, started)
                    if bar:
                        bar.set_postfix_str(_short(self.history.epochs[-1]))
            finally:
                if bar:
                    bar.close()
            if finished:
                for callback in self.callbacks:
                    callback.on_epoch(self)
        for callback in self.callbacks:
            callback.on_end(self)

    def _epoch(self, bar: Bar | None) -> bool:
        """The rest of the current epoch; False when it was stopped before its end."""
        for batch, rows in sized(self._remaining()):
            found = self._step(batch)
            for key, value in found.items():
                self.totals[key] = self.totals.get(key, 0.0) + value * rows
            self.rows += rows
            self.batch += 1
            if bar:
                bar.update(1)
                if self.batch % 8 == 0:
                    bar.set_postfix_str(f"loss {found['loss']:.4f}")
            for callback in self.callbacks:
                callback.on_step(self)
            if self.stopped and self.batch < len(self.batches):
                return False
        return True

    def _remaining(self) -> Iterator[dict[str, Array]]:
        return itertools.islice(self.batches.epoch(self.epoch), self.batch, None)

    def _step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        rate = self.learning_rate
        self.step += 1
        inputs = {**self._convert(batch), **self._numbers(rate)}
        result = self.executable(**inputs)
        arrays = result if isinstance(result, tuple) else (result,)
        found = self.model.task.measure(arrays)
        record = {"step": self.step, "loss": found["loss"], "learning_rate": rate}
        self.history.steps.append(record)
        return found

    def _numbers(self, rate: float) -> dict[str, Array]:
        """The scalars that this step's optimiser reads."""
        values = {RATE: rate, STEP: float(self.step)}
        dtypes = self._convert.dtypes
        return {k: np.asarray(v, dtypes[k]) for k, v in values.items() if k in dtypes}

    def _close_epoch(self, validation: Data | None, batch_size: int, started: float) -> None:
        figures: dict[str, float] = {"epoch": self.epoch + 1, "step": self.step}
        figures |= self.model.task.summarise(self.totals, self.rows)
        if validation is not None:
            measured = self.model.evaluate(validation, batch_size=batch_size)
            figures |= {f"validation_{key}": value for key, value in measured.items()}
        figures["learning_rate"] = self.schedule(max(self.step - 1, 0))
        figures["seconds"] = time.perf_counter() - started
        self.history.epochs.append(figures)
        self.epoch += 1
        self.batch = self.rows = 0
        self.totals = {}


def _short(figures: Mapping[str, float]) -> str:
    hidden = ("epoch", "step", "learning_rate", "seconds")
    return ", ".join(f"{k} {v:.4f}" for k, v in figures.items() if k not in hidden)
