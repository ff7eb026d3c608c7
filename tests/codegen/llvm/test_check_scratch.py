"""Scratch that overlaps, lies outside its part or was forgotten is always found."""

from __future__ import annotations

from dataclasses import replace

import pytest

import symgraph as sg
from symgraph.codegen.llvm import emit
from symgraph.codegen.llvm.check_scratch import check_scratch
from symgraph.codegen.llvm.emit import layout
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.phases import split_phases
from symgraph.codegen.llvm.target import TARGET
from symgraph.errors import MemoryPlanError
from symgraph.kernel.dims import DimVar, LoopVar, add, evaluate
from symgraph.kernel.dtypes import as_dtype
from symgraph.kernel.ir import Alloc, Buffer, For, Kernel, Load, Store, block
from symgraph.options import Options

from ...support.kernels import program_of

THREADS = 3
N = DimVar("N")
FLOAT = as_dtype("float32")


def with_scratch() -> Kernel:
    """Two buffers that two phases share; in the first every thread has two of its own, the longer
    once for each of eight lanes."""
    x, y = Buffer("x", (N,), FLOAT), Buffer("y", (N,), FLOAT)
    first, second = Buffer("first", (N,), FLOAT, "local"), Buffer("second", (70,), FLOAT, "local")
    long, short = (Buffer(name, (size,), FLOAT, "local")
                   for name, size in (("long", 9001), ("short", 5003)))  # fmt: skip
    i, j, lane = LoopVar("i"), LoopVar("j"), LoopVar("l")
    lanes = For(lane, 8, "vector", Alloc(long, block(
        Store(long, (3,), Load(x, (i,))), Store(second, (0,), Load(long, (3,))))))  # fmt: skip
    inner = Alloc(
        short,
        block(Store(short, (i,), Load(x, (i,))), lanes, Store(first, (i,), Load(short, (i,)))),
    )
    body = block(For(i, N, "parallel", inner),
                 For(j, N, "parallel", Store(y, (j,), Load(first, (j,)))))  # fmt: skip
    return Kernel("k", (x,), (y,), (N,), Alloc(first, Alloc(second, body)))


@pytest.fixture(scope="module")
def case():
    return planned(program_of(with_scratch()))


def planned(program):
    """A program, its kernels cut into phases, and its workspace."""
    kernels = [split_phases(k) for k in dict.fromkeys(program.kernels)]
    return program, kernels, layout(program, machine(None)).workspace


SIZES = {"N": 100}


@pytest.mark.parametrize("rows", [0, 1, 7, 64, 1000])
def test_scratch_as_it_is_laid_out_passes(case, rows: int) -> None:
    check_scratch(*case, {"N": rows}, THREADS)
    assert len(case[1][0].shared) == 2 and len(case[1][0].phases[0].own) == 2


@pytest.mark.parametrize("threads", [1, 4])
def test_attention_passes(threads: int) -> None:
    q, k, v = (sg.var(name, (2, 4, 130, 64)) for name in "qkv")
    scores = sg.softmax(sg.matmul(q, sg.transpose(k, (0, 1, 3, 2))) * 0.1)
    made = sg.compile([sg.matmul(scores, v)], target="llvm", threads=threads)
    check_scratch(*planned(made.program), {}, threads)


def places(kernels):
    """(kernel number, phase number or None, place number) of every placed buffer."""
    for k, kernel in enumerate(kernels):
        yield from ((k, None, n) for n in range(len(kernel.shared)))
        for p, phase in enumerate(kernel.phases):
            yield from ((k, p, n) for n in range(len(phase.own)))


def changed(kernels, k, p, change):
    """The kernels with the placed buffers of one kernel, or of one of its phases, changed."""
    kernel = kernels[k]
    if p is None:
        new = replace(kernel, shared=change(kernel.shared))
    else:
        phases = list(kernel.phases)
        phases[p] = replace(phases[p], own=change(phases[p].own))
        new = replace(kernel, phases=tuple(phases))
    return [*kernels[:k], new, *kernels[k + 1 :]]


def test_scratch_beside_its_part_or_between_two_places_is_found(case) -> None:
    program, kernels, workspace = case
    found = 0
    for k, p, n in places(kernels):
        for wrong in (-64, 4, 1 << 40):

            def change(placed, n=n, wrong=wrong):
                return (*placed[:n], (placed[n][0], wrong), *placed[n + 1 :])

            with pytest.raises(MemoryPlanError, match=r"\[W[12]\]"):
                check_scratch(program, changed(kernels, k, p, change), workspace, SIZES, THREADS)
            found += 1
    assert found == 12


def test_forgotten_scratch_is_found(case) -> None:
    program, kernels, workspace = case
    for k, p, n in places(kernels):

        def change(placed, n=n):
            return (*placed[:n], *placed[n + 1 :])

        with pytest.raises(MemoryPlanError, match=r"\[W3\]"):
            check_scratch(program, changed(kernels, k, p, change), workspace, SIZES, THREADS)


def test_scratch_over_other_scratch_is_found(case) -> None:
    """Every pair of one kernel or phase, laid over one another by all bytes and by the last."""
    program, kernels, workspace = case
    wide = replace(workspace, shared=1 << 40, own=1 << 40)
    found = 0
    for k, p, n in places(kernels):
        placed = kernels[k].shared if p is None else kernels[k].phases[p].own
        if len(placed) < 2:
            continue
        other, start = placed[n - 1]
        start = evaluate(start, {N: 100})
        for at in (start, start + (evaluate(other.nbytes, {N: 100}) - 1) // 64 * 64):

            def change(given, n=n, at=at):
                return (*given[:n], (given[n][0], at), *given[n + 1 :])

            with pytest.raises(MemoryPlanError, match=r"overlaps"):
                check_scratch(program, changed(kernels, k, p, change), wide, SIZES, THREADS)
            found += 1
    assert found == 8


def test_parts_that_are_too_small_are_found(case) -> None:
    """Threads that reach into each other, into shared scratch, or past the end."""
    program, kernels, workspace = case
    wrong = [
        replace(workspace, arena=-64),
        replace(workspace, arena=4),
        replace(workspace, line=0),
        replace(workspace, own=workspace.line - 64),
        replace(workspace, own=workspace.own - 64),
        replace(workspace, shared=add(workspace.shared, -64)),
    ]
    for each in wrong:
        with pytest.raises(MemoryPlanError, match=r"\[W[124]\]"):
            check_scratch(program, kernels, each, SIZES, THREADS)


@pytest.mark.parametrize("batch", [2, "N"])
def test_level_two_judges_what_is_compiled(monkeypatch, batch) -> None:
    """Too little room for each thread passes at level 1 and is refused at level 2."""
    q, k, v = (sg.var(name, (batch, 4, 130, 64)) for name in "qkv")
    scores = sg.softmax(sg.matmul(q, sg.transpose(k, (0, 1, 3, 2))) * 0.1)
    graph = [sg.matmul(scores, v)]
    program = sg.compile(graph, target="llvm", threads=2, verify=2).program
    right = emit.workspace_plan

    def short(*arguments):
        plan = right(*arguments)
        return replace(plan, own=add(plan.own, -64))

    monkeypatch.setattr(emit, "workspace_plan", short)
    TARGET.emit(program, Options(threads=2, verify=1))
    with pytest.raises(MemoryPlanError, match=r"\[W2\]"):
        TARGET.emit(program, Options(threads=2, verify=2))
