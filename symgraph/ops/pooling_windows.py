"""What all pooling over windows shares: where the windows lie, which of them hold an element, and
the attributes, documentation and test data of the public functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.op import Op
from ..kernel import dims
from ..kernel.compute import all_of, cast, reduce, where
from ..kernel.dims import Dim
from ..kernel.dtypes import int32
from ..kernel.ir import as_expr, const
from .base import Array
from .windows import Padding, Sizes, check_windows, paddings, pick, sizes, windows

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier


@dataclass(frozen=True, slots=True)
class PoolingWindows(Op):
    """The windows of a pooling, shared by the operators that walk over them."""

    kernel_size: Sizes
    stride: Sizes
    padding: Padding
    ceil_mode: bool = False

    def check_attributes(self) -> None:
        check_windows(self)
        for axis, (k, pad) in enumerate(zip(self.kernel_size, self.padding, strict=True)):
            if max(pad) >= k:
                raise AttributeValueError(
                    f"{self.name}: padding must be less than the kernel {k}, or a window may hold "
                    f"nothing but padding; got {pad} along spatial axis {axis}"
                )

    @property
    def channelwise(self) -> bool:
        return True

    @property
    def rank(self) -> int:
        return len(self.kernel_size)

    @property
    def geometry(self) -> tuple[Any, ...]:
        """The attributes that the gradients of an operator share with it."""
        return (self.kernel_size, self.stride, self.padding, self.ceil_mode)

    def extents(self, spatial: Sequence[Dim]) -> tuple[Dim, ...]:
        """The number of windows along each axis; in ceil mode the last may reach past the end,
        but starts inside the input or the padding before it."""
        result: list[Dim] = []
        for n, k, s, (before, after) in zip(
            spatial, self.kernel_size, self.stride, self.padding, strict=True
        ):
            size = n + before + after - k
            if self.ceil_mode:
                most = dims.ceildiv(n + before, s)
                result.append(dims.minimum(dims.ceildiv(size, s) + 1, most))
            else:
                result.append(size // s + 1)
        return tuple(result)

    def inferred(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        xs = u.rank(x, self.rank + 2, "x")
        spatial = [
            u.positive(
                n, f"the output extent along spatial axis {axis} (input {u.resolve(xs[axis + 2])}, "
                f"kernel {self.kernel_size[axis]}, padding {self.padding[axis]})",
            )
            for axis, n in enumerate(self.extents(xs[2:]))
        ]  # fmt: skip
        return (xs[0], xs[1], *spatial)

    def positions(self, place: Sequence[Any], taps: Sequence[Any]) -> tuple[Any, ...]:
        """The input position of each tap of the window at `place`."""
        return tuple(
            p * s + t - before
            for p, t, s, (before, _) in zip(place, taps, self.stride, self.padding, strict=True)
        )

    def inside(self, position: Sequence[Any], spatial: Sequence[Dim]) -> list[Any]:
        """Conditions for a position to lie in the input, where windows may leave it."""
        found = []
        for at, n, (before, after) in zip(position, spatial, self.padding, strict=True):
            if before:
                found.append(as_expr(at) >= 0)
            if after or self.ceil_mode:
                found.append(as_expr(at) < as_expr(n))
        return found

    def walk_back(self, place: Sequence[Any], counts: Sequence[Dim], value: Any, dtype: Any) -> Any:
        """The sum of `value(window, taps)` over all windows that hold the input at `place`."""
        steps = [-(-k // s) for k, s in zip(self.kernel_size, self.stride, strict=True)]
        several = [axis for axis, count in enumerate(steps) if count > 1]

        def term(*back: Any) -> Any:
            j = dict(zip(several, back, strict=True))
            window, taps, valid = [], [], []
            for axis, (at, k, s) in enumerate(
                zip(place, self.kernel_size, self.stride, strict=True)
            ):
                shifted = at + self.padding[axis][0]
                first = shifted if s == 1 else shifted // s
                w = first - j[axis] if axis in j else first
                t = (0 if s == 1 else shifted % s) + (j[axis] * s if axis in j else 0)
                window.append(w)
                taps.append(t)
                if axis in j:
                    valid.append(as_expr(w) >= 0)
                if k % s:
                    valid.append(as_expr(t) < k)
                valid.append(as_expr(w) < as_expr(counts[axis]))
            return where(all_of(*valid), value(window, taps), const(0, dtype))

        return reduce("sum", [steps[axis] for axis in several], term)

    def padded(self, x: Array, value: float) -> Array:
        """numpy: x with `value` around it, far enough for every window."""
        count = [int(n) for n in self.extents(x.shape[2:])]  # type: ignore[arg-type]
        ends = []
        for n, c, k, s, (before, _) in zip(
            x.shape[2:], count, self.kernel_size, self.stride, self.padding, strict=True
        ):
            ends.append((before, max(0, (c - 1) * s + k - before - n)))
        return np.pad(x, ((0, 0), (0, 0), *ends), constant_values=value)

    def seen(self, x: Array, value: float) -> Any:
        """numpy: [n, c, *windows, prod(kernel)], `value` outside the input."""
        count = tuple(int(n) for n in self.extents(x.shape[2:]))  # type: ignore[arg-type]
        view = windows(self.padded(x, value), self.kernel_size, self.stride, (1,) * self.rank)
        view = pick(view, slice(None), slice(None), *(slice(0, c) for c in count))
        size = int(np.prod(self.kernel_size))
        return view.reshape(*x.shape[:2], *count, size)


def flat(taps: Sequence[Any], kernel: Sizes) -> Any:
    """The number of a tap in its window, row-major."""
    total: Any = 0
    for t, k in zip(taps, kernel, strict=True):
        total = total * k + t
    return cast(as_expr(total), int32)


def geometry(what: str, rank: int, kernel_size: Any, stride: Any, padding: Any) -> Any:
    kernel = sizes(kernel_size, rank, f"{what}: kernel_size")
    strides = kernel if stride is None else sizes(stride, rank, f"{what}: stride")
    ones = (1,) * rank
    return kernel, strides, paddings(padding, rank, f"{what}: padding", kernel, strides, ones)


_TEXT = """The {what} of each window, channels first.

    `stride` is the kernel's size by default; `padding` is an int, ints, (before, after) pairs,
    "valid" or "same", less than the kernel; `ceil_mode` keeps a last window that reaches past the
    end.{more}

    Shapes: x [n, c, *s] -> y [n, c, *p], p = (s + padding - kernel) // stride + 1 over {rank}
    spatial axes, rounded up in ceil mode.   Dtypes: {dtypes}, kept.
    Raises: AttributeValueError, ShapeError.
    """


def function_text(**words: Any) -> str:
    """The documentation of a public function."""
    return _TEXT.format(**words)


def distinct(*shape: int, seed: int = 0) -> Array:
    """Values far from each other, so that small steps change no maximum."""
    count = int(np.prod(shape))
    order = np.random.default_rng(seed).permutation(count)
    return ((order / max(count, 1)) * 2 - 1).astype(np.float32).reshape(shape)


NONE = ((0, 0), (0, 0))
ODD = ((1, 0), (0, 1))
