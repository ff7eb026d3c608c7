"""`NAME_check`, inside a shipped object: every rule of a call tested in order.

    i32 NAME_check(ptr in, ptr out, ptr workspace, ptr context, ptr detail)

returns the code of the first rule that does not hold and writes two numbers, what was got and what
was needed, to `detail`; 0 when all hold.  NAME_run and NAME_explain both call it.
"""

from __future__ import annotations

from ...kernel import dims
from . import abi
from .caller import (
    CONSTANTS,
    FLAGS,
    PARALLEL_FOR,
    POINTERS,
    SIZE,
    THREADS,
    WORKSPACE_BYTES,
    Caller,
)
from .contract import (
    WEIGHTS_LAYOUT_OFFSET,
    Apart,
    Area,
    ArrayPointer,
    ContextSize,
    ExtentRange,
    Flags,
    NotNull,
    Processor,
    Relation,
    Shipped,
    Test,
    ThreadRange,
    WeightsFile,
    WeightsPointer,
    WorkspacePointer,
    WorkspaceSize,
    check_symbol,
)
from .machine import Machine


class Checks(Caller):
    """Writes NAME_check."""

    def __init__(self, machine: Machine, shipped: Shipped) -> None:
        super().__init__(machine, shipped)
        self.has_areas = False

    def text(self) -> str:
        for test in self.shipped.tests:
            self._test(test)
        self.builder.line("ret i32 0")
        symbol = check_symbol(self.shipped.prefix)
        head = f"define internal i32 @{symbol}({POINTERS}, ptr %detail) nounwind noinline"
        return self.builder.text(head) + (_overlap_text(symbol) if self.has_areas else "")

    def _test(self, test: Test) -> None:
        pure = self.builder.pure
        match test:
            case NotNull(pointer=pointer, code=code):
                self._need(pure(f"icmp ne ptr %{pointer}, null"), code, "0")
            case ContextSize(code=code):
                size = self.context(SIZE)
                end = f"getelementptr {self.context_type}, ptr null, i32 1"
                nbytes = pure(f"ptrtoint ptr {pure(end)} to i32")
                got, need = (pure(f"zext i32 {v} to i64") for v in (size, nbytes))
                self._need(pure(f"icmp uge i32 {size}, {nbytes}"), code, got, need)
            case Flags(high=high, code=code):
                flags = self.context(FLAGS)
                got = pure(f"zext i32 {flags} to i64")
                self._need(pure(f"icmp ule i32 {flags}, {high}"), code, got)
            case Processor(level=level, code=code):
                found = self.level()
                got = pure(f"zext i32 {found} to i64")
                self._need(pure(f"icmp uge i32 {found}, {level}"), code, got)
            case ThreadRange(high=high, code=code):
                threads = self.context(THREADS)
                self._need(pure(f"icmp ule i64 {threads}, {high}"), code, threads)
            case ExtentRange(extent=extent, low=low, high=high, code=code):
                value = self.extent(extent)
                at_least = pure(f"icmp sge i64 {value}, {low}")
                at_most = pure(f"icmp sle i64 {value}, {high}")
                self._need(pure(f"and i1 {at_least}, {at_most}"), code, value)
                self.bound(extent, (low, high))
            case Relation(left=left, relation=relation, right=right, code=code):
                order = "eq" if relation == "==" else "sge"
                a, b = self.value(left), self.value(right)
                self._need(pure(f"icmp {order} i64 {a}, {b}"), code, a, b)
            case ArrayPointer():
                self._array_test(test)
            case WeightsPointer(alignment=alignment, code=code):
                weights = self.context(CONSTANTS)
                self._need(pure(f"icmp ne ptr {weights}, null"), code, "0")
                self._aligned(weights, alignment, code)
            case WeightsFile(code=code):
                self._file_test(code)
            case WorkspacePointer(code=code):
                empty = pure(f"icmp eq i64 {self._workspace_needed()}, 0")
                given = pure("icmp ne ptr %workspace, null")
                self._need(pure(f"or i1 {empty}, {given}"), code, "0")
                self._aligned("%workspace", abi.ALIGNMENT, code)
            case WorkspaceSize(code=code):
                have, needed = self.context(WORKSPACE_BYTES), self._workspace_needed()
                self._need(pure(f"icmp uge i64 {have}, {needed}"), code, have, needed)
            case Apart():
                self._areas_test(test)

    def _need(self, holds: str, code: int, got: str = "", need: str = "") -> None:
        good, bad = self.builder.block("holds"), self.builder.block("fails")
        self.builder.line(f"br i1 {holds}, label %{good.name}, label %{bad.name}")
        self.builder.place(bad)
        self.builder.open(None)
        for number, value in enumerate((got, need)):
            if value:
                self.store("%detail", number, "i64", value)
        self.builder.close()
        self.builder.line(f"ret i32 {code}")
        self.builder.place(good)

    def _number(self, pointer: str) -> str:
        """The address as 64 bits."""
        number = self.builder.pure(f"ptrtoint ptr {pointer} to {self.word}")
        return number if self.word == "i64" else self.builder.pure(f"zext i32 {number} to i64")

    def _aligned(self, pointer: str, alignment: int, code: int) -> None:
        pure = self.builder.pure
        number = self._number(pointer)
        rest = pure(f"and i64 {number}, {alignment - 1}")
        self._need(pure(f"icmp eq i64 {rest}, 0"), code, number)

    def _array_test(self, test: ArrayPointer) -> None:
        pure = self.builder.pure
        pointer = self.array(test.struct, test.index)
        given = pure(f"icmp ne ptr {pointer}, null")
        low = dims.bounds(test.nelems, self.ranges)[0]
        if low is None or low < 1:
            empty = pure(f"icmp eq i64 {self.value(test.nelems)}, 0")
            given = pure(f"or i1 {empty}, {given}")
        self._need(given, test.code, "0")
        if test.alignment > 1:
            self._aligned(pointer, test.alignment, test.code)

    def _file_test(self, code: int) -> None:
        weights, pure = self.context(CONSTANTS), self.builder.pure
        for start in range(0, 32, 8):
            offset = WEIGHTS_LAYOUT_OFFSET + start
            pointer = pure(f"getelementptr i8, ptr {weights}, i32 {offset}")
            value = pure(f"load i64, ptr {pointer}, align 8")
            wanted = int.from_bytes(self.shipped.layout[start : start + 8], "little", signed=True)
            self._need(pure(f"icmp eq i64 {value}, {wanted}"), code)

    def _threads(self) -> str:
        """The number of parts, as the program itself counts them."""
        pure = self.builder.pure
        threads = self.context(THREADS)
        none = pure(f"icmp eq ptr {self.context(PARALLEL_FOR)}, null")
        few = pure(f"icmp slt i64 {threads}, 1")
        return pure(f"select i1 {pure(f'or i1 {none}, {few}')}, i64 1, i64 {threads}")

    def _workspace_needed(self) -> str:
        pure = self.builder.pure
        total = self.value(self.shipped.arena_nbytes)
        if self.shipped.thread_nbytes == 0:
            return total
        own = self.value(self.shipped.thread_nbytes)
        return pure(f"add i64 {total}, {pure(f'mul i64 {own}, {self._threads()}')}")

    # -- areas ---------------------------------------------------------------------------------

    def _areas_test(self, test: Apart) -> None:
        """Start and end of each area on the stack, those that are written first, then compared."""
        pure, areas = self.builder.pure, (*test.written, *test.read)
        places = self.slots("areas", 2 * len(areas))
        for number, area in enumerate(areas):
            start, nbytes = self._area(area)
            empty = pure(f"icmp eq i64 {nbytes}, 0")
            start = pure(f"select i1 {empty}, i64 0, i64 {start}")
            self.store(places, 2 * number, "i64", start)
            self.store(places, 2 * number + 1, "i64", pure(f"add i64 {start}, {nbytes}"))
        found, symbol = self.builder.fresh(), check_symbol(self.shipped.prefix)
        self.builder.line(
            f"{found} = call i64 @{symbol}_areas(ptr {places}, i32 {len(test.written)}, "
            f"i32 {len(areas)})"
        )
        first, second = pure(f"lshr i64 {found}, 32"), pure(f"and i64 {found}, {2**32 - 1}")
        self._need(pure(f"icmp eq i64 {found}, 0"), test.code, first, second)
        self.has_areas = True

    def _area(self, area: Area) -> tuple[str, str]:
        """Start and length."""
        match area.struct:
            case "workspace":
                return self._number("%workspace"), self._workspace_needed()
            case "constants":
                pointer = self.context(CONSTANTS)
            case _:
                pointer = self.array(area.struct, area.index)
        return self._number(pointer), self.value(area.nbytes)


def _overlap_text(symbol: str) -> str:
    """The first two areas that share a byte, as first << 32 | second, where the first is among
    those that are written; 0 when there are none.  Empty areas start at 0."""
    return f"""
define internal i64 @{symbol}_areas(ptr %areas, i32 %written, i32 %all) nounwind noinline {{
entry:
  br label %first
first:
  %i = phi i32 [0, %entry], [%i.next, %next]
  %i.slot = shl i32 %i, 1
  %i.place = getelementptr i64, ptr %areas, i32 %i.slot
  %i.start = load i64, ptr %i.place
  %i.after = getelementptr i64, ptr %i.place, i32 1
  %i.end = load i64, ptr %i.after
  %i.next = add i32 %i, 1
  %some = icmp ult i32 %i.next, %all
  br i1 %some, label %second, label %next
second:
  %j = phi i32 [%i.next, %first], [%j.next, %apart]
  %j.slot = shl i32 %j, 1
  %j.place = getelementptr i64, ptr %areas, i32 %j.slot
  %j.start = load i64, ptr %j.place
  %j.after = getelementptr i64, ptr %j.place, i32 1
  %j.end = load i64, ptr %j.after
  %below = icmp ult i64 %i.start, %j.end
  %above = icmp ult i64 %j.start, %i.end
  %both = and i1 %below, %above
  br i1 %both, label %overlap, label %apart
apart:
  %j.next = add i32 %j, 1
  %more = icmp ult i32 %j.next, %all
  br i1 %more, label %second, label %next
next:
  %left = icmp ult i32 %i.next, %written
  br i1 %left, label %first, label %none
overlap:
  %i.wide = zext i32 %i to i64
  %j.wide = zext i32 %j to i64
  %high = shl i64 %i.wide, 32
  %pair = or i64 %high, %j.wide
  ret i64 %pair
none:
  ret i64 0
}}
"""
