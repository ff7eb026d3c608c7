"""Python indexing of symbols against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import DTypeError, ShapeError

X = np.arange(2 * 3 * 5, dtype=np.float32).reshape(2, 3, 5)


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        (1, 2, 3),
        slice(None, None, -1),
        (slice(None), 1),
        (Ellipsis, -2),
        (0, Ellipsis, slice(1, None, 2)),
        (None, 1),
        (slice(None), None, 2, None),
        (Ellipsis, None),
        (slice(5, 1), 0),
        (slice(None), slice(-2, None), slice(4, 0, -3)),
        np.int64(1),
        np.array([1, 0, 1]),
        (slice(None), np.array([[2, 0], [1, -1]])),
        (slice(1, None), [0, 2], slice(None, 2)),
        (None, slice(None), np.array([[2], [0]]), None),
    ],
    ids=str,
)
def test_an_index_means_what_it_means_in_numpy(index: Any) -> None:
    y = sg.var("x", X.shape)[index]
    expected = X[index]
    assert y.shape == expected.shape
    np.testing.assert_array_equal(sg.compile(y, target="interp")(X), expected)


def test_an_int_beside_an_array_drops_its_axis_and_moves_nothing() -> None:
    """As x[0][:, places], where numpy would put the axes of `places` first."""
    places = np.array([4, 4])
    y = sg.var("x", X.shape)[0, :, places]
    np.testing.assert_array_equal(sg.compile(y, target="interp")(X), X[0][:, places])


def test_an_index_may_be_a_symbol() -> None:
    x, places = sg.var("x", X.shape), sg.var("places", (4,), "int32")
    run = sg.compile(x[:, places], target="interp")
    chosen = np.array([2, 0, 0, -1], np.int32)
    np.testing.assert_array_equal(run(x=X, places=chosen), X[:, chosen])


def test_open_extents_are_sliced_by_pythons_rules() -> None:
    x = sg.var("x", ("N",))
    for cut in (slice(1, None), slice(None, -2), slice(-3, None), slice(None, None, -2)):
        run = sg.compile(x[cut], target="interp")
        for count in (0, 1, 2, 7):
            array = np.arange(count, dtype=np.float32)
            np.testing.assert_array_equal(run(array), array[cut])


def test_what_cannot_be_indexed_says_why() -> None:
    x = sg.var("x", X.shape)
    with pytest.raises(DTypeError, match="boolean index gives an extent that depends on the data"):
        x[x > 0]
    with pytest.raises(ShapeError, match=r"index 3 is out of range: axis 1 .* has extent 3"):
        x[0, 3]
    with pytest.raises(ShapeError, match="has 3 axes, the index names 4"):
        x[0, 0, 0, 0]
    with pytest.raises(ShapeError, match="only one Ellipsis"):
        x[..., 0, ...]
    with pytest.raises(DTypeError, match=r"an index must be an int, .* got 1\.5"):
        x[1.5]
    with pytest.raises(ShapeError, match="only one axis can be indexed by an array"):
        x[[0, 1], [0, 1]]
    with pytest.raises(ShapeError, match="need the rank"):
        sg.var("unknown")[..., 0]


def test_iterating_over_the_first_axis() -> None:
    x = sg.var("x", (3, 2))
    rows = list(x)
    assert [r.shape for r in rows] == [(2,)] * 3
    with pytest.raises(TypeError, match="length"):
        list(sg.var("open", ("N", 2)))
