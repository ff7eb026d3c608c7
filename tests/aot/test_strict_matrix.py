"""The strict matrix: kinds of operators times everything that must not change a bit.

Each model takes x [N, ...] of float32 and gives one array of float32, so that one C program and one
script serve all of them; inside it computes in its own type.  What every place must give is the
hash of one call on this machine.
"""

from __future__ import annotations

import functools
import hashlib
import shutil
from collections.abc import Callable

import numpy as np
import pytest

import symgraph as sg

from .c_program import CC, FLAGS, build, main_text, run
from .models import batch
from .test_foreign_programs import PROCESSORS
from .test_share_weights import has
from .web_program import webassembly

WIDTH = 21
Model = Callable[[sg.Symbol], sg.Symbol]


def transcendental(x: sg.Symbol) -> sg.Symbol:
    """Every function that a processor might round in its own way."""
    p = sg.abs(x) + 0.25
    u = sg.tanh(x) * 0.99
    parts = [
        sg.exp(x), sg.exp2(x), sg.expm1(x), sg.log(p), sg.log1p(p), sg.log2(p), sg.log10(p),
        sg.sin(x * 9), sg.cos(x * 9), sg.tan(x), sg.asin(u), sg.acos(u), sg.atan(x),
        sg.atan2(x, p), sg.sinh(x), sg.cosh(x), sg.tanh(x), sg.sigmoid(x), sg.erf(x), sg.sqrt(p),
        sg.rsqrt(p), sg.power(p, x), sg.gelu(x), sg.softplus(x), sg.mish(x),
    ]  # fmt: skip
    return sg.stack(parts, axis=1)


def reductions(x: sg.Symbol) -> sg.Symbol:
    """Sums of odd lengths, running and normalised ones."""
    m = x[:, :20].reshape((-1, 4, 5))
    scalars = [
        sg.sum(x, axis=1), sg.mean(x, axis=1), sg.prod(x, axis=1), sg.max(x, axis=1),
        sg.variance(x, axis=1), sg.std(x, axis=1), sg.logsumexp(x, axis=1),
        sg.sum(sg.sum(m * m, axis=2), axis=1), sg.norm(x, axis=1),
    ]  # fmt: skip
    rows = [sg.cumsum(x, axis=1), sg.softmax(x), sg.log_softmax(x)]
    return sg.concat([sg.stack(scalars, axis=1), *rows], axis=1)


def scan(x: sg.Symbol) -> sg.Symbol:
    """A recurrence with constant weights, and one of the user's own."""
    steps = x[:, :20].reshape((-1, 5, 4))
    weights = [
        sg.constant(np.random.default_rng(n).normal(size=shape).astype(np.float32) * 0.3)
        for n, shape in enumerate([(36, 4), (36, 9), (36,)])
    ]
    h = c = sg.zeros_like(x[:, :9])
    for t in range(2):
        h, c = sg.lstm_cell(steps[:, t], h, c, 9, *weights)
    y, _ = sg.lstm(steps, 7, name="lstm")
    return sg.concat([h, c, sg.flatten(y)], axis=1)


def random(x: sg.Symbol) -> sg.Symbol:
    """Counter-based numbers, whose state the input tells, so that nothing is folded."""
    state = sg.cast(sg.abs(x[0, :4]) * 1e6, "uint32")
    parts = [
        sg.random_normal((3, 7), state=state), sg.random_uniform((3, 7), low=-2, state=state),
        sg.random_bernoulli((3, 7), 0.3, state=state),
    ]  # fmt: skip
    noise = sg.concat([p.reshape((1, 21)) for p in parts], axis=0)
    return sg.expand_dims(x, 1) + sg.expand_dims(noise, 0)


def narrow(dtype: str) -> Model:
    """A network in a type that some processors convert by hand."""

    def model(x: sg.Symbol) -> sg.Symbol:
        h = sg.linear(sg.cast(x[:, :9], dtype), 5, name="fc")
        return sg.cast(sg.softmax(sg.tanh(h)), "float32")

    return model


MODELS: dict[str, Model] = {
    "transcendental": transcendental,
    "reductions": reductions,
    "scan": scan,
    "random": random,
    "float16": narrow("float16"),
    "bfloat16": narrow("bfloat16"),
    "float64": narrow("float64"),
}


@functools.cache
def network(name: str) -> tuple[sg.Symbol, dict[str, np.ndarray]]:
    y = MODELS[name](sg.var("x", ("N", WIDTH)))
    return y, sg.init(y, seed=5)


def inputs(count: int = 5) -> np.ndarray:
    """Ordinary numbers, with zeros, tiny and large ones among them."""
    x = batch(count, (WIDTH,))
    x[0, 5:9] = [0.0, -0.0, 1e-39, 60.0]
    return x


@functools.cache
def expected(name: str) -> tuple[tuple[int, ...], str]:
    y, params = network(name)
    result = sg.compile(y, params=params, strict=True, threads=1)(x=inputs())
    assert not np.isnan(result).any()
    return result.shape, digest(result)


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@pytest.mark.parametrize("name", MODELS)
def test_levels_threads_and_splits(name):
    y, params = network(name)
    _, want = expected(name)
    x = inputs()
    for cpu in (c for c in ("x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4") if has(c)):
        function = sg.compile(y, params=params, strict=True, cpu=cpu, threads=1)
        assert digest(function(x=x)) == want, cpu
    for threads in (2, 3):
        function = sg.compile(y, params=params, strict=True, threads=threads)
        assert digest(function(x=x)) == want, threads
    fixed = sg.compile(y, params=params, strict=True, shapes={"x": x.shape}, threads=1)
    assert digest(fixed(x=x)) == want
    for size in (1, 2, 3) if name != "random" else ():
        parts = [function(x=x[i : i + size]) for i in range(0, len(x), size)]
        assert digest(np.concatenate(parts)) == want, size


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("platform", [*PROCESSORS, "x86_64-linux"])
def test_the_shipped_object_on_every_processor(name, platform, tmp_path):
    """aarch64, riscv64 and armv7 in an emulator; x86-64 at each level of one object."""
    y, params = network(name)
    shape, want = expected(name)
    cpus = tuple(c for c in ("x86-64", "x86-64-v3", "x86-64-v4") if has(c))
    is_x86 = platform == "x86_64-linux"
    if is_x86 and (CC is None or len(cpus) < 2):
        pytest.skip("needs a C compiler and an x86-64 processor")
    compiler, emulator = (CC, None) if is_x86 else PROCESSORS[platform]
    for tool in (compiler, emulator):
        if tool is not None and shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    artifact = sg.export(y, tmp_path / "net", params=params, target=platform, strict=True,
                         cpu=cpus if is_x86 else None)  # fmt: skip
    text, x = main_text(artifact), inputs()
    for level in (1, 3, 4)[: len(cpus)] if is_x86 else (0,):
        forced = text.replace(
            "sg_context context = SG_CONTEXT(bytes);",
            f"sg_context context = SG_CONTEXT(bytes); context.flags = {level};",
        )
        assert forced != text
        flags = FLAGS if is_x86 else (*FLAGS, "-static")
        program = build(artifact, forced, compiler=compiler, flags=flags)
        launcher = () if emulator is None else (emulator,)
        assert digest(run(program, x, shape, *launcher)) == want, level


@pytest.mark.parametrize("name", MODELS)
def test_webassembly(name, tmp_path):
    y, params = network(name)
    shape, want = expected(name)
    program = webassembly(y, params, tmp_path, strict=True)
    assert digest(program(inputs(), shape)) == want
