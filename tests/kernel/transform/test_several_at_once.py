"""Several iterations of a serial loop in one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from symgraph.kernel.ir import For, Kernel
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.rewrite import statements
from symgraph.kernel.transform.several_at_once import several_at_once

from .kernels import assert_same, bias, total


def summed(kernel: Kernel) -> For:
    (loop,) = (s for s in statements(kernel.body) if isinstance(s, For) and s.kind == "serial")
    return loop


def changed(kernel: Kernel, count: int) -> Kernel:
    return replace(kernel, body=several_at_once(kernel.body, summed(kernel).var, count))


def test_text() -> None:
    kernel = changed(total(3, 10), 2)
    assert summed(kernel).extent == 5
    text = kernel_text(kernel)
    assert "acc0[] add= x[i,2*r]" in text
    assert "acc0[] add= x[i,2*r+1]" in text
    assert text.index("2*r]") < text.index("2*r+1]")


@pytest.mark.parametrize("kind", ["sum", "max"])
@pytest.mark.parametrize(("n", "count"), [(6, 1), (6, 2), (6, 3), (6, 6), (0, 2), (2, 2)])
def test_keeps_results(n: int, count: int, kind: str) -> None:
    kernel = total(5, n, kind, "float64")
    assert_same(kernel, changed(kernel, count))


def test_stays_where_it_does_not_divide_the_extent() -> None:
    kernel = total(5, 7)
    assert kernel_text(changed(kernel, 2)) == kernel_text(kernel)


def test_independent_loops_stay() -> None:
    kernel = bias(4, 6)
    var = next(s.var for s in statements(kernel.body) if isinstance(s, For))
    again = replace(kernel, body=several_at_once(kernel.body, var, 2))
    assert kernel_text(again) == kernel_text(kernel)
