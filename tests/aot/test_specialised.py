"""Versions for listed sizes of open extents, behind the same function."""

from __future__ import annotations

import pytest

import symgraph as sg
from symgraph.cli import main
from symgraph.errors import TargetError

from .c_program import build, main_text, needs_cc, run
from .models import batch, convolution, perceptron

SHAPES = {perceptron: (7,), convolution: (2, 17, 13)}


@pytest.mark.parametrize("model", [perceptron, convolution])
def test_listed_sizes_give_the_bits_of_their_own_compile(model, tmp_path):
    y, params = model()
    artifact = sg.export(
        y, tmp_path / "net", params=params, target="native", specialise={"N": (1, 8)}
    )
    loaded = sg.load(artifact.files["o"], threads=1)
    open_ = sg.compile(y, params=params, threads=1)
    for n in (0, 1, 2, 8, 9, 17):
        x = batch(n, SHAPES[model])
        fixed = sg.compile(y, params=params, shapes={"x": x.shape}, threads=1)
        want = fixed(x=x) if n in (1, 8) else open_(x=x)
        assert loaded(x).tobytes() == want.tobytes(), n
    assert artifact.description["machine"]["specialised"] == [{"N": 1}, {"N": 8}]


def test_strict_sizes_give_the_bits_of_the_open_version(tmp_path):
    y, params = convolution()
    artifact = sg.export(
        y, tmp_path / "net", params=params, target="native", specialise={"N": (1, 8)}, strict=True
    )
    loaded = sg.load(artifact.files["o"], threads=1)
    open_ = sg.compile(y, params=params, threads=1, strict=True)
    for n in (0, 1, 2, 8, 9):
        x = batch(n, (2, 17, 13))
        assert loaded(x).tobytes() == open_(x=x).tobytes()


@needs_cc
def test_sizes_and_levels_together_in_a_c_program(tmp_path):
    y, params = perceptron()
    cpus = ("x86-64", "x86-64-v3")
    try:
        artifact = sg.export(
            y, tmp_path / "net", params=params, cpu=cpus, specialise={"N": (1, 4)}, strict=True
        )
        program = build(artifact, main_text(artifact))
    except AssertionError as error:
        pytest.skip(f"needs an x86-64 compiler: {error}")
    expected = sg.compile(y, params=params, strict=True, threads=1)
    for n in (0, 1, 3, 4):
        x = batch(n, (7,))
        assert run(program, x, (n, 5)).tobytes() == expected(x=x).tobytes()


def test_mistakes(tmp_path, capsys):
    y, params = perceptron()
    with pytest.raises(TargetError, match="no open extent 'T' to specialise; the open ones are N"):
        sg.export(y, tmp_path / "net", params=params, specialise={"T": (1,)})
    assert main(["compile", "lenet5", "-o", str(tmp_path), "--specialise", "N=1,x"]) == 2
    assert "--specialise: need NAME=SIZES such as N=1,32" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
