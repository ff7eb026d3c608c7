"""How much a compilation does: counted, not timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import lower as lowering
from symgraph.codegen.llvm.overlaps import Overlaps
from symgraph.ir import form, infer
from symgraph.kernel import in_place, parts
from symgraph.passes import fold_constants, settle_updates
from symgraph.passes.fusion import profile
from tests.support.graphs import typed


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


def test_equal_nodes_are_lowered_once_and_give_their_own_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = counted(monkeypatch, lowering, "node_kernel")
    x = sg.var("x", (4, 6))
    h = x
    for name in ("a", "b", "c"):
        h = sg.relu(sg.linear(h, 6, name=name))
    params = {k: v + 0.25 for k, v in sg.init(h, seed=2).items()}
    run = sg.compile(h, params=params, target="interp")
    assert len(made) == 1
    value = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)
    expected = value
    for name in ("a", "b", "c"):
        expected = expected @ params[f"{name}_weight"].T + params[f"{name}_bias"]
        expected = np.maximum(expected, 0)
    np.testing.assert_allclose(run(value), expected, rtol=1e-5)
    assert [s.label for s in run.program.steps] == ["relu0", "relu1", "relu2"]


@pytest.mark.parametrize(
    "build",
    [
        lambda x: (x * 2.0, x * 3.0),
        lambda x: (x * 0.0, x * -0.0),
        lambda x: (sg.leaky_relu(x, 0.1), sg.leaky_relu(x, 0.2)),
        lambda x: (sg.sum(x, axis=0), sg.sum(x, axis=1)),
        lambda x: (x + x, x + sg.var("y", (5, 5))),
        lambda x: (sg.exp(x), sg.exp(sg.var("y", (5, 7)))),
        lambda x: (sg.exp(x), sg.exp(sg.var("y", (5, 5), "float64"))),
    ],
    ids=["numbers", "zeros", "attributes", "axes", "same input", "shapes", "types"],
)
def test_different_nodes_are_lowered_apart(build: Any) -> None:
    graph = typed(*build(sg.var("x", (5, 5))))
    first, second = (form.node_form(v.node) for v in graph.outputs)
    assert first is not None
    assert first != second


def test_one_kernel_reads_its_arguments_in_the_order_of_each_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = counted(monkeypatch, lowering, "node_kernel")
    x, y = sg.var("x", (2, 3)), sg.var("y", (2, 3))
    run = sg.compile([x - y, y - x], target="interp", level=0)
    first, second = run(x=np.full((2, 3), 7, np.float32), y=np.full((2, 3), 3, np.float32))
    assert (first[0, 0], second[0, 0]) == (4, -4)
    assert len(made) == 1


def test_in_place_pairs_of_a_kernel_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = counted(monkeypatch, in_place, "_Accesses")
    parts = [sg.var(name, (7, 11)) for name in "abcdef"]
    updates = {name: part * 0.5 for name, part in zip("abcdef", parts, strict=True)}
    in_place.in_place_pairs.cache_clear()
    sg.compile([], updates=updates, target="interp")
    assert len(looked) == 1


@pytest.mark.parametrize("count", [4, 64])
def test_updates_that_close_no_cycle_are_ordered_at_once(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    ordered = counted(monkeypatch, settle_updates, "_topological")
    parts = {f"v{n}": sg.var(f"v{n}", (3, 2)) for n in range(count)}
    sg.compile([], updates={name: part + 1.0 for name, part in parts.items()}, target="interp")
    assert len(ordered) == 2


def test_calls_are_compared_only_with_those_that_use_the_same_array(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = counted(monkeypatch, Overlaps, "may_overlap")
    counts = []
    for length in (8, 16, 32):
        compared.clear()
        parts = [sg.var(f"v{n}", (3, 2)) for n in range(length)]
        sg.compile([sg.exp(v) for v in parts], level=1, cache=None, threads=1)
        counts.append(len(compared))
    assert counts[2] == 2 * counts[1] == 4 * counts[0]
