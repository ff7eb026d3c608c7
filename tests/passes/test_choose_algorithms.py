"""Equivalent forms take the place of operators where they are faster and accurate enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, PipelineError
from symgraph.ir.alternative import Alternative
from symgraph.ir.op import Op
from symgraph.ir.symbol import Symbol
from symgraph.kernel.compute import Compute, Tensor, compute, reduce
from symgraph.kernel.rates import Rates
from symgraph.options import Options
from symgraph.passes import ChooseAlgorithms, InferTypes, optimisation
from symgraph.passes.manager import Fact, Pipeline
from tests.support.graphs import assert_same_graph, op_names, same_numbers, typed
from tests.support.toys import Scale

RATES = Rates(64.0, ((2 << 20, 32.0),), 4.0, step=10.0)
"""Of a machine whose kernels start quickly."""

FACTS = Fact.TYPED | Fact.PRIMITIVE


@dataclass(frozen=True, slots=True)
class Laborious(Op):
    """y = x * count, by adding x up `count` times; a product is offered in its place."""

    count: int = 1000
    error: float = 1.5
    name = "toy_laborious"

    def infer_shape(self, u: Any, x: Any) -> Any:
        return (x,)

    def forward(self, x: Tensor) -> Compute:
        return compute(x.shape, lambda *i: reduce("sum", self.count, lambda r: x[i]))

    def alternatives(self, ins: tuple[Symbol, ...]) -> Sequence[Alternative]:
        slow = Alternative("worse", self.error, lambda: Laborious(self.count * 2)(ins[0]) * 0.5)
        return slow, Alternative("product", self.error, lambda: Scale(float(self.count))(ins[0]))

    def reference(self, x: Any) -> Any:
        return x * np.asarray(self.count, x.dtype)


def x(*shape: Any, dtype: str = "float32"):
    return sg.var("x", shape or (7, 5), dtype)


def chosen(*symbols: Symbol, tolerance: float = 2.0):
    return ChooseAlgorithms(RATES, tolerance).run(typed(*symbols))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_fastest_form_takes_the_place(dtype) -> None:
    before = typed(sg.relu(Laborious()(x(dtype=dtype), name="much")))
    after = ChooseAlgorithms(RATES, 2.0).run(before)
    assert_same_graph(after, typed(sg.relu(Scale(1000.0)(x(dtype=dtype)))))
    same_numbers(before, after)
    (result,) = [n for n in after.nodes if n.op.name == "toy_scale"]
    assert result.name == "much", "the result keeps its name"
    notes = dict(result.attributes)
    assert notes["algorithm"] == "product"
    assert notes["stands_for"][0] == "much" and notes["stands_for"][1] > 0
    assert ChooseAlgorithms(RATES, 2.0).run(after) is after


def test_named_operators_stay_as_they_are() -> None:
    graph = typed(sg.relu(Laborious()(x(), name="much")))
    assert ChooseAlgorithms(RATES, 2.0, frozenset({"much"})).run(graph) is graph
    assert ChooseAlgorithms(RATES, 2.0, frozenset({"other"})).run(graph) is not graph


def test_forms_that_are_not_accurate_enough_are_left() -> None:
    assert op_names(chosen(Laborious(error=2.0)(x()))) == ["toy_scale"]
    assert op_names(chosen(Laborious(error=2.1)(x()))) == ["toy_laborious"]


def test_forms_that_are_not_faster_are_left() -> None:
    graph = typed(Laborious(1)(x()))
    assert ChooseAlgorithms(RATES, 2.0).run(graph) is graph


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), ("N", 17)])
def test_every_kind_of_shape_is_weighed(shape) -> None:
    kept = 0 in shape
    names = op_names(chosen(Laborious()(sg.var("x", shape))))
    assert names == ["toy_laborious" if kept else "toy_scale"]


def test_types_and_primitive_operators_are_needed() -> None:
    with pytest.raises(PipelineError, match="'choose_algorithms' requires TYPED, PRIMITIVE"):
        Pipeline((ChooseAlgorithms(RATES, 2.0),))
    with pytest.raises(PipelineError, match="requires PRIMITIVE"):
        Pipeline((InferTypes(), ChooseAlgorithms(RATES, 2.0)))


# -- in the default pipeline -----------------------------------------------------------------------


def names_in(passes: Sequence[Any]) -> list[str]:
    return [p.name for p in passes]


def test_it_runs_for_inference_from_level_2_where_the_target_has_rates() -> None:
    assert "choose_algorithms" in names_in(optimisation(2, False, 16, (), RATES, 2.0))
    for without in (
        optimisation(1, False, 16, (), RATES, 2.0),
        optimisation(2, True, 16, (), RATES, 2.0),
        optimisation(2, False, 16, (), None, 2.0),
        optimisation(2, False, 16, (), RATES, 1.0),
    ):
        assert "choose_algorithms" not in names_in(without)


def test_it_fires_in_the_default_pipeline_on_the_cpu() -> None:
    f = sg.compile(Laborious(100_000)(x(64, 33)), target="llvm", cache=None)
    assert [s.node.op.name for s in f.program.steps] == ["toy_scale"]
    array = np.random.default_rng(0).normal(size=(64, 33)).astype(np.float32)
    np.testing.assert_allclose(f(x=array), array * np.float32(100_000), rtol=1e-6)


@pytest.mark.parametrize("how", [{"algorithms": "direct"}, {"strict": True}, {"training": True},
                                 {"disable": ("choose_algorithms",)}])  # fmt: skip
def test_it_can_be_kept_from_firing(how) -> None:
    f = sg.compile(Laborious(100_000)(x(64, 33)), target="llvm", cache=None, **how)
    assert [s.node.op.name for s in f.program.steps] == ["toy_laborious"]


def test_the_option_names_its_values() -> None:
    assert [Options(algorithms=a).tolerance for a in ("direct", "accurate", "fast")] == [1, 2, 10]
    assert Options(algorithms="fast", strict=True).tolerance == 1
    message = "options: algorithms must be direct, accurate, fast, got 'quick'"
    with pytest.raises(AttributeValueError, match=message):
        sg.compile(x(), algorithms="quick")


def test_the_environment_sets_the_option(monkeypatch) -> None:
    from symgraph.options import from_environment

    assert from_environment().algorithms == "accurate"
    monkeypatch.setenv("SYMGRAPH_ALGORITHMS", "fast")
    assert from_environment().algorithms == "fast"


# -- convolutions ----------------------------------------------------------------------------------


def network(image, channels=32, outputs=32, stride=1, kernel=3, groups=1, dtype="float32"):
    v = sg.var("x", ("N", channels, *image), dtype)
    return sg.relu(sg.conv2d(v, outputs, kernel_size=kernel, padding=1, stride=stride,
                             groups=groups, name="conv"))  # fmt: skip


def forms(symbol: Symbol, **options: Any) -> set[int]:
    """The tiles of the forms that a compiled network uses; empty: it is as it was declared."""
    params = sg.init(symbol, 0)
    options = {"target": "llvm", "cpu": "x86-64-v4", "cache": None, **options}
    program = sg.compile(symbol, params=params, **options).program
    found = {dict(s.node.attributes).get("algorithm") for s in program.steps} - {None}
    return {{"winograd F(2x2,3x3)": 2, "winograd F(4x4,3x3)": 4}[name] for name in found}


def test_large_convolutions_take_winograds_form() -> None:
    assert forms(network((56, 56), 64, 64)) == {2}
    assert forms(network((56, 56), 64, 64), algorithms="fast") == {4}
    assert forms(network((56, 56), 64, 64), algorithms="direct") == set()
    assert forms(network((56, 57), 64, 64, dtype="float64")) == {2}


@pytest.mark.parametrize(
    "symbol",
    [
        pytest.param(network((7, 7), 512, 512), id="whose weights would be most of the traffic"),
        pytest.param(network((6, 5)), id="that take no time"),
        pytest.param(network((56, 56), 64, 64, stride=2), id="that move by two"),
        pytest.param(network((56, 56), 64, 64, kernel=5), id="with other windows"),
        pytest.param(network((56, 56), 64, 64, groups=2), id="in groups"),
        pytest.param(network((56, 56), 64, 64, groups=64), id="of single channels"),
        pytest.param(network((112, 112), 3, 64), id="of three channels"),
        pytest.param(network((56, 56), 64, 64, dtype="float16"), id="in half precision"),
        pytest.param(network(("H", "W"), 64, 64), id="of images of any size"),
    ],
)
def test_other_convolutions_stay(symbol) -> None:
    assert forms(symbol, algorithms="fast") == set()


def test_weights_that_are_inputs_stay() -> None:
    f = sg.compile(network((56, 56), 64, 64), target="llvm", cpu="x86-64-v4", cache=None)
    assert "winograd" not in str(f.program)
