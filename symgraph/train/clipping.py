"""Gradient clipping, in symbols: part of the compiled step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import AttributeValueError
from ..ir.symbol import Symbol
from ..ops.base import make


@dataclass(frozen=True)
class Clip:
    """Base: `apply(gradients)` gives the clipped ones."""

    limit: float

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise AttributeValueError(
                f"{type(self).__name__}: limit must be positive, got {self.limit!r}"
            )

    def apply(self, gradients: Sequence[Symbol]) -> list[Symbol]:
        raise NotImplementedError(f"{type(self).__name__} does not define apply")


@dataclass(frozen=True)
class ClipValue(Clip):
    """Every element kept within [-limit, limit]."""

    def apply(self, gradients: Sequence[Symbol]) -> list[Symbol]:
        return [make("clip", g, min=-self.limit, max=self.limit) for g in gradients]


@dataclass(frozen=True)
class ClipNorm(Clip):
    """All gradients scaled by min(1, limit / norm), where norm is that of all of them together.

    Dtypes: one float for all gradients.   Source: Pascanu, Mikolov and Bengio 2013.
    """

    def apply(self, gradients: Sequence[Symbol]) -> list[Symbol]:
        if not gradients:
            return []
        total = make("sum", gradients[0] * gradients[0])
        for gradient in gradients[1:]:
            total = total + make("sum", gradient * gradient)
        norm = make("sqrt", total)
        # The maximum keeps a norm of 0 from dividing by it.
        scale = self.limit / make("maximum", norm, self.limit)
        return [gradient * scale for gradient in gradients]
