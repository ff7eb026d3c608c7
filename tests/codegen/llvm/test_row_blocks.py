"""Rows in blocks that stay in a core's own cache: where, in which form, and the same results."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm import look_ahead, operand_costs, row_blocks, tiles_of_columns, traffic
from symgraph.codegen.llvm.contraction import recognise
from symgraph.codegen.llvm.machine import Machine, machine, strict_machine
from symgraph.codegen.llvm.row_blocks import row_block
from symgraph.codegen.llvm.schedule import schedule_kernel
from symgraph.codegen.llvm.tile import Tile
from symgraph.codegen.llvm.tiling import choose_tile
from symgraph.kernel.dims import Dim, DimVar
from symgraph.kernel.ir import Buffer, For, Kernel
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.rewrite import statements
from symgraph.kernel.transform.collapse import flatten_axes
from symgraph.kernel.verify import verify_kernel
from tests.kernel.transform.kernels import product
from tests.support.kernels import interpret

from .test_look_ahead import asked
from .test_schedule import agree

N = DimVar("N")
WIDE = machine("x86-64-v4")


@pytest.fixture
def small_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches so small that products of a few kilobytes are too large for them."""
    for module in (row_blocks, traffic, tiles_of_columns, look_ahead):
        monkeypatch.setattr(module, "CACHE_BYTES", 2048)
    monkeypatch.setattr(row_blocks, "BLOCK_BYTES", 8192)
    monkeypatch.setattr(row_blocks, "OWN_BYTES", 1 << 20)
    monkeypatch.setattr(row_blocks, "LEAST_TILES", 2)
    monkeypatch.setattr(tiles_of_columns, "NEAR_BYTES", 1024)
    monkeypatch.setattr(operand_costs, "SCATTERED_BYTES", 64)


def chosen(kernel: Kernel, cpu: Machine = WIDE) -> tuple[Tile, int | None]:
    """The tile of a product whose right side is constant, and the block of its rows."""
    found = recognise(flatten_axes(kernel).body)
    assert found is not None
    tile = choose_tile(found, cpu, 16, frozenset({kernel.inputs[1]}))
    assert tile is not None
    return tile, row_block(found, tile)


def loops(kernel: Kernel) -> list[For]:
    return [s for s in statements(kernel.body) if isinstance(s, For)]


# -- where -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("m", "k", "n"), [(512, 512, 512), (768, 768, 768), (1024, 1024, 1000), (1030, 784, 2048)]
)
def test_rows_too_many_for_the_cache_go_in_blocks(m: int, k: int, n: int) -> None:
    tile, block = chosen(product(m, k, n))
    assert block is not None
    rows = block * tile.rows * k * 4
    panel = tile.columns * tile.lanes * k * 4
    assert rows <= row_blocks.BLOCK_BYTES
    assert rows + 2 * panel <= row_blocks.OWN_BYTES
    assert block * tile.rows < m


@pytest.mark.parametrize(
    ("m", "k", "n"),
    [
        (128, 128, 128),  # all of it is near
        (1024, 4096, 4096),  # two panels alone are more than the cache
        (1024, 1024, 64),  # one panel: nothing is read again
        (N, 1024, 1024),
        (1024, N, 1024),
        (1, 1024, 1024),
    ],
)
def test_where_blocks_do_not_pay(m: Dim, k: Dim, n: int) -> None:
    assert chosen(product(m, k, n))[1] is None


def test_panels_that_leave_little_room_come_with_fewer_rows() -> None:
    _, wide = chosen(product(1024, 1024, 1024))
    _, narrow = chosen(product(1536, 1536, 1536))
    assert wide is not None
    assert narrow is not None
    assert narrow < wide


def test_equal_blocks_are_preferred() -> None:
    assert row_blocks._even_block(171, 22) == 19
    assert row_blocks._even_block(86, 45) == 43
    assert row_blocks._even_block(127, 20) == 19  # a prime: 7 blocks, the last one shorter
    assert row_blocks._even_block(128, 128) == 128


def test_two_summed_elements_at_once_need_registers_to_spare() -> None:
    tile, _ = chosen(product(1024, 1024, 1024))
    assert tile.steps == 2
    assert (tile.rows + 1) * tile.columns + 1 < WIDE.registers
    assert chosen(product(1024, 1023, 1024))[0].steps == 1, "an odd number of them"
    assert chosen(product(128, 128, 128))[0].steps == 1
    assert chosen(product(1024, 1024, 1024), machine("x86-64"))[0].steps == 1, "no multiply-add"


# -- form ------------------------------------------------------------------------------------------


def scheduled(kernel: Kernel, cpu: Machine = WIDE) -> Kernel:
    done = schedule_kernel(kernel, cpu, 2, frozenset({1}))
    verify_kernel(done, 2)
    return done


def test_columns_pass_by_a_block_of_rows() -> None:
    outer, inner, *_ = loops(scheduled(product(1024, 1024, 1024)))
    assert (outer.kind, outer.extent) == ("parallel", 9 * 16)
    assert (inner.kind, inner.extent) == ("parallel", 19)


@cache
def large() -> tuple[Kernel, frozenset[tuple[Buffer, tuple[int, ...]]]]:
    """A large product, and every line that its loops ask for: some hundred thousand."""
    done = scheduled(product(523, 512, 512))
    return done, frozenset(asked(done.body))


def test_every_line_of_a_large_result_is_asked_for() -> None:
    lines = {index for b, index in large()[1] if b.name == "out"}
    assert lines >= set(itertools.product(range(523), range(0, 512, 16)))


def test_every_line_of_the_next_panel_is_asked_for() -> None:
    done, every = large()
    (packed,) = (b for b in done.inputs if b.name.endswith("packed"))
    lines = {index for b, index in every if b is packed}
    panels, depth, wide = (int(d) for d in packed.shape)
    assert lines >= set(itertools.product(range(1, panels), range(depth), range(0, wide, 16)))


def test_small_results_are_not_asked_for() -> None:
    done = scheduled(product(128, 512, 512))
    assert "prefetch out[" not in kernel_text(done)
    assert "prefetch out[" in kernel_text(scheduled(product(512, 512, 512)))


# -- results ---------------------------------------------------------------------------------------

SIZES = [(99, 40, 130), (97, 33, 66), (151, 48, 190), (41, 16, 65), (64, 2, 66), (1, 64, 70)]


@pytest.mark.usefixtures("small_caches")
@pytest.mark.parametrize("cpu", [None, "x86-64-v3", "x86-64"])
@pytest.mark.parametrize("form", ["nn", "nt", "tn"])
@pytest.mark.parametrize("sizes", SIZES)
def test_products_in_blocks(sizes: tuple[int, int, int], form: str, cpu: str | None) -> None:
    agree(product(*sizes, form), 2, cpu)


@pytest.mark.usefixtures("small_caches")
@pytest.mark.parametrize("sizes", [(37, 0, 70), (0, 48, 70), (37, 48, 0), (1, 1, 1)])
def test_empty_and_single_products(sizes: tuple[int, int, int]) -> None:
    agree(product(*sizes), 2, None)


@pytest.mark.usefixtures("small_caches")
@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_products_of_other_dtypes_in_blocks(dtype: str) -> None:
    agree(product(99, 40, 130, "nn", dtype), 2, None)


@pytest.mark.usefixtures("small_caches")
def test_the_small_caches_lead_to_blocks() -> None:
    """The tests of results above are about blocks."""
    for sizes in SIZES[:3]:
        assert chosen(product(*sizes))[1] is not None
    assert chosen(product(99, 40, 130))[0].steps == 2


@pytest.mark.usefixtures("small_caches")
@pytest.mark.parametrize("rows", [0, 1, 5, 61])
def test_open_rows_do_without(rows: int) -> None:
    agree(product(N, 64, 70), 2, None, {"N": rows})


def network(m: int, k: int, n: int) -> tuple[sg.Symbol, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    b = rng.uniform(-1, 1, (k, n)).astype(np.float32)
    bias = rng.uniform(-1, 1, n).astype(np.float32)
    x, rest = sg.var("x", (m, k)), sg.var("rest", (m, n))
    y = sg.relu(sg.matmul(x, sg.constant(b)) + sg.constant(bias)) + rest
    given = {
        name: rng.uniform(-1, 1, shape).astype(np.float32)
        for name, shape in (("x", (m, k)), ("rest", (m, n)))
    }
    expected = np.maximum(given["x"].astype(float) @ b.astype(float) + bias, 0) + given["rest"]
    return y, {**given, "expected": expected}


def test_an_epilogue_and_the_same_bits_for_any_number_of_threads() -> None:
    y, arrays = network(523, 514, 531)
    expected = arrays.pop("expected")
    results = [
        sg.compile(y, target="llvm", threads=threads, cache=None, verify=2)(**arrays)
        for threads in (1, 2, 3)
    ]
    np.testing.assert_allclose(results[0], expected, rtol=1e-4, atol=1e-3)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.usefixtures("small_caches")
def test_strict_sums_stay_in_order() -> None:
    kernel = product(99, 40, 130)
    done = schedule_kernel(kernel, strict_machine(machine(None)), 2)
    verify_kernel(done, 2)
    rng = np.random.default_rng(0)
    a, b = (rng.uniform(-1, 1, s).astype(np.float32) for s in ((99, 40), (40, 130)))
    total = np.zeros((99, 130), np.float32)
    for r in range(40):
        total = total + a[:, r : r + 1] * b[r]
    (found,) = interpret(done, [a, b], {})
    np.testing.assert_array_equal(found, total)


def test_both_operands_of_a_product_are_packed_inside_a_block() -> None:
    def heads(h: sg.Symbol) -> sg.Symbol:
        return sg.transpose(sg.reshape(h, (0, 0, 3, 16)), (0, 2, 1, 3))

    q, k, v = (sg.var(n, ("N", "T", 48)) for n in "qkv")
    scores = sg.matmul(heads(q), sg.swapaxes(heads(k), -1, -2)) * sg.var("m", (1, 3, "T", "T"))
    rows = sg.transpose(sg.matmul(scores, heads(v)), (0, 2, 1, 3))
    y = sg.layer_norm(rows, use_affine=False)
    f, reference = sg.compile(y, strict=True), sg.compile(y, target="interp", level=0)
    rng = np.random.default_rng(0)
    for n, t in ((1, 1), (2, 37)):
        given = {name: rng.normal(size=(n, t, 48)).astype(np.float32) for name in "qkv"}
        given["m"] = rng.normal(size=(1, 3, t, t)).astype(np.float32)
        np.testing.assert_allclose(f(**given), reference(**given), rtol=2e-4, atol=2e-4)
