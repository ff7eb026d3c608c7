"""Every family's public functions are found under `symgraph`, and work as documented."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import ops
from symgraph.errors import InputError

FAMILIES = [m.name for m in pkgutil.iter_modules(ops.__path__) if m.name != "base"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_familys_functions_are_public(family: str) -> None:
    module = importlib.import_module(f"symgraph.ops.{family}")
    for name in getattr(module, "__all__", ()):
        assert inspect.unwrap(getattr(sg, name)) is inspect.unwrap(getattr(module, name)), name
        assert name in sg.__all__
        assert getattr(module, name).__doc__


def test_every_family_is_registered_by_importing_the_package() -> None:
    assert sorted(ops.__all__) == sorted(FAMILIES)


def _run(y: sg.Symbol, **arrays: np.ndarray) -> np.ndarray:
    return sg.compile(y, target="interp")(**arrays)


def test_sugar_agrees_with_numpy() -> None:
    array = np.arange(30, dtype=np.float32).reshape(2, 3, 5)
    x = sg.var("x", (2, 3, 5))
    np.testing.assert_array_equal(_run(sg.moveaxis(x, 0, -1), x=array), np.moveaxis(array, 0, -1))
    np.testing.assert_array_equal(
        _run(sg.moveaxis(x, (0, 1), (2, 0)), x=array), np.moveaxis(array, (0, 1), (2, 0))
    )
    np.testing.assert_array_equal(_run(sg.swapaxes(x, 0, -1), x=array), np.swapaxes(array, 0, -1))
    np.testing.assert_array_equal(_run(sg.roll(x, 7), x=array), np.roll(array, 7))
    np.testing.assert_array_equal(_run(sg.roll(x, 1, (0, 2)), x=array), np.roll(array, 1, (0, 2)))
    np.testing.assert_array_equal(_run(sg.pad(x, (1, 2)), x=array), np.pad(array, (1, 2)))


def test_creation_agrees_with_numpy() -> None:
    np.testing.assert_array_equal(_run(sg.arange(5)), np.arange(5))
    np.testing.assert_array_equal(_run(sg.arange(1, 2, 0.25)), np.arange(1, 2, 0.25, np.float32))
    np.testing.assert_array_equal(_run(sg.eye(3, k=1)), np.eye(3, k=1))
    np.testing.assert_array_equal(_run(sg.zeros((2, 3), "int8")), np.zeros((2, 3), np.int8))
    np.testing.assert_array_equal(_run(sg.ones(4)), np.ones(4))


def test_einsum_contracts_many_operands_in_pairs() -> None:
    shapes = ((2, 3), (3, 5), (5, 7), (7,))
    arrays = [np.random.default_rng(n).standard_normal(s) for n, s in enumerate(shapes)]
    symbols = [sg.var(f"x{n}", s, "float64") for n, s in enumerate(shapes)]
    y = sg.einsum("ab,bc,cd,d->a", *symbols)
    assert sum(n.op.name == "einsum" for n in y.graph.nodes) == 3
    given = {f"x{n}": a for n, a in enumerate(arrays)}
    np.testing.assert_allclose(_run(y, **given), np.einsum("ab,bc,cd,d->a", *arrays))
    sg.testing.check_gradients(y, given)


def test_one_symbol_is_no_list() -> None:
    with pytest.raises(InputError, match=r"give the inputs as a list"):
        sg.concat(sg.var("x", (2, 3)))


@pytest.mark.parametrize("join", [sg.concat, sg.stack])
def test_nothing_to_join(join: Any) -> None:
    with pytest.raises(InputError, match=r"needs at least one input"):
        join([])


def test_ties_share_the_gradient_evenly() -> None:
    array = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], np.float32)
    x = sg.var("x", (2, 3))
    gradient = _run(sg.gradients(sg.max(x, axis=1), x), x=array)
    np.testing.assert_allclose(gradient, [[0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6)
    y = sg.var("y", (2, 3))
    pair = sg.compile(list(sg.gradients(sg.maximum(x, y), [x, y])), target="interp")
    for half in pair(x=array, y=array):
        np.testing.assert_array_equal(half, np.full((2, 3), 0.5, np.float32))
