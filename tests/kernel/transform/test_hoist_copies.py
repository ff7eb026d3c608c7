"""Copies outside the loops that they do not depend on."""

from __future__ import annotations

import numpy as np

from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.kernel.dims import DimVar, LoopVar
from symgraph.kernel.dtypes import float32
from symgraph.kernel.ir import (
    Alloc,
    Buffer,
    For,
    If,
    IndexValue,
    Kernel,
    Load,
    Stmt,
    Store,
    Update,
    block,
    call,
)
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.transform.hoist_copies import hoist_copies
from symgraph.kernel.verify import verify_kernel

K = Buffer("k", (7, 5), float32)
Q = Buffer("q", (7, 6), float32)
Y = Buffer("y", (7, 6), float32)
HEAD, ROW = LoopVar("b"), LoopVar("c")


def summed(name: str, along: LoopVar = HEAD) -> Stmt:
    """y = q * (the sum of a copy of a row of k)"""
    copied, i, j = Buffer(name, (5,), float32, "local"), LoopVar("i"), LoopVar("j")
    fill = For(i, 5, "parallel", Store(copied, (i,), Load(K, (along, i))))
    start = Store(Y, (HEAD, ROW), Load(Q, (HEAD, ROW)))
    add = For(j, 5, "serial", Update(Y, (HEAD, ROW), "add", Load(copied, (j,))))
    return Alloc(copied, block(fill, start, add))


def nest(body: Stmt) -> For:
    return For(HEAD, 7, "parallel", For(ROW, 6, "parallel", body))


def hoisted(body: Stmt, least: int) -> Kernel:
    kernel = Kernel("k", (K, Q), (Y,), (), nest(body))
    stmt, before = hoist_copies(kernel, nest(body), least)
    whole = block(*(fill for _, fill in before), stmt)
    for buffer, _ in before:
        whole = Alloc(buffer, whole)
    return Kernel("k", (K, Q), (Y,), (), whole)


def check(kernel: Kernel) -> None:
    verify_kernel(kernel, 2)
    rng = np.random.default_rng(0)
    k, q = (rng.normal(size=[int(n) for n in b.shape]).astype(np.float32) for b in (K, Q))
    y = np.full((7, 6), np.nan, np.float32)
    Evaluator(kernel, {K: k, Q: q, Y: y}, {}).run()
    np.testing.assert_allclose(y, q + k.sum(1)[:, None], rtol=1e-5)


def lines(kernel: Kernel) -> list[str]:
    return [line.strip() for line in kernel_text(kernel).splitlines()[1:]]


def test_inside_the_loops_that_it_depends_on() -> None:
    kernel = hoisted(summed("t"), 7)
    assert lines(kernel)[:5] == [
        "parallel b < 7:",
        "alloc t: f32[5] in local",
        "parallel i < 5:",
        "t[i] = k[b,i]",
        "parallel c < 6:",
    ]
    check(kernel)


def test_before_all_loops_where_few_iterations_are_left() -> None:
    kernel = hoisted(summed("t"), 8)
    assert lines(kernel)[:5] == [
        "alloc t: f32[7,5] in local",
        "parallel b < 7:",
        "parallel i < 5:",
        "t[b,i] = k[b,i]",
        "parallel b_1 < 7:",
    ]
    check(kernel)


def test_equal_copies_are_made_once() -> None:
    short = call("lt", IndexValue(ROW), IndexValue(4))
    kernel = hoisted(If(short, summed("t"), summed("u")), 7)
    assert sum(line.startswith("alloc") for line in lines(kernel)) == 1
    check(kernel)


def test_a_copy_that_no_iteration_needs_is_not_made() -> None:
    whole = call("lt", IndexValue(ROW), IndexValue(DimVar("N")))
    rest = Store(Y, (HEAD, ROW), Load(Q, (HEAD, ROW)))
    assert lines(hoisted(If(whole, summed("t"), rest), 7))[2] == "if (0) < (N):"
    both = hoisted(If(whole, summed("t"), summed("u")), 7)
    assert not any(line.startswith("if (0)") for line in lines(both))


def test_a_copy_of_every_iteration_stays() -> None:
    body = summed("t", ROW)
    kernel = hoisted(body, 1)
    assert kernel_text(kernel) == kernel_text(Kernel("k", (K, Q), (Y,), (), nest(body)))
