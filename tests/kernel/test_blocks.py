"""Kernels over blocks: every size gives the bits of the kernels one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pytest

from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.kernel import loops
from symgraph.kernel.blocks.chain import Chain, chain_of
from symgraph.kernel.blocks.joined import joined
from symgraph.kernel.blocks.work import Cutting
from symgraph.kernel.compute import Compute, all_of, call, compute, reduce, where
from symgraph.kernel.dims import DimVar
from symgraph.kernel.dtypes import as_dtype
from symgraph.kernel.ir import Alloc, Buffer, IndexValue, Kernel, const
from symgraph.kernel.rewrite import statements
from symgraph.kernel.verify import verify_kernel


def kernel_of(result: Compute, *inputs: Buffer, name: str = "k") -> tuple[Kernel, Buffer]:
    out = Buffer("out", result.shape, result.dtype)
    return loops.lower(name, inputs, ((out, result),)), out


def bordered(make, shape, before, after, value=0.0):
    """make(*i) inside a border of `value`."""
    grown = tuple(b + n + a for b, n, a in zip(before, shape, after, strict=True))

    def element(*i):
        place = [p - b for p, b in zip(i, before, strict=True)]
        inside = []
        for p, n, b, a in zip(place, shape, before, after, strict=True):
            inside += [call("le", const(0, "int64"), p)] if b else []
            inside += [call("lt", p, IndexValue(n))] if a else []
        return where(all_of(*inside), make[tuple(place)], const(value, make.dtype))

    return compute(grown, element)


def pieces_of(kernels: Sequence[Kernel]) -> list[tuple[Buffer, Buffer]]:
    return [(a.outputs[0], b.inputs[0]) for a, b in pairwise(kernels)]


def run(kernel: Kernel, arrays: dict[Buffer, np.ndarray]) -> list[np.ndarray]:
    outputs = [np.full([int(n) for n in b.shape], np.nan, b.dtype.numpy) for b in kernel.outputs]
    everything = {b: arrays[b] for b in kernel.inputs} | dict(
        zip(kernel.outputs, outputs, strict=True)
    )
    Evaluator(kernel, everything, {}).run()
    return outputs


def check(kernels: Sequence[Kernel], least: int = 1) -> None:
    """All sizes of all loops: those that have regions give the same bits as no blocks."""
    links = pieces_of(kernels)
    chain = chain_of(kernels, links)
    assert chain is not None
    cutting = Cutting(chain)
    rng = np.random.default_rng(0)
    read = {b for _, b in links}
    arrays = {
        b: rng.uniform(-1, 1, [int(n) for n in b.shape]).astype(b.dtype.numpy)
        for k in kernels
        for b in k.inputs
        if b not in read
    }
    given = dict(arrays)
    for kernel, link in zip(kernels, [*links, None], strict=True):
        expected = run(kernel, given)
        if link is not None:
            given[link[1]] = expected[0]
    tried = uneven = 0
    for sizes in all_sizes(chain):
        blocks = cutting.blocks(sizes)
        if blocks is None:
            continue
        blocked = joined(blocks, "blocks", "here")
        verify_kernel(blocked, 2)
        for got, want in zip(run(blocked, arrays), expected, strict=True):
            np.testing.assert_array_equal(got, want)
        tried += 1
        uneven += blocks.last is not None
    assert tried >= least
    assert uneven


def all_sizes(chain: Chain):
    choices = [[(loop.var, n) for n in range(1, loop.extent + 1)] for loop in chain.loops]
    for chosen in product(*([(None, 0), *c] for c in choices)):
        sizes = {var: n for var, n in chosen if var is not None}
        if sizes:
            yield sizes


def window(x, size, step, height):
    """The largest of `size` rows, `step` rows apart."""
    return compute(
        (x.shape[0], height, x.shape[2]),
        lambda c, i, j: reduce("max", (size,), lambda r: x[c, i * step + r, j]),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_overlapping_windows(dtype: str) -> None:
    kind = as_dtype(dtype)
    x = Buffer("x", (3, 13, 2), kind)
    first, _ = kernel_of(compute((3, 13, 2), lambda c, i, j: x[c, i, j] * 2.0), x)
    t = Buffer("t", (3, 13, 2), kind)
    then, _ = kernel_of(window(t, 3, 2, 6), t)
    check((first, then), 20)


def test_what_lies_inside_a_border() -> None:
    kind = as_dtype("float32")
    x = Buffer("x", (2, 10, 3), kind)
    twice = compute((2, 10, 3), lambda c, i, j: x[c, i, j] + 1.0)
    first, _ = kernel_of(bordered(twice, (2, 10, 3), (0, 1, 1), (0, 2, 0), 0.5), x)
    t = Buffer("t", (2, 13, 4), kind)
    then, _ = kernel_of(window(t, 3, 2, 6), t)
    check((first, then), 20)


def test_a_copy_inside_a_border() -> None:
    kind = as_dtype("float32")
    x = Buffer("x", (1, 11, 3), kind)
    first, _ = kernel_of(bordered(x, (1, 11, 3), (0, 2, 0), (0, 2, 1)), x)
    t = Buffer("t", (1, 15, 4), kind)
    then, _ = kernel_of(window(t, 5, 2, 6), t)
    check((first, then), 10)


def test_three_kernels_with_borders_between() -> None:
    kind = as_dtype("float32")
    x = Buffer("x", (2, 8, 3), kind)
    a, _ = kernel_of(bordered(x, (2, 8, 3), (0, 1, 0), (0, 1, 0)), x)
    t = Buffer("t", (2, 10, 3), kind)
    b, _ = kernel_of(bordered(window(t, 3, 1, 8), (2, 8, 3), (0, 1, 0), (0, 1, 0), -1.0), t)
    u = Buffer("u", (2, 10, 3), kind)
    c, _ = kernel_of(bordered(window(u, 3, 1, 8), (2, 8, 3), (0, 2, 1), (0, 1, 1), 7.0), u)
    check((a, b, c), 10)


def test_windows_that_reach_outside() -> None:
    kind = as_dtype("float32")
    x = Buffer("x", (2, 12, 3), kind)
    first, _ = kernel_of(compute((2, 12, 3), lambda c, i, j: x[c, i, j] * 3.0), x)
    t = Buffer("t", (2, 12, 3), kind)

    def element(c, i, j):
        def term(r):
            row = 2 * i + r - 1
            inside = all_of(call("le", const(0, "int64"), row), call("lt", row, IndexValue(12)))
            return where(inside, t[c, row, j], const(-9.0, kind))

        return reduce("max", (3,), term)

    then, _ = kernel_of(compute((2, 6, 3), element), t)
    check((first, then), 10)


def test_a_product_with_what_every_block_reads() -> None:
    kind = as_dtype("float32")
    x, w = Buffer("x", (6, 5), kind), Buffer("w", (5, 7), kind)
    first, _ = kernel_of(
        compute((6, 7), lambda i, j: reduce("sum", (5,), lambda r: x[i, r] * w[r, j])), x, w
    )
    t, v = Buffer("t", (6, 7), kind), Buffer("v", (7, 4), kind)
    then, _ = kernel_of(
        compute((6, 4), lambda i, j: reduce("sum", (7,), lambda r: t[i, r] * v[r, j])), t, v
    )
    check((first, then), 3)


def test_rows_of_an_open_extent() -> None:
    """One kernel for every number of rows: none, fewer than a block, whole blocks, some left."""
    kind, rows = as_dtype("float32"), DimVar("T")
    x = Buffer("x", (rows, 3), kind)
    first, _ = kernel_of(compute((rows, 3), lambda i, j: x[i, j] * 2.0), x)
    t = Buffer("t", (rows, 3), kind)
    then, _ = kernel_of(compute((rows, 5), lambda i, j: t[i, j % 3] + 1.0), t)
    chain = chain_of((first, then), pieces_of((first, then)))
    assert chain is not None
    blocks = Cutting(chain).blocks({chain.loops[0].var: 4})
    assert blocks is not None
    kernel = joined(blocks, "blocks", "here")
    verify_kernel(kernel, 2)
    kept = [s.buffer.shape for s in statements(kernel.body) if isinstance(s, Alloc)]
    assert kept == [(4, 3)]
    for count in (0, 1, 3, 4, 8, 11):
        given = np.random.default_rng(count).normal(size=(count, 3)).astype(np.float32)
        out = np.full((count, 5), np.nan, np.float32)
        Evaluator(kernel, {kernel.inputs[0]: given, kernel.outputs[0]: out}, {"T": count}).run()
        np.testing.assert_array_equal(out, given[:, [0, 1, 2, 0, 1]] * np.float32(2) + 1)


def test_neighbours_along_an_open_extent_are_not_cut() -> None:
    """Nothing proves that what a block reads beside its own rows exists."""
    kind, rows = as_dtype("float32"), DimVar("T")
    x = Buffer("x", (rows + 2, 3), kind)
    first, _ = kernel_of(compute((rows + 2, 3), lambda i, j: x[i, j] * 2.0), x)
    t = Buffer("t", (rows + 2, 3), kind)
    then, _ = kernel_of(compute((rows, 3), lambda i, j: t[i, j] + t[i + 2, j]), t)
    chain = chain_of((first, then), pieces_of((first, then)))
    assert chain is not None
    assert Cutting(chain).blocks({chain.loops[0].var: 4}) is None


def test_two_loops_with_shorter_blocks_are_not_cut() -> None:
    kind = as_dtype("float32")
    x = Buffer("x", (7, 5), kind)
    first, _ = kernel_of(compute((7, 5), lambda i, j: x[i, j] + 1.0), x)
    t = Buffer("t", (7, 5), kind)
    then, _ = kernel_of(compute((7, 5), lambda i, j: t[i, j] * 3.0), t)
    chain = chain_of((first, then), pieces_of((first, then)))
    assert chain is not None
    outer, inner = chain.loops
    cutting = Cutting(chain)
    assert cutting.blocks({outer.var: 3, inner.var: 2}) is None
    assert cutting.blocks({outer.var: 3, inner.var: 5}) is not None


def test_long_rows_start_where_lines_do() -> None:
    kind = as_dtype("float32")
    x = Buffer("x", (6, 67), kind)
    first, _ = kernel_of(compute((6, 67), lambda i, j: x[i, j] + 1.0), x)
    t = Buffer("t", (6, 67), kind)
    then, _ = kernel_of(compute((6, 67), lambda i, j: t[i, j] * 3.0), t)
    chain = chain_of((first, then), pieces_of((first, then)))
    assert chain is not None
    blocks = Cutting(chain).blocks({chain.loops[0].var: 4})
    assert blocks is not None
    kernel = joined(blocks, "blocks", "here")
    assert [s.buffer.shape for s in statements(kernel.body) if isinstance(s, Alloc)] == [(4, 80)]
    given = np.random.default_rng(0).normal(size=(6, 67)).astype(np.float32)
    (got,) = run(kernel, {kernel.inputs[0]: given})
    np.testing.assert_array_equal(got, (given + 1) * 3)


def test_what_reads_all_cannot_be_cut() -> None:
    kind = as_dtype("float32")
    x = Buffer("x", (6, 5), kind)
    first, _ = kernel_of(compute((6, 5), lambda i, j: x[i, j] + 1.0), x)
    t = Buffer("t", (6, 5), kind)
    then, _ = kernel_of(compute((4,), lambda k: reduce("sum", (6, 5), lambda i, j: t[i, j])), t)
    chain = chain_of((first, then), pieces_of((first, then)))
    assert chain is not None
    blocks = Cutting(chain).blocks({chain.loops[0].var: 2})
    assert blocks is not None
    assert blocks.regions[0].extents == (6, 5)
