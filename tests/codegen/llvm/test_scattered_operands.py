"""Operands whose summed elements lie far apart are copied first: where, in which form, and the same
results."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm import operand_costs
from symgraph.codegen.llvm.contraction import Contraction, recognise
from symgraph.codegen.llvm.machine import Machine, machine
from symgraph.codegen.llvm.operand_costs import scattered_steps
from symgraph.codegen.llvm.schedule import schedule_kernel
from symgraph.codegen.llvm.tile import Tile
from symgraph.codegen.llvm.tiling import choose_tile
from symgraph.kernel.dims import DimVar
from symgraph.kernel.ir import Kernel
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.transform.collapse import flatten_axes
from symgraph.kernel.transform.stage import stage
from symgraph.kernel.verify import verify_kernel
from tests.kernel.transform.kernels import product

from .test_schedule import agree

WIDE = machine("x86-64-v4")


def contraction(kernel: Kernel) -> Contraction:
    found = recognise(flatten_axes(kernel).body)
    assert found is not None
    return found


def chosen(kernel: Kernel, cpu: Machine = WIDE) -> Tile:
    tile = choose_tile(contraction(kernel), cpu, cpu.lanes(4))
    assert tile is not None
    return tile


def copied(tile: Tile) -> tuple[list[str], list[str]]:
    return [a.buffer.name for a in tile.packed], [a.buffer.name for a in tile.packed_rows]


# -- where -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [512, 768, 1000, 1024, 2048])
def test_large_products_copy_what_is_scattered(size: int) -> None:
    assert copied(chosen(product(size, size, size, "nn"))) == (["b"], [])
    assert copied(chosen(product(size, size, size, "nt"))) == (["b"], [])
    assert copied(chosen(product(size, size, size, "tn"))) == (["b"], ["a"])
    assert copied(chosen(product(size, size, size, "tt"))) == (["b"], ["a"])


@pytest.mark.parametrize("sizes", [(64, 64, 64), (1, 1024, 1024), (2, 1024, 1024), (16, 8, 16)])
def test_small_products_and_few_rows_copy_nothing(sizes: tuple[int, int, int]) -> None:
    assert copied(chosen(product(*sizes, "nn"))) == ([], [])


def test_pages_and_caches_are_counted() -> None:
    found = contraction(product(256, 512, 1024))
    a, b = found.loads
    assert scattered_steps(found, a, 16, 64) == 0.0, "neighbours along the sum"
    assert scattered_steps(found, b, 16, 64) > operand_costs.PAGE_COST, "and out of the cache"
    near = contraction(product(256, 16, 40))
    assert scattered_steps(near, near.loads[1], 16, 64) == 0.0
    # 1000 columns: in other pages, but spread over the second cache.
    even = contraction(product(256, 512, 1000))
    assert scattered_steps(even, even.loads[1], 16, 64) == operand_costs.PAGE_COST


def test_open_sums_are_judged() -> None:
    tile = chosen(product(DimVar("N"), 512, 512))
    assert tile.rows > 1


# -- form ------------------------------------------------------------------------------------------


def test_two_copies_stand_before_the_tiles() -> None:
    kernel = schedule_kernel(product(520, 530, 540, "tn"), WIDE, 2)
    verify_kernel(kernel, 2)
    text = kernel_text(kernel)
    assert "a_packed[" in text and "b_packed[" in text
    assert "alloc tile" in text, "rows become columns in registers"
    assert text.index("alloc acc0") > text.index("b_packed[p")


def test_staging_twice_keeps_the_copies_side_by_side() -> None:
    kernel = product(3, 5, 7, "tn")
    found = contraction(kernel)
    i, j = (loop.var for loop in found.parallel)
    (r,) = (loop.var for loop in found.serial)
    a, b = kernel.inputs
    once = stage(kernel, a, (i, r))
    twice = stage(once, b, (r, j), 4)
    verify_kernel(twice, 2)
    assert agree(twice, 1, None)[0].shape == (3, 7)


# -- results ---------------------------------------------------------------------------------------


@pytest.fixture
def scattered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything counts as scattered, and copies cost nothing."""
    monkeypatch.setattr(operand_costs, "PAGES", -1)
    monkeypatch.setattr(operand_costs, "STRAIGHT_COST", 0.0)
    monkeypatch.setattr(operand_costs, "TURN_COST", 0.0)


@pytest.mark.usefixtures("scattered")
def test_small_operands_are_copied_too_where_that_costs_nothing() -> None:
    assert copied(chosen(product(33, 65, 530, "nn"))) == (["b"], [])
    assert copied(chosen(product(33, 65, 530, "tn"))) == (["b"], ["a"])


@pytest.mark.usefixtures("scattered")
@pytest.mark.parametrize("cpu", [None, "x86-64-v3", "x86-64"])
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("sizes", [(33, 65, 530), (64, 7, 296), (118, 40, 431), (50, 0, 48)])
def test_results_agree(form: str, sizes: tuple[int, int, int], cpu: str | None) -> None:
    agree(product(*sizes, form), 2, cpu)


@pytest.mark.usefixtures("scattered")
@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
@pytest.mark.parametrize("form", ["nn", "tn", "tt"])
def test_results_agree_in_other_dtypes(form: str, dtype: str) -> None:
    agree(product(35, 41, 467, form, dtype), 2, None)


@pytest.mark.usefixtures("scattered")
@pytest.mark.parametrize("form", ["nn", "tn"])
@pytest.mark.parametrize("count", [0, 1, 13, 47])
def test_results_agree_with_open_extents(form: str, count: int) -> None:
    rows = product(DimVar("N"), 37, 365, form)
    agree(rows, 2, None, {"N": count})
    sums = product(29, DimVar("N"), 365, form)
    agree(sums, 2, None, {"N": count})


@pytest.mark.usefixtures("scattered")
def test_the_same_bits_for_any_number_of_threads() -> None:
    x, w = sg.var("x", (3, 70, 130)), sg.var("w", (3, 70, 110))
    product_ = sg.matmul(x, w, transpose_x=True)
    rng = np.random.default_rng(1)
    given = [rng.normal(size=shape).astype(np.float32) for shape in ((3, 70, 130), (3, 70, 110))]
    one, two = (sg.compile(product_, threads=n, cache=None, verify=2)(*given) for n in (1, 2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_allclose(one, given[0].swapaxes(1, 2) @ given[1], rtol=1e-4, atol=1e-4)
