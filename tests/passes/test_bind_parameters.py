"""Parameters given at compile time become constants."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import DTypeError, PipelineError, ShapeError
from symgraph.ir.op import Constant
from symgraph.options import Options
from symgraph.passes import BindParameters, InferTypes, graph_pipeline
from symgraph.passes.manager import Pipeline, run_passes
from tests.support.graphs import assert_same_graph, typed

W = np.arange(15, dtype=np.float64).reshape(3, 5)


def model():
    return sg.linear(sg.var("x", ("N", 5)), 3, use_bias=False, name="fc")


def test_a_given_variable_becomes_a_constant_of_the_variables_dtype() -> None:
    before = typed(model())
    after = BindParameters({"fc_weight": W}).run(before)
    x = sg.var("x", ("N", 5))
    expected = typed(sg.linear(x, 3, sg.constant(W.astype(np.float32)), use_bias=False))
    assert_same_graph(after, expected)
    (constant,) = [n for n in after.nodes if isinstance(n.op, Constant)]
    assert constant.op.value.dtype == np.float32
    assert constant.name == "fc_weight"


def test_a_bound_array_is_not_copied_and_cannot_be_written_to() -> None:
    array = W.astype(np.float32)
    after = BindParameters({"fc_weight": array}).run(typed(model()))
    (constant,) = [n for n in after.nodes if isinstance(n.op, Constant)]
    assert np.shares_memory(constant.op.value, array)
    assert not constant.op.value.flags.writeable
    assert array.flags.writeable


@pytest.mark.parametrize("target", ["llvm", "interp"])
@pytest.mark.parametrize("level", [0, 2])
def test_what_is_compiled_has_its_own_copy(target: str, level: int) -> None:
    memory = np.empty(W.size + 16, np.float32)
    first = -memory.ctypes.data % 64 // 4  # as the program's own constants lie
    array = memory[first : first + W.size].reshape(W.shape)
    array[:] = W
    run = sg.compile(model(), params={"fc_weight": array}, target=target, level=level)
    array[:] = 0
    np.testing.assert_array_equal(run(np.eye(5, dtype=np.float32)), W.T)


def test_it_is_idempotent_and_leaves_a_graph_without_parameters_alone() -> None:
    item = BindParameters({"fc_weight": W})
    once = item.run(typed(model()))
    assert item.run(once) is once
    assert BindParameters({}).run(once) is once


def test_a_wrong_shape_names_the_parameter_expected_and_got() -> None:
    with pytest.raises(ShapeError) as error:
        BindParameters({"fc_weight": W.T}).run(typed(model()))
    text = str(error.value)
    assert text.startswith("parameter fc_weight: the array given at compile time has shape (5, 3), "
                           "expected [3,5]")  # fmt: skip
    assert "pass an array of that shape" in text


def test_a_wrong_kind_of_number_names_the_parameter() -> None:
    with pytest.raises(DTypeError, match="parameter fc_weight: .* has dtype complex128, expected"):
        BindParameters({"fc_weight": W.astype(complex)}).run(typed(model()))


def test_an_open_extent_cannot_be_bound() -> None:
    graph = typed(sg.var("w", ("K", 2)) + 1.0)
    with pytest.raises(ShapeError, match="axis 0 has the open extent K"):
        BindParameters({"w": np.zeros((4, 2))}).run(graph)


def test_unknown_shapes_follow_from_the_arrays() -> None:
    x = sg.var("x", ("N", None))
    y = sg.linear(x, 3, use_bias=False, name="fc")
    graph = run_passes(y.graph, [InferTypes(arrays={"fc_weight": W})])
    assert str(graph.outputs[0].node.inputs[0].type) == "f32[N,5]"


def test_it_fires_in_the_default_pipeline_of_inference() -> None:
    for level in (0, 1, 2, 3):
        pipeline = graph_pipeline(Options(level=level), False, {}, {}, {"fc_weight": W})
        graph, report = pipeline.run(model().graph)
        assert ("bind_parameters", True) in [(n, c) for n, _, c in report.entries]
        assert [graph.names[n] for n in graph.variables] == ["x"]


def test_it_requires_types() -> None:
    with pytest.raises(PipelineError, match="'bind_parameters' requires NAMED, TYPED"):
        Pipeline((BindParameters({}),))


def test_scalars_and_empty_arrays_can_be_bound() -> None:
    y = sg.var("a", ()) + sg.var("b", (0, 3))
    after = BindParameters({"a": 2, "b": np.zeros((0, 3))}).run(typed(y))
    assert not after.variables
