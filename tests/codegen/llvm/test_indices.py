"""Indices that data decide, inside vector loops."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm.builder import FunctionBuilder, ModuleBuilder
from symgraph.codegen.llvm.indices import Indices
from symgraph.codegen.llvm.machine import machine
from symgraph.kernel.dims import LoopVar
from symgraph.options import Options


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int16"])
@pytest.mark.parametrize("columns", [1, 3, 17])
def test_an_index_read_from_a_buffer_of_each_lane(level: int, dtype: str, columns: int) -> None:
    """top_k along the middle axis keeps its positions in a buffer that every lane has for itself:
    the vector variable does not occur in the index, yet the lanes read different elements."""
    x = np.random.default_rng(0).permutation(2 * 7 * columns).reshape(2, 7, columns).astype(dtype)
    values, places = sg.top_k(sg.var("x", x.shape, dtype), 2, axis=1)
    options = Options(target="llvm", cache=None, level=level)
    found, where = sg.compile([values, places], options=options)(x=x)
    order = np.argsort(-x.astype("float64"), axis=1)[:, :2]
    np.testing.assert_array_equal(where, order)
    np.testing.assert_array_equal(found, np.take_along_axis(x, order, axis=1))


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [4, 17])
def test_an_index_that_only_guarded_lanes_may_read(level: int, size: int) -> None:
    """The gradient of an embedding reads rows by indices of which intervals cannot prove that they
    exist, under a condition, in a loop that is vectorised over the columns."""
    rows = sg.embedding(sg.var("rows", ("N",), "int32"), 10, size, name="table")
    weight = np.random.default_rng(0).normal(size=(10, size)).astype(np.float32)
    gradient = sg.gradients(sg.sum(rows**2), rows.parameters[0])
    options = Options(target="llvm", cache=None, level=level)
    run = sg.compile(gradient, params={"table_weight": weight}, options=options)
    given = np.array([1, 1, 3, 9, -1], np.int32)
    expected = np.zeros_like(weight)
    np.add.at(expected, given, 2 * weight[given])
    np.testing.assert_allclose(run(rows=given), expected, rtol=1e-6)
    np.testing.assert_array_equal(run(rows=given[:0]), np.zeros_like(weight))


def test_an_operand_with_an_index_from_data_is_not_packed() -> None:
    """The gradient of take along the last axis reads a reduced-over index from data."""
    x, places = sg.var("x", ("N", 6, 9)), sg.var("places", ("M",), "int32")
    gradient = sg.gradients(sg.sum(sg.take(x, places, axis=2) ** 2), x)
    given = np.random.default_rng(0).normal(size=(3, 6, 9)).astype(np.float32)
    chosen = np.array([0, 5, 2, 5], np.int32)
    expected = np.zeros_like(given)
    np.add.at(expected, (slice(None), slice(None), chosen), 2 * given[..., chosen])
    run = sg.compile(gradient, options=Options(target="llvm", cache=None))
    np.testing.assert_allclose(run(x=given, places=chosen), expected, rtol=1e-6)


def test_what_is_simplified_holds_for_the_loops_around_only() -> None:
    """A loop variable may have another interval where a loop over it is entered again."""
    indices = Indices(FunctionBuilder(ModuleBuilder()), machine(None))
    i, j = LoopVar("i"), LoopVar("j")
    indices.bound(i, (0, 3))
    assert indices.resolve(i // 4) == 0
    indices.bound(j, (0, 7))
    assert indices.resolve(i // 4 + j // 4) == j // 4
    indices.bound(i, (0, 4))
    assert indices.resolve(i // 4 + j // 4) == i // 4 + j // 4
    indices.unrolled[j] = 5
    assert indices.resolve(i // 4 + j // 4) == i // 4 + 1
