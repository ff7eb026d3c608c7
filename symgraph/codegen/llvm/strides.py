"""How a statement moves through memory along one loop: what an access costs in vector lanes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import Alloc, Block, Buffer, Expr, For, If, IndexValue, Load, Stmt, Store, Update
from ...kernel.rewrite import expressions, statements, walk
from ...kernel.transform.locate import uses

UNKNOWN_EXTENT = 16
"""What an open extent is taken for where only proportions matter."""

GATHER_COST = 1.5
"""An element taken alone into a vector, against one scalar access."""

LEAST_RUN = 16
"""Elements of a block within which neighbours stay neighbours."""

BROKEN_COST = 3.0
"""A vector of neighbours that lie in two pieces, against one scalar access."""


@dataclass(frozen=True, slots=True)
class Access:
    """One place of a buffer, and how often it is touched for one round of the loops around."""

    buffer: Buffer
    index: tuple[Dim, ...]
    weight: int
    is_store: bool


def accesses(stmt: Stmt, weight: int = 1) -> list[Access]:
    """Every access to memory in a statement (registers cost nothing)."""
    found: list[Access] = []
    _collect(stmt, weight, found)
    return found


def _collect(stmt: Stmt, weight: int, found: list[Access]) -> None:
    if isinstance(stmt, For):
        times = stmt.extent if isinstance(stmt.extent, int) else UNKNOWN_EXTENT
        _collect(stmt.body, weight * max(1, times), found)
        return
    inner = [s for s in statements(stmt) if s is not stmt]
    if inner:
        match stmt:
            case Block(stmts=stmts):
                for one in stmts:
                    _collect(one, weight, found)
            case Alloc(body=body):
                _collect(body, weight, found)
            case If(condition=condition, then=then, otherwise=otherwise):
                _loads(condition, weight, found)
                _collect(then, weight, found)
                if otherwise is not None:
                    _collect(otherwise, weight, found)
            case _:
                raise AssertionError(stmt)
        return
    if isinstance(stmt, (Store, Update)):
        if stmt.buffer.scope != "register":
            found.append(Access(stmt.buffer, stmt.index, weight, True))
        for top in expressions(stmt):
            _loads(top, weight, found)


def _loads(top: Expr, weight: int, found: list[Access]) -> None:
    for e in walk(top):
        if isinstance(e, Load):
            assert isinstance(e.tensor, Buffer)
            if e.tensor.scope != "register":
                found.append(Access(e.tensor, e.index, weight, False))


def stride(access: Access, var: LoopVar) -> Dim | None:
    """Elements between neighbouring iterations of a loop; None when it is not constant."""
    return _stride(access.buffer, access.index, var)


@lru_cache(maxsize=1 << 13)
def _stride(buffer: Buffer, index: tuple[Dim, ...], var: LoopVar) -> Dim | None:
    if not any(uses(d, var) for d in index):
        return 0
    result = dims.coefficient(buffer.offset(index), var)
    if result is None:
        return None
    for dim in index:
        for atom in dims.atoms(dim):
            if atom != var and not isinstance(atom, LoopVar) and uses(atom, var):
                return None
    return result


def runs_on(access: Access, var: LoopVar) -> bool:
    """Neighbouring iterations are neighbours in memory but where a block ends: the index holds
    (var+a) // b and (var+a) % b, as one of channels in blocks does."""
    offset, found = access.buffer.offset(access.index), False
    for monomial, factor in dims.terms_of(offset)[0]:
        inside = [atom for atom in monomial if var in dims.atoms(atom)]
        if not inside:
            continue
        (atom, *rest) = monomial
        if rest or not isinstance(atom, (dims.FloorDiv, dims.Mod)) or not isinstance(atom.b, int):
            return False
        if dims.coefficient(atom.a, var) != 1 or atom.b < LEAST_RUN:
            return False
        if isinstance(atom, dims.Mod):
            if factor != 1 or found:
                return False
            found = True
    return found


def lane_cost(access: Access, var: LoopVar, lanes: int, most_stride: int) -> float:
    """Cost of one access for all lanes of a vector, a scalar access being 1."""
    step = stride(access, var)
    if step == 0:
        return 1.0
    if step == 1:
        return 1.0
    if isinstance(step, int) and 1 < step <= most_stride and not access.is_store:
        return 2.0 * step
    if step is None and not access.is_store and lanes <= LEAST_RUN and runs_on(access, var):
        return BROKEN_COST
    return GATHER_COST * lanes


def index_values_vary(stmt: Stmt, var: LoopVar) -> bool:
    """The variable is used as a number other than by itself times a constant."""
    for top in expressions(stmt):
        for e in walk(top):
            if not isinstance(e, IndexValue) or not uses(e.dim, var):
                continue
            if not isinstance(dims.coefficient(e.dim, var), int):
                return True
    return False
