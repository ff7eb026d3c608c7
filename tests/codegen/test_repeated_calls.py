"""Repeated calls take a short way; whatever does not fit it must act as a first call does."""

import gc
import threading

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm import native_call
from symgraph.errors import InputError


def row_sum(target="llvm"):
    x = sg.var("x", ("N", 5))
    b = sg.var("b", (5,))
    return sg.compile(sg.relu(x + b), target=target, threads=1, name="net")


def arrays(rows=3):
    rng = np.random.default_rng(rows)
    shape = (rows, 5)
    return rng.uniform(-1, 1, shape).astype(np.float32), rng.uniform(-1, 1, 5).astype(np.float32)


def big_product(threads):
    """Long enough for other Python threads to run meanwhile."""
    x, w = sg.var("x", ("N", 65)), sg.var("w", (65, 33))
    return sg.compile(sg.matmul(x, w), target="llvm", threads=threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_long_calls(threads):
    f = big_product(threads)
    rng = np.random.default_rng(5)
    for rows in (700, 500, 700, 700):
        x = rng.uniform(-1, 1, (rows, 65)).astype(np.float32)
        w = rng.uniform(-1, 1, (65, 33)).astype(np.float32)
        np.testing.assert_allclose(f(x, w), x @ w, rtol=1e-4, atol=1e-4)
        with pytest.raises(InputError, match="must have dtype"):
            f(x.astype(np.float64), w)


def chain(threads=1):
    """A long call whose results between kernels fill some KiB."""
    x, w = sg.var("x", (35, 65)), sg.var("w", (65, 65))
    hidden = sg.tanh(sg.matmul(x, w))
    return sg.compile(sg.matmul(sg.tanh(sg.matmul(hidden, w)), w), target="llvm", threads=threads)


def chained(x, w):
    return np.tanh(np.tanh(x @ w) @ w) @ w


def chain_arrays(seed):
    rng = np.random.default_rng(seed)
    return (rng.uniform(-1, 1, shape).astype(np.float32) for shape in ((35, 65), (65, 65)))


BUSY = 17
"""The word of the native function's table that says that its workspace is in use."""


def test_a_long_call_whose_workspace_is_in_use_takes_another():
    if not native_call.is_supported():
        pytest.skip("array objects are laid out in another way here")
    f = chain()
    x, w = chain_arrays(1)
    expected = f(x, w)
    np.testing.assert_allclose(expected, chained(x, w), rtol=1e-3, atol=1e-4)
    table = f._prepared.call.__self__
    idle = len(f._runner._idle)
    assert (f(x, w) == expected).all() and table[BUSY] == 0
    assert len(f._runner._idle) == idle
    own = f._runner._idle.pop()
    table[BUSY] = 1
    for _ in range(3):
        assert (f(x, w) == expected).all() and table[BUSY] == 1
    (taken,) = f._runner._idle
    assert taken is not own
    with pytest.raises(InputError, match="must have dtype"):
        f(x.astype(np.float64), w)
    table[BUSY] = 0
    assert (f(x, w) == expected).all()


def test_long_calls_of_many_threads_share_no_workspace():
    f = chain()
    wrong: list[int] = []

    def work(seed):
        x, w = chain_arrays(seed)
        expected = chained(x, w)
        out = np.empty((35, 65), np.float32)
        bound = f.bind({"x": x, "w": w}, out)
        for _ in range(200):
            found = f(x, w)
            bound()
            wrong.extend(seed for y in (found, out) if not np.allclose(y, expected, atol=1e-3))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.fixture(params=["native", "python"])
def way(request, monkeypatch):
    if request.param == "python":
        monkeypatch.setattr(native_call, "_method", lambda: None)
    elif not native_call.is_supported():
        pytest.skip("array objects are laid out in another way here")
    return request.param


def test_sizes_alternate(way):
    f = row_sum()
    for rows in (3, 3, 0, 17, 3, 1, 17, 17):
        x, b = arrays(rows)
        assert (f(x, b) == np.maximum(x + b, 0)).all()
        assert (f(b=b, x=x) == np.maximum(x + b, 0)).all()
        assert f(x, b=b).shape == (rows, 5)
    assert (f._prepared is not None) == (way == "native")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, b: (x.astype(np.float64), b), "must have dtype float32, got float64"),
        (lambda x, b: (x[0], b), "must have 2 axes"),
        (lambda x, b: (x, b[:4]), "axis 0 must be 5"),
        (lambda x, b: (x[:, :4], b), "axis 1 must be 5"),
        (lambda x, b: (x,), "missing input b"),
        (lambda x, b: (x, b, b), "takes 2 inputs"),
        (lambda x, b: (None, b), "input 'x'"),
    ],
)
def test_errors_come_after_good_calls_too(change, message, way):
    f = row_sum()
    x, b = arrays()
    for _ in range(2):
        f(x, b)
        with pytest.raises(InputError, match=message):
            f(*change(x, b))


def test_what_must_be_converted_is_converted(way):
    f = row_sum()
    x, b = arrays()
    expected = f(x, b)
    wide = np.repeat(x, 2, axis=1)
    assert (f(wide[:, ::2], b) == expected).all()
    assert (f(np.asfortranarray(x), b) == expected).all()
    assert (f(x.tolist(), b) == expected).all()
    swapped = x.astype(x.dtype.newbyteorder())
    with pytest.raises(InputError, match="must have dtype float32"):
        f(swapped, b)


def test_given_outputs(way):
    f = row_sum()
    x, b = arrays()
    expected, out = f(x, b), np.empty((3, 5), np.float32)
    for _ in range(2):
        out[...] = 7
        assert f(x, b, out=out) is out
        assert (out == expected).all()
    out.flags.writeable = False
    with pytest.raises(InputError, match="must be writeable"):
        f(x, b, out=out)
    with pytest.raises(InputError, match="out= for"):
        f(x, b, out=np.empty((4, 5), np.float32))
    with pytest.raises(InputError, match="out= needs 1 arrays, got 2"):
        f(x, b, out=(out, out))


def test_state_is_updated_in_place(way):
    x, s = sg.var("x", (5,)), sg.var("s", (5,))
    f = sg.compile(x * 2.0, updates={"s": s + x}, params={"s": np.zeros(5)}, training=True,
                   target="llvm", threads=1)  # fmt: skip
    given = np.arange(5, dtype=np.float32)
    for count in range(1, 4):
        assert (f(given) == given * 2).all()
        assert (f.parameters["s"] == count * given).all()


def test_bound_calls(way):
    f = row_sum()
    x, b = arrays()
    out = np.empty((3, 5), np.float32)
    call = f.bind({"x": x, "b": b}, out)
    for factor in (1, -3):
        x *= factor
        call()
        assert (out == np.maximum(x + b, 0)).all()
    with pytest.raises(InputError, match="bind needs input 'x' as a C-contiguous array"):
        f.bind({"x": np.asfortranarray(x), "b": b}, out)
    with pytest.raises(InputError, match="missing input b"):
        f.bind({"x": x}, out)


def test_bound_calls_outlive_the_executable(way):
    x, b = arrays()
    out = np.empty((3, 5), np.float32)
    call = row_sum().bind({"x": x, "b": b}, out)
    gc.collect()
    call()
    assert (out == np.maximum(x + b, 0)).all()


def test_bound_calls_without_a_short_way():
    f = row_sum("interp")
    x, b = arrays()
    out = np.empty((3, 5), np.float32)
    f.bind({"x": x, "b": b}, out)()
    assert (out == np.maximum(x + b, 0)).all()


def test_no_reference_is_lost_or_kept():
    """Counts of what the native function returns and takes stay as they are."""
    import sys

    f = row_sum()
    x, b = arrays()
    out = f(x, b)
    before = sys.getrefcount(x), sys.getrefcount(out), sys.getrefcount(NotImplemented)
    for _ in range(50):
        f(x, b, out=out)
        f(x[:2], b)
    after = sys.getrefcount(x), sys.getrefcount(out), sys.getrefcount(NotImplemented)
    assert abs(after[0] - before[0]) < 3
    assert abs(after[1] - before[1]) < 3
    assert abs(after[2] - before[2]) < 20


def test_many_threads_at_once():
    f = row_sum()
    wrong: list[int] = []

    def work(rows):
        x, b = arrays(rows)
        expected = np.maximum(x + b, 0)
        wrong.extend(rows for _ in range(100) if not (f(x, b) == expected).all())

    threads = [threading.Thread(target=work, args=(rows,)) for rows in (1, 3, 17, 33)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
