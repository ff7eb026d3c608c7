"""Forms of operators that alone make the peak are given up; blocks are cut for the peak."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.executable import Executable
from symgraph.ir.alternative import STANDS_FOR
from symgraph.passes import block_estimates, fuse_over_blocks
from symgraph.passes.block_estimates import Cost
from symgraph.passes.forms_at_peak import forms_at_peak
from symgraph.passes.order_steps import alive_at_steps, peak_of


def compiled(net: sg.Symbol, shape: tuple[object, ...], **options: object) -> Executable:
    shapes = {"x": shape}
    params = sg.init(net, seed=1, shapes={"x": (1, *shape[1:])})
    return sg.compile(net, params=params, shapes=shapes, target="llvm", **options)


def small_image() -> sg.Symbol:
    """Tiles and products of the second convolution are most of what there is."""
    h = sg.var("x", ("N", 16, 13, 13))
    h = sg.relu(sg.conv2d(h, 192, kernel_size=1, name="first"))
    h = sg.relu(sg.conv2d(h, 384, kernel_size=3, padding=1, name="second"))
    h = sg.mean(h, axis=(2, 3))
    for n in range(4):
        h = sg.relu(sg.linear(h, 4096, name=f"fc{n}"))
    return h


def forms(f: Executable) -> set[str]:
    parts = [n for step in f.program.steps for node in step.nodes
             for n in getattr(getattr(node.op, "graph", None), "nodes", (node,))]  # fmt: skip
    return {v[0] for n in parts for k, v in n.attributes if k == STANDS_FOR}


def nbytes(f: Executable) -> int:
    report = f.memory_report()
    return report.planned + report.scratch


def test_a_form_that_makes_the_peak_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of the time goes by elsewhere, so that its memory is worth more than its time."""
    new = compiled(small_image(), (1, 16, 13, 13), name="given_up")
    monkeypatch.setattr(sg.compiler, "forms_at_peak", lambda program, cost: frozenset())
    old = compiled(small_image(), (1, 16, 13, 13), name="kept")
    assert forms(old) == {"second"} and not forms(new)
    assert 2 * nbytes(new) < nbytes(old)
    x = np.random.default_rng(2).normal(size=(1, 16, 13, 13)).astype(np.float32)
    np.testing.assert_allclose(new(x), old(x), rtol=1e-4, atol=1e-4)


def test_forms_stay_where_extents_are_open() -> None:
    f = compiled(small_image(), ("N", 16, 13, 13))
    assert forms(f) == {"second"}
    assert not forms_at_peak(f.program, Cost(1e12, 1))


def test_a_form_below_the_peak_stays() -> None:
    h = sg.var("x", (1, 16, 13, 13))
    h = sg.relu(sg.conv2d(h, 192, kernel_size=1))
    h = sg.relu(sg.conv2d(h, 384, kernel_size=3, padding=1, name="second"))
    wide = sg.var("wide", (3, 1000003))
    total = sg.sum(sg.exp(wide) * sg.cumsum(wide, axis=1), axis=1)
    net = sg.group([sg.mean(h, axis=(2, 3)), total])
    params = sg.init(net, seed=1)
    f = sg.compile(net, params=params, target="llvm")
    assert forms(f) == {"second"}
    assert not forms_at_peak(f.program, Cost(1e12, peak_of(f.program)[1]))


def test_bytes_alive_in_each_step() -> None:
    f = compiled(small_image(), (1, 16, 13, 13))
    alive = alive_at_steps(f.program)
    step, most = peak_of(f.program)
    assert len(alive) == len(f.program.steps)
    assert alive[step] == most == max(alive) and most not in alive[:step]
    assert most <= f.memory_report().planned


def test_what_counts() -> None:
    """A twentieth of the memory is worth a fifth of the time; half of it a twentieth."""
    cost = Cost(1000.0, 2000)
    assert Cost(1200.0, 100).weighed < cost.weighed < Cost(1300.0, 100).weighed
    assert Cost(1050.0, 1000).weighed < cost.weighed < Cost(1060.0, 1000).weighed
    assert cost.byte_value == pytest.approx(0.04)


def test_chains_at_the_peak_are_cut_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deep layers' weights are read again by every block: that is worth it at the peak only."""
    h = sg.var("x", (1, 256, 56, 56))
    for n in range(3):
        h = sg.relu(sg.conv2d(h, 256, kernel_size=3, padding=1, name=f"conv{n}"))
    net = sg.mean(h, axis=(2, 3))
    monkeypatch.setattr(block_estimates, "PEAK_EXPONENT", 0.4)
    monkeypatch.setattr(sg.compiler, "forms_at_peak", lambda program, cost: frozenset())
    new = compiled(net, (1, 256, 56, 56), name="new")
    monkeypatch.setattr(fuse_over_blocks, "MOST_PEAKS", 1)
    monkeypatch.setattr(fuse_over_blocks, "MOST_SMALLER", 0)
    old = compiled(net, (1, 256, 56, 56), name="old")
    assert forms(old) == forms(new) == {"conv0", "conv1", "conv2"}
    assert 3 * nbytes(new) < 2 * nbytes(old)
    x = np.random.default_rng(2).normal(size=(1, 256, 56, 56)).astype(np.float32)
    np.testing.assert_array_equal(new(x), old(x))
