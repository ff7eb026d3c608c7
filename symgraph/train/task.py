"""What is trained and measured: the loss, the outputs and the metrics of one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..codegen.executable import Executable
from ..compiler import compile
from ..errors import InputError
from ..ir.initial_values import init
from ..ir.symbol import Expression, Group, Symbol
from ..kernel.dims import Unknown
from ..options import Options
from .metrics import Metric, Metrics, as_metrics
from .names import pin_names

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Task:
    """Symbols that share their variables, under names that hold in every part."""

    loss: Symbol
    outputs: Group | None
    metrics: tuple[Metric, ...]

    @staticmethod
    def of(loss: Symbol, outputs: Any, metrics: Metrics) -> Task:
        """From what a user gives.  Raises: InputError."""
        if not isinstance(loss, Symbol):
            raise InputError(f"the loss must be a symbol, got {type(loss).__name__} {loss!r}")
        group = None if outputs is None else _as_group(outputs)
        measured = as_metrics(metrics, loss, group)
        parts = [loss, *(group or ()), *(s for m in measured for s in m.inputs)]
        pinned = iter(pin_names(parts))
        new_loss = next(pinned)
        new_group = None if group is None else Group([next(pinned) for _ in group])
        new_metrics = [m.over([next(pinned) for _ in m.inputs]) for m in measured]
        return Task(new_loss, new_group, tuple(new_metrics))

    @property
    def measured(self) -> tuple[Symbol, ...]:
        """The symbols of all metrics in order."""
        return tuple(s for m in self.metrics for s in m.inputs)

    @property
    def everything(self) -> Group:
        return Group([self.loss, *(self.outputs or ()), *self.measured])

    def measure(self, arrays: Sequence[Array]) -> dict[str, float]:
        """The loss and each metric of a batch, from what a program returned for loss and
        `measured`."""
        found = {"loss": float(arrays[0])}
        rest = list(arrays[1:])
        for metric in self.metrics:
            found[metric.name] = metric.of_batch(rest[: len(metric.inputs)])
            rest = rest[len(metric.inputs) :]
        return found

    def summarise(self, totals: Mapping[str, float], count: int) -> dict[str, float]:
        """The figures from sums over samples."""
        figures = {"loss": totals["loss"] / count if count else float("nan")}
        for metric in self.metrics:
            figures[metric.name] = metric.of_samples(totals[metric.name], count)
        return figures

    def input_shapes(self, arrays: Mapping[str, Array]) -> dict[str, Any]:
        """Shapes for the inputs whose own are not all known: the data's, with any number of rows
        ("N" where the number has no name)."""
        shapes: dict[str, Any] = {}
        for symbol in self.everything.inputs:
            name, own = symbol.node.label, symbol.shape
            if name not in arrays or (own is not None and symbol.type.is_complete):
                continue
            given: list[Any] = list(arrays[name].shape)
            given[0] = "N" if not own or isinstance(own[0], Unknown) else own[0]
            shapes[name] = tuple(given)
        return shapes

    def initial(
        self, seed: int, params: Mapping[str, Any] | None, shapes: Mapping[str, Any]
    ) -> dict[str, Array]:
        """Every parameter and auxiliary array: the given ones, the others from initialisers.

        Raises: InputError for an unknown name or a wrong shape.
        """
        arrays = init(self.everything, seed, shapes=dict(shapes))
        for name, value in dict(params or {}).items():
            if name not in arrays:
                raise InputError(
                    f"params has {name!r}, but the model has no such parameter; it has "
                    f"{', '.join(arrays)}"
                )
            given = np.asarray(value)
            if given.shape != arrays[name].shape:
                raise InputError(
                    f"params: {name!r} must have shape {arrays[name].shape}, got {given.shape}"
                )
            arrays[name] = np.array(given, dtype=arrays[name].dtype, order="C")
        return arrays

    def compile(
        self,
        symbols: Group,
        params: Mapping[str, Array],
        shapes: Mapping[str, Any],
        name: str,
        target: str | None,
        options: Options | None,
        **changes: Any,
    ) -> Executable:
        """A part of the model in its inference form, with parameters as inputs of each call."""
        known = set(symbols.list_variables())
        fixed = {name: array.shape for name, array in params.items() if name in known}
        given = {name: shape for name, shape in shapes.items() if name in known}
        return compile(
            symbols,
            shapes={**given, **fixed},
            name=name,
            target=target,
            options=options,
            **changes,
        )


def _as_group(outputs: Any) -> Group:
    if isinstance(outputs, Expression):
        return Group(outputs.symbols)
    if isinstance(outputs, (list, tuple)) and all(isinstance(s, Symbol) for s in outputs):
        return Group(list(outputs))
    raise InputError(f"outputs must be a symbol or several, got {type(outputs).__name__}")
