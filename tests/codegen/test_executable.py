"""Calling an executable: names, positions, open extents, out=, every wrong input, threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.target import find_target, target_names
from symgraph.errors import InputError, ShapeError, TargetError


def usable(name: str) -> bool:
    return find_target(name).available() is None


TARGETS = [n for n in target_names() if usable(n)]


@pytest.fixture(params=TARGETS, scope="module")
def model(request):
    x, y = sg.var("x", ("N", 3)), sg.var("y", ("N", 5))
    w = sg.parameter("w", (3, 5), init=sg.initializers.Normal())
    return sg.compile(x @ w + y, params={"w": W}, target=request.param, name="model")


RNG = np.random.default_rng(0)
W = RNG.normal(size=(3, 5)).astype(np.float32)


def inputs(n: int):
    return (
        RNG.normal(size=(n, 3)).astype(np.float32),
        RNG.normal(size=(n, 5)).astype(np.float32),
    )


@pytest.mark.parametrize("n", [0, 1, 2, 17])
def test_one_executable_serves_every_extent(model, n: int) -> None:
    x, y = inputs(n)
    for result in (model(x, y), model(y=y, x=x), model(x, y=y)):
        assert result.shape == (n, 5)
        np.testing.assert_allclose(result, x @ W + y, rtol=1e-5, atol=1e-6)


def test_out_receives_the_result(model) -> None:
    x, y = inputs(7)
    out = np.empty((7, 5), np.float32)
    assert model(x, y, out=out) is out
    np.testing.assert_allclose(out, x @ W + y, rtol=1e-5, atol=1e-6)


def test_lists_and_strided_arrays_are_taken(model) -> None:
    x, y = inputs(4)
    wide = np.zeros((4, 6), np.float32)
    wide[:, ::2] = x
    np.testing.assert_array_equal(model(wide[:, ::2], y), model(x, y))
    np.testing.assert_array_equal(model(x.tolist(), y.tolist()), model(x, y))


X, Y = inputs(4)
MISTAKES = {
    "unknown": (lambda f: f(X, Y, z=X), "there is no input 'z'; the inputs are x, y"),
    "missing": (lambda f: f(X), "missing input y: pass it, or give it as params= when compiling"),
    "twice": (lambda f: f(X, Y, x=X), "input 'x' is given twice"),
    "too many": (lambda f: f(X, Y, Y), r"takes 2 inputs \(x, y\), got 3 positional ones"),
    "dtype": (
        lambda f: f(X.astype(np.float64), Y),
        r"input 'x' must have dtype float32, got float64; convert it with \.astype\('float32'\)",
    ),
    "rank": (lambda f: f(X[0], Y), r"input 'x' must have 2 axes \[N,3\], got 1 \(3,\)"),
    "extent": (
        lambda f: f(np.zeros((4, 9), np.float32), Y),
        r"input 'x' axis 1 must be 3, got 9: need \[N,3\], got \(4, 9\)",
    ),
    "open extents that disagree": (
        lambda f: f(X, Y[:3]),
        r"input 'y' axis 0 must be 4 \(N = 4 from x\.shape\[0\]\), got 3",
    ),
    "out shape": (lambda f: f(X, Y, out=np.empty((3, 5), np.float32)), "out= for 'add0' must be"),
    "out dtype": (lambda f: f(X, Y, out=np.empty((4, 5))), "out= for 'add0' must be a float32"),
    "out count": (lambda f: f(X, Y, out=[X, Y]), "out= needs 1 arrays, got 2"),
    "text": (lambda f: f("abc", Y), "input 'x' must have dtype float32"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_call_is_explained(model, mistake: str) -> None:
    call, message = MISTAKES[mistake]
    with pytest.raises(InputError, match=message):
        call(model)


def test_many_threads_get_their_own_results(model) -> None:
    failures = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for n in (1, 3, 33):
            x = rng.normal(size=(n, 3)).astype(np.float32)
            y = rng.normal(size=(n, 5)).astype(np.float32)
            if not np.allclose(model(x, y), x @ W + y, rtol=1e-4, atol=1e-5):
                failures.append((seed, n))

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_several_outputs_and_names() -> None:
    x = sg.var("x", (2, 3))
    f = sg.compile([-x, x + 1.0], target="interp")
    assert f.outputs == ("negative0", "add0")
    minus, plus = f(np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(minus + plus, np.ones((2, 3)))


def test_an_output_may_be_an_input() -> None:
    x = sg.var("x", (2, 3))
    f = sg.compile([x, x], target="interp")
    a = np.ones((2, 3), np.float32)
    first, second = f(a)
    assert first is not a
    assert first is not second
    np.testing.assert_array_equal(first, a)


def test_targets_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by every compilation."""
    x = sg.var("x", (2, 3))
    sg.compile(-x, target="interp")
    monkeypatch.setattr("pkgutil.iter_modules", lambda *_: pytest.fail("looked for again"))
    sg.compile(-x, target="interp")


def test_unknown_targets_and_parameters_are_named() -> None:
    x = sg.var("x", (2, 3))
    with pytest.raises(TargetError, match="unknown target 'quantum'; known are"):
        sg.compile(-x, target="quantum")
    with pytest.raises(InputError, match="params has 'q', but the graph has no such variable"):
        sg.compile(-x, params={"q": 1.0}, target="interp")


def test_what_only_a_call_can_decide_is_checked_at_the_call() -> None:
    x = sg.var("x", (2, "H"))
    f = sg.compile(sg.max_pool1d(sg.reshape(x, (1, 2, -1)), 4, 1), target="interp")
    assert f(np.zeros((2, 9), np.float32)).shape == (1, 2, 6)
    with pytest.raises(InputError, match=r"would .* for H=1"):
        f(np.zeros((2, 1), np.float32))


def test_equations_among_open_extents_are_checked_at_the_call() -> None:
    x = sg.var("x", ("N", "M"))
    f = sg.compile(sg.linear(sg.reshape(x, (-1, 4)), 4, W4, use_bias=False), target="interp")
    assert f(np.zeros((2, 6), np.float32)).shape == (3, 4)


W4 = sg.constant(np.eye(4, dtype=np.float32))


def test_an_extent_that_no_input_tells_is_named() -> None:
    y = sg.reshape(sg.var("x", ("N", 6)), ("T", "M"))
    with pytest.raises(ShapeError) as caught:
        sg.compile(y, target="interp")
    lines = str(caught.value).splitlines()
    assert lines[0] in (
        "the extent T follows from no input:",
        "the extent M follows from no input:",
    )
    assert lines[1].startswith("  reshape0: f32[T,M]  declared at test_executable.py:")
    assert lines[2] == "  name it in the shape of an input, or give a number for it"


def test_extents_that_stand_in_a_sum_or_product_are_solved_for():
    (l, m) = (sg.DimVar("L"), sg.DimVar("M"))
    a, b = sg.var("a", (3, l + 4 * m)), sg.var("b", (2 * l + 1,))
    f = sg.compile(sg.sum(a) + sg.sum(b))
    assert f(a=np.ones((3, 11), np.float32), b=np.ones(7, np.float32)) == 40
    with pytest.raises(InputError, match=r"'b' axis 0 must be 2\*L\+1 for some L >= 0, got 8"):
        f(a=np.ones((3, 11), np.float32), b=np.ones(8, np.float32))
    with pytest.raises(InputError, match=r"'a' axis 1 must be L\+4\*M for some M >= 0, got 2"):
        f(a=np.ones((3, 2), np.float32), b=np.ones(7, np.float32))


def test_an_extent_that_no_shape_tells():
    f = sg.compile(sg.var("x", (sg.DimVar("L") // 2,)) * 2.0)
    with pytest.raises(InputError, match=r"the extent L does not follow from the shapes"):
        f(np.ones(3, np.float32))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: f(sg.var("x", (2, 3)), inputs(2)[1]), "'x' must be an array of float32 with 2"),
        (
            lambda f: f([[1, 2, 3], [1]], inputs(2)[1]),
            "'x' must be an array of float32 with 2 axes",
        ),
        (lambda f: f.bind(3, None), "bind: inputs must be a mapping, got int 3"),
        (lambda f: f.with_threads("a"), "with_threads: threads must be an int, got str 'a'"),
        (lambda f: f.memory_report(N="a"), "memory_report: extents must be an int, got str 'a'"),
    ],
)
def test_what_is_no_array_and_no_number(model, call, message):
    with pytest.raises(InputError, match=message):
        call(model)
