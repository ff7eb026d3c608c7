"""Winograd's minimal convolution as four operators: tiles, weights, products, results.

    v = winograd_tiles(x)         every tile of (m+2)x(m+2) elements, steps of m, transformed
    u = winograd_weights(w)       depends on constants only, so it is folded, in float64
    p = winograd_product(v, u)    (m+2)^2 independent matrix products over the channels
    y = winograd_results(p, b)    transformed back; whole tiles beyond the result are cut off

The transforms and their accuracy are in `winograd_forms.py`; `convolution_parts.py` offers the four
together as an alternative of a convolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError
from ..ir.alternative import Alternative
from ..ir.layout import Layout
from ..ir.op import Constant, Op
from ..ir.registry import register
from ..ir.sample import Sample
from ..ir.symbol import Symbol
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute, reduce
from ..kernel.dims import Dim
from ..kernel.dtypes import float64
from ..kernel.ir import call, cast, const, where
from .base import Array
from .windows import pad_spatial
from .winograd_forms import FORMS, TAPS, Form, both_axes, operations

if TYPE_CHECKING:
    from ..ir.infer import ShapeView, Unifier

Offer = tuple[tuple[Layout | None, ...], Layout | None]

DTYPES = ("float32", "float64")
"""Dtypes whose rounding the bounds are stated for: in shorter ones the tiles would be rounded."""


SLICE_ELEMENTS = 1 << 15
"""Kernels of taps that are transformed at once at compile time."""

LEAST_CHANNELS = 8
"""Below so many the sum is short, so that the transforms' rounding counts for more than the bounds
allow; and the transforms would take longer than the products that they save."""


def _blocked(axis: int, block: int) -> Layout:
    return Layout(((axis, block),))


def chosen(index: Any, values: Sequence[Any]) -> Any:
    """values[index], for expressions; the index is known to be one of them."""
    result = values[-1]
    for number in reversed(range(len(values) - 1)):
        result = where(call("eq", index, const(number, "int64")), values[number], result)
    return result


def offers(x: Symbol, weight: Symbol, bias: Symbol | None) -> tuple[Alternative, ...]:
    """The forms of a convolution with stride and dilation 1 over unpadded x [n, c, h, w].

    None for weights that are not constants of 3x3 taps, for few channels, and for open images.
    """
    if not isinstance(weight.node.op, Constant) or x.dtype is None or x.dtype.name not in DTYPES:
        return ()
    channels, *kernel = (0,) if weight.shape is None else weight.shape[1:]
    image = () if x.shape is None else x.shape[2:]
    if kernel != [TAPS, TAPS] or not isinstance(channels, int) or channels < LEAST_CHANNELS:
        return ()
    if not all(isinstance(n, int) and n >= TAPS for n in image):
        return ()
    return tuple(
        Alternative(f"winograd {form.name}", form.error, partial(convolved, form, x, weight, bias))
        for form in FORMS.values()
    )


def convolved(form: Form, x: Symbol, weight: Symbol, bias: Symbol | None) -> Symbol:
    """The convolution of x [n, c, h, w] with weight [o, c, 3, 3], in tiles of a form."""
    assert x.shape is not None
    rows, columns = (int(n) - TAPS + 1 for n in x.shape[2:])  # type: ignore[arg-type]
    more = tuple((0, -n % form.outputs) for n in (rows, columns))
    tiles = WinogradTiles(form.outputs)(pad_spatial(x, more))
    product = WinogradProduct(form.outputs)(tiles, WinogradWeights(form.outputs)(weight))
    inputs = (product,) if bias is None else (product, bias)
    return WinogradResults(form.outputs, (rows, columns))(*inputs)  # type: ignore[no-any-return]


def _operations(transform: Any, form: Form, tiles: TensorType) -> Dim:
    """The operations of a transform of all tiles [n, m+2, m+2, c, i, j]."""
    assert tiles.shape is not None
    count = dims.product([tiles.shape[0], *tiles.shape[3:]])
    return dims.mul(count, operations(transform, form.size))


@dataclass(frozen=True, slots=True)
class _Winograd(Op):
    """`tile` results along each axis at a time: 2 or 4."""

    tile: int

    @property
    def form(self) -> Form:
        return FORMS[self.tile]

    def check_attributes(self) -> None:
        if self.tile not in FORMS:
            known = ", ".join(map(str, FORMS))
            raise AttributeValueError(
                f"{self.name}: tile must be one of {known}, got {self.tile!r}"
            )

    def _is_tile(self, u: Unifier, tile: Sequence[Dim], what: str) -> None:
        for extent in tile:
            u.equal(extent, self.form.size, f"{what} must have tiles of {self.form.size}")


@register
@dataclass(frozen=True, slots=True)
class WinogradTiles(_Winograd):
    """v[n,:,:,c,i,j] = B^T x[n, c, m*i .. m*i+m+1, m*j .. m*j+m+1] B, overlapping tiles.

    Shapes: x [n, c, m*i+2, m*j+2] -> v [n, m+2, m+2, c, i, j].   Dtypes: any float, kept.
    """

    name = "winograd_tiles"

    def layouts(
        self, ins: Sequence[TensorType], outs: Sequence[TensorType], block: int
    ) -> Offer | None:
        images = _blocked(1, block)
        return ((images,), _blocked(3, block)) if images.fits(ins[0].shape) else None

    def infer_shape(self, u: Unifier, x: ShapeView) -> tuple[Any, ...]:
        n, c, *image = u.rank(x, 4)
        m, size = self.form.outputs, self.form.size
        counts = []
        for axis, extent in enumerate(image):
            known = u.resolve(extent)
            if isinstance(known, int):
                why = f"x.shape[{axis + 2}] must be a multiple of {m}, plus 2, got {known}"
                u.require(known >= size and (known - TAPS + 1) % m == 0, why)
            counts.append(dims.floordiv(dims.add(known, 1 - TAPS), m))
        return ((n, size, size, c, *counts),)

    def forward(self, x: Tensor) -> Compute:
        form, m = self.form, self.form.outputs
        counts = [dims.floordiv(dims.add(d, 1 - TAPS), m) for d in x.shape[2:]]

        def element(n: Any, a: Any, b: Any, c: Any, i: Any, j: Any) -> Any:
            tile = [[x[n, c, i * m + p, j * m + q] for q in range(form.size)]
                    for p in range(form.size)]  # fmt: skip
            rows = both_axes(form.inputs, tile)
            return chosen(a, [chosen(b, row) for row in rows])

        return compute((x.shape[0], form.size, form.size, x.shape[1], *counts), element)

    def flops(self, ins: Sequence[TensorType], outs: Sequence[TensorType]) -> Any:
        return _operations(self.form.inputs, self.form, outs[0])

    def reference(self, x: Array) -> Any:
        _, _, b = self.form.matrices()
        m, size = self.form.outputs, self.form.size
        seen = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
        tiles = seen[:, :, ::m, ::m]
        return np.einsum("ap,bq,ncijpq->nabcij", b, b, tiles).astype(x.dtype)


@register
@dataclass(frozen=True, slots=True)
class WinogradWeights(_Winograd):
    """u[:,:,o,c] = G w[o,c] G^T, computed in float64 and rounded once.

    Shapes: w [o, c, 3, 3] -> u [m+2, m+2, o, c].   Dtypes: any float, kept.
    """

    name = "winograd_weights"
    folded_growth = 8

    def infer_shape(self, u: Unifier, w: ShapeView) -> tuple[Any, ...]:
        o, c, *taps = u.rank(w, 4)
        for axis, extent in enumerate(taps):
            u.equal(extent, TAPS, f"w.shape[{axis + 2}] must be {TAPS}")
        return ((self.form.size, self.form.size, o, c),)

    def forward(self, w: Tensor) -> Compute:
        form = self.form

        def element(a: Any, b: Any, o: Any, c: Any) -> Any:
            taps = [[cast(w[o, c, p, q], float64) for q in range(TAPS)] for p in range(TAPS)]
            rows = both_axes(form.weights, taps)
            return cast(chosen(a, [chosen(b, row) for row in rows]), w.dtype)

        return compute((form.size, form.size, *w.shape[:2]), element)

    def reference(self, w: Array) -> Any:
        """In the order of `forward`, so that weights packed by shipped code have the same bits."""
        size = self.form.size
        result = np.empty((size, size, *w.shape[:2]), w.dtype)
        # A few output channels at a time: in float64, all of them are many times the weights.
        step = max(1, SLICE_ELEMENTS // max(1, w.shape[1]))
        for start in range(0, w.shape[0], step):
            part = w[start : start + step].astype(np.float64)
            taps = [[part[:, :, p, q] for q in range(TAPS)] for p in range(TAPS)]
            for a, row in enumerate(both_axes(self.form.weights, taps)):
                for b, value in enumerate(row):
                    result[a, b, start : start + step] = value
        return result


@register
@dataclass(frozen=True, slots=True)
class WinogradProduct(_Winograd):
    """p[n,a,b,o,i,j] = sum over c of v[n,a,b,c,i,j] * u[a,b,o,c].

    Shapes: v [n, m+2, m+2, c, i, j], u [m+2, m+2, o, c] -> p [n, m+2, m+2, o, i, j].
    Dtypes: any float, kept.
    """

    name = "winograd_product"

    def layouts(
        self, ins: Sequence[TensorType], outs: Sequence[TensorType], block: int
    ) -> Offer | None:
        """Channels in blocks, the outputs' innermost in the weight so that a vector holds them."""
        tiles = _blocked(3, block)
        if not tiles.fits(ins[0].shape) or not tiles.fits(outs[0].shape):
            return None
        return (tiles, Layout(((3, block), (2, block)))), tiles

    def infer_shape(self, u: Unifier, v: ShapeView, w: ShapeView) -> tuple[Any, ...]:
        n, *first, c, i, j = u.rank(v, 6, "v")
        *second, o, channels = u.rank(w, 4, "u")
        self._is_tile(u, first, "v")
        self._is_tile(u, second, "u")
        u.equal(c, channels, "v.shape[3] must equal u.shape[3]")
        return ((n, *second, o, i, j),)

    def forward(self, v: Tensor, w: Tensor) -> Compute:
        def element(n: Any, a: Any, b: Any, o: Any, i: Any, j: Any) -> Any:
            return reduce("sum", w.shape[3], lambda c: v[n, a, b, c, i, j] * w[a, b, o, c])

        return compute((v.shape[0], *w.shape[:3], *v.shape[4:]), element)

    def reference(self, v: Array, w: Array) -> Any:
        return np.einsum("nabcij,aboc->naboij", v, w, optimize=True)


@register
@dataclass(frozen=True, slots=True)
class WinogradResults(_Winograd):
    """y[n,o,m*i.., m*j..] = A^T p[n,:,:,o,i,j] A, plus bias[o]; `image` is how much of it there is.

    Shapes: p [n, m+2, m+2, o, i, j], bias [o] -> y [n, o, *image], of i*m-m+1 to i*m rows.
    Dtypes: any float, kept.
    """

    image: tuple[int, int]
    name = "winograd_results"

    def layouts(
        self, ins: Sequence[TensorType], outs: Sequence[TensorType], block: int
    ) -> Offer | None:
        images = _blocked(1, block)
        if not images.fits(outs[0].shape):
            return None
        return (_blocked(3, block), *(None,) * (len(ins) - 1)), images

    def infer_shape(self, u: Unifier, p: ShapeView, bias: ShapeView | None = None) -> Any:
        n, a, b, o, *counts = u.rank(p, 6, "p")
        self._is_tile(u, (a, b), "p")
        for axis, (count, extent) in enumerate(zip(counts, self.image, strict=True)):
            u.equal(count, -(-extent // self.tile),
                    f"p.shape[{axis + 4}] must be the tiles of {extent} results")  # fmt: skip
        if bias is not None:
            u.equal(u.rank(bias, 1, "bias")[0], o, "bias.shape[0] must equal p.shape[3]")
        return ((n, o, *self.image),)

    def forward(self, p: Tensor, bias: Tensor | None = None) -> Compute:
        form, m = self.form, self.form.outputs

        def element(n: Any, o: Any, y: Any, x: Any) -> Any:
            tile = [[p[n, a, b, o, y // m, x // m] for b in range(form.size)]
                    for a in range(form.size)]  # fmt: skip
            rows = both_axes(form.results, tile)
            value = chosen(y % m, [chosen(x % m, row) for row in rows])
            return value if bias is None else value + bias[o]

        return compute((p.shape[0], p.shape[3], *self.image), element)

    def flops(self, ins: Sequence[TensorType], outs: Sequence[TensorType]) -> Any:
        added = outs[0].nelems if len(ins) > 1 else 0
        return dims.add(_operations(self.form.results, self.form, ins[0]), added)

    def reference(self, p: Array, bias: Array | None = None) -> Any:
        at, _, _ = self.form.matrices()
        tiles = np.einsum("pa,qb,naboij->noipjq", at, at, p, optimize=True)
        n, o, i, m, j, _ = tiles.shape
        y = tiles.reshape(n, o, i * m, j * m)[:, :, : self.image[0], : self.image[1]]
        if bias is not None:
            y = y + bias.reshape(1, -1, 1, 1)
        return y.astype(p.dtype)


WinogradTiles.samples = (
    Sample(WinogradTiles(2), ((2, 3, 6, 8),), gradient=False),
    Sample(WinogradTiles(4), ((2, 5, 6, 14),), gradient=False),
    Sample(WinogradTiles(4), ((1, 17, 10, 6),), dtype="float64", gradient=False),
    Sample(WinogradTiles(2), ((0, 3, 4, 6),), gradient=False),
)
WinogradWeights.samples = (
    Sample(WinogradWeights(2), ((2, 5, 3, 3),), gradient=False),
    Sample(WinogradWeights(4), ((7, 2, 3, 3),), gradient=False),
    Sample(WinogradWeights(4), ((1, 1, 3, 3),), dtype="float64", gradient=False),
    Sample(WinogradWeights(2), ((17, 1, 3, 3),), gradient=False),
    Sample(WinogradWeights(2), ((0, 5, 3, 3),), gradient=False),
)
WinogradProduct.samples = (
    Sample(WinogradProduct(2), ((2, 4, 4, 3, 5, 1), (4, 4, 7, 3)), gradient=False),
    Sample(WinogradProduct(4), ((1, 6, 6, 17, 2, 3), (6, 6, 5, 17)), gradient=False, atol=2e-5),
    Sample(WinogradProduct(2), ((0, 4, 4, 3, 5, 2), (4, 4, 7, 3)), gradient=False),
    Sample(WinogradProduct(2), ((1, 4, 4, 1, 1, 1), (4, 4, 1, 1)), dtype="float64", gradient=False),
)
WinogradResults.samples = (
    Sample(WinogradResults(2, (6, 10)), ((2, 4, 4, 7, 3, 5), (7,)), gradient=False),
    Sample(WinogradResults(2, (5, 10)), ((2, 4, 4, 7, 3, 5), (7,)), gradient=False),
    Sample(WinogradResults(4, (6, 9)), ((1, 6, 6, 17, 2, 3),), gradient=False, atol=1e-5),
    Sample(WinogradResults(4, (1, 4)), ((1, 6, 6, 1, 1, 1), (1,)), dtype="float64", gradient=False),
    Sample(WinogradResults(4, (7, 4)), ((0, 6, 6, 2, 2, 1),), gradient=False),
)
