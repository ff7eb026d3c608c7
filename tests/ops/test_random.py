"""Random numbers: the published bits, state, moments, dropout's two forms."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import AttributeValueError
from symgraph.ops.philox import philox, stream

KEY = np.array([7, 11, 0, 0], np.uint32)


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        ([0, 0], [0] * 4, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 2, [0xFFFFFFFF] * 4, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0xA4093822, 0x299F31D0],
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_known_answers(key: list[int], counter: list[int], words: list[int]) -> None:
    found = philox(np.array(key, np.uint32), np.array(counter, np.uint32)[:, None])
    assert [hex(w) for w in found[:, 0]] == [hex(w) for w in words]


def test_state_advances_and_the_sequence_continues() -> None:
    y = sg.random_uniform((3, 4), name="noise")
    state = KEY.copy()
    f = sg.compile(y, params={"noise_state": state}, target="interp", training=True)
    first, second = f(), f()
    words = stream(KEY, 24)
    expected = (words >> 8).astype(np.float32) * np.float32(2.0**-24)
    np.testing.assert_array_equal(np.concatenate([first, second]).ravel(), expected)
    assert list(f.parameters["noise_state"]) == [7, 11, 6, 0]


def test_the_counter_carries_into_its_high_word() -> None:
    y = sg.random_uniform((8,), name="noise")
    late = np.array([7, 11, 0xFFFFFFFF, 3], np.uint32)
    f = sg.compile(y, params={"noise_state": late}, target="interp", training=True)
    expected = (stream(late, 8) >> 8).astype(np.float32) * np.float32(2.0**-24)
    np.testing.assert_array_equal(f(), expected)
    assert list(f.parameters["noise_state"]) == [7, 11, 1, 4]


def test_moments() -> None:
    n = 40_000
    outs = [
        sg.random_uniform((n,), low=-1.0, high=3.0, name="u"),
        sg.random_normal((n,), mean=2.0, std=0.5, name="g"),
        sg.random_bernoulli((n,), 0.3, name="b"),
    ]
    params = {f"{k}_state": np.array([i, 1, 0, 0], np.uint32) for i, k in enumerate("ugb")}
    u, g, b = sg.compile(outs, params=params, target="interp")()
    assert u.min() >= -1
    assert u.max() < 3
    np.testing.assert_allclose([u.mean(), u.std()], [1, 4 / 12**0.5], atol=0.03)
    np.testing.assert_allclose([g.mean(), g.std()], [2, 0.5], atol=0.02)
    np.testing.assert_allclose(b.mean(), 0.3, atol=0.02)
    assert abs(np.corrcoef(g[::2], g[1::2])[0, 1]) < 0.02


def test_dropout_in_training_and_at_inference() -> None:
    x = sg.var("x", ("N", 50))
    y = sg.dropout(x, 0.25, name="drop")
    array = np.ones((40, 50), np.float32)
    infer = sg.compile(y, target="interp")
    assert infer.inputs == ("x",)
    np.testing.assert_array_equal(infer(x=array), array)
    g = sg.gradients(y, x, sg.var("g", ("N", 50)))
    train = sg.compile([y, g], params={"drop_state": KEY}, target="interp", training=True)
    out, gradient = train(x=array, g=array)
    np.testing.assert_array_equal(out, gradient)
    assert set(np.unique(out)) == {np.float32(0), np.float32(4 / 3)}
    assert abs((out == 0).mean() - 0.25) < 0.05
    again, _ = train(x=array, g=array)
    assert (again != out).any()
    assert list(train.parameters["drop_state"]) == [7, 11, 1000, 0]


def test_wrong_attributes() -> None:
    with pytest.raises(AttributeValueError, match=r"rate must be in \[0, 1\), got 1.0"):
        sg.dropout(sg.var("x", (3,)), 1.0)
    with pytest.raises(AttributeValueError, match=r"p must be in \[0, 1\], got 2.0"):
        sg.random_bernoulli((3,), 2.0)
    with pytest.raises(AttributeValueError, match="shape must be known, got \\(None,\\)"):
        sg.random_normal((None,))
