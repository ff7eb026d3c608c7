"""Groups become one kernel each: which nodes join, which stay apart, and equal numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import PipelineError
from symgraph.ir.fused import Fused
from symgraph.ir.graph import Graph
from symgraph.lower import lower
from symgraph.options import Options
from symgraph.passes import Fuse, InferTypes, graph_pipeline
from symgraph.passes.fusion import judge
from symgraph.passes.fusion.judge import Limits
from symgraph.passes.manager import Pipeline
from tests.support.graphs import op_names, same_numbers, typed
from tests.support.toys import Dense, Exp, HostDouble, Pair, RowSum, Scale, SubtractRow, View


def x(*shape, dtype="float32"):
    return sg.var("x", shape or ("N", 33), dtype)


def fuse(*symbols, **limits) -> Graph:
    """Fused, with the numbers checked through the references and through the kernels."""
    before = typed(*symbols)
    after = Fuse(Limits(**limits)).run(before)
    same_numbers(before, after)
    agree_as_kernels(*symbols)
    return after


def agree_as_kernels(*symbols) -> None:
    plain = sg.compile(symbols, target="interp", level=0)
    fused = sg.compile(symbols, target="interp", level=2, verify=3)
    rng = np.random.default_rng(5)
    arrays = {}
    for port in plain.program.inputs:
        shape = tuple(d if isinstance(d, int) else 7 for d in port.type.shape)
        arrays[port.name] = rng.uniform(-1, 1, shape).astype(port.type.dtype.numpy)
    one, other = plain(**arrays), fused(**arrays)
    for a, b in zip(*((r if isinstance(r, tuple) else (r,)) for r in (one, other)), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def groups(graph: Graph) -> list[list[str]]:
    """The operators of each kernel, in order."""
    return [
        op_names(n.op.graph) if isinstance(n.op, Fused) else [n.op.name]
        for n in graph.nodes
        if n.inputs and not n.op.is_view
    ]


def softmax(v):
    e = Exp()(SubtractRow()(v, RowSum("max")(v)))
    return SubtractRow()(e, RowSum()(e))


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (17, 33), ("N", 5)])
def test_an_elementwise_chain_is_one_kernel(shape) -> None:
    v = sg.var("x", shape)
    assert groups(fuse(Exp()(Scale(3.0)(v)) + v)) == [["toy_scale", "toy_exp", "add"]]


def test_other_dtypes_fuse_too() -> None:
    assert len(groups(fuse(Scale(2.0)(x(3, 5, dtype="float64")) + 1.0))) == 1
    assert len(groups(fuse(x(3, 5, dtype="int32") * 2 + 1))) == 1


def test_an_epilogue_with_a_residual_joins_the_contraction() -> None:
    v = x("N", 5)
    d = Dense()(v, sg.var("w", (5, 5)), sg.var("b", (5,)))
    after = fuse(Exp()(d + v))
    assert groups(after) == [["toy_dense", "add", "toy_exp"]]
    (kernel,) = lower(after, "m").kernels
    assert str(kernel.body).count("Alloc") == 1  # the accumulator, and nothing else


def test_a_value_before_the_epilogue_can_be_stored_as_well() -> None:
    d = Dense()(x("N", 5), sg.var("w", (7, 5)), sg.var("b", (7,)))
    assert groups(fuse(d, Exp()(d))) == [["toy_dense", "toy_exp"]]


def test_nothing_joins_the_inner_loop_of_a_contraction() -> None:
    d = Dense()(Scale(3.0)(x("N", 5)), sg.var("w", (7, 5)), sg.var("b", (7,)))
    assert groups(fuse(d)) == [["toy_scale"], ["toy_dense"]]


@pytest.mark.parametrize(("count", "groups"), [(2, 1), (3, 2)])
def test_what_lanes_read_apart_stays_behind_a_contraction(count: int, groups: int) -> None:
    """A register tile would load each of many such operands element by element."""
    after = sg.matmul(x("N", 7), sg.var("w", (7, 10), "float32"))
    for number in range(count):
        after = after + sg.repeat(sg.var(f"s{number}", (1, 5), "float32"), 2, axis=1)
    fused = fuse(sg.tanh(after))
    assert sum(bool(n.inputs) for n in fused.nodes) == groups


def test_what_reads_too_much_is_not_even_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A join of n parts is asked about n times."""
    composed = []
    original = judge.compose
    monkeypatch.setattr(judge, "compose", lambda n: composed.append(len(n)) or original(n))
    parts = [sg.tanh(sg.var(f"part{n}", (3, 2 + n % 3), "float32")) for n in range(40)]
    Fuse().run(typed(sg.concat(parts, axis=1)))
    assert composed == []
    few = [sg.tanh(sg.var(f"few{n}", (3, 2 + n % 3), "float64")) for n in range(5)]
    Fuse().run(typed(sg.concat(few, axis=1)))
    assert composed


def test_two_contractions_stay_apart() -> None:
    d = Dense()(x("N", 5), sg.var("w", (7, 5)), sg.var("b", (7,)))
    e = Dense()(d, sg.var("w2", (3, 7)), sg.var("b2", (3,)))
    assert groups(fuse(e)) == [["toy_dense"], ["toy_dense"]]
    f = Dense()(x("N", 5), sg.var("w", (7, 5)), sg.var("b", (7,)))
    g = Dense()(sg.var("y", ("N", 5)), sg.var("w2", (7, 5)), sg.var("b2", (7,)))
    assert groups(fuse(f + g)) == [["toy_dense"], ["toy_dense", "add"]]


def test_reductions_do_not_join_a_contraction() -> None:
    d = Dense()(x("N", 5), sg.var("w", (7, 5)), sg.var("b", (7,)))
    assert groups(fuse(RowSum()(d))) == [["toy_dense"], ["toy_row_sum"]]


def test_rows_are_one_kernel_with_scratch_for_one_row() -> None:
    after = fuse(softmax(x()))
    assert len(groups(after)) == 1
    (kernel,) = lower(after, "m").kernels
    assert "parallel i < N" in str_of(kernel)
    assert "alloc t1: f32[33] in local" in str_of(kernel)


def str_of(kernel) -> str:
    from symgraph.kernel.printer import kernel_text

    return kernel_text(kernel)


def test_rows_too_long_for_the_scratch_are_not_kept() -> None:
    after = fuse(softmax(x("N", 20_000)))
    assert groups(after)[-1] == ["toy_row_sum", "toy_subtract_row"] or len(groups(after)) > 1
    for kernel in lower(after, "m").kernels:
        assert "in local" not in str_of(kernel)


def test_open_rows_are_not_kept() -> None:
    for kernel in lower(fuse(softmax(x("N", "M"))), "m").kernels:
        assert "in local" not in str_of(kernel)


def test_a_sum_over_everything_does_not_serialise_its_input() -> None:
    v = x(4096, 1024)
    rows = RowSum()(Exp()(v))
    after = Fuse().run(typed(Exp()(RowSum()(rows))))
    assert groups(after) == [["toy_exp", "toy_row_sum"], ["toy_row_sum", "toy_exp"]]


def test_a_cheap_value_is_copied_into_two_kernels_when_that_saves_memory() -> None:
    v = x("N", 5)
    cheap = Scale(3.0)(v)
    w, b = sg.var("w", (5, 5)), sg.var("b", (5,))
    # Two contractions whose epilogues read the same cheap value.
    one = Dense()(sg.var("y", ("N", 5)), w, b) + cheap
    two = Dense()(one, sg.var("w2", (5, 5)), b) + cheap
    found = groups(fuse(two))
    assert [sorted(g) for g in found] == [["add", "toy_dense", "toy_scale"]] * 2


def test_costly_values_are_computed_once() -> None:
    v = x("N", 5)
    costly = Exp()(v)
    w, b = sg.var("w", (5, 5)), sg.var("b", (5,))
    one = Dense()(sg.var("y", ("N", 5)), w, b) + costly
    two = Dense()(one, sg.var("w2", (5, 5)), b) + costly
    assert sum(g.count("toy_exp") for g in groups(fuse(two))) == 1


def test_readers_of_one_input_are_one_kernel_with_several_outputs() -> None:
    v = x()
    after = fuse(Exp()(v), Scale(3.0)(v), Scale(4.0)(v))
    assert len(groups(after)) == 1
    assert len(after.outputs[0].node.types) == 3


def test_a_cycle_between_kernels_is_never_made() -> None:
    v = x()
    e = Exp()(v)
    after = fuse(HostDouble()(e) + e)
    assert groups(after) == [["toy_exp"], ["toy_host_double"], ["add"]]


def test_views_stay_views_of_buffers() -> None:
    after = Fuse().run(typed(Exp()(View()(Exp()(x(3, 5))))))
    assert op_names(after) == ["toy_exp", "toy_view", "toy_exp"]


def test_views_by_axes_of_one_element_cost_nothing_inside() -> None:
    v = x("N", 5)
    row = sg.expand_dims(RowSum()(v), axis=1)
    after = fuse(v - row, row)
    assert groups(after) == [["toy_row_sum", "expand_dims", "subtract"]]
    assert len([n for n in after.nodes if n.op.is_view]) == 1


def test_outputs_that_nobody_reads_are_not_computed() -> None:
    more, _ = Pair()(x())
    after = Fuse().run(typed(more))
    (node,) = [n for n in after.nodes if isinstance(n.op, Fused)]
    assert len(node.types) == 1
    assert len(lower(after, "m").kernels[0].outputs) == 1


def test_groups_are_bounded_and_long_chains_take_linear_time() -> None:
    y = v = x("N", 3)
    for n in range(3000):
        y = -y if n % 2 else y + v
    after = Fuse().run(typed(y))
    sizes = [len(g) for g in groups(after)]
    assert max(sizes) <= 64
    assert len(sizes) <= 3000 // 40
    assert len(lower(after, "m").steps) == len(sizes)


def test_a_value_doubled_many_times_is_not_written_out_as_a_tree() -> None:
    for step, factor in ((lambda y: y + y * 0.5, 1.5**25), (lambda y: y * y, 1.0)):
        y = x(3)
        for _ in range(25):
            y = step(y)
        f = sg.compile(y, target="interp", verify=2)
        assert len(f.program.steps) == 1
        assert len(str(f.program)) < 20_000
        np.testing.assert_allclose(f(np.ones(3, np.float32)), factor, rtol=1e-4)


def test_it_is_idempotent() -> None:
    once = Fuse().run(typed(softmax(x())))
    assert Fuse().run(once) is once


def test_it_fires_in_the_default_pipeline_from_level_two() -> None:
    y = Exp()(Scale(3.0)(x()))
    for level, expected in ((1, 2), (2, 1), (3, 1)):
        graph, report = graph_pipeline(Options(level=level), True, {}, {}, {}).run(y.graph)
        assert len(op_names(graph)) == expected
        assert (("fuse", True) in [(n, c) for n, _, c in report.entries]) == (level >= 2)


def test_equal_graphs_give_equal_groups_and_names() -> None:
    texts = {str(Fuse().run(typed(softmax(x())))) for _ in range(3)}
    assert len(texts) == 1


@pytest.mark.parametrize(
    ("before", "missing"),
    [((), "NAMED, TYPED, PRIMITIVE"), ((InferTypes(),), "PRIMITIVE")],
)
def test_it_requires_names_types_and_primitive_operators(before, missing) -> None:
    with pytest.raises(PipelineError, match=f"'fuse' requires {missing}"):
        Pipeline((*before, Fuse()))


def test_a_group_stores_nothing_that_nobody_reads() -> None:
    """The gradient's mask is made beside the activation; what lies before it is not kept."""
    x, w = sg.var("x", (8, 3, 6, 6)), sg.var("w", (4, 3, 3, 3))
    h = sg.max_pool2d(sg.relu(sg.conv2d(x, 4, w, kernel_size=3, use_bias=False)), 2)
    loss = sg.sum(sg.square(h))
    (gradient,) = sg.gradients(loss, [w])
    f = sg.compile([loss, gradient], target="interp", verify=2)
    read = {b.root for s in f.program.steps for b in s.reads}
    read |= {p.buffer.root for p in f.program.outputs}
    assert [b.name for s in f.program.steps for b in s.writes if b.root not in read] == []


@pytest.mark.parametrize("rows", [4, "N"])
@pytest.mark.parametrize("join", ["concat", "pad"])
def test_sums_are_not_made_past_the_end_of_the_part_they_fill(rows: Any, join: str) -> None:
    x, w, other = sg.var("x", (rows, 5)), sg.var("w", (7, 5)), sg.var("other", (rows, 3))
    part = sg.linear(x, 7, w, use_bias=False)
    y = sg.concat([part, other], axis=1) if join == "concat" else sg.pad(part, ((0, 0), (0, 3)))
    # Read by a contraction, so that the join is a value of its own.
    y = sg.linear(y, 2, sg.var("v", (2, 10)), use_bias=False)
    rng = np.random.default_rng(0)
    shapes = y.infer_shape(x=(4, 5)).variables
    given = {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}
    beside = given.get("other", np.zeros((4, 3), np.float32))
    wanted = np.concatenate([given["x"] @ given["w"].T, beside], axis=1) @ given["v"].T
    result = sg.compile(y, target="interp", verify=2)(**given)
    np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-5)


def test_a_value_read_through_a_view_outside_stays_stored_though_its_reader_has_a_copy() -> None:
    """The sum makes x + v again for itself, but reads the flattened one from memory."""
    h = sg.var("x", ("N", 7, 3)) + sg.var("v", (3,))
    y = sg.sum(sg.square(sg.square(h))) + sg.sum(sg.square(sg.flatten(h)))
    given = {"x": np.linspace(-1, 1, 84, dtype=np.float32).reshape(4, 7, 3),
             "v": np.array([0.5, -0.25, 1], np.float32)}  # fmt: skip
    s = (given["x"] + given["v"]).astype(np.float64)
    result = sg.compile(y, target="interp", verify=2)(**given)
    np.testing.assert_allclose(result, (s**4).sum() + (s**2).sum(), rtol=1e-5)
