"""`NAME_run` of a shipped object: every rule tested, then the program called.

It returns the code of the first rule that does not hold.  Pointers are put into slots of 8 bytes,
which is what programs expect on every machine.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import abi
from .caller import CONSTANTS, PARALLEL_FOR, POINTERS, POOL, THREADS, Caller
from .contract import (
    WEIGHTS_HEADER_BYTES,
    Shipped,
    Version,
    body_symbol,
    check_symbol,
)
from .versions import version_symbol


class CheckedEntry(Caller):
    """Writes NAME_run and NAME_workspace_needed."""

    def __init__(self, versions: Sequence[Version], shipped: Shipped) -> None:
        super().__init__(versions[-1].machine, shipped)
        self.versions = versions

    def text(self) -> str:
        self._check()
        self._call()
        return self.builder.text(f"define i32 @{self.shipped.prefix}_run({POINTERS}) nounwind")

    def workspace_text(self) -> str:
        """The size of the workspace as a function, for callers without the header."""
        total = self.value(self.shipped.arena_nbytes)
        if self.shipped.thread_nbytes != 0:
            few = self.builder.pure("icmp slt i64 %threads, 1")
            threads = self.builder.pure(f"select i1 {few}, i64 1, i64 %threads")
            own = self.value(self.shipped.thread_nbytes)
            scaled = self.builder.pure(f"mul i64 {own}, {threads}")
            total = self.builder.pure(f"add i64 {total}, {scaled}")
        self.builder.line(f"ret i64 {total}")
        symbol = f"{self.shipped.prefix}_workspace_needed"
        return self.builder.text(f"define i64 @{symbol}(ptr %in, i64 %threads) nounwind")

    def _check(self) -> None:
        builder = self.builder
        detail, code = self.slots("detail", 2), builder.fresh()
        symbol = check_symbol(self.shipped.prefix)
        builder.line(f"{code} = call i32 @{symbol}({POINTERS}, ptr {detail})")
        good, bad = builder.block("legal"), builder.block("refused")
        right = builder.pure(f"icmp eq i32 {code}, 0")
        builder.line(f"br i1 {right}, label %{good.name}, label %{bad.name}")
        builder.place(bad)
        builder.line(f"ret i32 {code}")
        builder.place(good)

    # -- the call ------------------------------------------------------------------------------

    def _call(self) -> None:
        builder, shipped = self.builder, self.shipped
        arrays = [self.array("in", n) for n in range(shipped.inputs)]
        inputs = [("ptr", a) for a in arrays]
        inputs += [("i64", self.extent(e)) for e in shipped.extents]
        outputs = [("ptr", self.array(kind, n)) for kind, n in shipped.outputs]
        ins, outs = self._filled("ins", inputs), self._filled("outs", outputs)
        several = len(self.versions) > 1 or shipped.selftest is not None
        several = several or asks_processor(self.versions)
        is_fat = len({version.level for version in self.versions}) > 1
        level = self.level() if is_fat else ""
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
            same = pure(f"icmp eq i64 {self.extent(extent)}, {value}")
            result = same if result == "true" else pure(f"and i1 {result}, {same}")
        return result

    def _run(self, symbol: str, number: int, ins: str, outs: str) -> None:
        builder, version = self.builder, self.versions[number - 1]
        context = [("ptr", self.context(PARALLEL_FOR)), ("ptr", self.context(POOL)),
                   ("i64", self.context(THREADS)),
                   ("ptr", self._weights(version.weights_offset)),
                   ("ptr", "null")]  # fmt: skip
        passed = self._filled(f"passed{number}", [("i64", str(abi.CONTEXT_BYTES)), *context])
        result = builder.fresh()
        builder.line(
            f"{result} = call i32 @{symbol}(ptr {ins}, ptr {outs}, ptr %workspace, ptr {passed})"
        )
        builder.line(f"ret i32 {result}")

    def _filled(self, name: str, values: Sequence[tuple[str, str]]) -> str:
        """The values in memory, each in 8 bytes: upper halves of short pointers are not read."""
        base = self.slots(name, len(values))
        for number, (type, value) in enumerate(values):
            self.store(base, number, type, value)
        return base

    def _weights(self, offset: int) -> str:
        """The address of a version's weights."""
        match self.shipped.weights:
            case "embedded" if self.shipped.weights_nbytes:
                start = f"@{self.shipped.weights_data}"
            case "file":
                start, offset = self.context(CONSTANTS), offset + WEIGHTS_HEADER_BYTES
            case "pointer":
                start = self.context(CONSTANTS)
            case _:
                return "null"
        if not offset:
            return start
        return self.builder.pure(f"getelementptr i8, ptr {start}, i64 {offset}")


def asks_processor(versions: Sequence[Version]) -> bool:
    """There are versions for several levels of x86-64, or the only one is not for all."""
    return any(version.level > 1 for version in versions)
