"""Kernels that follow each other, as one over blocks."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.kernel.ir import Alloc
from symgraph.kernel.rewrite import statements

WITHOUT = ("fuse_over_blocks",)


def image(channels: int, rows: int, columns: int, dtype: str = "float32") -> sg.Symbol:
    return sg.var("x", ("N", channels, rows, columns), dtype)


def pooled(dtype: str = "float32") -> sg.Symbol:
    """Windows that overlap, over a border that is not theirs."""
    h = sg.relu(sg.conv2d(image(3, 67, 58, dtype), 20, kernel_size=5, padding=2, stride=1))
    return sg.max_pool2d(h, 3, 2, padding=1)


def separable() -> sg.Symbol:
    h = sg.relu(sg.conv2d(image(8, 66, 58), 48, kernel_size=1))
    h = sg.relu(sg.conv2d(h, 48, kernel_size=3, padding=1, groups=48))
    return sg.conv2d(h, 24, kernel_size=1)


def tiles() -> sg.Symbol:
    """Large enough for another form of the second convolution."""
    h = sg.relu(sg.conv2d(image(3, 112, 112), 32, kernel_size=3, padding=1))
    return sg.max_pool2d(sg.relu(sg.conv2d(h, 64, kernel_size=3, padding=1)), 2)


def alike() -> sg.Symbol:
    """Layers of one kernel in one chain, each with weights of its own."""
    h = sg.var("x", ("N", 3, 512), "float32")
    for number, channels in enumerate((64, 64, 64, 128, 1024)):
        h = sg.relu(sg.conv1d(h, channels, kernel_size=1, name=f"layer{number}"))
    return sg.max(h, axis=2)


def compiled(net: sg.Symbol, batch: int | str = 1, **options: object) -> sg.compiler.Executable:
    (x,) = (v for v in net.variables if v.name == "x")
    shapes = {"x": (batch, *x.shape[1:])}
    params = sg.init(net, seed=1, shapes={"x": (2, *x.shape[1:])})
    dtype = x.dtype.name
    params = {n: np.asarray(p, dtype) for n, p in params.items()}
    return sg.compile(net, params=params, shapes=shapes, **options)


def steps(f: sg.compiler.Executable) -> list[str]:
    return [s.label for s in f.program.timeline]


def given(f: sg.compiler.Executable, batch: int) -> np.ndarray:
    type = f.program.inputs[0].type
    shape = (batch, *(int(n) for n in type.shape[1:]))
    return np.random.default_rng(3).uniform(-1, 1, shape).astype(type.dtype.name)


@pytest.mark.parametrize("net", [pooled, separable, tiles])
def test_the_same_bits_in_fewer_steps_and_less_memory(net) -> None:
    blocks, apart = compiled(net(), verify=2), compiled(net(), disable=WITHOUT)
    assert len(steps(blocks)) < len(steps(apart))
    assert any(" + " in label for label in steps(blocks))
    one, two = blocks.memory_report(), apart.memory_report()
    assert one.planned + one.scratch < two.planned + two.scratch
    x = given(blocks, 1)
    np.testing.assert_array_equal(blocks(x), apart(x))


def test_layers_that_share_one_kernel() -> None:
    blocks, apart = compiled(alike(), 8), compiled(alike(), 8, disable=WITHOUT)
    assert any("relu1 + relu2" in label for label in steps(blocks))
    x = given(blocks, 8)
    np.testing.assert_array_equal(blocks(x), apart(x))


def test_as_the_interpreter() -> None:
    f, truth = compiled(pooled()), compiled(pooled(), target="interp", algorithms="direct")
    x = given(f, 1)
    np.testing.assert_allclose(f(x), truth(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_no_bit(threads: int) -> None:
    f, apart = compiled(separable(), threads=threads), compiled(separable(), disable=WITHOUT)
    x = given(f, 1)
    np.testing.assert_array_equal(f(x), apart(x))


def test_an_open_batch() -> None:
    f, apart = compiled(pooled(), "N"), compiled(pooled(), "N", disable=WITHOUT)
    assert any(" + " in label for label in steps(f))
    for batch in (1, 3, 0):
        x = given(f, batch)
        np.testing.assert_array_equal(f(x), apart(x))


def test_doubles() -> None:
    f, apart = compiled(pooled("float64")), compiled(pooled("float64"), disable=WITHOUT)
    assert any(" + " in label for label in steps(f))
    x = given(f, 1)
    np.testing.assert_array_equal(f(x), apart(x))


def test_strict_keeps_its_bits() -> None:
    f = compiled(separable(), strict=True)
    apart = compiled(separable(), strict=True, disable=WITHOUT)
    x = given(f, 1)
    np.testing.assert_array_equal(f(x), apart(x))


def test_what_others_read_is_stored_whole() -> None:
    h = sg.relu(sg.conv2d(image(3, 67, 58), 20, kernel_size=5, padding=2, name="conv"))
    f = compiled(sg.group([sg.max_pool2d(h, 2), h]))
    assert not any(" + " in label for label in steps(f) if "pool" in label)


def test_small_intermediates_stay_as_they_are() -> None:
    h = sg.relu(sg.conv2d(image(3, 9, 11), 16, kernel_size=3))
    f = compiled(sg.max_pool2d(h, 2))
    assert not any(" + " in label for label in steps(f))


def test_small_intermediates_of_open_rows_stay_as_they_are() -> None:
    """A few rows would wait for a block of many."""
    x = sg.var("x", ("N", 20), "float32")
    f = compiled(sg.linear(sg.relu(sg.linear(x, 30)), 10), "N")
    assert len(steps(f)) == 2


def test_level_one_keeps_kernels_apart() -> None:
    assert not any(" + " in label for label in steps(compiled(pooled(), level=1)))


def test_a_profile_names_and_counts_all_of_it() -> None:
    f = compiled(pooled(), profile=True, algorithms="direct")
    apart = compiled(pooled(), profile=True, algorithms="direct", disable=WITHOUT)
    x = given(f, 1)
    many, few = apart.profile(x, repeat=1), f.profile(x, repeat=1)
    assert sum(s.flops for s in few) == sum(s.flops for s in many)
    named = [n for s in few for n in s.operators]
    assert sorted(named) == sorted(n for s in many for n in s.operators)


def attention(length: int, values: bool = False) -> sg.Symbol:
    """Heads beside each other, as linear layers leave them; the values are made in between."""
    q, k, v = (sg.var(name, (1, length, 6, 16), "float32") for name in "qkv")
    q, k, v = (sg.transpose(x, (0, 2, 1, 3)) for x in (q, k, sg.sigmoid(v) if values else v))
    return sg.transpose(sg.scaled_dot_product_attention(q, k, v), (0, 2, 1, 3))


def scores_of(f: sg.compiler.Executable) -> list[tuple[object, ...]]:
    """The shapes of what the only step keeps for one block, rows of scores."""
    (kernel,) = f.program.kernels
    return [
        s.buffer.shape
        for s in statements(kernel.body)
        if isinstance(s, Alloc) and s.buffer.scope == "local" and s.buffer.name == "multiply0"
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("length", [127, 197])
def test_attention_over_a_prime_number_of_rows(length: int, dtype: str) -> None:
    """Blocks of rows, the last one shorter; the same bits as kernels apart, on any threads."""
    q, k, v = (sg.var(name, (1, 6, length, 16), dtype) for name in "qkv")
    net = sg.scaled_dot_product_attention(q, k, v)
    f = sg.compile(net, verify=2, threads=1)
    ((*heads, rows, _),) = scores_of(f)
    assert set(heads) == {1}
    assert rows < length
    rng = np.random.default_rng(length)
    given = [rng.normal(size=(1, 6, length, 16)).astype(dtype) for _ in "qkv"]
    got = f(*given)
    np.testing.assert_array_equal(got, sg.compile(net, disable=WITHOUT)(*given))
    np.testing.assert_array_equal(got, f.with_threads(2)(*given))
    np.testing.assert_array_equal(got, f.with_threads(3)(*given))
    truth = sg.compile(net, target="interp")(*given)
    np.testing.assert_allclose(got, truth, rtol=1e-5, atol=1e-6)
    report = f.memory_report()
    assert report.planned + report.scratch < 6 * length * length * np.dtype(dtype).itemsize


def test_attention_over_an_open_number_of_rows() -> None:
    """One program for every length, one plan that tells its bytes in closed form."""
    q, k, v = (sg.var(name, (1, 6, "T", 16), "float32") for name in "qkv")
    net = sg.scaled_dot_product_attention(q, k, v)
    f = sg.compile(net, verify=2, threads=1)
    assert len(scores_of(f)) == 1
    assert not any("T*T" in str(extent) for extent in scores_of(f)[0])
    rng = np.random.default_rng(2)
    for length in (0, 1, 5, 31, 32, 64, 131):
        given = [rng.normal(size=(1, 6, length, 16)).astype(np.float32) for _ in "qkv"]
        got = f(*given)
        np.testing.assert_array_equal(got, f.with_threads(2)(*given))
        truth = sg.compile(net, target="interp")(*given)
        np.testing.assert_allclose(got, truth, rtol=1e-5, atol=1e-6)
    small, large = (f.memory_report(T=n).scratch for n in (256, 1024))
    assert small < large < 8 * small
    assert large < 6 * 1024 * 1024 * 4


@pytest.mark.parametrize("kind", ["causal", "mask", "bias", "cross"])
@pytest.mark.parametrize("rows", [131, "T"])
def test_attention_with_masks_over_blocks(kind: str, rows: int | str) -> None:
    length = 131
    keys: int | str = 97 if kind == "cross" else rows
    q = sg.var("q", (1, 6, rows, 16), "float32")
    k, v = (sg.var(name, (1, 6, keys, 16), "float32") for name in "kv")
    rng = np.random.default_rng(9)
    count = 97 if kind == "cross" else length
    given = {"q": rng.normal(size=(1, 6, length, 16)).astype(np.float32)}
    given |= {name: rng.normal(size=(1, 6, count, 16)).astype(np.float32) for name in "kv"}
    more = []
    if kind == "mask":
        more = [sg.var("m", (rows, keys), "bool")]
        given["m"] = rng.uniform(size=(length, count)) < 0.7
        given["m"][:, 0] = True
    elif kind == "bias":
        more = [sg.var("m", (rows, keys), "float32")]
        given["m"] = rng.normal(size=(length, count)).astype(np.float32)
    net = sg.scaled_dot_product_attention(q, k, v, *more, is_causal=kind == "causal")
    f = sg.compile(net, verify=2, threads=2)
    assert len(steps(f)) == 1
    truth = sg.compile(net, target="interp")(**given)
    np.testing.assert_allclose(f(**given), truth, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("values", [False, True])
def test_attention_keeps_a_block_of_rows_of_its_scores(values: bool) -> None:
    """Scores lie in one place before and after their exponentials; what is made between the
    kernels of the chain is made before them."""
    net = attention(180, values)
    blocks = sg.compile(net, verify=2, threads=2)
    apart = sg.compile(net, disable=WITHOUT)
    (kernel,) = (k for k in blocks.program.kernels if k.over_blocks)
    scores = [
        s.buffer
        for s in statements(kernel.body)
        if isinstance(s, Alloc)
        and s.buffer.scope == "local"
        and s.buffer.shape[-1] == 192
        and s.buffer.ndim > 1
    ]
    assert len(scores) == 1
    assert len(steps(blocks)) == (2 if values else 1)
    report = blocks.memory_report()
    assert report.planned + report.scratch < 6 * 180 * 180 * 4
    rng = np.random.default_rng(5)
    given = [rng.normal(size=(1, 180, 6, 16)).astype(np.float32) for _ in "qkv"]
    np.testing.assert_array_equal(blocks(*given), apart(*given))
    truth = sg.compile(net, target="interp")(*given)
    np.testing.assert_allclose(blocks(*given), truth, rtol=1e-5, atol=1e-6)


def test_which_operand_a_kernel_reads_is_part_of_the_choice() -> None:
    """Two chains of equal kernels; only in the first is a block of rows enough for the last."""
    n = 256
    a, d = (sg.var(name, (2, n, 16), "float32") for name in "ad")
    b, c = sg.var("b", (2, 16, n), "float32"), sg.var("c", (2, n, n), "float32")
    left = sg.matmul(sg.softmax(sg.matmul(a, b)), c, name="left")
    right = sg.matmul(c, sg.softmax(sg.matmul(d, b)), name="right")
    alone, after = sg.compile(right), sg.compile(sg.group(left, right))
    assert steps(alone)[-1] == "right"
    assert steps(after)[-1] == "right"
    assert any(k.over_blocks for k in after.program.kernels)


def test_constants_that_blocks_read_in_parts_are_packed_ahead() -> None:
    """The outputs of a product are cut into blocks: nothing is packed when it runs."""
    h = sg.relu(sg.conv2d(image(32, 24, 22), 48, kernel_size=3, padding=1))
    f = compiled(
        sg.conv2d(h, 64, kernel_size=3, padding=1), "N", cpu="x86-64", algorithms="fast", verify=2
    )
    (kernel,) = (k for k in f.program.kernels if k.over_blocks and k.packings)
    local = {s.buffer.name for s in statements(kernel.body) if isinstance(s, Alloc)}
    assert not any("weights" in name for name in local)
    x = given(f, 2)
    apart = compiled(
        sg.conv2d(h, 64, kernel_size=3, padding=1), "N", cpu="x86-64", algorithms="fast",
        disable=WITHOUT,
    )  # fmt: skip
    np.testing.assert_allclose(f(x), apart(x), rtol=1e-5, atol=1e-5)
