"""What is known of chains of kernels, and for which others."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.ir.program import Program
from symgraph.kernel.ir import For, Kernel
from symgraph.kernel.printer import text_without_names
from symgraph.kernel.rates import Rates
from symgraph.kernel.rewrite import statements
from symgraph.lower import lower
from symgraph.options import Options
from symgraph.passes import graph_pipeline
from symgraph.passes.block_chains import chain_form
from symgraph.passes.fuse_over_blocks import FuseOverBlocks

RATES = Rates(64.0, ((48 << 10, 128.0), (2 << 20, 32.0), (64 << 20, 8.0)), 4.0)


def naive(net: sg.Symbol | sg.Group) -> Program:
    """Without fusion, so that every operator is a kernel of its own."""
    options = Options(level=1)
    graph, _ = graph_pipeline(options, True, {}, {}, {}).run(net.graph, options)
    return lower(graph, "net")


def beside(side: int, size: int = 720) -> sg.Symbol:
    """What is made before is read by rows on one side, and by columns on the other."""
    made = sg.tanh(sg.var(f"x{side}", (size, size), "float32"))
    other = sg.var(f"w{side}", (size, size), "float32")
    return sg.einsum("ij,ji->ij", *((made, other) if side == 0 else (other, made)))


def extents(kernel: Kernel) -> list[object]:
    return [s.extent for s in statements(kernel.body) if isinstance(s, For)]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_operand_that_is_made_before_tells_chains_apart(order: tuple[int, int]) -> None:
    """What is known of one is not used for the other."""
    net = sg.group([beside(side) for side in order])
    program = naive(net)
    one, two = program.steps[:2], program.steps[2:4]
    assert [text_without_names(a.kernel) == text_without_names(b.kernel)
            for a, b in zip(one, two, strict=True)] == [True, True]  # fmt: skip
    assert chain_form(one, text_without_names) != chain_form(two, text_without_names)
    together = FuseOverBlocks(RATES).run(program).kernels
    alone = [FuseOverBlocks(RATES).run(naive(beside(side))).kernels[0] for side in order]
    assert all(k.over_blocks for k in together)
    assert [extents(k) for k in together] == [extents(k) for k in alone]
    rng = np.random.default_rng(5)
    f = sg.compile(net)
    x = {n: rng.uniform(-1, 1, (720, 720)).astype(np.float32) for n in f.inputs}
    for side, y in zip(order, f(**x), strict=True):
        a, b = np.tanh(x[f"x{side}"]), x[f"w{side}"]
        np.testing.assert_allclose(y, a * b.T if side == 0 else b * a.T, rtol=1e-5, atol=1e-5)


def test_programs_of_one_network_share_what_is_known() -> None:
    """A program judged again finds all of it, and its kernels are the same but for names."""
    y = beside(0)
    fuse, program = FuseOverBlocks(RATES), naive(y)
    first = fuse.run(program)
    known = len(fuse._known.choices), len(fuse._known.joined)
    assert min(known) > 0
    again = fuse.run(naive(y))
    assert (len(fuse._known.choices), len(fuse._known.joined)) == known
    assert str(again) == str(first) == str(FuseOverBlocks(RATES).run(program))


def test_a_kernel_that_was_lowered_earlier_takes_its_new_name() -> None:
    """`known` saves the work and changes no text."""
    known: dict = {}
    nets = [
        sg.tanh(sg.var("a", (3, 5), "float32"), name="one"),
        sg.tanh(sg.var("a", (3, 5), "float32"), name="two"),
    ]
    graphs = [n.graph for n in nets]
    programs = [lower(g, "net", known=known) for g in graphs]
    assert len(known) == 1
    (one,), (two,) = (p.kernels for p in programs)
    assert one.body is two.body and (one.name, two.name) == ("one", "two")
    assert str(programs[1]) == str(lower(graphs[1], "net"))
