"""Loads and stores: contiguous, strided, broadcast and scattered, with and without masks.

Owns: pointers to elements, which of the forms an access takes, and what stays in registers (a
buffer of scope "register" is a set of SSA values, its cells).  A load whose bytes nobody writes is
made once; others are made again after every store.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...kernel import dims
from ...kernel.dims import Dim
from ...kernel.ir import Buffer, DataIndex
from .indices import Indices
from .types import Value, literal, memory_type, register_type, splat, suffix, vector

MOST_STRIDE = 4
"""Strides up to this one are loaded as whole vectors and shuffled."""

MOST_RUNS = 3
"""Lanes that are neighbours in memory but for so many pieces are loaded piece by piece."""


@dataclass(eq=False, slots=True)
class Memory:
    """Where a buffer lies.  `lanes` > 1: every element is one value for each vector lane."""

    pointer: str
    read_only: bool
    lanes: int = 1


@dataclass(eq=False, slots=True)
class Registers:
    """A buffer kept in SSA values.

    `lanes` is the width of a cell; `private` says that each lane has a buffer of its own, so that
    an index names a cell; otherwise the cells hold `lanes` consecutive elements.  `blended` says
    that inactive lanes must keep what they hold.
    """

    lanes: int
    private: bool
    blended: bool
    cells: dict[int, str] = field(default_factory=dict)


class MemoryAccess(Indices):
    """Reads and writes elements of buffers."""

    places: dict[Buffer, Memory | Registers]
    epoch = 0
    """Grows with every store, so that a load after it is a new instruction."""
    _offsets: dict[tuple[int, int], tuple[tuple[Dim, ...], Dim]]
    guard: str | None = None
    """The mask or condition under which lanes are being evaluated, inside a select."""

    def loads_lanes(self, buffer: Buffer, index: tuple[Dim, ...]) -> bool:
        """Every lane has the buffer for itself, or only the lanes under a guard may read it."""
        place = self.places.get(buffer)
        if isinstance(place, Registers):
            return place.private and place.lanes > 1
        return (place is not None and place.lanes > 1) or self._is_guarded(buffer, index)

    def _is_guarded(self, buffer: Buffer, index: tuple[Dim, ...]) -> bool:
        return self.guard is not None and not self._inside(buffer, index)

    def element_offset(self, buffer: Buffer, index: tuple[Dim, ...]) -> Dim:
        key = (id(buffer), id(index))
        known = self._offsets.get(key)
        if known is None:
            # The index is kept with its offset, so that its id stays its own.
            known = self._offsets[key] = (index, buffer.offset(index))
        return self.resolve(known[1])

    def pointer(self, buffer: Buffer, offset: Dim) -> str:
        """The address of an element; outer parts of the offset are added first."""
        place = self.places[buffer]
        assert isinstance(place, Memory)
        if place.lanes > 1:
            offset = dims.mul(offset, place.lanes)
        type = memory_type(buffer.dtype)
        terms, constant = dims.terms_of(offset)
        pieces = sorted((self._monomial(m, c) for m, c in terms), key=lambda t: t[0])
        level, text = 0, place.pointer
        grouped: dict[int, str] = {}
        for at, piece in pieces:
            if at in grouped:
                grouped[at] = self.builder.hoisted(f"add nsw i64 {grouped[at]}, {piece}", at)
            else:
                grouped[at] = piece
        for at, piece in grouped.items():
            level = max(level, at)
            text = self.builder.hoisted(f"getelementptr {type}, ptr {text}, i64 {piece}", level)
        if constant:
            text = self.builder.hoisted(f"getelementptr {type}, ptr {text}, i64 {constant}", level)
        return text

    # -- loads ---------------------------------------------------------------------------------

    def load(self, buffer: Buffer, index: tuple[Dim, ...]) -> Value:
        """One element, or one for each lane when the index varies between lanes."""
        place = self.places[buffer]
        offset = self.element_offset(buffer, index)
        if isinstance(place, Registers):
            return self._read_cell(buffer, place, offset)
        unsafe = self._is_guarded(buffer, index)
        if place.lanes > 1:
            if not self.varies(offset):
                return self._load_plain(buffer, place, offset, place.lanes)
            assert self.vector is not None
            mask = self.guard if unsafe else self.vector.mask
            return self._gather(buffer, place, self._own(place, offset), mask)
        if not self.varies(offset) and not unsafe:
            return self._load_plain(buffer, place, offset, 1)
        assert self.vector is not None
        mask = self.guard if unsafe else self.vector.mask
        stride = self.stride(offset)
        if stride == 1:
            return self._load_contiguous(buffer, place, self.base(offset), mask)
        short = stride is not None and 1 < stride <= MOST_STRIDE
        if stride is not None and short and not unsafe and mask == self.vector.own_mask:
            return self._load_strided(buffer, place, self.base(offset), stride)
        runs = self._runs(offset) if self.machine.masked else None
        if runs is not None:
            return self._load_runs(buffer, place, runs, mask)
        return self._gather(buffer, place, offset, mask)

    def _own(self, place: Memory, offset: Dim) -> Dim:
        """Where each lane finds an element of its own copy of a buffer."""
        assert self.vector is not None and self.vector.lanes == place.lanes
        return self.resolve(dims.add(dims.mul(offset, place.lanes), self.vector.var))

    def _inside(self, buffer: Buffer, index: tuple[Dim, ...]) -> bool:
        """Intervals prove that the index lies in the buffer."""
        for dim, extent in zip(index, buffer.shape, strict=True):
            position = self.resolve(dim)
            if isinstance(position, DataIndex):
                continue
            low = self.low(position)
            room = self.low(dims.add(dims.add(extent, -1), dims.mul(position, -1)))
            if low is None or low < 0 or room is None or room < 0:
                return False
        return True

    def _memory_load(self, text: str, place: Memory) -> str:
        """A load instruction, shared with equal ones between which nothing was stored."""
        key = text if place.read_only else f"{text} ;{self.epoch}"
        found = self.builder.find(key)
        if found is None:
            found = self.builder.fresh()
            self.builder.line(f"{found} = {text}")
            self.builder.scopes[-1].known[key] = found
        return found

    def _load_plain(self, buffer: Buffer, place: Memory, offset: Dim, lanes: int) -> Value:
        type = vector(memory_type(buffer.dtype), lanes)
        pointer = self.pointer(buffer, offset)
        text = self._memory_load(f"load {type}, ptr {pointer}, align {buffer.dtype.nbytes}", place)
        return self.arithmetic.from_memory(text, buffer.dtype, lanes)

    def _load_contiguous(
        self, buffer: Buffer, place: Memory, offset: Dim, mask: str | None
    ) -> Value:
        assert self.vector is not None
        lanes = self.vector.lanes
        type = vector(memory_type(buffer.dtype), lanes)
        pointer = self.pointer(buffer, offset)
        text = self._vector_load(type, pointer, buffer, place, mask)
        return self.arithmetic.from_memory(text, buffer.dtype, lanes)

    def _vector_load(
        self, type: str, pointer: str, buffer: Buffer, place: Memory, mask: str | None
    ) -> str:
        """The memory form of consecutive elements, those under the mask."""
        assert self.vector is not None
        lanes, size = self.vector.lanes, buffer.dtype.nbytes
        if mask is None:
            return self._memory_load(f"load {type}, ptr {pointer}, align {size}", place)
        name = f"@llvm.masked.load.{suffix(memory_type(buffer.dtype), lanes)}.p0"
        masks = vector("i1", lanes)
        self.builder.declare(f"declare {type} {name}(ptr, {masks}, {type})")
        return self._memory_load(f"call {type} {name}(ptr align {size} {pointer}, {masks} {mask}, "
                                 f"{type} zeroinitializer)", place)  # fmt: skip

    def _load_strided(self, buffer: Buffer, place: Memory, offset: Dim, stride: int) -> Value:
        """Every stride-th element: whole vectors, then shuffles.  The last vector ends at the last
        element that is needed, so that nothing behind it is touched."""
        assert self.vector is not None
        lanes = self.vector.lanes
        last = (lanes - 1) * stride
        starts = [min(n * lanes, last - (lanes - 1)) for n in range(stride)]
        type = vector(memory_type(buffer.dtype), lanes)
        parts = []
        for start in starts:
            pointer = self.pointer(buffer, dims.add(offset, start))
            mask = None
            if self.vector.mask is not None:
                # The last active element is number (active-1)*stride.
                ends = dims.add(dims.mul(self.vector.active, stride), 1 - stride - start)
                mask = self.lanes_below(ends, lanes)
            parts.append(self._vector_load(type, pointer, buffer, place, mask))
        source = [(min(n * stride // lanes, stride - 1), n) for n in range(lanes)]
        text = parts[0]
        for part in range(1, stride):
            picks = []
            for number, lane in source:
                if number == part:
                    picks.append(lanes + lane * stride - starts[part])
                elif number < part:
                    picks.append(lane * stride if part == 1 else lane)
                else:
                    picks.append(-1)
            words = ", ".join(f"i32 {p}" if p >= 0 else "i32 poison" for p in picks)
            text = self.builder.pure(f"shufflevector {type} {text}, {type} {parts[part]}, "
                                     f"<{lanes} x i32> <{words}>")  # fmt: skip
        return self.arithmetic.from_memory(text, buffer.dtype, lanes)

    def _runs(self, offset: Dim) -> list[tuple[int, int, Dim]] | None:
        """(first lane, lanes, offset of lane 0 if all went on like these) for lanes that are
        neighbours in memory; None for too many pieces."""
        values = self.lane_values(offset)
        if values is None:
            return None
        runs: list[tuple[int, int, Dim]] = []
        for lane, value in enumerate(values):
            start = dims.add(value, -lane)
            if runs and runs[-1][2] == start:
                runs[-1] = (runs[-1][0], runs[-1][1] + 1, start)
            else:
                runs.append((lane, 1, start))
        return runs if len(runs) <= MOST_RUNS else None

    def _load_runs(
        self, buffer: Buffer, place: Memory, runs: list[tuple[int, int, Dim]], mask: str | None
    ) -> Value:
        """A masked load for each piece, on top of those before it."""
        assert self.vector is not None
        lanes, size = self.vector.lanes, buffer.dtype.nbytes
        type, masks = vector(memory_type(buffer.dtype), lanes), vector("i1", lanes)
        name = f"@llvm.masked.load.{suffix(memory_type(buffer.dtype), lanes)}.p0"
        self.builder.declare(f"declare {type} {name}(ptr, {masks}, {type})")
        text = "zeroinitializer"
        for first, count, start in runs:
            bits = (f"i1 {'true' if first <= n < first + count else 'false'}" for n in range(lanes))
            part = f"<{', '.join(bits)}>"
            if mask is not None:
                part = self.builder.pure(f"and {masks} {mask}, {part}")
            pointer = self.pointer(buffer, start)
            text = self._memory_load(f"call {type} {name}(ptr align {size} {pointer}, "
                                     f"{masks} {part}, {type} {text})", place)  # fmt: skip
        return self.arithmetic.from_memory(text, buffer.dtype, lanes)

    def _gather(self, buffer: Buffer, place: Memory, offset: Dim, mask: str | None) -> Value:
        """Element by element; with a mask, those of inactive lanes are not touched."""
        assert self.vector is not None
        lanes = self.vector.lanes
        type, scalar = vector(memory_type(buffer.dtype), lanes), memory_type(buffer.dtype)
        if mask is not None:
            return self._masked_gather(buffer, place, offset, mask)
        text = "poison"
        for lane, pointer in enumerate(self._lane_pointers(buffer, offset)):
            load = f"load {scalar}, ptr {pointer}, align {buffer.dtype.nbytes}"
            element = self._memory_load(load, place)
            text = self.builder.pure(f"insertelement {type} {text}, {scalar} {element}, i64 {lane}")
        return self.arithmetic.from_memory(text, buffer.dtype, lanes)

    def _lane_pointers(self, buffer: Buffer, offset: Dim) -> list[str]:
        assert self.vector is not None
        place = self.places[buffer]
        shared = not (isinstance(place, Memory) and place.lanes > 1)
        values = self.lane_values(offset) if shared else None
        if values is not None:
            return [self.pointer(buffer, v) for v in values]
        vectors, pointers = self._vector_pointers(buffer, offset), []
        type = vector("ptr", self.vector.lanes)
        for lane in range(self.vector.lanes):
            pointers.append(self.builder.pure(f"extractelement {type} {vectors}, i64 {lane}"))
        return pointers

    def _vector_pointers(self, buffer: Buffer, offset: Dim) -> str:
        assert self.vector is not None
        place = self.places[buffer]
        assert isinstance(place, Memory)
        index = self.vector_dim(offset)
        type = vector("i64", self.vector.lanes)
        return self.builder.pure(
            f"getelementptr {memory_type(buffer.dtype)}, ptr {place.pointer}, {type} {index}"
        )

    def _masked_gather(self, buffer: Buffer, place: Memory, offset: Dim, mask: str) -> Value:
        assert self.vector is not None
        lanes = self.vector.lanes
        scalar = memory_type(buffer.dtype)
        type, pointers = vector(scalar, lanes), vector("ptr", lanes)
        masks = vector("i1", lanes)
        name = f"@llvm.masked.gather.{suffix(scalar, lanes)}.v{lanes}p0"
        self.builder.declare(f"declare {type} {name}({pointers}, {masks}, {type})")
        where = self._vector_pointers(buffer, offset)
        call = (f"call {type} {name}({pointers} align {buffer.dtype.nbytes} {where}, "
                f"{masks} {mask}, {type} zeroinitializer)")  # fmt: skip
        return self.arithmetic.from_memory(self._memory_load(call, place), buffer.dtype, lanes)

    def lanes_below(self, extent: Dim, lanes: int) -> str:
        """The mask of the lanes below a number, put before the loops that do not change it."""
        if isinstance(extent, int):
            bits = ", ".join(f"i1 {'true' if n < extent else 'false'}" for n in range(lanes))
            return f"<{bits}>"
        level, count = self.term(self.resolve(extent))
        type = f"<{lanes} x i64>"

        def new(text: str) -> str:
            return self.builder.hoisted(text, level)

        first = new(f"insertelement {type} poison, i64 {count}, i64 0")
        wide = new(f"shufflevector {type} {first}, {type} poison, <{lanes} x i32> zeroinitializer")
        numbers = ", ".join(f"i64 {n}" for n in range(lanes))
        return new(f"icmp sgt {type} {wide}, <{numbers}>")

    def prefetch(self, buffer: Buffer, index: tuple[Dim, ...]) -> None:
        """Bring the line of an element into the second cache."""
        self.builder.declare("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        pointer = self.pointer(buffer, self.element_offset(buffer, index))
        self.builder.line(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 0, i32 2, i32 1)")

    # -- stores --------------------------------------------------------------------------------

    def store(self, buffer: Buffer, index: tuple[Dim, ...], value: Value) -> None:
        """Write one element, or one for each active lane."""
        place = self.places[buffer]
        offset = self.element_offset(buffer, index)
        if isinstance(place, Registers):
            self._write_cell(buffer, place, offset, value)
            return
        self.epoch += 1
        if place.lanes > 1:
            wide = self.arithmetic.broadcast(value, place.lanes)
            if self.varies(offset):
                self._scatter(buffer, self._own(place, offset), wide)
            else:
                self._store_plain(buffer, offset, wide)
        elif not self.varies(offset):
            self._store_plain(buffer, offset, self.last_lane(value))
        elif self.stride(offset) == 1:
            assert self.vector is not None
            wide = self.arithmetic.broadcast(value, self.vector.lanes)
            if self.vector.mask is None:
                self._store_plain(buffer, self.base(offset), wide)
            else:
                self._masked_store(buffer, self.base(offset), wide, self.vector.mask)
        else:
            self._scatter(buffer, offset, value)

    def last_lane(self, value: Value) -> Value:
        """Lane 0 of a vector: a value that every lane writes to one element is the same in all."""
        if value.lanes == 1:
            return value
        text = self.builder.pure(f"extractelement {value.type} {value.text}, i64 0")
        return Value(text, value.dtype)

    def _store_plain(self, buffer: Buffer, offset: Dim, value: Value) -> None:
        type = vector(memory_type(buffer.dtype), value.lanes)
        text = self.arithmetic.to_memory(value)
        pointer = self.pointer(buffer, offset)
        self.builder.line(f"store {type} {text}, ptr {pointer}, align {buffer.dtype.nbytes}")

    def _masked_store(self, buffer: Buffer, offset: Dim, value: Value, mask: str) -> None:
        scalar, masks = memory_type(buffer.dtype), vector("i1", value.lanes)
        type = vector(scalar, value.lanes)
        name = f"@llvm.masked.store.{suffix(scalar, value.lanes)}.p0"
        self.builder.declare(f"declare void {name}({type}, ptr, {masks})")
        text = self.arithmetic.to_memory(value)
        pointer = self.pointer(buffer, offset)
        self.builder.line(f"call void {name}({type} {text}, ptr align {buffer.dtype.nbytes} "
                          f"{pointer}, {masks} {mask})")  # fmt: skip

    def _scatter(self, buffer: Buffer, offset: Dim, value: Value) -> None:
        assert self.vector is not None
        lanes = self.vector.lanes
        wide = self.arithmetic.broadcast(value, lanes)
        scalar = memory_type(buffer.dtype)
        type = vector(scalar, lanes)
        text = self.arithmetic.to_memory(wide)
        if self.vector.mask is not None:
            pointers, masks = vector("ptr", lanes), vector("i1", lanes)
            name = f"@llvm.masked.scatter.{suffix(scalar, lanes)}.v{lanes}p0"
            self.builder.declare(f"declare void {name}({type}, {pointers}, {masks})")
            where = self._vector_pointers(buffer, offset)
            self.builder.line(
                f"call void {name}({type} {text}, {pointers} align {buffer.dtype.nbytes} {where}, "
                f"{masks} {self.vector.mask})"
            )
            return
        for lane, pointer in enumerate(self._lane_pointers(buffer, offset)):
            element = self.builder.pure(f"extractelement {type} {text}, i64 {lane}")
            self.builder.line(f"store {scalar} {element}, ptr {pointer}, align "
                              f"{buffer.dtype.nbytes}")  # fmt: skip

    # -- registers -----------------------------------------------------------------------------

    def _cell(self, buffer: Buffer, place: Registers, offset: Dim) -> tuple[int, int | None]:
        """Cell number, and the lane when the offset is that of a single element of it."""
        if place.private or place.lanes == 1:
            assert isinstance(offset, int), (buffer.name, offset)
            return offset, None
        if self.varies(offset):
            start = self.base(offset)
            assert isinstance(start, int), (buffer.name, offset)
            assert self.stride(offset) == 1, (buffer.name, offset)
            assert self.vector is not None
            part = start % place.lanes
            if self.vector.lanes == place.lanes:
                assert part == 0, (buffer.name, offset)
                return start // place.lanes, None
            return start // place.lanes, part
        assert isinstance(offset, int), (buffer.name, offset)
        return offset // place.lanes, offset % place.lanes

    def _read_cell(self, buffer: Buffer, place: Registers, offset: Dim) -> Value:
        if self._is_across(place, offset):
            return self._column(buffer, place, offset)
        number, lane = self._cell(buffer, place, offset)
        text = place.cells.get(number, "poison")
        value = Value(text, buffer.dtype, place.lanes)
        if lane is None:
            return value
        if self.varies(offset):
            return self._part_of_cell(value, lane)
        text = self.builder.pure(f"extractelement {value.type} {text}, i64 {lane}")
        return Value(text, buffer.dtype)

    def _is_across(self, place: Registers, offset: Dim) -> bool:
        """Each lane reads a cell of its own, all at the same place."""
        if place.private or place.lanes < 2 or self.vector is None or not self.varies(offset):
            return False
        return self.vector.lanes == place.lanes and self.stride(offset) == place.lanes

    def _column(self, buffer: Buffer, place: Registers, offset: Dim) -> Value:
        """One element of each of as many cells as they have lanes."""
        start = self.base(offset)
        assert isinstance(start, int)
        first, lane = divmod(start, place.lanes)
        cells = [place.cells[first + n] for n in range(place.lanes)]
        text = self._turned(vector(register_type(buffer.dtype), place.lanes), cells, lane)
        return Value(text, buffer.dtype, place.lanes)

    def _turned(self, type: str, cells: list[str], column: int) -> str:
        """A column of a square of cells: halves of ever larger squares change places.  Columns
        share what stands before the last step; equal instructions are made once."""
        lanes, step, known = len(cells), 1, list(cells)
        while step < lanes:
            wanted = range(column % (2 * step), lanes, 2 * step)
            new = list(known)
            for number in wanted:
                low = number & ~step
                pair = f"{type} {known[low]}, {type} {known[low | step]}"
                if number & step:
                    picks = [n + lanes if n & step else n + step for n in range(lanes)]
                else:
                    picks = [n - step + lanes if n & step else n for n in range(lanes)]
                words = ", ".join(f"i32 {p}" for p in picks)
                new[number] = self.builder.pure(f"shufflevector {pair}, <{lanes} x i32> <{words}>")
            known, step = new, 2 * step
        return known[column]

    def _part_of_cell(self, value: Value, first: int) -> Value:
        """The lanes of a narrower vector loop out of a wide cell."""
        assert self.vector is not None
        lanes = self.vector.lanes
        assert first + lanes <= value.lanes
        picks = ", ".join(f"i32 {first + n}" for n in range(lanes))
        text = self.builder.pure(f"shufflevector {value.type} {value.text}, {value.type} poison, "
                                 f"<{lanes} x i32> <{picks}>")  # fmt: skip
        return Value(text, value.dtype, lanes)

    def _write_cell(self, buffer: Buffer, place: Registers, offset: Dim, value: Value) -> None:
        number, lane = self._cell(buffer, place, offset)
        old = place.cells.get(number, "poison")
        type = register_type(buffer.dtype)
        whole = vector(type, place.lanes)
        if lane is not None:
            assert value.lanes == 1, (buffer.name, offset)
            place.cells[number] = self.builder.pure(
                f"insertelement {whole} {old}, {type} {value.text}, i64 {lane}"
            )
            return
        new = self.arithmetic.broadcast(value, place.lanes).text
        mask = None
        if self.vector is not None and (place.blended or self.vector.mask != self.vector.own_mask):
            mask = self.vector.mask
        if mask is not None and place.lanes > 1 and old != "poison":
            masks = vector("i1", place.lanes)
            new = self.builder.pure(f"select {masks} {mask}, {whole} {new}, {whole} {old}")
        place.cells[number] = new

    def zero(self, buffer: Buffer, lanes: int) -> Value:
        """A literal zero of a buffer's dtype."""
        text = splat(literal(0, buffer.dtype), register_type(buffer.dtype), lanes)
        return Value(text, buffer.dtype, lanes)
