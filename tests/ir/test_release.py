"""A finished program holds its constants once, and nothing of the graph."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm.runtime import LLVMRunner
from symgraph.ir.op import Variable


def network() -> sg.Symbol:
    x = sg.var("x", ("N", 3, 9, 7))
    h = sg.relu(sg.batch_norm(sg.conv2d(x, 17, kernel_size=3, name="c"), name="bn"))
    return sg.linear(sg.flatten(h), 5, name="fc")


@pytest.mark.parametrize("target", ["llvm", "interp"])
def test_constants_lie_in_one_block(target: str) -> None:
    params = sg.init(network(), seed=0)
    executable = sg.compile(network(), params=params, target=target, cache=None)
    arrays = [data.array for data in executable.program.constants]
    assert len(arrays) > 1
    ends = [a.ctypes.data + a.nbytes for a in arrays]
    for before, after in zip(ends, arrays[1:], strict=False):
        assert 0 <= after.ctypes.data - before < 64
        assert after.ctypes.data % 64 == 0
    assert not any(a.flags.writeable for a in arrays)
    runner = executable._runner
    if isinstance(runner, LLVMRunner):
        assert runner._constants.address == arrays[0].ctypes.data


def test_steps_are_cut_off_the_graph() -> None:
    executable = sg.compile(network(), params=sg.init(network(), seed=0), cache=None)
    nodes = [step.node for step in executable.program.steps if step.node is not None]
    assert nodes
    assert all(isinstance(v.node.op, Variable) for node in nodes for v in node.inputs)
    assert all(v.type.shape is not None for node in nodes for v in node.inputs)


def test_given_parameters_are_not_kept() -> None:
    """What was folded into other constants goes when the caller lets it go."""
    params = sg.init(network(), seed=0)
    watched = weakref.ref(params["c_weight"])
    executable = sg.compile(network(), params=params, cache=None)
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 7)).astype("float32")
    before = executable(x=x)
    params.clear()
    gc.collect()
    assert watched() is None
    np.testing.assert_array_equal(executable(x=x), before)


def test_profiles_still_count_operations() -> None:
    symbol = network()
    options = {"params": sg.init(symbol, seed=0), "cache": None, "profile": True}
    executable = sg.compile(symbol, **options)
    steps = executable.profile(x=np.ones((2, 3, 9, 7), np.float32), repeat=1)
    assert sum(s.flops for s in steps) >= 2 * 2 * 17 * 7 * 5 * 27
    assert any("c" in name for step in steps for name in step.nodes)


def test_inference_keeps_nothing_in_a_cycle() -> None:
    """Nodes hold the arrays of parameters: these go with the last graph, not when Python next
    looks for cycles."""
    params = sg.init(network(), seed=0)
    gc.collect()
    gc.disable()
    try:
        watched = weakref.ref(params["c_weight"])
        sg.compile(network(), params=params, cache=None)
        params.clear()
        assert watched() is None
    finally:
        gc.enable()


def test_packed_constants_exist_once() -> None:
    """Weights are packed where they stay: at no time is there a second copy of all of them."""
    x = sg.var("x", (24, 512))
    y = sg.linear(
        sg.relu(sg.linear(x, 3001, use_bias=False, name="a")), 515, use_bias=False, name="b"
    )
    params = sg.init(y, seed=0)
    total = sum(a.nbytes for a in params.values())
    sg.compile(y, params=params, cache=None)
    tracemalloc.start()
    executable = sg.compile(y, params=params, cache=None)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert any(data.packing is not None for data in executable.program.constants)
    assert most < 1.5 * total, (most, total)


class OnDemand(Mapping[str, np.ndarray[Any, Any]]):
    """Arrays that are made when they are asked for."""

    def __init__(self, makers: dict[str, tuple[int, ...]]) -> None:
        self.makers = makers
        self.asked: Counter[str] = Counter()

    def __getitem__(self, name: str) -> np.ndarray[Any, Any]:
        self.asked[name] += 1
        return np.full(self.makers[name], 0.01, np.float32)

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)


@pytest.mark.parametrize("rows", [1, 24])
def test_arrays_made_on_demand_go_as_they_are_packed(rows: int) -> None:
    y = x = sg.var("x", (rows, 640))
    for number in range(9):
        y = sg.relu(sg.linear(y, 640 + 3 * (number % 2), use_bias=False, name=f"l{number}"))
    shapes = {n: y.infer_shape(x=(rows, 640))[n] for n in sg.init(y, seed=0)}
    total = sum(4 * a * b for a, b in shapes.values())
    params = OnDemand(shapes)
    sg.compile(y, params=params, cache=None)
    tracemalloc.start()
    executable = sg.compile(y, params=params, cache=None)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2.5 * total, (most, total)
    assert set(params.asked.values()) == {2}
    x = np.ones((rows, 640), np.float32)
    held = sg.compile(y, params=dict(params), cache=None)
    np.testing.assert_array_equal(executable(x=x), held(x=x))
