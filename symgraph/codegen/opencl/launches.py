"""From a kernel to the launches that run it.

A launch is one call of one OpenCL function.  Loops whose iterations are independent, at the top of
a kernel, become its work-items; several such nests become several launches, since work-items of
different groups cannot wait for each other.  A `local` loop makes the outer loops count groups.

    parallel i < N: ...          ->  launch 0: N work-items
    parallel i < N, j < M: ...   ->  launch 1: N*M work-items
    acc[] = ...; serial ...      ->  launch 2: 1 work-item

Memory inside a kernel is private to a work-item where it is small, else it lies in the scratch
that follows the arena: one tensor for all where launches share it, one slice for each work-item
where it is allocated inside the loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...errors import InternalError
from ...kernel import dims
from ...kernel.dims import Dim, DimVar
from ...kernel.ir import (
    Alloc,
    Axis,
    Barrier,
    Block,
    Buffer,
    DataIndex,
    Expr,
    For,
    IndexValue,
    Kernel,
    Load,
    Stmt,
    Store,
    Update,
    block,
)
from ...kernel.rewrite import expressions, statements, walk

INDEPENDENT = ("parallel", "grid")
PRIVATE_BYTES = 1024
"""A buffer of at most so many bytes is an array of the work-item itself."""
SLICE_ALIGNMENT = 16


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """One call of one function.

    `axes` are the loops that become work-items (groups, when `group` is not 0), `group` the number
    of work-items of a group, `tensors` the scratch shared by all, `slices` the scratch of which
    each work-item has its own.
    """

    name: str
    axes: tuple[Axis, ...]
    group: int
    body: Stmt
    buffers: tuple[Buffer, ...]
    tensors: tuple[Buffer, ...]
    slices: tuple[Buffer, ...]
    dims: tuple[DimVar, ...]

    @property
    def count(self) -> Dim:
        """The number of work-items, or of groups."""
        return dims.product([axis.extent for axis in self.axes])

    @property
    def has_vectors(self) -> bool:
        """A loop of the launch runs as vectors."""
        return any(isinstance(s, For) and s.kind == "vector" for s in statements(self.body))

    @property
    def fixed_group(self) -> int:
        """The number of work-items of a group where the text depends on it, else 0.

        A work-item that computes with vectors is a group of its own: what joins work-items into
        vectors must not do so again.
        """
        return self.group if self.group else int(self.has_vectors and not self.slices)

    @property
    def slice_bytes(self) -> Dim:
        """The scratch that one work-item needs for itself."""
        return dims.add(0, sum_dims([aligned_bytes(b) for b in self.slices]))


@dataclass(frozen=True, slots=True, eq=False)
class LaunchPlan:
    """The launches of a kernel in order; `tensors` keep their bytes from one to the next."""

    launches: tuple[Launch, ...]
    tensors: tuple[Buffer, ...]


def sum_dims(terms: Sequence[Dim]) -> Dim:
    """The sum; 0 for none."""
    total: Dim = 0
    for term in terms:
        total = dims.add(total, term)
    return total


def aligned_bytes(buffer: Buffer) -> Dim:
    """The bytes of a scratch buffer, rounded up."""
    return dims.align(buffer.nbytes, SLICE_ALIGNMENT)


def plan_launches(kernel: Kernel, name: str) -> LaunchPlan:
    """Split a kernel into launches named `name`, `name_1`, ..."""
    top: list[Buffer] = []
    parts = _grouped(list(_parts(kernel.body, top)))
    shared = _shared_between(parts, top)
    bodies = [_with_allocs(part, [b for b in top if b not in shared]) for part in parts]
    launches = [
        _launch(kernel, name if n == 0 else f"{name}_{n}", body, shared)
        for n, body in enumerate(bodies)
    ]
    return LaunchPlan(tuple(launches), tuple(shared))


def _parts(stmt: Stmt, top: list[Buffer]) -> Iterator[Stmt]:
    """The statements at the top of a kernel; `top` collects the buffers allocated around them."""
    match stmt:
        case Block(stmts=stmts):
            for inner in stmts:
                yield from _parts(inner, top)
        case Alloc(buffer=buffer, body=body):
            top.append(buffer)
            yield from _parts(body, top)
        case _:
            yield stmt


def _is_spread(stmt: Stmt) -> bool:
    """The statement is a loop that becomes work-items."""
    if not isinstance(stmt, For):
        return False
    if any(isinstance(a, DataIndex) for a in dims.atoms(stmt.extent)):
        return False
    return stmt.kind in (*INDEPENDENT, "local")


def _grouped(parts: Sequence[Stmt]) -> list[Stmt]:
    """Statements that one work-item runs are joined with their neighbours."""
    groups: list[list[Stmt]] = []
    joinable = False
    for part in parts:
        spread = _is_spread(part)
        if joinable and not spread:
            groups[-1].append(part)
        else:
            groups.append([part])
        joinable = not spread
    return [block(*group) for group in groups]


def _shared_between(parts: Sequence[Stmt], top: Sequence[Buffer]) -> list[Buffer]:
    """Buffers allocated at the top that several launches or several work-items use."""
    shared = []
    for buffer in top:
        users = [part for part in parts if buffer in used_buffers(part)]
        if len(users) > 1 or any(_is_spread(part) for part in users):
            shared.append(buffer)
    return shared


def _with_allocs(part: Stmt, private: Sequence[Buffer]) -> Stmt:
    used = used_buffers(part)
    for buffer in reversed(private):
        if buffer in used:
            part = Alloc(buffer, part)
    return part


def _launch(kernel: Kernel, name: str, body: Stmt, shared: Sequence[Buffer]) -> Launch:
    has_local = any(isinstance(s, For) and s.kind == "local" for s in statements(body))
    axes, inner = _axes(body)
    used = used_buffers(body)
    group = _group_size(name, inner) if has_local else 0
    slices = [
        s.buffer
        for s in statements(inner)
        if isinstance(s, Alloc) and s.buffer.scope != "shared" and not is_private(s.buffer)
    ]
    if slices and has_local:
        raise InternalError(
            f"launch {name}: {slices[0].name} is too large for a work-item of a "
            f"group; give it the scope 'shared'"
        )
    return Launch(
        name,
        tuple(axes),
        group,
        inner,
        tuple(b for b in kernel.params if b in used),
        tuple(b for b in shared if b in used),
        tuple(slices),
        _used_dims(body, [*kernel.params, *shared]),
    )


def _axes(body: Stmt) -> tuple[list[Axis], Stmt]:
    """The perfectly nested independent loops at the top, and what is inside."""
    axes: list[Axis] = []
    while isinstance(body, For) and body.kind in INDEPENDENT and _is_spread(body):
        mine = {axis.var for axis in axes}
        if any(atom in mine for atom in dims.atoms(body.extent)):
            break
        axes.append(Axis(body.var, body.extent))
        body = body.body
    return axes, body


def _group_size(name: str, body: Stmt) -> int:
    """The work-items of a group: as many as the largest nest of local loops has points.

    A smaller nest leaves some of them idle, so none may wait for the others inside it.
    """
    nests = list(_local_nests(name, body, 1))
    size = max(size for size, _ in nests)
    for count, inner in nests:
        if count < size and any(isinstance(s, Barrier) for s in statements(inner)):
            raise InternalError(
                f"launch {name}: a barrier stands in a local loop of {count} "
                f"work-items in a group of {size}"
            )
    return size


def _local_nests(name: str, stmt: Stmt, outer: int) -> Iterator[tuple[int, Stmt]]:
    """The number of points and the body of every innermost nest of local loops."""
    if isinstance(stmt, For) and stmt.kind == "local":
        if not isinstance(stmt.extent, int):
            raise InternalError(f"launch {name}: local loop {stmt.var} is of open extent")
        outer *= stmt.extent
        if not any(isinstance(s, For) and s.kind == "local" for s in statements(stmt.body)):
            yield outer, stmt.body
            return
    for inner in _children(stmt):
        yield from _local_nests(name, inner, outer)


def _children(stmt: Stmt) -> tuple[Stmt, ...]:
    match stmt:
        case Block(stmts=stmts):
            return stmts
        case For(body=body) | Alloc(body=body):
            return (body,)
        case _:
            return tuple(
                s
                for s in (getattr(stmt, "then", None), getattr(stmt, "otherwise", None))
                if s is not None
            )


def is_private(buffer: Buffer) -> bool:
    """The buffer is a variable or array of the work-item itself."""
    nbytes = buffer.nbytes
    return isinstance(nbytes, int) and (nbytes <= PRIVATE_BYTES or buffer.scope == "register")


def used_buffers(stmt: Stmt) -> set[Buffer]:
    """Every buffer that a statement reads or writes."""
    found: set[Buffer] = set()
    for inner in statements(stmt):
        if isinstance(inner, (Store, Update)):
            found.add(inner.buffer)
    for expr in _all_exprs(stmt):
        if isinstance(expr, Load) and isinstance(expr.tensor, Buffer):
            found.add(expr.tensor)
    return found


def _all_exprs(stmt: Stmt) -> Iterator[Expr]:
    for top in expressions(stmt):
        yield from walk(top)


def _used_dims(stmt: Stmt, outside: Sequence[Buffer]) -> tuple[DimVar, ...]:
    """The named extents that the text of a launch mentions."""
    found: set[DimVar] = set()

    def note(values: Sequence[Dim]) -> None:
        for value in values:
            found.update(dims.dim_vars(value))
            for atom in dims.atoms(value):
                if isinstance(atom, DataIndex):
                    note((atom.extent,))

    used = used_buffers(stmt)
    for buffer in outside:
        if buffer in used:
            note(buffer.shape)
    for inner in statements(stmt):
        match inner:
            case For(extent=extent):
                note((extent,))
            case Alloc(buffer=buffer):
                note(buffer.shape)
            case Store(index=index) | Update(index=index):
                note(index)
            case _:
                pass
    for expr in _all_exprs(stmt):
        if isinstance(expr, Load):
            note(expr.index)
        elif isinstance(expr, IndexValue):
            note((expr.dim,))
    return tuple(sorted(found, key=lambda v: v.name))
