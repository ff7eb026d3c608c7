"""`Model`: a network with its parameters: predicts, evaluates, saves and loads."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..codegen.executable import Executable
from ..errors import InputError
from ..ir.symbol import Group, Symbol
from ..options import Options
from .feed import Converter, Data, as_batches, sized
from .history import History
from .metrics import Metrics
from .parameters import LoadReport, fill_parameters, load_parameters, save_parameters
from .task import Task

Array = np.ndarray[Any, np.dtype[Any]]


class Model:
    """What `fit` returns.

    `params` are the arrays by name, auxiliary state included; change them in place and the next
    call uses the new values.  `task` holds the symbols, `history` what happened in training.
    """

    def __init__(
        self,
        task: Task,
        params: dict[str, Array],
        *,
        history: History | None = None,
        shapes: Mapping[str, Any] | None = None,
        target: str | None = None,
        options: Options | None = None,
        threads: int | None = None,
    ) -> None:
        self.task = task
        self.params = params
        self.history = History() if history is None else history
        self.shapes = dict(shapes or {})
        self.target = target
        self.options = options
        self.threads = threads
        self._compiled: dict[str, Executable] = {}

    @staticmethod
    def of(
        loss: Symbol,
        *,
        outputs: Any = None,
        metrics: Metrics = (),
        params: Mapping[str, Any] | None = None,
        seed: int = 0,
        data: Mapping[str, Array] | None = None,
        target: str | None = None,
        options: Options | None = None,
        threads: int | None = None,
    ) -> Model:
        """A model that was not trained: with the given parameters, the others from initialisers.

        `data` are arrays by input name from which undeclared shapes are taken.
        """
        task = Task.of(loss, outputs, metrics)
        shapes = task.input_shapes(data or {})
        arrays = task.initial(seed, params, shapes)
        return Model(task, arrays, shapes=shapes, target=target, options=options, threads=threads)

    @property
    def outputs(self) -> Group:
        """The symbols that `predict` computes.  Raises: InputError when none were named."""
        if self.task.outputs is None:
            raise InputError("the model has no outputs: give fit(..., outputs=symbol)")
        return self.task.outputs

    def predict(self, data: Data, *, batch_size: int = 256) -> Any:
        """The outputs for every row of the data: an array, or a tuple for several outputs.

        Shapes: data as the outputs' inputs take it, rows first -> rows first.
        """
        executable, fixed = self._executable("predict", self.outputs)
        names = self._free(executable)
        batches = as_batches(data, names, batch_size, spare=self._inputs)
        convert = Converter(executable)
        parts = [_tuple(executable(**convert(b), **fixed)) for b in batches.epoch(0)]
        if not parts:
            raise InputError("predict: the data has no rows")
        whole = tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))
        return whole[0] if len(whole) == 1 else whole

    def evaluate(self, data: Data, *, batch_size: int = 256) -> dict[str, float]:
        """The loss and the metrics, in inference form, over every row of the data."""
        symbols = Group([self.task.loss, *self.task.measured])
        executable, fixed = self._executable("evaluate", symbols)
        batches = as_batches(data, self._free(executable), batch_size, spare=self._inputs)
        convert = Converter(executable)
        totals: dict[str, float] = dict.fromkeys(["loss", *(m.name for m in self.task.metrics)], 0)
        count = 0
        for batch, rows in sized(batches.epoch(0)):
            found = self.task.measure(_tuple(executable(**convert(batch), **fixed)))
            totals = {key: total + found[key] * rows for key, total in totals.items()}
            count += rows
        return self.task.summarise(totals, count)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the parameters to a safetensors file, whole or not at all."""
        return save_parameters(path, self.params)

    def load(
        self, path: str | os.PathLike[str], *, allow_mismatch: Collection[str] | bool = ()
    ) -> LoadReport:
        """Read parameters by name from a file of `save`, a checkpoint, or any safetensors file.

        Raises: FileNotFoundError; FormatError for a damaged file, or a shape that differs and is
        not in `allow_mismatch`.
        """
        return fill_parameters(self.params, load_parameters(path), str(path), allow_mismatch)

    @property
    def _inputs(self) -> tuple[str, ...]:
        return tuple(s.node.label for s in self.task.everything.inputs)

    def _free(self, executable: Executable) -> tuple[str, ...]:
        return tuple(p.name for p in executable.program.inputs if p.name not in self.params)

    def _executable(self, name: str, symbols: Group) -> tuple[Executable, dict[str, Array]]:
        """A compiled part of the model and the parameters it takes; compiled at first use."""
        if name not in self._compiled:
            changes = {} if self.threads is None else {"threads": self.threads}
            self._compiled[name] = self.task.compile(
                symbols, self.params, self.shapes, name, self.target, self.options, **changes
            )
        executable = self._compiled[name]
        taken = {p.name for p in executable.program.inputs}
        return executable, {name: a for name, a in self.params.items() if name in taken}

    def __repr__(self) -> str:
        elements = sum(a.size for a in self.params.values())
        return (
            f"<Model of {len(self.params)} arrays, {elements} elements, "
            f"{len(self.history.epochs)} epochs>"
        )


def _tuple(result: Any) -> tuple[Array, ...]:
    return result if isinstance(result, tuple) else (result,)
