"""Invariants of the loop IR.

K1  a buffer is a parameter or allocated around its use; an index has one entry for each axis
K2  a loop variable is defined by exactly one loop around its use
K3  an index stays inside its buffer wherever intervals decide it (level 2)
K4  independent loops have no race: what they write depends on their variable
K5  values have the dtype of the buffer they are stored in
K6  `unroll` and `vector` loops have constant extent or stated lanes; kinds are known
K7  only output parameters and private buffers are written
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import VerifyError
from . import dims
from .dims import Dim, LoopVar
from .ir import (
    INDEPENDENT,
    LOOP_KINDS,
    Alloc,
    Block,
    Buffer,
    DataIndex,
    Expr,
    For,
    If,
    IndexValue,
    Kernel,
    Load,
    Prefetch,
    Reduce,
    Select,
    Stmt,
    Store,
    Update,
)
from .narrowing import narrowed
from .printer import kernel_text
from .rewrite import operands, walk
from .transform.locate import uses


def verify_kernel(kernel: Kernel, level: int = 1) -> None:
    """Check the invariants.  Raises: VerifyError with the rule and the kernel's text."""
    if level == 0:
        return
    checker = _Checker(kernel, level)
    try:
        checker.stmt(kernel.body)
    except VerifyError as error:
        message = str(error).partition("] ")[2]
        raise VerifyError(
            error.rule, f"kernel {kernel.name}: {message}", kernel_text(kernel)
        ) from None


class _Checker:
    def __init__(self, kernel: Kernel, level: int) -> None:
        self.kernel = kernel
        self.level = level
        self.loops: list[For] = []
        self.visible: set[Buffer] = set(kernel.params)
        self.writable: set[Buffer] = set(kernel.outputs)
        self.inside: dict[Buffer, int] = dict.fromkeys(kernel.params, 0)
        self.ranges: dict[object, tuple[int | None, int | None]] = {}
        self.conditions = 0

    def stmt(self, stmt: Stmt) -> None:
        match stmt:
            case Block(stmts=stmts):
                for inner in stmts:
                    self.stmt(inner)
            case For():
                self._loop(stmt)
            case Alloc(buffer=buffer, body=body):
                self.visible.add(buffer)
                self.writable.add(buffer)
                self.inside[buffer] = len(self.loops)
                self.stmt(body)
                self.visible.discard(buffer)
            case (
                Store(buffer=buffer, index=index, value=value)
                | Update(buffer=buffer, index=index, value=value)
            ):
                self._write(buffer, index, value)
            case If(condition=condition, then=then, otherwise=otherwise):
                self._expr(condition)
                self._branch(condition, then, True)
                if otherwise is not None:
                    self._branch(condition, otherwise, False)
            case Prefetch(buffer=buffer, index=index):
                self._prefetch(buffer, index)
            case _:
                return

    def _branch(self, condition: Expr, stmt: Stmt, holds: bool) -> None:
        """One side of a condition.  Where intervals know nothing of it, what stands below is as if
        guarded."""
        ranges, found = self.ranges, narrowed(condition, self.ranges, holds)
        self.ranges = dict(ranges if found is None else found)
        self.conditions += found is None
        self.stmt(stmt)
        self.conditions -= found is None
        self.ranges = ranges

    def _prefetch(self, buffer: Buffer, index: tuple[Dim, ...]) -> None:
        """As an access, but it may point past the end."""
        if buffer not in self.visible:
            raise VerifyError("K1", f"{buffer.name} is used where it does not exist")
        if len(index) != len(buffer.shape):
            raise VerifyError(
                "K1", f"{buffer.name} has {len(buffer.shape)} axes, index has {len(index)}"
            )
        for dim in index:
            self._dim(dim)

    def _loop(self, loop: For) -> None:
        if loop.kind not in LOOP_KINDS:
            raise VerifyError("K6", f"unknown loop kind {loop.kind!r}")
        if loop.kind == "unroll" and not isinstance(loop.extent, int):
            raise VerifyError("K6", f"unrolled loop {loop.var} has extent {loop.extent}")
        if loop.kind == "vector" and not (isinstance(loop.extent, int) or loop.lanes):
            raise VerifyError("K6", f"vector loop {loop.var} of open extent states no lanes")
        if any(outer.var == loop.var for outer in self.loops):
            raise VerifyError("K2", f"loop variable {loop.var} is defined twice")
        self._dim(loop.extent)
        _, high = dims.bounds(loop.extent, self.ranges)
        self.ranges[loop.var] = (0, None if high is None else max(high - 1, 0))
        self.loops.append(loop)
        self.stmt(loop.body)
        self.loops.pop()

    def _write(self, buffer: Buffer, index: tuple[Dim, ...], value: Expr) -> None:
        if buffer not in self.writable:
            raise VerifyError("K7", f"{buffer.name} is not an output but is written")
        if value.dtype != buffer.dtype:
            raise VerifyError("K5", f"{buffer.name} is {buffer.dtype}, the value {value.dtype}")
        self._access(buffer, index, guarded=False)
        self._expr(value)
        for loop in self.loops[self.inside[buffer] :]:
            if loop.kind not in INDEPENDENT or loop.extent == 1:
                continue
            if not any(uses(d, loop.var) for d in index):
                raise VerifyError(
                    "K4",
                    f"iterations of {loop.kind} {loop.var} all write "
                    f"{buffer.name}[{', '.join(map(str, index))}]",
                )

    def _expr(self, top: Expr) -> None:
        every = list(walk(top))
        guarded = _below([b for e in every if isinstance(e, Select) for b in (e.then, e.otherwise)])
        for e in every:
            if isinstance(e, Reduce):
                raise VerifyError("K1", "a reduction stands in a kernel; lower it to a loop first")
            if isinstance(e, Load):
                if not isinstance(e.tensor, Buffer):
                    raise VerifyError("K1", f"{e.tensor.name} is not a buffer")
                self._access(e.tensor, e.index, id(e) in guarded)
            elif isinstance(e, IndexValue):
                self._dim(e.dim)

    def _access(self, buffer: Buffer, index: tuple[Dim, ...], guarded: bool) -> None:
        if buffer not in self.visible:
            raise VerifyError("K1", f"{buffer.name} is used where it does not exist")
        if len(index) != len(buffer.shape):
            raise VerifyError(
                "K1", f"{buffer.name} has {len(buffer.shape)} axes, index has {len(index)}"
            )
        for dim, extent in zip(index, buffer.shape, strict=True):
            self._dim(dim)
            if self.level >= 2 and not guarded and not self.conditions:
                self._inside(buffer, dim, extent)

    def _inside(self, buffer: Buffer, dim: Dim, extent: Dim) -> None:
        low, high = dims.bounds(dim, self.ranges)
        if any(isinstance(a, DataIndex) for a in dims.atoms(dim)) or not isinstance(extent, int):
            return
        empty = any(loop.extent == 0 for loop in self.loops)
        below = low is not None and low < 0
        above = high is not None and high >= extent and not self._ends_inside(dim, extent)
        if not empty and (below or above):
            raise VerifyError(
                "K3",
                f"index {dim} of {buffer.name} ranges over {low}..{high}, "
                f"outside its extent {extent}",
            )

    def _ends_inside(self, dim: Dim, extent: int) -> bool:
        """The last iteration of inner loops, whose extents depend on outer ones, stays inside.

        v < min(16, 561-16*i):   v + 16*i  <=  561-16*i - 1 + 16*i  =  560
        """
        for loop in reversed(self.loops):
            if isinstance(loop.extent, int) or not _rises(dim, loop.var):
                continue
            for limit in _at_most(loop.extent):
                reached = dims.substitute(dim, {loop.var: dims.add(limit, -1)})
                _, high = dims.bounds(reached, self.ranges)
                if high is not None and (high < extent or self._ends_inside(reached, extent)):
                    return True
        return False

    def _dim(self, dim: Dim) -> None:
        known = {loop.var for loop in self.loops}
        for atom in dims.atoms(dim):
            if isinstance(atom, LoopVar) and atom not in known:
                raise VerifyError("K2", f"index variable {atom} is used outside its loop")


def _rises(dim: Dim, var: LoopVar) -> bool:
    """The expression holds the variable and never falls when it grows."""
    found = False
    for monomial, factor in dims.terms_of(dim)[0]:
        if not any(var in dims.atoms(atom) for atom in monomial):
            continue
        (atom, *rest) = monomial
        divided = isinstance(atom, dims.FloorDiv) and isinstance(atom.b, int) and atom.b > 0
        inner = isinstance(atom, dims.FloorDiv) and divided and _rises(atom.a, var)
        if rest or factor < 0 or not (atom == var or inner):
            return False
        found = True
    return found


def _at_most(dim: Dim) -> tuple[Dim, ...]:
    """Expressions that bound a loop's extent from above; a loop that runs has one above 0."""
    if isinstance(dim, dims.Maximum) and 0 in (dim.a, dim.b):
        return _at_most(dim.b if dim.a == 0 else dim.a)
    return (dim.a, dim.b) if isinstance(dim, dims.Minimum) else (dim,)


def _below(tops: Sequence[Expr]) -> set[int]:
    """The identities of these expressions and of all in them, each looked at once."""
    found: set[int] = set()
    stack = list(tops)
    while stack:
        expr = stack.pop()
        if id(expr) not in found:
            found.add(id(expr))
            stack.extend(operands(expr))
    return found
