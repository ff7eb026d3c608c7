"""The transforms of Winograd's minimal convolution, as short sequences of additions.

    y = A^T ((G g) * (B^T d))          one axis: r taps g, m+r-1 elements d, m results y
    Y = A^T ((G g G^T) * (B^T d B)) A  two axes

Every function takes a list of things that can be added and multiplied by numbers (arrays, index
expressions) and gives another, so that one text serves the compiler and numpy; what several results
share is computed once.  `Form.matrices` gives the same as dense float64 matrices, from the points
alone.

Sources: Winograd 1980, "Arithmetic complexity of computations"; Lavin and Gray 2016, "Fast
algorithms for convolutional neural networks"; points for F(4,3): Barabasz et al. 2020, "Error
analysis and improving the accuracy of Winograd convolution for deep neural networks".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

TAPS = 3
"""Taps of the kernel along an axis."""

HALF_ROOT = 0.5**0.5

Things = Sequence[Any]
Matrix = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Form:
    """F(m, 3): `outputs` m at a time from `points` and infinity.

    `scales` are what row i of B^T is multiplied by, and row i of G divided by.  `error` bounds the
    root mean square error against that of the sum as it stands, both in float32 or both in float64.
    """

    outputs: int
    points: tuple[float, ...]
    scales: tuple[float, ...]
    error: float
    inputs: Callable[[Things], list[Any]]
    results: Callable[[Things], list[Any]]

    @property
    def size(self) -> int:
        """Elements of a tile along an axis."""
        return self.outputs + TAPS - 1

    @property
    def name(self) -> str:
        """As the literature writes it."""
        return f"F({self.outputs}x{self.outputs},{TAPS}x{TAPS})"

    def matrices(self) -> tuple[Matrix, Matrix, Matrix]:
        """A^T [m, m+2], G [m+2, 3], B^T [m+2, m+2] by Lagrange interpolation, in float64."""
        n = self.size
        a = np.zeros((self.outputs, n))
        g, b = np.zeros((n, TAPS)), np.zeros((n, n))
        for row, point in enumerate(self.points):
            others = [p for p in self.points if p != point]
            polynomial = np.poly(others)[::-1]
            value = np.polyval(polynomial[::-1], point)
            a[:, row] = [point**k for k in range(self.outputs)]
            g[row] = [point**k / value / self.scales[row] for k in range(TAPS)]
            b[row, : n - 1] = polynomial * self.scales[row]
        a[-1, -1] = 1.0
        g[-1, -1] = 1.0 / self.scales[-1]
        b[-1] = np.poly(self.points)[::-1] * self.scales[-1]
        return a, g, b

    def weights(self, taps: Things) -> list[Any]:
        """G g."""
        _, matrix, _ = self.matrices()
        rows = []
        for row in matrix:
            terms = [t * float(f) for t, f in zip(taps, row, strict=True) if f != 0.0]
            rows.append(_total(terms))
        return rows


def both_axes(transform: Callable[[Things], list[Any]], tile: Sequence[Things]) -> list[list[Any]]:
    """A transform along both axes of a tile, given by rows."""
    columns = [transform(column) for column in zip(*tile, strict=True)]
    return [transform(row) for row in zip(*columns, strict=True)]


class _Counted:
    """Counts the operations of a transform, what is shared once."""

    def __init__(self, count: list[int]) -> None:
        self.count = count

    def _operate(self, other: Any) -> _Counted:
        self.count[0] += 1
        return self

    __add__ = __sub__ = __mul__ = _operate


def operations(transform: Callable[[Things], list[Any]], size: int) -> int:
    """Additions and multiplications of a transform along both axes of a tile of size x size."""
    count = [0]
    both_axes(transform, [[_Counted(count)] * size] * size)
    return count[0]


def _total(terms: Things) -> Any:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _inputs_2(d: Things) -> list[Any]:
    return [d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]]


def _results_2(m: Things) -> list[Any]:
    return [m[0] + m[1] + m[2], m[1] - m[2] + m[3]]


def _inputs_4(d: Things) -> list[Any]:
    near, far = d[4] - d[2] * 2.0, d[4] - d[2] * 0.5
    odd_near = (d[3] - d[1] * 2.0) * HALF_ROOT
    odd_far = (d[3] - d[1] * 0.5) * (2.0 * HALF_ROOT)
    return [
        d[0] + d[4] - d[2] * 2.5,
        near + odd_near,
        near - odd_near,
        far + odd_far,
        far - odd_far,
        d[1] + d[5] - d[3] * 2.5,
    ]


def _results_4(m: Things) -> list[Any]:
    near, odd_near = m[1] + m[2], m[1] - m[2]
    far, odd_far = m[3] + m[4], m[3] - m[4]
    return [
        m[0] + near + far,
        (odd_near + odd_far * 2.0) * HALF_ROOT,
        near * 0.5 + far * 2.0,
        (odd_near * 0.5 + odd_far * 4.0) * HALF_ROOT + m[5],
    ]


FORMS: dict[int, Form] = {
    # The signs make every row one addition.
    2: Form(2, (0.0, 1.0, -1.0), (-1.0, 1.0, 1.0, -1.0), 2.0, _inputs_2, _results_2),
    4: Form(
        4, (0.0, HALF_ROOT, -HALF_ROOT, 2 * HALF_ROOT, -2 * HALF_ROOT), (1.0,) * 6, 6.0,
        _inputs_4, _results_4,
    ),
}  # fmt: skip
"""By the number of results of a tile along an axis."""
