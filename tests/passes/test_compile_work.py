"""How much a compilation does: counted, not timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.ir import form, infer
from symgraph.kernel import parts
from symgraph.passes import fold_constants
from symgraph.passes.fusion import profile


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """The first arguments with which a function is called from now on."""
    calls: list[Any] = []
    original = getattr(owner, name)

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(args[0])
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counting)
    return calls


def chain(length: int, dtype: str | None = None) -> sg.Symbol:
    y = sg.var("x", (3, 5), dtype)
    for n in range(length):
        y = sg.exp(y) if n % 2 else y * 0.5
    return y


@pytest.mark.parametrize(("dtype", "most"), [("float64", 2), (None, 4)])
def test_a_graph_is_inferred_once_forward_and_backward(
    monkeypatch: pytest.MonkeyPatch, dtype: str | None, most: int
) -> None:
    y = chain(30, dtype)
    shapes = counted(monkeypatch, infer.Unifier, "visit")
    sg.compile(y, target="interp")
    node_visits = len(shapes) / len(y.graph.nodes)
    # Dtypes that nobody gave are told once more, without the shapes.
    assert node_visits <= most


def test_the_bytes_of_weights_are_read_by_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    x = sg.var("x", (2, 6))
    y = sg.linear(sg.relu(sg.linear(x, 6, name="a")), 6, name="b")
    keys = counted(monkeypatch, form, "content_key")
    sg.compile(y, params=sg.init(y, seed=0), target="interp")
    assert not keys


def test_a_profile_is_made_once_for_all_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "_known", {})
    made = counted(monkeypatch, profile, "_profile")
    y = sg.tanh(sg.linear(sg.var("x", (2, 17)), 19) * 3.0)
    for _ in range(2):
        sg.compile(y, params=sg.init(y, seed=0), target="interp")
    kinds = [n.op.name for n in made]
    assert len(kinds) == len(set(kinds))


def test_profiles_that_are_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "MOST_KNOWN", 3)
    monkeypatch.setattr(profile, "_known", {})
    for width in range(2, 12):
        sg.compile(sg.exp(sg.var("x", (width,))), target="interp")
    assert 0 < len(profile._known) <= 3


def test_the_work_on_a_fused_chain_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = counted(monkeypatch, parts, "walk")
    counts = []
    for length in (16, 32):
        walks.clear()
        sg.compile(chain(length), target="interp")
        counts.append(len(walks))
    assert counts[1] <= 2 * counts[0] + 2


def test_folded_views_share_memory_and_slices_do_not_keep_the_whole() -> None:
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    view = fold_constants._plain(whole.reshape(3, 8), whole.dtype)
    assert np.shares_memory(view, whole)
    part = fold_constants._plain(whole[1:2], whole.dtype)
    assert not np.shares_memory(part, whole)
    repeated = fold_constants._plain(np.broadcast_to(whole[:, :1], (4, 6)), whole.dtype)
    assert repeated.flags.c_contiguous
    assert fold_constants._plain(whole.T, whole.dtype).flags.c_contiguous
    assert fold_constants._plain(3, np.dtype(np.int32)).shape == ()
    assert fold_constants._plain(np.zeros((0, 3)), np.dtype(np.float32)).shape == (0, 3)
