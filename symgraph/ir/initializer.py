"""How variables get their first values: small frozen descriptions, drawn from a seeded generator.

Fans follow the layout of weights here: axis 0 counts outputs, axis 1 inputs, the rest is the
receptive field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import AttributeValueError

Array = np.ndarray[Any, np.dtype[Any]]


class Initializer:
    """Base: `draw(rng, shape)` gives a float64 array of that shape."""

    __slots__ = ()

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        raise NotImplementedError


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan in, fan out) of a weight."""
    if len(shape) < 2:
        size = int(np.prod(shape, dtype=np.int64))
        return max(size, 1), max(size, 1)
    field = int(np.prod(shape[2:], dtype=np.int64))
    return max(shape[1] * field, 1), max(shape[0] * field, 1)


@dataclass(frozen=True, slots=True)
class Constant(Initializer):
    """Every element the same."""

    value: float = 0.0

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return np.full(shape, self.value)


@dataclass(frozen=True, slots=True)
class Uniform(Initializer):
    """Uniform in [low, high)."""

    low: float = -0.07
    high: float = 0.07

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.uniform(self.low, self.high, shape)


@dataclass(frozen=True, slots=True)
class Normal(Initializer):
    """Normal with mean and standard deviation."""

    mean: float = 0.0
    std: float = 0.01

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        return rng.normal(self.mean, self.std, shape)


def _checked_gain(gain: float) -> float:
    if not math.isfinite(gain):
        raise AttributeValueError(f"initialiser: gain must be finite, got {gain}")
    return gain


@dataclass(frozen=True, slots=True)
class Xavier(Initializer):
    """Glorot and Bengio 2010: variance 2 / (fan in + fan out)."""

    gain: float = 1.0
    uniform: bool = True

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        fan_in, fan_out = fans(shape)
        std = _checked_gain(self.gain) * math.sqrt(2.0 / (fan_in + fan_out))
        return _draw(rng, shape, std, self.uniform)


@dataclass(frozen=True, slots=True)
class He(Initializer):
    """He et al. 2015: variance gain^2 / fan in; gain sqrt(2) suits rectifiers."""

    gain: float = math.sqrt(2.0)
    uniform: bool = False

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        std = _checked_gain(self.gain) / math.sqrt(fans(shape)[0])
        return _draw(rng, shape, std, self.uniform)


def _draw(rng: np.random.Generator, shape: tuple[int, ...], std: float, uniform: bool) -> Array:
    if uniform:
        limit = math.sqrt(3.0) * std
        return rng.uniform(-limit, limit, shape)
    return rng.normal(0.0, std, shape)


@dataclass(frozen=True, slots=True)
class Orthogonal(Initializer):
    """Saxe et al. 2014: the rows (or columns) of the matrix [shape[0], rest] are orthonormal."""

    gain: float = 1.0

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        if len(shape) < 2:
            raise AttributeValueError(f"Orthogonal needs a matrix, got shape {shape}")
        rows, columns = shape[0], int(np.prod(shape[1:], dtype=np.int64))
        flat = rng.normal(size=(max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(flat)
        q = q * np.sign(np.diag(r))
        matrix = q if rows >= columns else q.T
        return (self.gain * matrix).reshape(shape)


@dataclass(frozen=True, slots=True)
class RandomKey(Initializer):
    """The state of a random operator: a 64-bit key and a 64-bit counter as four uint32."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
        state = np.zeros(shape, dtype=np.float64)
        state[..., :2] = rng.integers(0, 2**32, size=(*shape[:-1], 2))
        return state
