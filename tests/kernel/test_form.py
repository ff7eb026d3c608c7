"""How arrays lie in memory, digit by digit."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph.ir.layout import Layout
from symgraph.kernel.form import blocked_form, packed_form, plain_form, with_indices_joined
from symgraph.kernel.packing import Packing

ARRAY = np.arange(48 * 32 * 3 * 5).reshape(48, 32, 3, 5)


@pytest.mark.parametrize("panel", [1, 7, 16, 48, 64])
@pytest.mark.parametrize("order", [(1, 2, 3, 0), (0, 2, 3, 1), (0, 1, 2, 3)])
def test_panels_are_read_back(panel, order):
    packing = Packing(ARRAY.shape, order, panel)
    form = packed_form(packing)
    stored = packing.apply(ARRAY)
    assert form.shape == stored.shape == packing.shape
    assert (form.restore(stored) == ARRAY).all()
    assert (packing.restore(stored, ARRAY.shape) == ARRAY).all()
    assert form.last_axis == order[-1]


@pytest.mark.parametrize("blocks", [((0, 16),), ((1, 8), (0, 16)), ((0, 8), (1, 8)), ()])
def test_blocks_are_read_back(blocks):
    stored = Layout(blocks).pack(ARRAY) if blocks else ARRAY
    form = blocked_form(stored.shape, blocks)
    assert form.shape == stored.shape
    assert (form.restore(stored) == ARRAY).all()


def test_axes_of_one_element_do_not_count():
    array = np.arange(24).reshape(4, 1, 6, 1)
    packing = Packing((4, 1, 6, 1), (2, 1, 3, 0), 3)
    form = packed_form(packing)
    assert form.extents == plain_form(array.shape).extents == (4, 6)
    assert (form.restore(packing.apply(array)) == array.reshape(4, 6)).all()
    single = Packing((1, 5), (1, 0), 4)
    assert (packed_form(single).restore(single.apply(np.arange(5).reshape(1, 5))) == range(5)).all()
    scalar = np.array(3.0)
    assert plain_form(()).restore(scalar) == 3.0
    assert plain_form((0, 2)).restore(np.zeros((0, 2))).shape == (0, 2)


def test_two_axes_of_an_array_are_seen_as_one():
    """[6, 8, 5] in panels of 4 of its second axis is [48, 5] in panels of 4 with 8//4 inside."""
    array = np.arange(6 * 8 * 5).reshape(6, 8, 5)
    packing = Packing(array.shape, (0, 2, 1), 8)
    stored = packing.apply(array)
    joined = with_indices_joined(packed_form(packing), 0)
    assert joined is not None and joined.extents == (48, 5)
    assert joined.shape == stored.shape
    assert (joined.restore(stored) == array.reshape(48, 5)).all()
    last = with_indices_joined(plain_form(array.shape), 1)
    assert last is not None
    assert (last.restore(array) == array.reshape(6, 40)).all()


def test_axes_that_memory_pads_or_cuts_twice_stay_apart():
    padded = packed_form(Packing((6, 7), (0, 1), 4))  # seven in two panels of four
    assert with_indices_joined(padded, 0) is None
    cut = packed_form(Packing((6, 8), (0, 1), 4))  # 6, then 8 in two panels: three digits
    assert with_indices_joined(cut, 0) is None
