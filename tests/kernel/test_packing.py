"""Packing constants: every order and panel against plain indexing."""

import numpy as np
import pytest

from symgraph.kernel.dims import LoopVar
from symgraph.kernel.packing import Packing, packing_of


@pytest.mark.parametrize("dtype", [np.float32, np.int8])
@pytest.mark.parametrize("rows", [1, 15, 16, 33])
def test_panels_along_rows(rows, dtype):
    array = np.arange(rows * 7).reshape(rows, 7).astype(dtype)
    packing = Packing((rows, 7), (1, 0), 16)
    packed = packing.apply(array)
    assert packed.shape == packing.shape == (-(-rows // 16), 7, 16)
    assert packed.dtype == dtype
    for n in range(packed.shape[0] * 16):
        expected = array[n] if n < rows else np.zeros(7, dtype)
        assert (packed[n // 16, :, n % 16] == expected).all()


def test_order_of_a_convolution():
    """w[o, i, k] with the channels i and the taps k read as one loop each."""
    o, i, k = LoopVar("o"), LoopVar("i"), LoopVar("k")
    array = np.arange(5 * 3 * 2, dtype=np.float32).reshape(5, 3, 2)
    packing = packing_of((o, i, k), (5, 3, 2), [(k, 2), (i, 3), (o, 5)], 4)
    assert packing == Packing((5, 3, 2), (2, 1, 0), 4)
    packed = packing.apply(array)
    assert packed.shape == (2, 2, 3, 4)
    assert packed[1, 1, 2].tolist() == [array[4, 2, 1], 0, 0, 0]


def test_merged_axes():
    """One axis that two loops pass over together."""
    g, o = LoopVar("g"), LoopVar("o")
    packing = packing_of((g * 5 + o,), (15,), [(g, 3), (o, 5)], 4)
    assert packing == Packing((3, 5), (0, 1), 4)


def test_what_is_not_a_permutation():
    i, j = LoopVar("i"), LoopVar("j")
    assert packing_of((i + j,), (7,), [(i, 3), (j, 5)], 4) is None
    assert packing_of((i, 0), (3, 2), [(i, 3)], 4) is None
    assert packing_of((i + 1,), (4,), [(i, 3)], 4) is None
    assert packing_of((2 * i,), (6,), [(i, 3)], 4) is None
