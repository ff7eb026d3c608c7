"""Learning-rate schedules: the rate as a function of the iteration, counted from 0.

They are evaluated on the host before each step; the compiled step takes the rate as an input, so
that changing it compiles nothing.  The policies and their formulas are those of Caffe's solver
(there called fixed, step, multistep, exp, inv, poly, sigmoid), and the cosine of SGDR.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from ..errors import AttributeValueError


@dataclass(frozen=True)
class Schedule:
    """Base of the schedules: `schedule(iteration)` is the learning rate."""

    base: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.base < math.inf:
            raise AttributeValueError(
                f"{type(self).__name__}: base must be a learning rate >= 0, got {self.base!r}"
            )

    def __call__(self, iteration: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def _positive(self, **values: float) -> None:
        for name, value in values.items():
            if not value > 0:
                raise AttributeValueError(
                    f"{type(self).__name__}: {name} must be positive, got {value!r}"
                )


@dataclass(frozen=True)
class ConstantRate(Schedule):
    """base."""

    def __call__(self, iteration: int) -> float:
        return self.base


@dataclass(frozen=True)
class StepDecay(Schedule):
    """base * gamma^floor(iteration / step)."""

    step: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive(step=self.step, gamma=self.gamma)

    def __call__(self, iteration: int) -> float:
        return self.base * self.gamma ** (iteration // self.step)


@dataclass(frozen=True)
class MultiStepDecay(Schedule):
    """base * gamma^(number of `steps` that the iteration has reached)."""

    steps: tuple[int, ...]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive(gamma=self.gamma)
        if list(self.steps) != sorted(set(self.steps)):
            raise AttributeValueError(f"MultiStepDecay: steps must increase, got {self.steps!r}")

    def __call__(self, iteration: int) -> float:
        return self.base * self.gamma ** bisect_right(self.steps, iteration)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """base * gamma^iteration."""

    gamma: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive(gamma=self.gamma)

    def __call__(self, iteration: int) -> float:
        return self.base * self.gamma**iteration


@dataclass(frozen=True)
class InverseDecay(Schedule):
    """base * (1 + gamma * iteration)^-power."""

    gamma: float
    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive(gamma=self.gamma)

    def __call__(self, iteration: int) -> float:
        return self.base * math.pow(1.0 + self.gamma * iteration, -self.power)


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """base * (1 - iteration / steps)^power, 0 from `steps` on."""

    steps: int
    power: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive(steps=self.steps, power=self.power)

    def __call__(self, iteration: int) -> float:
        return self.base * math.pow(1.0 - min(iteration, self.steps) / self.steps, self.power)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """final + (base - final) (1 + cos(pi iteration / steps)) / 2, `final` from `steps` on.

    Source: Loshchilov and Hutter 2017 (SGDR), one period.
    """

    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive(steps=self.steps)

    def __call__(self, iteration: int) -> float:
        turn = math.pi * min(iteration, self.steps) / self.steps
        return self.final + (self.base - self.final) * (1.0 + math.cos(turn)) / 2.0


@dataclass(frozen=True)
class SigmoidDecay(Schedule):
    """base / (1 + exp(-gamma (iteration - step))); a negative gamma falls, a positive one rises."""

    gamma: float
    step: int

    def __call__(self, iteration: int) -> float:
        x = self.gamma * (iteration - self.step)
        # exp of a large positive number overflows; this form never takes one.
        e = math.exp(-abs(x))
        return self.base * ((1.0 if x >= 0 else e) / (1.0 + e))


@dataclass(frozen=True)
class WarmUp(Schedule):
    """A straight line from `base` to the first rate of `after` in `steps` iterations, then `after`,
    which counts its iterations from there."""

    after: Schedule
    steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive(steps=self.steps)

    def __call__(self, iteration: int) -> float:
        if iteration >= self.steps:
            return self.after(iteration - self.steps)
        return self.base + (self.after(0) - self.base) * iteration / self.steps


def as_schedule(rate: float | Schedule) -> Schedule:
    """A schedule from a number or a schedule."""
    return rate if isinstance(rate, Schedule) else ConstantRate(float(rate))


__all__ = [
    "ConstantRate",
    "CosineDecay",
    "ExponentialDecay",
    "InverseDecay",
    "MultiStepDecay",
    "PolynomialDecay",
    "Schedule",
    "SigmoidDecay",
    "StepDecay",
    "WarmUp",
    "as_schedule",
]
