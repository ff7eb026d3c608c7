"""A finished program holds its constants once, and nothing of the graph."""

from __future__ import annotations

import gc
import weakref

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
