"""Two graphs are evaluated on the same inputs; a wrong pass is named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import symgraph as sg
from symgraph.compiler import evaluate_node
from symgraph.errors import VerifyError
from symgraph.options import Options
from symgraph.passes import InferTypes, Simplify
from symgraph.passes.compare import compare_graphs
from symgraph.passes.expand import ExpandComposites, replacement
from symgraph.passes.manager import Pass, Pipeline
from tests.support.graphs import typed
from tests.support.toys import Dropout, Elementwise, Exp, HostDouble, Scale


def x(*shape, dtype="float32"):
    return sg.var("x", shape or ("N", 5), dtype)


@dataclass(frozen=True)
class Wrong(Pass):
    """exp(x) -> 2*x: not an identity."""

    name: ClassVar[str] = "wrong"

    def run(self, graph):
        def rule(op, ins):
            return Scale(2.0)(ins[0]) if isinstance(op, Exp) else None

        return graph.rewrite(lambda node, inputs: replacement(node, inputs, rule))


@dataclass(frozen=True, slots=True)
class Plain(Elementwise):
    """x + 1, without a reference."""

    name = "toy_plain"
    more: float = 1.0

    def element(self, v):
        return v + self.more


def test_equal_graphs_agree_and_others_differ_with_the_place() -> None:
    v = x()
    one, other = typed(x() * 2.0), typed(v + v)
    assert compare_graphs(one, other) is None
    text = compare_graphs(one, typed(Scale(2.5)(x())))
    assert text is not None
    assert text.startswith("multiply0: 15 of 15 elements differ, first at [0, 0]: ")
    assert text.endswith("(seed 0, sizes {'N': 3})")


@pytest.mark.parametrize("dtype", ["float64", "int32", "float16"])
def test_every_dtype_is_compared(dtype) -> None:
    factor = 3 if dtype == "int32" else 3.0
    v, w = x(7, dtype=dtype), x(7, dtype=dtype)
    assert compare_graphs(typed(v * factor), typed(w + w + w)) is None
    assert compare_graphs(typed(v * factor), typed(w + w)) is not None


def test_shapes_are_compared() -> None:
    text = compare_graphs(typed(x(3, 5)), typed(sg.reshape(x(3, 5), (5, 3))))
    assert text == "x: shape (3, 5) became (5, 3) (seed 0, sizes {})"


def test_random_graphs_are_not_compared_host_operators_are() -> None:
    assert compare_graphs(typed(Dropout()(x())), typed(x())) is None
    assert compare_graphs(typed(HostDouble()(x())), typed(x() * 2.0)) is None
    assert compare_graphs(typed(HostDouble()(x())), typed(x() * 3.0)) is not None


def test_operators_without_a_reference_are_interpreted() -> None:
    one, other = typed(Plain()(x())), typed(Plain(2.0)(x()))
    assert compare_graphs(one, other) is None  # nothing to evaluate them with
    assert compare_graphs(one, other, evaluate=evaluate_node) is not None
    assert compare_graphs(one, typed(x() + 1.0), evaluate=evaluate_node) is None


def test_sizes_are_large_enough_for_every_extent() -> None:
    v, w = sg.var("x", (2, "H")), sg.var("x", (2, "H"))
    one = typed(sg.max_pool1d(sg.reshape(v, (1, 2, -1)), 9))
    other = typed(sg.max_pool1d(sg.reshape(w * 1.0, (1, 2, -1)), 9))
    assert compare_graphs(one, other) is None
    wrong = typed(sg.max_pool1d(sg.reshape(-w, (1, 2, -1)), 9))
    text = compare_graphs(one, wrong)
    assert text is not None
    assert "sizes {'H': 12}" in text


def test_a_wrong_pass_is_named_at_level_three_only() -> None:
    y = Exp()(Scale(1.0)(x()))
    pipeline = Pipeline((InferTypes(), ExpandComposites(), Simplify(), Wrong(), Simplify()))
    pipeline.run(y.graph, Options(verify=2), compare_graphs)
    with pytest.raises(VerifyError) as error:
        pipeline.run(y.graph, Options(verify=3), compare_graphs)
    text = str(error.value)
    assert text.startswith("[G9] pass 'wrong' changed the numbers: toy_exp0: ")
    assert "before:\n%x: f32[N,5]" in text


def test_a_wrong_identity_of_an_operator_is_found_by_compiling() -> None:
    @dataclass(frozen=True, slots=True)
    class Hasty(Scale):
        name = "toy_hasty"

        def simplify(self, ins):
            return ins[0]

    y = Hasty(3.0)(x()) + 1.0
    with pytest.raises(VerifyError, match="pass 'simplify' changed the numbers"):
        sg.compile(y, target="interp", verify=3)


def _shaped() -> list[tuple[str, sg.Symbol]]:
    """Operators whose attributes name the open extent of x."""
    wide = sg.var("x", ("N", 6))
    row = sg.sum(wide, axis=0, keepdims=True)
    return [
        ("reshape", sg.exp(sg.reshape(wide.T, ("N", 2, 3)))),
        ("broadcast_to", sg.exp(sg.broadcast_to(row, ("N", 6)) + wide)),
        ("zeros", sg.exp(sg.zeros(("N", 6)) + wide)),
    ]


@pytest.mark.parametrize("number", range(3), ids=[name for name, _ in _shaped()])
@pytest.mark.parametrize("given_shape", [None, (4, 6), (0, 6)], ids=str)
def test_extents_named_in_attributes_are_compared_and_bound(number, given_shape) -> None:
    result = _shaped()[number][1]
    shapes = {} if given_shape is None else {"x": given_shape}
    f = sg.compile(result, target="interp", verify=3, shapes=shapes)
    array = np.arange(24, dtype=np.float32).reshape(4, 6) / 24
    array = array if given_shape is None else array[: given_shape[0]]
    rows = len(array)
    wanted = {
        0: array.T.reshape(rows, 2, 3),
        1: array.sum(0, keepdims=True) + array,
        2: array,
    }[number]
    np.testing.assert_allclose(f(x=array), np.exp(wanted), rtol=1e-5)


def test_random_numbers_of_a_bound_extent() -> None:
    drawn = sg.random_uniform(("N", 6)) + sg.var("x", ("N", 6))
    f = sg.compile(drawn, target="interp", shapes={"x": (4, 6)})
    assert not f.program.dims
    assert "< N" not in str(f.program)
