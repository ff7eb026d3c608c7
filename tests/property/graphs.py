"""Random graphs for property tests: a hypothesis strategy and inputs to run them on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

import symgraph as sg
from symgraph.ir.symbol import Symbol

EXTENTS = (2, 3, 5, 7, 17)
UNARY = ("relu", "tanh", "sigmoid", "exp_small", "square", "negative", "softmax", "layer_norm")
BINARY = ("add", "subtract", "multiply", "maximum")
SHAPE = ("transpose", "flatten", "slice", "reduce_sum", "reduce_max", "reduce_mean", "concat")
PARTS = ("concat", "stack", "split", "front", "pad", "grow")
"""What is put together and taken apart, along every axis: the first ones lie in one piece."""
CONTRACTION = ("linear", "matmul")


@dataclass
class Case:
    """A graph with the shapes of its inputs; the first extent of `x` may be open."""

    outputs: list[Symbol]
    shapes: dict[str, tuple[int, ...]]
    batch: int

    def arrays(self, seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        return {n: rng.uniform(-1, 1, s).astype(np.float32) for n, s in self.shapes.items()}


def _grow(draw: st.DrawFn, case: Case, values: list[Symbol]) -> Symbol:
    x = draw(st.sampled_from(values))
    kind = draw(st.sampled_from((*UNARY, *BINARY, *SHAPE, *CONTRACTION, *PARTS)))
    if kind in BINARY:
        others = [v for v in values if v.shape == x.shape or v.shape == ()]
        other = draw(st.sampled_from([*others, _variable(case, x)]))
        return getattr(sg, kind)(x, other)
    if kind in CONTRACTION and x.ndim:
        return _contraction(draw, kind, case, x)
    return _single(draw, kind, x, values)


def _variable(case: Case, like: Symbol) -> Symbol:
    """A new input that broadcasts against the last axis."""
    name = f"v{len(case.shapes)}"
    last = like.shape[-1] if like.shape else 1
    shape = (last if isinstance(last, int) else 1,)
    case.shapes[name] = shape
    return sg.var(name, shape)


def _contraction(draw: st.DrawFn, kind: str, case: Case, x: Symbol) -> Symbol:
    inner = x.shape[-1]
    if not isinstance(inner, int):
        return -x
    name = f"v{len(case.shapes)}"
    units = draw(st.sampled_from(EXTENTS))
    shape = (units, inner) if kind == "linear" else (inner, units)
    case.shapes[name] = shape
    w = sg.var(name, shape)
    y = sg.linear(x, units, w, use_bias=False) if kind == "linear" else sg.matmul(x, w)
    return y * 0.3


def _single(draw: st.DrawFn, kind: str, x: Symbol, values: list[Symbol]) -> Symbol:
    rank = x.ndim or 0
    if kind == "exp_small":
        return sg.exp(x * 0.1)
    if kind in ("softmax", "layer_norm", "flatten", "transpose", "slice") and rank < 2:
        return sg.tanh(x)
    if kind == "softmax":
        return sg.softmax(x, axis=draw(st.integers(1, rank - 1)))
    if kind == "layer_norm":
        centred = x - sg.mean(x, axis=-1, keepdims=True)
        return centred / sg.sqrt(sg.mean(sg.square(centred), axis=-1, keepdims=True) + 1e-3)
    if kind == "flatten":
        return sg.flatten(x)
    if kind == "transpose":
        axes = list(range(1, rank))
        return sg.transpose(x, axes=(0, *draw(st.permutations(axes))))
    if kind == "slice":
        last = x.shape[-1]
        return x[..., 1:] if isinstance(last, int) and last > 1 else -x
    if kind.startswith("reduce"):
        if rank < 2:
            return sg.sigmoid(x)
        function = getattr(sg, kind.removeprefix("reduce_"))
        return function(x, axis=rank - 1, keepdims=draw(st.booleans()))
    if kind in PARTS:
        return _parts(draw, kind, x, values)
    if kind in UNARY:
        return getattr(sg, kind)(x)
    return -x


def _parts(draw: st.DrawFn, kind: str, x: Symbol, values: list[Symbol]) -> Symbol:
    """Parts joined or cut along an axis of known extent; small, so that graphs stay small."""
    axes = [n for n, extent in enumerate(x.shape) if isinstance(extent, int) and extent <= 34]
    if not axes:
        return sg.relu(x)
    axis = draw(st.sampled_from(axes))
    same = [v for v in values if v.shape == x.shape]
    if kind == "concat":
        return sg.concat([x, draw(st.sampled_from(same))], axis=axis)
    if kind == "grow":  # as in dense blocks: a value and what follows from it
        return sg.concat([x, sg.sum(x, axis=axis, keepdims=True)], axis=axis)
    if kind == "stack":
        stacked = sg.stack([x, draw(st.sampled_from(same)) * 0.5], axis=axis)
        return sg.reshape(stacked, [0] * axis + [2 * x.shape[axis], *x.shape[axis + 1 :]])
    if kind == "pad":
        width = [(0, 0)] * x.ndim
        width[axis] = (draw(st.integers(0, 2)), draw(st.integers(0, 2)))
        return sg.pad(x, width)
    extent = x.shape[axis]
    cut = draw(st.integers(0, extent))
    if kind == "front" or 2 * cut != extent:
        index = [slice(None)] * x.ndim
        index[axis] = slice(min(cut, extent - 1), None)
        return x[tuple(index)]
    low, high = sg.split(x, 2, axis)
    return low * high


@st.composite
def graphs(draw: st.DrawFn, size: int = 10) -> Case:
    """A graph of up to `size` operators over small shapes with pairwise distinct extents."""
    batch = draw(st.sampled_from((1, 4)))
    inner = draw(st.lists(st.sampled_from(EXTENTS), min_size=1, max_size=2, unique=True))
    case = Case([], {"x": (batch, *inner)}, batch)
    values = [sg.var("x", (draw(st.sampled_from(("N", batch))), *inner))]
    for _ in range(draw(st.integers(1, size))):
        values.append(_grow(draw, case, values))
    users = values[1:]
    case.outputs = [users[-1], draw(st.sampled_from(users))]
    used = set(sg.group(case.outputs).list_variables())
    case.shapes = {n: s for n, s in case.shapes.items() if n in used}
    return case
