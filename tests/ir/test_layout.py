"""Layouts, and operators carried over to them."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.ir.layout import InLayout, Layout, Relayout
from symgraph.ir.registry import registry
from symgraph.kernel.dims import DimVar

N = DimVar("N")
IMAGES = Layout(((1, 4),))
WEIGHTS = Layout(((1, 4), (0, 4)))


def test_shapes_go_both_ways() -> None:
    assert IMAGES.physical((N, 8, 5, 7)) == (N, 2, 5, 7, 4)
    assert IMAGES.logical((N, 2, 5, 7, 4)) == (N, 8, 5, 7)
    assert WEIGHTS.physical((12, 8, 3, 2)) == (3, 2, 3, 2, 4, 4)
    assert IMAGES.fits((N, 8, 5, 7))
    assert not IMAGES.fits((N, 6, 5, 7))
    assert not IMAGES.fits(None)


@pytest.mark.parametrize("layout", [IMAGES, WEIGHTS])
def test_arrays_are_packed_and_unpacked(layout: Layout) -> None:
    array = np.arange(12 * 8 * 3 * 2).reshape(12, 8, 3, 2)
    packed = layout.pack(array)
    assert packed.shape == layout.physical(array.shape)
    np.testing.assert_array_equal(layout.unpack(packed), array)
    for place in ((0, 0, 0, 0), (5, 3, 2, 1), (11, 7, 1, 0)):
        assert packed[layout.place(place)] == array[place]
        assert layout.element(layout.place(place)) == place


def test_bringing_into_a_layout_and_back_changes_nothing() -> None:
    x = sg.var("x", ("N", 8, 5, 3))
    blocked = InLayout(Relayout(), (None,), (IMAGES,))(x)
    plain = InLayout(Relayout(), (IMAGES,), (None,))(blocked)
    f = sg.compile([blocked, plain], target="interp", verify=2)
    a = np.random.default_rng(0).normal(size=(2, 8, 5, 3)).astype(np.float32)
    packed, back = f(a)
    np.testing.assert_array_equal(packed, IMAGES.pack(a))
    np.testing.assert_array_equal(back, a)


def test_a_convolution_in_blocks_is_a_convolution() -> None:
    op = registry.get("convolution")((1, 2), (1, 1))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 8, 9, 7)).astype(np.float32)
    w = rng.normal(size=(12, 8, 3, 2)).astype(np.float32)
    blocked = InLayout(op, (IMAGES, WEIGHTS), (IMAGES,))
    y = blocked(sg.var("x", IMAGES.physical(x.shape)), sg.var("w", WEIGHTS.physical(w.shape)))
    expected = op.reference(x, w)
    got = sg.compile(y, target="interp", verify=2)(x=IMAGES.pack(x), w=WEIGHTS.pack(w))
    np.testing.assert_allclose(IMAGES.unpack(got), expected, rtol=1e-4, atol=1e-5)
    reference = blocked.reference(IMAGES.pack(x), WEIGHTS.pack(w))
    np.testing.assert_array_equal(IMAGES.unpack(reference), expected)


def test_indices_stay_affine() -> None:
    op = registry.get("convolution")((1, 1), (1, 1))
    y = InLayout(op, (IMAGES, WEIGHTS), (IMAGES,))(
        sg.var("x", (1, 2, 5, 5, 4)), sg.var("w", (3, 2, 3, 3, 4, 4))
    )
    text = str(sg.compile(y, target="interp").program)
    assert "//" not in text
    assert "%" not in text
