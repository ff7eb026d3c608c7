"""Statements: loops, conditions, buffers.

Owns: control flow.  Buffers of scope "register" that a loop writes travel through it as phis, cell
by cell; a vector loop runs its body once for all lanes, and what is allocated inside it exists once
for each lane.  An unrolled loop is emitted once for each value of its variable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...errors import InternalError
from ...kernel import dims
from ...kernel.dims import Dim, LoopVar
from ...kernel.ir import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    Call,
    For,
    If,
    Load,
    Prefetch,
    Stmt,
    Store,
    Update,
)
from ...kernel.rewrite import expressions, statements, walk
from ...kernel.transform.locate import uses
from .builder import BasicBlock, FunctionBuilder
from .expressions import Expressions
from .indices import VectorLoop
from .machine import Machine
from .memory import Memory, Registers
from .types import Value, memory_type, register_type, vector


@dataclass(frozen=True, slots=True)
class Range:
    """The part of the outermost loop that this call runs."""

    begin: str
    end: str


class Statements(Expressions):
    """Emits statements into one function."""

    def __init__(
        self,
        builder: FunctionBuilder,
        machine: Machine,
        scratch: Callable[[Buffer], str],
    ) -> None:
        super().__init__(builder, machine)
        self.places = {}
        self._offsets = {}
        self.memo = [{}]
        self.scratch = scratch

    def stmt(self, stmt: Stmt) -> None:
        # What an index or extent reads from data holds for this statement only, too.
        self.memo = [{}]
        match stmt:
            case Block(stmts=stmts):
                for inner in stmts:
                    self.stmt(inner)
            case For():
                self.loop(stmt)
            case Alloc(buffer=buffer, body=body):
                self.places[buffer] = self._place(buffer, body)
                self.stmt(body)
                del self.places[buffer]
            case Store(buffer=buffer, index=index, value=value):
                self.store(buffer, index, self.evaluate(value))
            case Update():
                self._update(stmt)
            case If():
                self._if(stmt)
            case Prefetch(buffer=buffer, index=index):
                self.prefetch(buffer, index)
            case Barrier():
                pass  # one thread runs the whole body
            case _:
                raise AssertionError(stmt)

    # -- buffers -------------------------------------------------------------------------------

    def _place(self, buffer: Buffer, body: Stmt) -> Memory | Registers:
        lanes = 1 if self.vector is None else self.vector.lanes
        if buffer.scope == "register":
            if self.vector is not None:
                if self._cells_are_fixed(buffer, body, None):
                    return Registers(lanes, True, False)
            else:
                var, width, uniform = _vector_axis(buffer, body)
                if self._cells_are_fixed(buffer, body, var):
                    return Registers(width, False, not uniform)
        nelems = buffer.nelems
        if (
            not isinstance(nelems, int)
            or nelems * lanes * buffer.dtype.nbytes > self.machine.stack_limit
        ):
            return Memory(self.scratch(buffer), False, lanes)
        name = self.builder.fresh()
        type = memory_type(buffer.dtype)
        self.builder.blocks[0].lines.append(
            f"{name} = alloca [{max(1, nelems * lanes)} x {type}], align 64"
        )
        return Memory(name, False, lanes)

    def _cells_are_fixed(self, buffer: Buffer, body: Stmt, vectors: set[LoopVar] | None) -> bool:
        """Every index is made of constants, unrolled variables and (unless the buffer is private
        to lanes) one vector variable."""
        allowed: set[LoopVar] = set()
        for s in statements(body):
            if isinstance(s, For) and s.kind == "unroll":
                allowed.add(s.var)
        allowed.update(v for v in self.unrolled if isinstance(v, LoopVar))
        allowed.update(vectors or ())
        for index in accesses(buffer, body):
            for dim in index:
                if any(atom not in allowed for atom in dims.atoms(dim)):
                    return False
        return isinstance(buffer.nelems, int)

    def _update(self, stmt: Update) -> None:
        if self._fused(stmt):
            return
        value = self.evaluate(stmt.value)
        place = self.places[stmt.buffer]
        offset_varies = self.varies(self.element_offset(stmt.buffer, stmt.index))
        if self.vector is not None and value.lanes > 1 and not offset_varies:
            private = isinstance(place, Registers) and place.private
            private |= isinstance(place, Memory) and place.lanes > 1
            if not private:
                raise InternalError(f"lanes of {self.vector.var} all update {stmt.buffer.name}")
        old = self.load(stmt.buffer, stmt.index)
        result = self.arithmetic.call(stmt.function, [old, value], stmt.buffer.dtype)
        self.store(stmt.buffer, stmt.index, result)

    def _fused(self, stmt: Update) -> bool:
        """buffer += a * b as one instruction, where the machine has it."""
        value, dtype = stmt.value, stmt.buffer.dtype
        is_product = isinstance(value, Call) and value.function == "mul"
        if not (self.machine.fma and stmt.function == "add" and is_product):
            return False
        if dtype.name not in ("float32", "float64"):
            return False
        assert isinstance(value, Call)
        saved, self.memo = self.memo, [{}]
        a, b = (self.expr(arg) for arg in value.args)
        self.memo = saved
        old = self.load(stmt.buffer, stmt.index)
        self.store(stmt.buffer, stmt.index, self.arithmetic.fused_multiply_add(a, b, old))
        return True

    # -- loops ---------------------------------------------------------------------------------

    def loop(self, loop: For, part: Range | None = None) -> None:
        extent = self.resolve(loop.extent)
        if loop.kind == "unroll":
            self._unrolled(loop, extent)
        elif loop.kind == "vector":
            self._vector_loop(loop, extent)
        elif extent == 0:
            return
        elif extent == 1 and part is None:
            self._with_value(loop, 0)
        else:
            self._real_loop(loop, extent, part)

    def _with_value(self, loop: For, value: int) -> None:
        self.unrolled[loop.var] = value
        self.stmt(loop.body)
        del self.unrolled[loop.var]

    def _unrolled(self, loop: For, extent: Dim) -> None:
        assert isinstance(extent, int)
        for value in range(extent):
            self._with_value(loop, value)

    def _real_loop(self, loop: For, extent: Dim, part: Range | None) -> None:
        builder = self.builder
        count = self.term(extent)[1]
        begin = "0" if part is None else part.begin
        end = count if part is None else part.end
        self._counted(
            begin, end, part is None and self.positive(extent), loop.body,
            lambda name: self._enter(loop, extent, name, builder.depth),
        )  # fmt: skip
        self._leave(loop.var)

    def _enter(self, loop: For, extent: Dim, name: str, level: int) -> None:
        self.variables[loop.var] = (level, name)
        _, high = dims.bounds(extent, self.ranges)
        self.bound(loop.var, (0, None if high is None else max(high - 1, 0)))

    def _leave(self, var: LoopVar) -> None:
        del self.variables[var]
        del self.ranges[var]

    def _counted(
        self, begin: str, end: str, positive: bool, body: Stmt, enter: Callable[[str], None]
    ) -> None:
        """for name in begin .. end-1: body, registers carried by phis."""
        builder = self.builder
        carried = self._carried(body)
        before = {key: self._cell_text(key) for key in carried}
        head, inside = builder.block("loop"), builder.block("body")
        exit = builder.block("exit")
        entry = builder.current
        if positive:
            builder.line(f"br label %{head.name}")
        else:
            some = builder.pure(f"icmp slt i64 {begin}, {end}")
            builder.line(f"br i1 {some}, label %{head.name}, label %{exit.name}")
        builder.place(head)
        builder.open(head)
        name = builder.fresh()
        phis = {key: builder.fresh() for key in carried}
        for key, phi in phis.items():
            key[0].cells[key[1]] = phi
        enter(name)
        self.epoch += 1
        builder.place(inside)
        self.stmt(body)
        self.epoch += 1
        latch = builder.current
        next = builder.fresh()
        builder.line(f"{next} = add nuw nsw i64 {name}, 1")
        more = builder.fresh()
        builder.line(f"{more} = icmp slt i64 {next}, {end}")
        builder.line(f"br i1 {more}, label %{head.name}, label %{exit.name}")
        after = {key: self._cell_text(key) for key in carried}
        lines = [f"{name} = phi i64 [{begin}, %{entry.name}], [{next}, %{latch.name}]"]
        lines += [
            f"{phi} = phi {key[2]} [{before[key]}, %{entry.name}], [{after[key]}, %{latch.name}]"
            for key, phi in phis.items()
        ]
        head.lines[:0] = lines
        head.lines.append(f"br label %{inside.name}")
        builder.close()
        builder.place(exit)
        if not positive:
            for key in carried:
                merged = builder.fresh()
                builder.line(f"{merged} = phi {key[2]} [{before[key]}, %{entry.name}], "
                             f"[{after[key]}, %{latch.name}]")  # fmt: skip
                key[0].cells[key[1]] = merged

    def _carried(self, body: Stmt) -> list[tuple[Registers, int, str]]:
        """The cells that the body may change: (buffer, number, LLVM type)."""
        found: dict[tuple[Registers, int], tuple[Registers, int, str]] = {}
        for s in statements(body):
            if not isinstance(s, (Store, Update)):
                continue
            place = self.places.get(s.buffer)
            if not isinstance(place, Registers):
                continue
            nelems = s.buffer.nelems
            assert isinstance(nelems, int)
            count = nelems if place.private else -(-nelems // place.lanes)
            type = vector(register_type(s.buffer.dtype), place.lanes)
            for number in range(count):
                found[place, number] = (place, number, type)
        return list(found.values())

    @staticmethod
    def _cell_text(key: tuple[Registers, int, str]) -> str:
        return key[0].cells.get(key[1], "poison")

    # -- vector loops --------------------------------------------------------------------------

    def _vector_loop(self, loop: For, extent: Dim) -> None:
        lanes = loop.lanes if loop.lanes else extent
        assert isinstance(lanes, int)
        assert self.vector is None, "a vector loop inside a vector loop"
        if lanes == 1:
            self._single_lane(loop, extent)
            return
        if isinstance(extent, int):
            if extent > 0:
                mask = None if extent >= lanes else self.lanes_below(extent, lanes)
                self._lanes(loop, lanes, mask, extent)
            return
        if self._is_full(extent, lanes):
            self._lanes(loop, lanes, None, lanes)
        elif self._carried(loop.body) or self.unrolled:
            self._lanes(loop, lanes, self.lanes_below(extent, lanes), extent)
        else:
            self._full_or_masked(loop, extent, lanes)

    def _full_or_masked(self, loop: For, extent: Dim, lanes: int) -> None:
        """The body twice: without masks for full vectors, with masks for the last one."""
        builder = self.builder
        full, masked, end = (builder.block(n) for n in ("full", "masked", "end"))
        level, count = self.term(extent)
        whole = builder.hoisted(f"icmp sge i64 {count}, {lanes}", level)
        builder.line(f"br i1 {whole}, label %{full.name}, label %{masked.name}")
        for block in (full, masked):
            builder.place(block)
            builder.open(None)
            self.epoch += 1
            mask = None if block is full else self.lanes_below(extent, lanes)
            self._lanes(loop, lanes, mask, extent)
            self.epoch += 1
            builder.close()
            builder.line(f"br label %{end.name}")
        builder.place(end)

    def _single_lane(self, loop: For, extent: Dim) -> None:
        if extent == 1:
            self._with_value(loop, 0)
        else:
            self._real_loop(loop, extent, None)

    def _is_full(self, extent: Dim, lanes: int) -> bool:
        low = self.low(extent)
        return low is not None and low >= lanes

    def _lanes(self, loop: For, lanes: int, mask: str | None, active: Dim) -> None:
        self.vector = VectorLoop(loop.var, lanes, mask, mask, active)
        self.bound(loop.var, (0, lanes - 1))
        self.stmt(loop.body)
        del self.ranges[loop.var]
        self.vector = None

    # -- conditions ----------------------------------------------------------------------------

    def _if(self, stmt: If) -> None:
        condition = self.condition(stmt.condition)
        if condition.text in ("true", "false"):
            chosen = stmt.then if condition.text == "true" else stmt.otherwise
            if chosen is not None:
                self.stmt(chosen)
        elif condition.lanes > 1:
            self._masked_if(stmt, condition)
        else:
            self._branch(stmt, condition)

    def _masked_if(self, stmt: If, condition: Value) -> None:
        assert self.vector is not None
        outer = self.vector.mask
        type = vector("i1", condition.lanes)
        every = self.arithmetic.constant(True, condition).text
        inverse = self.builder.pure(f"xor {type} {condition.text}, {every}")
        for mask, body in ((condition.text, stmt.then), (inverse, stmt.otherwise)):
            if body is None:
                continue
            if outer is not None:
                mask = self.builder.pure(f"and {type} {mask}, {outer}")
            self.vector.mask = mask
            saved, self.guard = self.guard, mask
            self.stmt(body)
            self.guard = saved
        self.vector.mask = outer

    def _branch(self, stmt: If, condition: Value) -> None:
        builder = self.builder
        carried = self._carried(stmt)
        before = {key: self._cell_text(key) for key in carried}
        then, other, end = builder.block("then"), builder.block("else"), builder.block("end")
        builder.line(f"br i1 {condition.text}, label %{then.name}, label %{other.name}")
        results: list[tuple[BasicBlock, dict[tuple[Registers, int, str], str]]] = []
        for block, body in ((then, stmt.then), (other, stmt.otherwise)):
            for key in carried:
                key[0].cells[key[1]] = before[key]
            builder.place(block)
            builder.open(None)
            self.epoch += 1
            if body is not None:
                self.stmt(body)
            self.epoch += 1
            builder.close()
            results.append((builder.current, {k: self._cell_text(k) for k in carried}))
            builder.line(f"br label %{end.name}")
        builder.place(end)
        for key in carried:
            pairs = ", ".join(f"[{texts[key]}, %{block.name}]" for block, texts in results)
            merged = builder.fresh()
            builder.line(f"{merged} = phi {key[2]} {pairs}")
            key[0].cells[key[1]] = merged


def accesses(buffer: Buffer, body: Stmt) -> list[tuple[Dim, ...]]:
    """Every index with which the body reads or writes the buffer."""
    found: list[tuple[Dim, ...]] = []
    for s in statements(body):
        if isinstance(s, (Store, Update)) and s.buffer is buffer:
            found.append(s.index)
    for top in expressions(body):
        found += [e.index for e in walk(top) if isinstance(e, Load) and e.tensor is buffer]
    return found


def _vector_axis(buffer: Buffer, body: Stmt) -> tuple[set[LoopVar], int, bool]:
    """The vector loops that index the buffer, their lanes, and whether all of them run through the
    same active lanes, so that what inactive lanes hold is never seen."""
    loops = {s.var: s for s in statements(body) if isinstance(s, For) and s.kind == "vector"}
    used: set[LoopVar] = set()
    lanes, uniform = 1, True
    for index in accesses(buffer, body):
        found = [loop for var, loop in loops.items() if any(uses(d, var) for d in index)]
        uniform &= len(found) == 1
        for loop in found:
            used.add(loop.var)
            width = loop.lanes if loop.lanes else loop.extent
            assert isinstance(width, int)
            lanes = max(lanes, width)
    shapes = {(loops[var].extent, loops[var].lanes) for var in used}
    return used, lanes, uniform and len(shapes) <= 1
