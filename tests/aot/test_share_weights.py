"""Versions for several processors and sizes: the bits of their own compiles, weights once."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.platform import X86_LEVELS
from symgraph.errors import FormatError

from .models import batch

CPUS = ("x86-64", "x86-64-v3", "x86-64-v4")
SIZES = (1, 8)

pytestmark = pytest.mark.skipif(
    not machine(None).triple.startswith("x86_64"), reason="needs an x86-64 processor"
)


def blocked() -> tuple[sg.Symbol, tuple[int, ...]]:
    """Channels in blocks of 16, of 8 and in none; in groups; kernels of one element."""
    x = sg.var("x", ("N", 3, 11, 9))
    h = sg.relu(sg.conv2d(x, 32, kernel_size=3, name="first"))
    h = sg.relu(sg.conv2d(h, 48, kernel_size=3, name="second"))
    h = sg.relu(sg.conv2d(h, 48, kernel_size=3, groups=48, name="depthwise"))
    h = sg.conv2d(h, 64, kernel_size=1, name="pointwise")
    h = sg.conv2d(sg.conv2d(h, 24, kernel_size=1, name="odd"), 6, kernel_size=1, groups=2)
    return sg.linear(sg.flatten(h), 21, name="fc"), (3, 11, 9)


def perceptron() -> tuple[sg.Symbol, tuple[int, ...]]:
    x = sg.var("x", ("N", 50))
    h = sg.relu(sg.linear(x, 130, name="fc1"))
    return sg.linear(h, 77, name="fc2"), (50,)


def double() -> tuple[sg.Symbol, tuple[int, ...]]:
    x = sg.var("x", ("N", 19), "float64")
    return sg.linear(sg.linear(x, 45, name="fc1"), 33, name="fc2"), (19,)


def winograd() -> tuple[sg.Symbol, tuple[int, ...]]:
    """Transformed weights: [4, 4, o, c] in blocks of 16, of 8 and in none, seen as [16, ...]."""
    x = sg.var("x", ("N", 32, 24, 22))
    h = sg.relu(sg.conv2d(x, 48, kernel_size=3, padding=1, name="first"))
    return sg.conv2d(h, 64, kernel_size=3, padding=1, name="second"), (32, 24, 22)


def bits(model, x):
    return model(x).tobytes()


def has(cpu: str) -> bool:
    return set(X86_LEVELS[cpu]) <= set(machine(None).features)


MODELS = [(model, "accurate", SIZES) for model in (blocked, perceptron, double)]
TRANSFORMED = [(winograd, algorithms, (8,)) for algorithms in ("accurate", "fast")]


@pytest.mark.parametrize(("model", "algorithms", "sizes"), [*MODELS, *TRANSFORMED])
def test_the_bits_of_each_compile(model, algorithms, sizes, tmp_path):
    y, shape = model()
    params = sg.init(y, seed=5)
    same = {"params": params, "algorithms": algorithms}
    artifact = sg.export(y, tmp_path / "net", cpu=CPUS, specialise={"N": sizes}, **same)
    for cpu in (c for c in CPUS if has(c)):
        shipped = sg.load(artifact.files["o"], cpu=cpu, threads=1)
        open_ = sg.compile(y, cpu=cpu, threads=1, **same)
        for n in (0, 1, 2, 8, 13):
            x = batch(n, shape).astype(np.float64 if model is double else np.float32)
            own = open_
            if n in sizes:
                own = sg.compile(y, cpu=cpu, threads=1, shapes={"x": x.shape}, **same)
            assert bits(shipped, x) == bits(own, x), (cpu, n)


def test_weights_are_carried_once(tmp_path):
    """Panels of other widths and blocks of other sizes are read from those of the first version."""
    y, _ = blocked()
    params = sg.init(y, seed=5)
    nbytes = sum(array.nbytes for array in params.values())
    # Another algorithm has weights of its own.
    same = {"params": params, "disable": ("choose_algorithms",)}
    fat = sg.export(y, tmp_path / "fat", cpu=CPUS, **same)
    sizes = [sg.export(y, tmp_path / cpu, cpu=cpu, **same).signature.weights_nbytes for cpu in CPUS]
    # Small biases are padded to lines, panels to whole ones; 24 channels are one block in one
    # version and three in another, and stay in both forms.
    twice = params["odd_weight"].nbytes
    assert nbytes < fat.signature.weights_nbytes < max(sizes) * 1.02 + twice
    assert fat.signature.weights_nbytes < nbytes * 1.25


def test_transformed_weights_are_carried_once(tmp_path):
    y, _ = winograd()
    params = sg.init(y, seed=5)
    # A kernel over blocks reads panels of a part of the channels: the parts are counted apart.
    same = {"params": params, "algorithms": "fast"}
    fat = sg.export(y, tmp_path / "fat", cpu=CPUS, **same)
    sizes = [sg.export(y, tmp_path / cpu, cpu=cpu, **same).signature.weights_nbytes for cpu in CPUS]
    assert min(sizes) > 1.5 * sum(array.nbytes for array in params.values())
    assert fat.signature.weights_nbytes < max(sizes) * 1.02


def test_other_levels_share_a_weights_file(tmp_path):
    y, shape = perceptron()
    params = sg.init(y, seed=5)
    fat = sg.export(
        y, tmp_path / "net", params=params, cpu=CPUS, weights="file", specialise={"N": (1,)}
    )
    x = batch(7, shape)
    for cpu in (c for c in CPUS if has(c)):
        own = sg.compile(y, params=params, cpu=cpu, threads=1)
        assert bits(sg.load(fat.files["o"], cpu=cpu, threads=1), x) == bits(own, x)
    alone = sg.export(y, tmp_path / "alone", params=params, cpu="x86-64", weights="file")
    with pytest.raises(FormatError, match="the weights of another model"):
        sg.load(fat.files["o"], weights=alone.files["weights"])


def test_the_closing_table_tells_what_is_carried_twice(tmp_path):
    """24 channels in one block and in three."""
    y, _ = blocked()
    params = sg.init(y, seed=5)
    fat = sg.export(y, tmp_path / "fat", params=params, cpu=CPUS, disable=("choose_algorithms",))
    other = fat.description["weights"]["other_forms"]
    assert params["odd_weight"].nbytes <= other < params["odd_weight"].nbytes + 4096
    assert f"{other:,} of them in a second form" in str(fat)
    one = sg.export(y, tmp_path / "one", params=params, cpu="x86-64-v3")
    assert one.description["weights"]["other_forms"] == 0 and "second form" not in str(one)
