"""Metrics: numbers about a batch, computed inside the compiled program where they can be.

A metric is averaged over the samples of an epoch, so the last, smaller batch counts by its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import InputError
from ..ir.symbol import Group, Symbol
from ..ops.base import make

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Metric:
    """`inputs` are what the compiled program returns.

    Without `measure`, the single input is the batch's mean; with it, `measure(*arrays)` computes
    that on the host.  `finish` turns the mean over all samples into the figure that is reported.
    """

    name: str
    inputs: tuple[Symbol, ...]
    measure: Callable[..., float] | None = None
    finish: Callable[[float], float] | None = None

    def of_batch(self, arrays: Sequence[Array]) -> float:
        """The batch's mean from the arrays that the program returned for `inputs`."""
        return float(arrays[0]) if self.measure is None else float(self.measure(*arrays))

    def of_samples(self, total: float, count: int) -> float:
        """The figure from the sum over samples."""
        mean = total / count if count else math.nan
        return mean if self.finish is None else self.finish(mean)

    def over(self, inputs: Sequence[Symbol]) -> Metric:
        """The same metric of other symbols."""
        return replace(self, inputs=tuple(inputs))


def accuracy(logits: Symbol, labels: Symbol, name: str = "accuracy") -> Metric:
    """The share of rows whose greatest logit is at the label.  Shapes: [n, c], [n]."""
    found = make("argmax", logits, axis=-1)
    hits = make("equal", found, make("cast", labels, dtype="int64"))
    return Metric(name, (_share(hits),))


def top_k(logits: Symbol, labels: Symbol, k: int = 5, name: str | None = None) -> Metric:
    """The share of rows with fewer than k logits above the label's.  Shapes: [n, c], [n]."""
    own = make("expand_dims", make("class_pick", logits, labels), axis=-1)
    better = make("sum", make("cast", make("greater", logits, own), dtype="float32"), axis=-1)
    return Metric(name or f"top{k}", (_share(make("less", better, float(k))),))


def cross_entropy(logits: Symbol, labels: Symbol, name: str = "cross_entropy") -> Metric:
    """The mean of -log softmax(logits)[label].  Shapes: [n, c], [n]."""
    return Metric(name, (make("cross_entropy", logits, labels),))


def perplexity(logits: Symbol, labels: Symbol, name: str = "perplexity") -> Metric:
    """exp of the mean cross entropy over all samples.  Shapes: [n, c], [n]."""
    return Metric(name, (make("cross_entropy", logits, labels),), finish=_exp)


def mean_squared_error(outputs: Symbol, targets: Symbol, name: str = "mse") -> Metric:
    """The mean of (outputs - targets)^2.  Shapes: two of one shape."""
    return Metric(name, (make("mse_loss", outputs, targets),))


def mean_absolute_error(outputs: Symbol, targets: Symbol, name: str = "mae") -> Metric:
    """The mean of |outputs - targets|.  Shapes: two of one shape."""
    return Metric(name, (make("l1_loss", outputs, targets),))


def custom(name: str, function: Callable[..., float], *symbols: Symbol) -> Metric:
    """`function(*arrays)`, the arrays being the symbols' values for a batch, in Python."""
    return Metric(name, symbols, measure=function)


def _share(hits: Symbol) -> Symbol:
    return make("mean", make("cast", hits, dtype="float32"))


def _exp(mean: float) -> float:
    return math.exp(mean) if mean < 700.0 else math.inf


KNOWN: Mapping[str, Callable[[Symbol, Symbol], Metric]] = {
    "accuracy": accuracy,
    "top5": lambda logits, labels: top_k(logits, labels, 5),
    "cross_entropy": cross_entropy,
    "perplexity": perplexity,
    "mse": mean_squared_error,
    "mae": mean_absolute_error,
}
"""The metrics that `fit(metrics=...)` knows by name: of the first output and the label."""

Metrics = Sequence[str | Metric] | Mapping[str, Symbol | Metric]


def as_metrics(given: Metrics, loss: Symbol, outputs: Group | None) -> tuple[Metric, ...]:
    """Metrics from names, metrics, or scalar symbols by name.  Raises: InputError."""
    items: Sequence[Any]
    if isinstance(given, Mapping):
        items = [_named(name, item) for name, item in given.items()]
    else:
        items = [given] if isinstance(given, (str, Metric)) else list(given)
    found = tuple(_as_metric(item, loss, outputs) for item in items)
    names = ["loss", *(m.name for m in found)]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise InputError(f"metrics: the name {twice[0]!r} is used twice")
    return found


def _named(name: str, item: Symbol | Metric) -> Metric:
    return Metric(name, (item,)) if isinstance(item, Symbol) else replace(item, name=name)


def _as_metric(item: Any, loss: Symbol, outputs: Group | None) -> Metric:
    if isinstance(item, Metric):
        return item
    if not isinstance(item, str):
        raise InputError(
            f"metrics: need a name, a metric such as sg.train.accuracy(logits, y), or a dict of "
            f"scalar symbols, got {type(item).__name__} {item!r}"
        )
    if item not in KNOWN:
        raise InputError(f"metrics: unknown metric {item!r}; known are {', '.join(KNOWN)}")
    if outputs is None:
        raise InputError(
            f"metrics: {item!r} by name needs outputs=, the symbol that it compares to the label"
        )
    return KNOWN[item](outputs[0], _label(item, loss, outputs))


def _label(metric: str, loss: Symbol, outputs: Group) -> Symbol:
    """The one input that the loss has and the outputs have not."""
    used = set(outputs.inputs)
    labels = [s for s in loss.inputs if s not in used]
    if len(labels) != 1:
        names = ", ".join(s.node.label for s in labels) or "none"
        raise InputError(
            f"metrics: {metric!r} by name needs exactly one input of the loss that is not one of "
            f"the outputs, found {names}; give sg.train.{KNOWN[metric].__name__}(output, label)"
        )
    return labels[0]
