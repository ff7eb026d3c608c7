"""Rows become columns in registers: the same elements, read and written in whole vectors."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.codegen.llvm.transposed_copies import transposed_copy
from symgraph.kernel.dims import Dim, LoopVar
from symgraph.kernel.dtypes import as_dtype
from symgraph.kernel.ir import (
    Alloc,
    Buffer,
    Expr,
    For,
    IndexValue,
    Kernel,
    Load,
    Stmt,
    Store,
    block,
    call,
    const,
    where,
)
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.transform.locate import perfect_nest
from symgraph.kernel.verify import verify_kernel

G, R, C = LoopVar("g"), LoopVar("r"), LoopVar("c")


def copy(rows: int, columns: int, known: int, dtype: str) -> tuple[Buffer, Buffer, For]:
    """packed[g,c,r] = x[g,r,c] for the known rows, else 0."""
    kind = as_dtype(dtype)
    x = Buffer("x", (3, known, columns), kind)
    packed = Buffer("packed", (3, columns, rows), kind, "local")
    value: Expr = Load(x, (G, R, C))
    if known < rows:
        inside = call("lt", IndexValue(R), IndexValue(known))
        value = where(inside, value, const(0, kind))
    body: Stmt = Store(packed, (G, C, R), value)
    for var, extent in ((R, rows), (C, columns), (G, 3)):
        body = For(var, extent, "parallel", body)
    assert isinstance(body, For)
    return x, packed, body


def read_back(packed: Buffer, dtype: str) -> tuple[Buffer, Stmt]:
    out = Buffer("out", packed.shape, as_dtype(dtype))
    loops = [LoopVar("i") for _ in packed.shape]
    index: tuple[Dim, ...] = tuple(loops)
    body: Stmt = Store(out, index, Load(packed, index))
    for var, extent in zip(reversed(loops), reversed(packed.shape), strict=True):
        body = For(var, extent, "parallel", body)
    return out, body


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("rows", "columns", "known"),
    [(8, 12, 8), (8, 4, 7), (4, 16, 1), (6, 8, 6), (8, 7, 8), (5, 11, 5), (9, 6, 7)],
)
def test_tiles_copy_every_element(rows: int, columns: int, known: int, dtype: str) -> None:
    x, packed, nest = copy(rows, columns, known, dtype)
    turned = transposed_copy(perfect_nest(nest), 4)
    assert turned is not None
    out, rest = read_back(packed, dtype)
    kernel = Kernel("k", (x,), (out,), (), Alloc(packed, block(turned, rest)))
    verify_kernel(kernel, 2)
    given = np.random.default_rng(rows).normal(size=(3, known, columns)).astype(dtype)
    got = np.full((3, columns, rows), np.nan, dtype)
    Evaluator(kernel, {x: given, out: got}, {}).run()
    want = np.zeros((3, columns, rows), dtype)
    want[:, :, :known] = given.transpose(0, 2, 1)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("rows", "columns"), [(3, 8), (8, 3)])
def test_axes_shorter_than_a_tile_are_left_alone(rows: int, columns: int) -> None:
    _, _, nest = copy(rows, columns, rows, "float32")
    assert transposed_copy(perfect_nest(nest), 4) is None


def test_what_does_not_turn_is_left_alone() -> None:
    kind = as_dtype("float32")
    x, packed = Buffer("x", (8, 8), kind), Buffer("packed", (8, 8), kind, "local")
    body = For(R, 8, "parallel", For(C, 8, "parallel", Store(packed, (R, C), Load(x, (R, C)))))
    assert transposed_copy(perfect_nest(body), 4) is None


@pytest.mark.parametrize(
    ("dtype", "cpu"),
    [
        ("float32", "host"),
        ("float64", "x86-64-v3"),
        ("float32", "x86-64-v3"),
        ("float32", "x86-64"),
    ],
)
def test_keys_are_turned_in_registers(dtype: str, cpu: str) -> None:
    """101 keys: the last tile has rows that do not exist."""
    q = sg.var("q", (1, 7, 90, 32), dtype)
    k, v = (sg.var(name, (1, 7, 101, 32), dtype) for name in "kv")
    net = sg.scaled_dot_product_attention(q, k, v)
    f = sg.compile(net, cpu=cpu, verify=2)
    assert any("alloc tile" in kernel_text(kernel) for kernel in f.program.kernels)
    rng = np.random.default_rng(3)
    given = [rng.normal(size=(1, 7, n, 32)).astype(dtype) for n in (90, 101, 101)]
    truth = sg.compile(net, target="interp")(*given)
    np.testing.assert_allclose(f(*given), truth, rtol=1e-5, atol=1e-6)
