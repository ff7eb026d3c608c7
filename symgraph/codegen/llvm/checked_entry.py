"""`NAME_run` of a shipped object: every rule tested in order, then the program called.

It returns the code of the first rule that does not hold.  Pointers are put into slots of 8 bytes,
which is what programs expect on every machine; the caller's structs have the layout of the
machine's C compiler.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...kernel import dims
from ...kernel.dims import Dim, DimVar
from . import abi
from .builder import FunctionBuilder, ModuleBuilder
from .contract import (
    CONTEXT_FIELDS,
    WEIGHTS_HEADER_BYTES,
    WEIGHTS_LAYOUT_OFFSET,
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
    Version,
    WeightsFile,
    WeightsPointer,
    WorkspacePointer,
    WorkspaceSize,
    body_symbol,
    weights_symbol,
)
from .indices import Indices
from .versions import version_symbol

_SIZE, _FLAGS, _PARALLEL_FOR, _POOL, _THREADS, _CONSTANTS, _WORKSPACE_BYTES = range(7)
"""Positions in sg_context."""


class CheckedEntry(Indices):
    """Writes NAME_run."""

    def __init__(
        self, module: ModuleBuilder, versions: Sequence[Version], shipped: Shipped
    ) -> None:
        super().__init__(FunctionBuilder(module), versions[-1].machine)
        self.shipped = shipped
        self.versions = versions
        self.level: str | None = None
        self.word = f"i{shipped.pointer_bits}"
        self.in_type = _struct(shipped.inputs, len(shipped.extents))
        count = len({i for kind, i in shipped.outputs if kind == "out"})
        self.out_type = _struct(count, 0)
        self.context_type = "{" + ", ".join(CONTEXT_FIELDS) + "}"

    def text(self) -> str:
        for test in self.shipped.tests:
            self._test(test)
        self._call()
        head = (
            f"define i32 @{self.shipped.prefix}_run(ptr %in, ptr %out, ptr %workspace, "
            f"ptr %context) nounwind"
        )
        return self.builder.text(head)

    def workspace_text(self) -> str:
        """The size of the workspace as a function, for callers without the header."""
        total = self._value(self.shipped.arena_nbytes)
        if self.shipped.thread_nbytes != 0:
            few = self.builder.pure("icmp slt i64 %threads, 1")
            threads = self.builder.pure(f"select i1 {few}, i64 1, i64 %threads")
            own = self._value(self.shipped.thread_nbytes)
            scaled = self.builder.pure(f"mul i64 {own}, {threads}")
            total = self.builder.pure(f"add i64 {total}, {scaled}")
        self.builder.line(f"ret i64 {total}")
        symbol = f"{self.shipped.prefix}_workspace_needed"
        return self.builder.text(f"define i64 @{symbol}(ptr %in, i64 %threads) nounwind")

    # -- reading the caller's structs ----------------------------------------------------------

    def _load(self, struct: str, base: str, index: int, type: str) -> str:
        pointer = self.builder.pure(f"getelementptr {struct}, ptr {base}, i32 0, i32 {index}")
        return self.builder.pure(f"load {type}, ptr {pointer}")

    def _context(self, field: int) -> str:
        return self._load(self.context_type, "%context", field, CONTEXT_FIELDS[field])

    def _array(self, struct: str, index: int) -> str:
        type, base = (self.in_type, "%in") if struct == "in" else (self.out_type, "%out")
        return self._load(type, base, index, "ptr")

    def _extent(self, extent: DimVar) -> str:
        if extent not in self.variables:
            index = self.shipped.inputs + self.shipped.extents.index(extent)
            self.variables[extent] = (0, self._load(self.in_type, "%in", index, "i64"))
        return self.variables[extent][1]

    def _value(self, dim: Dim) -> str:
        """An expression at the current place: every earlier test has passed here."""
        for extent in dims.dim_vars(dim):
            self._extent(extent)
        self.builder.scopes[0].hoist = self.builder.current
        return self.scalar(dim)

    # -- tests ---------------------------------------------------------------------------------

    def _test(self, test: Test) -> None:
        pure = self.builder.pure
        match test:
            case NotNull(code=code):
                for pointer in ("%in", "%out", "%context"):
                    self._need(pure(f"icmp ne ptr {pointer}, null"), code)
            case ContextSize(code=code):
                size = self._context(_SIZE)
                end = f"getelementptr {self.context_type}, ptr null, i32 1"
                nbytes = pure(f"ptrtoint ptr {pure(end)} to i32")
                self._need(pure(f"icmp uge i32 {size}, {nbytes}"), code)
            case Flags(high=high, code=code):
                self._need(pure(f"icmp ule i32 {self._context(_FLAGS)}, {high}"), code)
            case Processor(level=level, code=code):
                self._need(pure(f"icmp uge i32 {self._level()}, {level}"), code)
            case ThreadRange(high=high, code=code):
                self._need(pure(f"icmp ule i64 {self._context(_THREADS)}, {high}"), code)
            case ExtentRange(extent=extent, low=low, high=high, code=code):
                value = self._extent(extent)
                at_least = pure(f"icmp sge i64 {value}, {low}")
                at_most = pure(f"icmp sle i64 {value}, {high}")
                self._need(pure(f"and i1 {at_least}, {at_most}"), code)
                self.ranges[extent] = (low, high)
            case Relation(left=left, relation=relation, right=right, code=code):
                order = "eq" if relation == "==" else "sge"
                a, b = self._value(left), self._value(right)
                self._need(pure(f"icmp {order} i64 {a}, {b}"), code)
            case ArrayPointer():
                self._array_test(test)
            case WeightsPointer(alignment=alignment, code=code):
                weights = self._context(_CONSTANTS)
                self._need(pure(f"icmp ne ptr {weights}, null"), code)
                self._need(self._aligned(weights, alignment), code)
            case WeightsFile(code=code):
                self._file_test(code)
            case WorkspacePointer(code=code):
                needed = self._workspace_needed()
                empty = pure(f"icmp eq i64 {needed}, 0")
                given = pure("icmp ne ptr %workspace, null")
                self._need(pure(f"or i1 {empty}, {given}"), code)
                self._need(self._aligned("%workspace", abi.ALIGNMENT), code)
            case WorkspaceSize(code=code):
                have = self._context(_WORKSPACE_BYTES)
                self._need(pure(f"icmp uge i64 {have}, {self._workspace_needed()}"), code)

    def _need(self, holds: str, code: int) -> None:
        good, bad = self.builder.block("holds"), self.builder.block("fails")
        self.builder.line(f"br i1 {holds}, label %{good.name}, label %{bad.name}")
        self.builder.place(bad)
        self.builder.line(f"ret i32 {code}")
        self.builder.place(good)

    def _aligned(self, pointer: str, alignment: int) -> str:
        pure = self.builder.pure
        number = pure(f"ptrtoint ptr {pointer} to {self.word}")
        rest = pure(f"and {self.word} {number}, {alignment - 1}")
        return pure(f"icmp eq {self.word} {rest}, 0")

    def _array_test(self, test: ArrayPointer) -> None:
        pure = self.builder.pure
        pointer = self._array(test.struct, test.index)
        given = pure(f"icmp ne ptr {pointer}, null")
        low = dims.bounds(test.nelems, self.ranges)[0]
        if low is None or low < 1:
            empty = pure(f"icmp eq i64 {self._value(test.nelems)}, 0")
            given = pure(f"or i1 {empty}, {given}")
        self._need(given, test.code)
        if test.alignment > 1:
            self._need(self._aligned(pointer, test.alignment), test.code)

    def _file_test(self, code: int) -> None:
        weights, pure = self._context(_CONSTANTS), self.builder.pure
        for start in range(0, 32, 8):
            offset = WEIGHTS_LAYOUT_OFFSET + start
            pointer = pure(f"getelementptr i8, ptr {weights}, i32 {offset}")
            value = pure(f"load i64, ptr {pointer}, align 8")
            wanted = int.from_bytes(self.shipped.layout[start : start + 8], "little", signed=True)
            self._need(pure(f"icmp eq i64 {value}, {wanted}"), code)

    def _threads(self) -> str:
        """The number of parts, as the program itself counts them."""
        pure = self.builder.pure
        threads = self._context(_THREADS)
        none = pure(f"icmp eq ptr {self._context(_PARALLEL_FOR)}, null")
        few = pure(f"icmp slt i64 {threads}, 1")
        return pure(f"select i1 {pure(f'or i1 {none}, {few}')}, i64 1, i64 {threads}")

    def _workspace_needed(self) -> str:
        pure = self.builder.pure
        total = self._value(self.shipped.arena_nbytes)
        if self.shipped.thread_nbytes == 0:
            return total
        own = self._value(self.shipped.thread_nbytes)
        return pure(f"add i64 {total}, {pure(f'mul i64 {own}, {self._threads()}')}")

    # -- the call ------------------------------------------------------------------------------

    def _call(self) -> None:
        builder, shipped = self.builder, self.shipped
        arrays = [self._array("in", n) for n in range(shipped.inputs)]
        inputs = [("ptr", a) for a in arrays]
        inputs += [("i64", self._extent(e)) for e in shipped.extents]
        outputs = [("ptr", self._array(kind, n)) for kind, n in shipped.outputs]
        ins, outs = self._slots("ins", inputs), self._slots("outs", outputs)
        several = len(self.versions) > 1 or shipped.selftest is not None
        several = several or asks_processor(self.versions)
        is_fat = len({version.level for version in self.versions}) > 1
        level = self._level() if is_fat else ""
        for number, version in enumerate(self.versions, start=1):
            symbol = body_symbol(shipped.prefix)
            if several:
                symbol = version_symbol(symbol, number)
            fits = self._fits(version, level if version.level else "")
            is_last = version is self.versions[-1]
            if is_last or fits == "true":
                self._run(symbol, number, ins, outs)
                return
            here, other = builder.block("version"), builder.block("other")
            builder.line(f"br i1 {fits}, label %{here.name}, label %{other.name}")
            builder.place(here)
            builder.open(None)
            self._run(symbol, number, ins, outs)
            builder.close()
            builder.place(other)

    def _fits(self, version: Version, level: str) -> str:
        """The version is for this processor and these extents."""
        pure = self.builder.pure
        result = "true"
        if level:
            result = pure(f"icmp uge i32 {level}, {version.level}")
        for extent, value in version.extents:
            same = pure(f"icmp eq i64 {self._extent(extent)}, {value}")
            result = same if result == "true" else pure(f"and i1 {result}, {same}")
        return result

    def _level(self) -> str:
        """What the caller says the processor can do, or what it is found to."""
        builder = self.builder
        if self.level is not None:
            return self.level
        flags = self._context(_FLAGS)
        ask, known = builder.block("ask"), builder.block("known")
        before = builder.current.name
        unknown = builder.pure(f"icmp eq i32 {flags}, 0")
        builder.line(f"br i1 {unknown}, label %{ask.name}, label %{known.name}")
        builder.place(ask)
        found = builder.fresh()
        builder.line(f"{found} = call i32 @{self.shipped.prefix}_isa()")
        builder.line(f"br label %{known.name}")
        builder.place(known)
        level = builder.fresh()
        builder.line(f"{level} = phi i32 [{flags}, %{before}], [{found}, %{ask.name}]")
        self.level = level
        return level

    def _run(self, symbol: str, number: int, ins: str, outs: str) -> None:
        builder, version = self.builder, self.versions[number - 1]
        context = [("ptr", self._context(_PARALLEL_FOR)), ("ptr", self._context(_POOL)),
                   ("i64", self._context(_THREADS)),
                   ("ptr", self._weights(version.weights_offset))]  # fmt: skip
        passed = self._slots(f"passed{number}", [("i64", str(abi.CONTEXT_BYTES)), *context])
        result = builder.fresh()
        builder.line(
            f"{result} = call i32 @{symbol}(ptr {ins}, ptr {outs}, ptr %workspace, ptr {passed})"
        )
        builder.line(f"ret i32 {result}")

    def _slots(self, name: str, values: Sequence[tuple[str, str]]) -> str:
        """The values in memory, each in 8 bytes: upper halves of short pointers are not read."""
        entry = self.builder.blocks[0]
        entry.lines.insert(0, f"%{name} = alloca [{max(1, len(values))} x i64], align 8")
        for number, (type, value) in enumerate(values):
            slot = self.builder.pure(f"getelementptr i8, ptr %{name}, i32 {8 * number}")
            self.builder.line(f"store {type} {value}, ptr {slot}, align 8")
        return f"%{name}"

    def _weights(self, offset: int) -> str:
        """The address of a version's weights."""
        match self.shipped.weights:
            case "embedded" if self.shipped.weights_nbytes:
                start = f"@{weights_symbol(self.shipped.prefix)}"
            case "file":
                start, offset = self._context(_CONSTANTS), offset + WEIGHTS_HEADER_BYTES
            case "pointer":
                start = self._context(_CONSTANTS)
            case _:
                return "null"
        if not offset:
            return start
        return self.builder.pure(f"getelementptr i8, ptr {start}, i64 {offset}")


def asks_processor(versions: Sequence[Version]) -> bool:
    """There are versions for several levels of x86-64, or the only one is not for all."""
    return any(version.level > 1 for version in versions)


def _struct(pointers: int, numbers: int) -> str:
    fields = ["ptr"] * pointers + ["i64"] * numbers
    return "{" + ", ".join(fields or ["i64"]) + "}"
