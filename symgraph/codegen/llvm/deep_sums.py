"""Sums so long that a panel of an operand leaves a core's own cache before it is read again, in
parts that are added up at the end.

    parallel i < 256:                       alloc parts: f32[8,256,256] in local
      parallel j < 256:                     parallel p < 8:
        acc = 0                               parallel i < 256:
        serial k < 8192:                        parallel j < 256:
          acc += a[i,k] * b[k,j]    ->            acc = 0
        c[i,j] = f(acc)                           serial k < 1024:
                                                    acc += a[i,1024*p+k] * b[1024*p+k,j]
                                                  parts[p,i,j] = acc
                                            parallel i < 256:
                                              parallel j < 256:
                                                acc = 0
                                                serial p < 8: acc += parts[p,i,j]
                                                c[i,j] = f(acc)

Parts are more work to share among threads, too.  How many there are depends on the extents alone,
so that results do not depend on the number of threads.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from ...kernel import dims
from ...kernel.dims import LoopVar
from ...kernel.ir import Alloc, Block, Buffer, For, Kernel, Load, Stmt, Store, Update, block
from ...kernel.rewrite import Substitute
from .contraction import Contraction

LEAST_SUM = 4096
"""Sums of fewer elements stay whole."""

PART = 1024
"""Elements of a part, about: a panel of four vectors takes an eighth of a second cache of 2 MiB."""

PARTS_BYTES = 8 * 1024 * 1024
"""What the partial results may take."""

LEAST_USES = 32
"""How often an element of each operand is used, at the least: else nothing is read again."""


def sums_in_parts(kernel: Kernel, found: Contraction) -> Kernel | None:
    """The kernel, which is this contraction alone, with its sums in parts; None where they are
    short, or parts would take too much memory."""
    if not isinstance(kernel.body, For) or len(found.serial) != 1 or len(found.loads) != 2:
        return None
    (summed,) = found.serial
    extents = [loop.extent for loop in found.parallel]
    if found.update.function != "add" or not all(isinstance(e, int) for e in extents):
        return None
    count = _parts(summed.extent) if isinstance(summed.extent, int) else None
    if count is None or not all(_is_reused(found, number) for number in range(2)):
        return None
    parts = Buffer("parts", (count, *extents), found.accumulator.dtype, "local")
    nbytes = parts.nbytes
    if not isinstance(nbytes, int) or nbytes > PARTS_BYTES:
        return None
    assert isinstance(summed.extent, int)
    body = block(_partial(found, parts, summed.extent // count), _total(found, parts, count))
    return replace(kernel, body=Alloc(parts, body))


def _parts(extent: int) -> int | None:
    """Into how many equal parts a sum is cut, if any."""
    if extent < LEAST_SUM:
        return None
    wanted = extent / PART
    near = [n for n in range(extent // (2 * PART), 2 * extent // PART + 1) if extent % n == 0]
    return min(near, key=lambda n: (extent // n % 16 != 0, abs(n - wanted)), default=None)


def _is_reused(found: Contraction, number: int) -> bool:
    access = found.loads[number]
    again = [loop.extent for loop in found.parallel if found.stride_of(access, loop.var) == 0]
    return prod(e for e in again if isinstance(e, int)) >= LEAST_USES


def _partial(found: Contraction, parts: Buffer, length: int) -> Stmt:
    """Every part of every sum."""
    part, inside = LoopVar("part"), LoopVar("r")
    place = (part, *(loop.var for loop in found.parallel))
    whole = dims.add(dims.mul(part, length), inside)
    update = Substitute({found.serial[0].var: whole}).stmt(found.update)
    stored = Store(parts, place, Load(found.accumulator, ()))
    body = _sums(found, For(inside, length, "serial", update), (stored,))
    for loop in reversed(found.parallel):
        body = For(loop.var, loop.extent, "parallel", body)
    return For(part, parts.shape[0], "parallel", body)


def _total(found: Contraction, parts: Buffer, count: int) -> Stmt:
    """The parts added up, and what is done with the sums."""
    part = LoopVar("part")
    place = (part, *(loop.var for loop in found.parallel))
    update = Update(found.accumulator, (), "add", Load(parts, place))
    body = found.point(For(part, count, "serial", update))
    for loop in reversed(found.parallel):
        fresh = LoopVar(loop.var.hint)
        body = Substitute({loop.var: fresh}).stmt(body)
        body = For(fresh, loop.extent, "parallel", body)
    return body


def _sums(found: Contraction, reduction: Stmt, finish: tuple[Stmt, ...]) -> Stmt:
    """One accumulator from its start to where it is stored."""
    return Alloc(found.accumulator, Block((found.start, reduction, *finish)))
