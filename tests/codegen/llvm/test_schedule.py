"""Schedules of the LLVM target: the same answers on every machine and level, and their form."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm.contraction import recognise
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.schedule import schedule_kernel
from symgraph.codegen.llvm.target import TARGET
from symgraph.codegen.llvm.tile import pieces
from symgraph.codegen.llvm.tiling import choose_tile
from symgraph.compiler import compile
from symgraph.ir.registry import registry
from symgraph.ir.sample import Sample
from symgraph.kernel.dims import DimVar
from symgraph.kernel.ir import For, Kernel
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.rewrite import statements
from symgraph.kernel.verify import verify_kernel
from symgraph.options import Options
from symgraph.testing.operators import check_target
from tests.kernel.transform.kernels import bias, product, random_inputs, total
from tests.support.golden import check_golden
from tests.support.kernels import interpret, program_of, run_on, shape_of

GOLDEN = Path(__file__).parent / "golden"
MACHINES = [None, "x86-64-v3", "x86-64"]
N, K = DimVar("N"), DimVar("K")


def agree(
    kernel: Kernel, level: int, cpu: str | None, env: dict[str, int] | None = None
) -> list[np.ndarray]:
    """Run the scheduled kernel and compare it with the interpreter; its outputs."""
    sizes = env or {}
    options = Options(cache=None, threads=1, level=level, cpu=cpu)
    scheduled = schedule_kernel(kernel, machine(cpu), level)
    verify_kernel(scheduled, 2)
    inputs = random_inputs(kernel, sizes)
    expected = interpret(kernel, inputs, sizes)
    moved = [a.reshape(shape_of(b, sizes)) for a, b in zip(inputs, scheduled.inputs, strict=True)]
    found = run_on("llvm", scheduled, moved, sizes, options)
    for a, b in zip(expected, found, strict=True):
        if a.dtype.kind in "iub":
            np.testing.assert_array_equal(b.reshape(a.shape), a)
        else:
            limit = {2: 2e-2, 4: 1e-4, 8: 1e-12}[a.dtype.itemsize]
            np.testing.assert_allclose(b.reshape(a.shape).astype(float), a.astype(float),
                                       rtol=limit, atol=limit)  # fmt: skip
    return found


@pytest.mark.parametrize("cpu", MACHINES)
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (33, 65, 37), (5, 0, 3), (1, 40, 70), (64, 7, 17)])
def test_products_of_every_form(form: str, sizes: tuple[int, int, int], cpu: str | None) -> None:
    agree(product(*sizes, form), 2, cpu)


@pytest.mark.parametrize("dtype", ["float64", "float16", "int32", "int8"])
@pytest.mark.parametrize("form", ["nn", "nt", "tt"])
def test_products_of_other_dtypes(form: str, dtype: str) -> None:
    agree(product(17, 23, 35, form, dtype), 2, None)


@pytest.mark.parametrize("form", ["nn", "nt", "tn"])
@pytest.mark.parametrize("count", [0, 1, 2, 4, 13, 14, 15, 47])
def test_products_with_open_rows(form: str, count: int) -> None:
    agree(product(N, 19, 33, form), 2, None, {"N": count})


@pytest.mark.parametrize("sizes", [(0, 3), (1, 1), (3, 17), (37, 64), (31, 100)])
@pytest.mark.parametrize("form", ["nn", "nt"])
def test_products_with_open_columns_and_depth(form: str, sizes: tuple[int, int]) -> None:
    agree(product(9, K, N, form), 2, None, {"N": sizes[0], "K": sizes[1]})


def _lenet_convolution(count: int | str) -> sg.Symbol:
    x = sg.var("x", (count, 20, 12, 12))
    return sg.relu(sg.conv2d(x, 50, kernel_size=5, name="c"))


@pytest.mark.parametrize("cpu", ["x86-64-v4", "x86-64-v3", "x86-64"])
def test_rows_lie_along_known_axes_rather_than_an_open_one(cpu: str) -> None:
    """A tile of 13 images is a tile of one where there is one image."""
    y = _lenet_convolution("N")
    f = sg.compile(y, params=sg.init(y), target="llvm", cpu=cpu, cache=None)
    text = kernel_text(f.program.kernels[-1])
    assert re.search(r"parallel i < \d+\*N:", text)
    heights = {int(height) for height in re.findall(r"unroll ii\w* < (\d+)", text)}
    assert heights and min(heights) >= 5


@pytest.mark.parametrize("count", [0, 1, 3])
def test_convolutions_of_open_batches(count: int) -> None:
    y = _lenet_convolution("N")
    params = sg.init(y)
    f = sg.compile(y, params=params, target="llvm", cache=None, verify=2)
    fixed = sg.compile(_lenet_convolution(count), params=params, target="interp")
    x = np.random.default_rng(0).random((count, 20, 12, 12), dtype=np.float32)
    np.testing.assert_allclose(f(x=x), fixed(x=x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cpu", ["x86-64-v4", "x86-64-v3", "x86-64"])
def test_open_rows_are_still_tiled_where_no_other_axis_can_be(cpu: str) -> None:
    chosen = machine(cpu)
    found = recognise(product(N, 256, 1024).body)
    assert found is not None
    tile = choose_tile(found, chosen, chosen.lanes(4))
    assert tile is not None
    assert tile.rows >= 2 and tile.rows * tile.columns >= 8


def test_an_open_extent_costs_little_at_its_largest() -> None:
    """What is given up for few elements stays within bounds for many."""
    chosen = machine("x86-64-v4")
    for form in ("nn", "nt", "tn", "tt"):
        fixed, varying = (recognise(product(n, 96, 200, form).body) for n in (64, N))
        assert fixed is not None and varying is not None
        least = choose_tile(fixed, chosen, 16)
        tile = choose_tile(varying, chosen, 16)
        assert least is not None and tile is not None
        assert len(tile.costs) == 2 and len(least.costs) == 1
        # A quarter for the choice, the rest for what 64 rows leave of open tiles.
        assert tile.costs[-1] <= 1.6 * least.costs[0]


@pytest.mark.parametrize("count", [1, 3, 4, 12, 13, 30, 64])
@pytest.mark.parametrize("most", [1, 3, 4, 6, 13])
def test_pieces_of_open_axes_cover_them(most: int, count: int) -> None:
    assert sum(times * rows for times, rows in pieces(N, most, count)) == count
    assert sum(times * rows for times, rows in pieces(count, most, 1)) == pytest.approx(count)


def test_sums_are_the_same_bits_on_every_machine() -> None:
    kernel = total(5, 1003)
    results = [agree(kernel, 1, cpu)[0] for cpu in MACHINES]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("sizes", [(0, 3), (1, 1), (3, 0), (7, 130)])
@pytest.mark.parametrize("kind", ["sum", "max"])
def test_reductions_with_open_extents(kind: str, sizes: tuple[int, int], level: int) -> None:
    agree(total(N, K, kind), level, None, {"N": sizes[0], "K": sizes[1]})


@pytest.mark.parametrize("cpu", MACHINES)
@pytest.mark.parametrize("sizes", [(512, 512, 512), (7, 800, 500), (64, 64, 3), (1, 64, 64)])
def test_tiles_leave_room_for_their_operands(sizes: tuple[int, int, int], cpu: str | None) -> None:
    chosen = machine(cpu)
    for form in ("nn", "nt", "tn", "tt"):
        found = recognise(product(*sizes, form).body)
        assert found is not None or 1 in sizes
        if found is None:
            continue
        tile = choose_tile(found, chosen, chosen.lanes(4))
        assert tile is not None
        spare = tile.columns if tile.form == "columns" else tile.rows + 1
        assert tile.rows * tile.columns + spare + 1 <= chosen.registers + 1


def test_whole_rows_are_covered_without_remainder() -> None:
    """197 rows are 13 + 14 + 14 + ...: two heights, one row apart, no tile that is half empty."""
    scheduled = schedule_kernel(product(197, 64, 64), machine("x86-64-v4"), 2)
    heights = {s.extent for s in statements(scheduled.body)
               if isinstance(s, For) and s.kind == "unroll" and s.var.hint == "ii"}  # fmt: skip
    assert len(heights) <= 2
    assert max(heights) - min(heights) <= 1  # type: ignore[operator, type-var]


@pytest.mark.parametrize("kernel", [bias(3, 37), product(6, 9, 32)], ids=["bias", "product"])
def test_golden_text(kernel: Kernel, update_golden: bool) -> None:
    """The schedule and the module of two small kernels, for a machine with 16 lanes of float32."""
    scheduled = schedule_kernel(kernel, machine("x86-64-v4"), 2)
    for cpu in (None, "x86-64"):
        agree(kernel, 2, cpu)  # raises unless the numbers agree
    text = TARGET.emit(program_of(scheduled), Options(cpu="x86-64-v4"))
    body = text.split("define internal", 1)[1].split("\ndefine", 1)[0]
    shown = kernel_text(scheduled) + "\ndefine internal" + body
    check_golden(GOLDEN / f"{kernel.name}.txt", shown, update=update_golden, numbers_agree=True)


def _first_samples() -> list[object]:
    found = []
    for name in registry.names():
        op = registry.get(name)
        # A bare number has no dtype of its own until another operator gives it one.
        if op.__module__.startswith("symgraph.") and op.samples and name != "scalar":
            found.append(pytest.param(op.samples[0], id=name))
    return found


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("sample", _first_samples())
def test_lower_levels_give_the_same_answers(sample: Sample, level: int) -> None:
    check_target(sample, "llvm", level)


@pytest.mark.parametrize("threads", [1, 3])
def test_scratch_of_open_size_lies_in_the_workspace(threads: int) -> None:
    """A softmax over rows of open length: each thread keeps a row for itself."""
    x = sg.var("x", ("N", "K"))
    options = Options(cache=None, threads=threads)
    executable = compile(sg.softmax(x, axis=-1), target="llvm", options=options)
    for shape in ((300, 70), (1, 5), (0, 3), (2, 9000)):
        data = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        powers = np.exp(data - data.max(axis=-1, keepdims=True, initial=-np.inf))
        expected = powers / powers.sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(executable(data), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("columns", [130, 1003])
def test_long_rows_are_read_along_memory(columns: int) -> None:
    """The rows of a softmax are not lanes that are gathered one element from each."""
    (kernel,) = compile(
        sg.softmax(sg.var("x", (37, columns)), axis=-1), options=Options(cache=None, threads=1)
    ).program.kernels
    assert isinstance(kernel.body, For)
    assert not isinstance(kernel.body.body, For), "the loop over rows holds a whole row"
    outer = kernel.body.extent
    assert outer == 37


@pytest.mark.parametrize("shape", [(0, 35), (0, 5), (1, 1), (5, 1), (2, 19, 3), (40, 200)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_norms_of_rows_of_every_length_agree(shape: tuple[int, ...], dtype: str) -> None:
    x = sg.var("x", shape, dtype=dtype)
    y = sg.softmax(x * 3.0, axis=-1) + (sg.softmax(x, axis=0) if shape[0] else x)
    a = np.random.default_rng(3).uniform(-1, 1, shape).astype(dtype)
    found, plain = (
        compile(y, target=t, options=Options(cache=None, threads=1, level=level))(a)
        for t, level in (("llvm", 2), ("interp", 0))
    )
    np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-6)


def test_short_rows_are_lanes() -> None:
    (kernel,) = compile(
        sg.softmax(sg.var("x", (64, 10)), axis=-1), options=Options(cache=None, threads=1)
    ).program.kernels
    assert isinstance(kernel.body, For) and isinstance(kernel.body.body, For)
    assert kernel.body.body.kind == "vector"


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (2, 1, 0)])
@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 33, 18), (20, 0, 35), (37, 41, 50)])
def test_transposes_agree(shape: tuple[int, int, int], order: tuple[int, int, int]) -> None:
    x = np.random.default_rng(0).integers(-9, 9, shape).astype(np.int16)
    y = sg.transpose(sg.var("x", shape, dtype="int16"), order)
    f = compile(y, options=Options(cache=None, threads=1, verify=2))
    np.testing.assert_array_equal(f(x), x.transpose(order))


def test_scattered_lanes_write_neighbours_one_after_the_other() -> None:
    """Each store touches a line for every lane: the loop next to the lanes stays on those lines."""
    x = sg.var("x", (300, 1003))
    (kernel,) = compile(
        sg.transpose(x, (1, 0)), options=Options(cache=None, threads=1)
    ).program.kernels
    blocks = kernel.body
    assert isinstance(blocks, For) and isinstance(blocks.body, For)
    assert (blocks.extent, blocks.body.extent) == (63, 300)
    assert isinstance(blocks.body.body, For) and blocks.body.body.kind == "vector"


def test_an_operand_read_in_another_way_too_is_not_packed() -> None:
    """A fused group sums over an input by columns and reads it element by element as well."""
    x, v = sg.var("x", (4, 3, 17)), sg.var("v", (17,))
    loss = sg.sum(sg.square(sg.exp(x * 0.1))) + sg.sum(sg.square((x - x) - v))
    outputs = [loss, *sg.gradients(loss, [x, v])]
    rng = np.random.default_rng(0)
    given = {"x": rng.normal(size=(4, 3, 17)), "v": rng.normal(size=17)}
    given = {name: a.astype(np.float32) for name, a in given.items()}
    expected = sg.compile(outputs, target="interp", level=0)(**given)
    for a, b in zip(sg.compile(outputs, target="llvm")(**given), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
