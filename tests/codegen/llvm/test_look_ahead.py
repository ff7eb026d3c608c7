"""Weights that are asked for before they are needed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm.machine import machine
from symgraph.errors import VerifyError
from symgraph.kernel import dims
from symgraph.kernel.dims import LoopVar
from symgraph.kernel.dtypes import as_dtype
from symgraph.kernel.ir import Buffer, For, If, Kernel, Load, Prefetch, Store, Update, block
from symgraph.kernel.rewrite import Substitute, statements
from symgraph.kernel.transform.locate import uses
from symgraph.kernel.verify import verify_kernel
from symgraph.ops.winograd import WinogradProduct

pytestmark = pytest.mark.skipif(machine(None).lanes(4) < 16, reason="a vector is half a line")


def program(symbol, **inputs):
    shapes = {n: a.shape for n, a in inputs.items()}
    params = sg.init(symbol, 0, shapes=shapes)
    alone = ("fuse_over_blocks",)
    options = {"cache": None, "verify": 2, "algorithms": "direct", "disable": alone}
    f = sg.compile(symbol, params=params, shapes=shapes, target="llvm", **options)
    plain = sg.compile(symbol, params=params, shapes=shapes, target="interp", level=0)
    np.testing.assert_allclose(f(**inputs), plain(**inputs), rtol=2e-3, atol=2e-4)
    return f


def images(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def asked(stmt, values=None):
    """The elements of every prefetch, with the loops that have a value."""
    values = values or {}
    match stmt:
        case Prefetch(buffer=buffer, index=index):
            yield buffer, tuple(dims.evaluate(d, values) for d in index)
        case For(var=var, extent=extent, body=body):
            if any(isinstance(s, Prefetch) for s in statements(body)):
                for n in range(int(dims.evaluate(extent, values))):
                    yield from asked(body, {**values, var: n})
        case If(then=then, otherwise=otherwise):
            yield from asked(then, values)
            if otherwise is not None:
                yield from asked(otherwise, values)
        case _:
            inner = getattr(stmt, "stmts", None) or (getattr(stmt, "body", None),)
            for part in inner:
                if part is not None:
                    yield from asked(part, values)


def prefetching(f):
    found = [k for k in f.program.kernels if any(
        isinstance(s, Prefetch) for s in statements(k.body))]  # fmt: skip
    return found


def test_every_line_of_every_later_panel_is_asked_for() -> None:
    x = sg.var("x", (1, 256, 9, 9))
    y = sg.conv2d(x * 2.0, 160, kernel_size=3, name="c")
    f = program(y, x=images(1, 256, 9, 9))
    (kernel,) = prefetching(f)
    weights = {b for b, _ in asked(kernel.body)}
    (buffer,) = weights
    lines = {index for _, index in asked(kernel.body)}
    assert all(index[-1] == 0 for index in lines), "one element of each line"
    panels, *rest = (range(int(d)) for d in buffer.shape[:-1])
    first = min(index[0] for index in lines)
    for place in itertools.product(panels, *rest):
        if place[0] >= first:
            assert (*place, 0) in lines
    assert first <= 4, "all but the first panel"
    assert "call void @llvm.prefetch.p0" in f.text


def test_panels_of_their_own_for_each_round_of_an_outer_loop_are_asked_for_too() -> None:
    """A product for each place of a tile: after the last panel comes the first of the next one."""
    rng = np.random.default_rng(1)
    u = rng.normal(size=(4, 4, 160, 96)).astype(np.float32)
    shape = (1, 4, 4, 96, 5, 9)
    y = WinogradProduct(2)(sg.var("v", shape) * 2.0, sg.constant(u))
    f = program(y, v=images(*shape))
    (kernel,) = prefetching(f)
    lines = {index for _, index in asked(kernel.body)}
    (buffer,) = {b for b, _ in asked(kernel.body)}
    strides = [int(np.prod(buffer.shape[n + 1 :])) for n in range(len(buffer.shape))]
    places = {sum(i * s for i, s in zip(index, strides, strict=True)) for index in lines}
    first = min(places)
    assert places >= set(range(first, u.size, 16)), "every line"
    assert 0 < first <= u.size // 16, "but those of the first panel"


def test_gates_of_a_recurrent_cell_are_asked_for_together() -> None:
    """Four parts of one product: every line of all of them, in the panels after the first."""
    x = sg.var("x", (20, 3, 192))
    f = program(sg.models.lstm(x, features=192, units=224), x=images(20, 3, 192))
    kernels = {k.name: k for k in prefetching(f)}
    (cell,) = (k for n, k in kernels.items() if "cell" in n)
    buffers = {b for b, _ in asked(cell.body)}
    (weights,) = (b for b in buffers if len(b.shape) == 4)
    assert weights.shape[2] == 4
    lines = {index for b, index in asked(cell.body) if b is weights}
    every = set(itertools.product(*(range(int(d)) for d in weights.shape[:-1]), [0]))
    first = min(index[0] for index in lines)
    assert {index for index in every if index[0] >= first} <= lines
    assert first <= 1


@pytest.mark.parametrize(
    ("channels", "out", "size"), [(96, 160, 40), (16, 32, 6)], ids=["many rows", "small weights"]
)
def test_where_it_does_not_pay(channels: int, out: int, size: int) -> None:
    x = sg.var("x", (1, channels, size, size))
    y = sg.conv2d(x * 2.0, out, kernel_size=3, name="c")
    assert prefetching(program(y, x=images(1, channels, size, size))) == []


def test_open_extents_do_without() -> None:
    x = sg.var("x", ("N", 96, 6, 6))
    y = sg.conv2d(x * 2.0, 160, kernel_size=3, name="c")
    f = sg.compile(y, params=sg.init(y), target="llvm", cache=None, verify=2)
    plain = sg.compile(y, params=sg.init(y), target="interp", level=0)
    a = images(2, 96, 6, 6)
    np.testing.assert_allclose(f(x=a), plain(x=a), rtol=2e-3, atol=2e-4)


def small(ask):
    x, y = (Buffer(n, (7,), as_dtype("float32")) for n in "xy")
    i = LoopVar("i")
    body = For(i, 7, "parallel", block(ask(x, i), Store(y, (i,), Load(x, (i,)))))
    return Kernel("k", (x,), (y,), (), body)


def test_a_prefetch_may_point_past_the_end_of_a_buffer_that_exists() -> None:
    verify_kernel(small(lambda x, i: Prefetch(x, (i + 9,))), 2)
    other = Buffer("z", (7,), as_dtype("float32"))
    with pytest.raises(VerifyError, match="K1.*z is used where it does not exist"):
        verify_kernel(small(lambda x, i: Prefetch(other, (i,))), 2)
    with pytest.raises(VerifyError, match="K1.*has 1 axes, index has 2"):
        verify_kernel(small(lambda x, i: Prefetch(x, (i, i))), 2)
    with pytest.raises(VerifyError, match="K2"):
        verify_kernel(small(lambda x, i: Prefetch(x, (LoopVar("j"),))), 2)


def test_rewriting_reaches_it() -> None:
    kernel = small(lambda x, i: Prefetch(x, (i,)))
    assert isinstance(kernel.body, For)
    moved = Substitute({kernel.body.var: 3}).stmt(kernel.body.body)
    (ask,) = [s for s in statements(moved) if isinstance(s, Prefetch)]
    assert ask.index == (3,)


def test_every_tile_of_an_open_batch_asks_ahead() -> None:
    """Weights come from memory once: the tiles of full height share in asking for the next panel;
    alone, or in what is left of the rows, the first one asks for later steps of its own."""
    y = sg.linear(sg.var("x", ("N", 512)), 640, name="fc")
    params = sg.init(y, 0)
    f = sg.compile(y, params=params, target="llvm", cache=None, verify=2)
    (kernel,) = prefetching(f)
    asks = [s for s in statements(kernel.body)
            if isinstance(s, If) and any(isinstance(p, Prefetch) for p in statements(s.then))
            and not any(isinstance(p, Update) for p in statements(s))]  # fmt: skip
    heights = {s.extent for s in statements(kernel.body)
               if isinstance(s, For) and s.kind == "unroll" and s.var.hint == "ii"}  # fmt: skip
    tallest = max(heights)
    assert {1, 2, 4, tallest} <= heights
    limits = {tuple(str(a.dim) for a in ask.condition.args) for ask in asks}
    full = f"N//{tallest}"
    assert {(full, "2"), (full, str(1024 // tallest + 1))} < limits
    larger = sorted(heights)[1:]
    assert {("N", str(h)) for h in larger} < limits
    for count in (0, 1, 2, 3, 7, tallest - 1, tallest, 2 * tallest + 1, 5 * tallest):
        x = images(count, 512)
        expected = x @ params["fc_weight"].T + params["fc_bias"]
        np.testing.assert_allclose(f(x=x), expected, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("rows", [1, 2, 5, 7])
def test_the_shares_of_an_open_number_of_tiles_are_the_next_panel(rows: int) -> None:
    """All of it, whatever their number, and nothing before it."""
    y = sg.linear(sg.var("x", ("N", 512)), 640, name="fc")
    params = sg.init(y, 0)
    f = sg.compile(y, params=params, target="llvm", cache=None)
    (kernel,) = prefetching(f)
    (share,) = [s for s in statements(kernel.body)
                if isinstance(s, For) and s.kind == "serial" and s.var.hint == "k"]  # fmt: skip
    ask = next(s for s in statements(share) if isinstance(s, Prefetch))
    loops = {s.var for s in statements(kernel.body) if isinstance(s, For)}
    used = {v.hint: v for d in (*ask.index, share.extent) for v in loops if uses(d, v)}
    tallest = max(s.extent for s in statements(kernel.body)
                  if isinstance(s, For) and s.kind == "unroll" and s.var.hint == "ii")  # fmt: skip
    env = {dims.DimVar("N"): rows * tallest, used["jj"]: 0}
    asked_for = set()
    for tile, turn in itertools.product(range(rows), range(512 // 16)):
        # Panels and the tiles that pass by them are one loop.
        here = {**env, used["u"]: 3 * rows + tile, used["r"]: turn}
        for step in range(int(dims.evaluate(share.extent, here))):
            panel, position, _ = (
                dims.evaluate(d, {**here, used["k"]: step}) for d in ask.index
            )  # fmt: skip
            asked_for.add((int(panel), int(position)))
    assert {(4, k) for k in range(512)} <= asked_for
    assert {panel for panel, _ in asked_for} == {4}


def test_rows_are_not_asked_for_ahead_where_an_open_extent_is_summed_outside() -> None:
    x = sg.var("x", ("N", 32, 16, 16))
    y = sg.conv_transpose2d(x, 3, kernel_size=4, stride=2, padding=1, name="up")
    loss = sg.sum(y * y)
    params = sg.init(loss, seed=0)
    gradient = sg.gradients(loss, loss.parameters[0])
    array = np.random.default_rng(0).normal(size=(2, 32, 16, 16)).astype(np.float32)
    expected = sg.compile(gradient, params=params, target="interp")(array)
    found = sg.compile(gradient, params=params)(array)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3 * np.abs(expected).max())
