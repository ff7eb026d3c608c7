"""Inference: every direction, partial knowledge, named extents, errors."""

from __future__ import annotations

import re

import pytest

import symgraph as sg
from symgraph.errors import DTypeError, ShapeError


def test_inputs_give_weights() -> None:
    shapes = sg.linear(sg.var("x"), 5, name="fc").infer_shape(x=(3, 7))
    assert shapes["fc_weight"] == (5, 7)
    assert shapes.complete


def test_weights_give_inputs() -> None:
    x = sg.var("x", (3, None))
    shapes = sg.linear(x, 5, sg.var("w", (5, 7)), use_bias=False).infer_shape()
    assert shapes["x"] == (3, 7)


def test_outputs_give_inputs_through_elementwise_operators() -> None:
    x = sg.var("x")
    y = (-x) + sg.var("z", (2, 3))
    w = sg.matmul(-sg.var("a", (None, 4)), sg.var("b", (None, 6)))
    assert y.infer_shape()["x"] is None, "broadcasting leaves x open"
    shapes = w.infer_shape()
    assert shapes["b"] == (4, 6)


def test_recurrent_sharing_of_a_weight_by_two_branches() -> None:
    w = sg.var("w")
    a = sg.linear(sg.var("a", (2, 7)), 5, w, use_bias=False)
    b = sg.linear(sg.var("b", (3, None)), 5, w, use_bias=False)
    shapes = sg.group(a, b).infer_shape()
    assert shapes["w"] == (5, 7)
    assert shapes["b"] == (3, 7)


def test_named_extents_stay_symbolic_and_can_be_given() -> None:
    y = sg.linear(sg.var("x", ("N", 7)), 5)
    assert y.infer_shape().outputs == ((sg.DimVar("N"), 5),)
    assert y.infer_shape(x=(4, 7)).outputs == ((4, 5),)


def test_shapes_given_at_the_call_override_the_declared_ones() -> None:
    y = sg.linear(sg.var("x", (2, 7)), 5, name="fc")
    assert y.infer_shape(x=(4, 9))["fc_weight"] == (5, 9)


def test_a_scalar_an_empty_and_an_unknown_shape_are_three_things() -> None:
    assert (-sg.var("x", ())).infer_shape().outputs == ((),)
    assert (-sg.var("x", (0, 3))).infer_shape().outputs == ((0, 3),)
    shapes = (-sg.var("x")).infer_shape()
    assert shapes.outputs == (None,)
    assert not shapes.complete
    assert shapes.unknown == ("x", "negative0")


def test_the_error_has_four_parts() -> None:
    x = sg.var("x", ("N", 800))
    with pytest.raises(ShapeError) as caught:
        sg.linear(x, 10, sg.var("w", (10, 512)), name="fc2", use_bias=False)
    text = re.sub(r":\d+", ":L", str(caught.value))
    assert text == (
        "linear fc2: weight.shape[1] must equal x.shape[-1]: 512 != 800\n"
        "  fc2 = linear(x: ?[N,800], w: ?[10,512]) {units=10, use_bias=False}"
        "       declared at test_infer.py:L\n"
        "  weight.shape[1] = 512 comes from variable w at test_infer.py:L\n"
        "  x.shape[-1] = 800 comes from variable x at test_infer.py:L"
    )


def test_contradictions_that_need_the_whole_graph_are_found() -> None:
    w = sg.var("w")
    a = sg.linear(sg.var("a", (2, 7)), 5, w, use_bias=False)
    b = sg.linear(sg.var("b", (3, 8)), 5, w, use_bias=False)
    with pytest.raises(ShapeError, match="7 != 8|8 != 7"):
        sg.group(a, b).infer_shape()


def test_dtypes_flow_in_every_direction() -> None:
    x = sg.var("x", (3,))
    y = (x + sg.var("z", (3,), "float64")) * 2.0
    assert y.infer_type()["x"] == sg.float64
    assert (sg.var("q", (3,)) * 2.0).infer_type()["q"] == sg.float32
    with pytest.raises(DTypeError, match=r"float32 != int32; convert with sg\.cast"):
        sg.var("a", (3,), "float32") + sg.var("b", (3,), "int32")
    with pytest.raises(DTypeError, match="the partner of the number 2.5"):
        sg.compile(sg.var("a", (3,), "int32") * 2.5, target="interp")


def test_wrong_declarations() -> None:
    with pytest.raises(ShapeError, match="extent must be >= 0, got -3"):
        sg.var("x", (-3,))
    with pytest.raises(ShapeError, match="an extent must be an int >= 0, a name"):
        sg.var("x", (2.5,))
    with pytest.raises(ShapeError, match="no variable is named 'y'; the variables are x"):
        (-sg.var("x")).infer_shape(y=(3,))


def test_what_is_unknown_is_named_when_compiling() -> None:
    with pytest.raises(ShapeError, match=r"x: f32\[\.\.\.\]  declared at test_infer\.py"):
        sg.compile(-sg.var("x"), target="interp")


def test_asking_strictly_and_partially_agree() -> None:
    y = sg.linear(sg.var("x", (None, 7)), 5, name="fc")
    partial, whole = y.infer_shape(), y.infer_shape(x=(4, 7))
    for name, shape in partial.items():
        known = [d for d in shape if isinstance(d, int)]
        assert all(d in whole[name] for d in known)


def test_a_very_deep_graph_is_no_problem() -> None:
    y = sg.var("x", (3,))
    for _ in range(50_000):
        y = -y
    assert y.infer_shape().outputs == ((3,),)
    assert len(y.to_json()) > 50_000


def test_a_mistake_in_a_part_is_told_of_the_whole() -> None:
    counts = sg.var("counts", (2, 3), "int32")
    with pytest.raises(DTypeError) as caught:
        sg.mean(counts, axis=1)
    text = str(caught.value).splitlines()
    assert text[0] == (
        "mean: in its part divide: x must have a float dtype, got int32; convert with sg.cast"
    )
    assert text[-1].startswith("  mean(counts: i32[2,3]) {axis=1, keepdims=False}")
    assert text[-1].split("declared at ")[1].startswith("test_infer.py:")


def test_what_has_no_name_is_told_by_its_role() -> None:
    with pytest.raises(ShapeError) as caught:
        sg.conv2d(sg.var("x", ("N", 3, 32, 31)), 4, kernel_size=3, groups=2)
    assert "\n  conv2d(x: ?[N,3,32,31], weight: ?[4,?,3,3], bias: ?[4]) {" in str(caught.value)
    assert "= ? comes from" not in str(caught.value)


@pytest.mark.parametrize(("dtype", "number"), [("uint8", 300), ("uint8", -1), ("int32", 2**31)])
def test_a_number_must_fit_its_partner(dtype: str, number: int) -> None:
    with pytest.raises(DTypeError, match=f"the number {number} does not fit in {dtype}"):
        (sg.var("x", (3,), dtype) + number).infer_type()


def test_a_product_of_unknown_extents_is_known_before_they_are() -> None:
    x = sg.var("x", (7, None, None, None))
    flat = sg.flatten(x, name="flat")
    y = sg.linear(flat, 10, sg.var("w", (10, 800)), use_bias=False)
    rows = sg.reshape(flat, (7, -1, 10, 10), name="rows")
    shapes = sg.group(y, rows).infer_shape()
    assert shapes["flat"] == (7, 800)
    assert shapes["rows"] == (7, 8, 10, 10)
    assert not shapes.complete
    assert y.infer_shape(x=(7, 8, None, 20))["x"] == (7, 8, 5, 20)
    with pytest.raises(ShapeError, match="800 != 864"):
        sg.group(y, rows).infer_shape(x=(7, 8, 9, 12))
    with pytest.raises(ShapeError, match=r"800 != 180\*\?"):
        y.infer_shape(x=(7, 9, None, 20))
    other = sg.linear(flat, 10, sg.var("v", (10, 900)), use_bias=False)
    with pytest.raises(ShapeError, match="900 != 800"):
        sg.group(y, other).infer_shape()


def test_extents_whose_product_is_one_are_one() -> None:
    shapes = sg.reshape(sg.var("x", (None, None)), ()).infer_shape()
    assert shapes["x"] == (1, 1)


def test_axes_of_an_ellipsis_may_still_broadcast() -> None:
    x, y = sg.var("x", (None, None, None)), sg.var("y", (3, 5))
    shapes = sg.einsum("...i,...i->...", x, y, name="s").infer_shape()
    assert [d if isinstance(d, int) else None for d in shapes["x"]] == [None, None, 5]
    assert sg.einsum("...i,...i->...", x, y).infer_shape(x=(2, 1, 5)).outputs == ((2, 3),)
    with pytest.raises(ShapeError, match=r"x0.shape\[1\] must equal x1.shape\[0\] or one be 1"):
        sg.einsum("...i,...i->...", sg.var("x", (2, 4, 5)), y)
