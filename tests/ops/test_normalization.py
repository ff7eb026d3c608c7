"""Normalisation: owned variables, inference, state, errors."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError, InputError, ShapeError


def test_batch_norm_owns_parameters_and_state() -> None:
    x = sg.var("x", ("N", 3, 5, 7))
    y = sg.batch_norm(x, name="bn1")
    shapes = y.infer_shape()
    names = ("bn1_gamma", "bn1_beta", "bn1_moving_mean", "bn1_moving_var")
    assert y.list_variables() == ("x", *names)
    assert [shapes[n] for n in names] == [(3,)] * 4
    assert [y.graph.names[s.node] for s in y.parameters] == ["bn1_gamma", "bn1_beta"]
    assert [y.graph.names[s.node] for s in y.auxiliaries] == ["bn1_moving_mean", "bn1_moving_var"]
    assert sg.init(y, seed=0)["bn1_moving_var"].tolist() == [1, 1, 1]


def test_gamma_gives_the_channels_of_data() -> None:
    y = sg.batch_norm(sg.var("x", ("N", None, 4)), sg.var("g", (5,)))
    assert y.infer_shape()["x"][1] == 5


def test_wrong_attributes_and_shapes() -> None:
    x = sg.var("x", (2, 6, 5))
    with pytest.raises(AttributeValueError, match=r"momentum must be in \[0, 1\], got 1.5"):
        sg.batch_norm(x, momentum=1.5)
    with pytest.raises(AttributeValueError, match="eps must be positive"):
        sg.layer_norm(x, eps=0.0)
    with pytest.raises(ShapeError, match="must be a multiple of groups 4, got 6"):
        sg.group_norm(x, 4)
    with pytest.raises(ShapeError, match=r"gamma.shape\[0\] must equal x.shape\[2\]: 7 != 5"):
        sg.layer_norm(x, sg.var("g", (7,)))


@pytest.mark.parametrize(("groups", "channels"), [(1, 6), (4, 4)])
def test_batch_norm_folds_into_the_convolution_at_inference(groups: int, channels: int) -> None:
    x = sg.var("x", ("N", 4, 9, 7))
    h = sg.conv2d(x, channels, kernel_size=3, groups=groups, use_bias=groups > 1, name="c")
    y = sg.batch_norm(h, name="bn")
    rng = np.random.default_rng(0)
    params = {
        k: rng.uniform(0.5, 1.5, v.shape).astype(np.float32) for k, v in sg.init(y, seed=0).items()
    }
    f = sg.compile(y, params=params, target="interp")
    assert len(f.program.steps) == 1
    array = rng.normal(size=(2, 4, 9, 7)).astype(np.float32)
    before = sg.compile(h, params=params, target="interp")(x=array)
    column = (slice(None), None, None)
    scale = params["bn_gamma"] / np.sqrt(params["bn_moving_var"] + 1e-5)
    shift = params["bn_beta"] - params["bn_moving_mean"] * scale
    expected = before * scale[column] + shift[column]
    np.testing.assert_allclose(f(x=array), expected, rtol=1e-4, atol=1e-4)


def test_moving_averages_follow_the_batches() -> None:
    x = sg.var("x", (8, 3), "float64")
    y = sg.batch_norm(x, momentum=0.75, name="bn")
    params = {k: v.astype(np.float64) for k, v in sg.init(y, seed=0).items()}
    f = sg.compile(y, params=params, target="interp", training=True)
    mean, variance = np.zeros(3), np.ones(3)
    for seed in range(3):
        array = np.random.default_rng(seed).normal(size=(8, 3))
        f(x=array)
        mean = mean * 0.75 + array.mean(axis=0) * 0.25
        variance = variance * 0.75 + array.var(axis=0) * 0.25
    np.testing.assert_allclose(f.parameters["bn_moving_mean"], mean)
    np.testing.assert_allclose(f.parameters["bn_moving_var"], variance)


@pytest.mark.parametrize("target", ["interp", "llvm"])
def test_group_norm_of_a_named_number_of_channels(target) -> None:
    x = sg.var("x", ("N", "C", 5))
    f = sg.compile(sg.group_norm(x, 2, use_affine=False), target=target)
    for channels in (4, 6, 2):
        a = np.random.default_rng(0).normal(size=(3, channels, 5)).astype(np.float32)
        parts = a.reshape(3, 2, -1)
        want = (parts - parts.mean(-1, keepdims=True)) / np.sqrt(
            parts.var(-1, keepdims=True) + 1e-5
        )
        np.testing.assert_allclose(f(x=a), want.reshape(a.shape), rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"x.shape\[1\] must be a multiple of groups 2.*C=5"):
        f(x=np.zeros((3, 5, 5), np.float32))
