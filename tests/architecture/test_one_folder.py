"""An operator, a pass and a target, each defined here and nowhere else, compile and run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.interp.target import InterpRunner, InterpTarget
from symgraph.codegen.target import find_target, register_target, target_names, unregister_target
from symgraph.ir.registry import registry
from symgraph.ir.serialize import from_json
from symgraph.kernel.compute import compute, where
from symgraph.kernel.printer import kernel_text
from symgraph.passes.manager import Fact, Pass


@dataclass(frozen=True, slots=True)
class SoftShrink(sg.Op):
    """y = x - bound above bound, x + bound below -bound, else 0.   Shapes: x [*s] -> y [*s]."""

    bound: float = 0.5
    name = "soft_shrink"

    def infer_shape(self, u, x):
        return (x,)

    def forward(self, x):
        b = self.bound
        return compute(
            x.shape, lambda *i: where(x[i] > b, x[i] - b, where(x[i] < -b, x[i] + b, 0.0))
        )

    def backward(self, ins, outs, grads):
        return (sg.where(sg.abs(ins[0]) > self.bound, grads[0], grads[0] * 0.0),)

    def reference(self, x):
        return (np.sign(x) * np.maximum(np.abs(x) - self.bound, 0)).astype(x.dtype)


@dataclass(frozen=True)
class DropDoubleFloor(Pass):
    """floor(floor(x))  ->  floor(x)"""

    name: ClassVar[str] = "drop_double_floor"
    requires: ClassVar[Fact] = Fact.TYPED

    def run(self, graph):
        def change(node, inputs):
            inner = inputs[0].node if inputs else None
            if node.op.name == "floor" and inner is not None and inner.op.name == "floor":
                return (inputs[0],)
            return None

        return graph.rewrite(change)


class CountingTarget(InterpTarget):
    """The interpreter, which counts the kernels that it runs."""

    name = "counting"
    runs = 0

    def emit(self, program, options):
        return "\n".join(kernel_text(k) for k in program.kernels)

    def load(self, program, text, options):
        outer = self

        class Runner(InterpRunner):
            def run(self, inputs, outputs, dims):
                outer.runs += len(self.program.kernels)
                super().run(inputs, outputs, dims)

        return Runner(program)


@pytest.fixture
def counting() -> Iterator[CountingTarget]:
    target = CountingTarget()
    register_target(target)
    yield target
    unregister_target(target.name)


def test_an_operator_of_ones_own() -> None:
    x = sg.var("x", ("N", 6))
    y = SoftShrink(0.2)(sg.linear(x, 4, name="fc"))
    params = sg.init(y)
    a = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    results = [
        sg.compile(y, params=params, target=t)(a)
        for t in target_names()
        if find_target(t).available() is None
    ]
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-5, atol=1e-6)
    sg.testing.check_gradients(y, {"x": a, **params})
    sg.testing.check_operator(
        SoftShrink(), samples=[sg.Sample(SoftShrink(), ((3, 17),)), sg.Sample(SoftShrink(), ((),))]
    )


def test_an_unregistered_operator_is_opaque_in_files_until_it_is_registered() -> None:
    text = SoftShrink(0.2)(sg.var("x", (3,))).to_json()
    assert "soft_shrink" not in registry
    assert type(from_json(text).outputs[0].node.op).__name__ == "Opaque"
    sg.register(SoftShrink)
    try:
        assert from_json(text).outputs[0].node.op == SoftShrink(0.2)
    finally:
        registry.remove("soft_shrink")


def test_a_pass_of_ones_own() -> None:
    x = sg.var("x", (3, 5))
    y = sg.floor(sg.floor(x)) + 1.0
    plain = sg.compile(y, target="interp", level=0)
    short = sg.compile(y, target="interp", level=0, passes=[DropDoubleFloor()])
    assert len(short.program.steps) == len(plain.program.steps) - 1
    a = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    np.testing.assert_array_equal(short(a), plain(a))


def test_a_target_of_ones_own(counting: CountingTarget) -> None:
    x = sg.var("x", (3, 5))
    f = sg.compile(sg.exp(x) + 1.0, target="counting")
    a = np.ones((3, 5), np.float32)
    np.testing.assert_allclose(f(a), np.exp(a) + 1, rtol=1e-6)
    assert counting.runs == len(f.program.kernels) > 0
    assert f.text.startswith("kernel ")
