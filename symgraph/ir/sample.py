"""Cases for the tests of an operator, stated in its class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .op import Op


@dataclass(frozen=True)
class Sample:
    """One case for the tests of an operator.

    `inputs` are arrays, or shapes to be filled from a seeded generator uniformly in
    [low, high) (integers in that range for integer dtypes).  `gradient` False: not
    differentiable there.
    """

    op: Op
    inputs: tuple[Any, ...]
    dtype: str = "float32"
    low: float = -1.0
    high: float = 1.0
    gradient: bool = True
    rtol: float | None = None
    atol: float | None = None


class Samples:
    """Samples stated inside an operator's class, made when they are first asked for.

        samples = Samples(lambda cls: (Sample(cls(axis=1), ((2, 3),)),))

    A base class may state them for all of its subclasses: `cls` is the class that is asked.
    """

    def __init__(self, make: Callable[[Any], Sequence[Sample]]) -> None:
        self._make = make
        self._made: dict[type, tuple[Sample, ...]] = {}

    def __get__(self, instance: Any, owner: type) -> tuple[Sample, ...]:
        if owner not in self._made:
            self._made[owner] = tuple(self._make(owner))
        return self._made[owner]
