"""The function that every thread of a call runs: where every buffer lies, then all stages in order.

    void NAME_body(in, out, workspace, constants, own, member, parts)

`member` is null for a thread alone; the stages are then plain calls.  Otherwise they are shared
chunk by chunk (see team.py).  Owns: how many chunks a phase is cut into, by estimated work, never
by timing.  No chunk computes what another one of its stage needs, so that results are the same bits
for every number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import InternalError
from ...ir.program import Program, ProgramBuffer, constant_layout
from ...kernel import dims
from ...kernel.dims import Dim, DimVar
from . import abi, team
from .builder import BasicBlock, FunctionBuilder, ModuleBuilder
from .functions import argument_types
from .indices import Indices
from .machine import Machine
from .overlaps import Overlaps
from .stages import Call, Item, LoopCalls, PhaseCall, Stage, stages

CHUNK_COST = 40_000
"""Estimated instructions (about 10 us) that a chunk should have where a thread has several."""

LEAST_CHUNK_COST = 2_500
"""Nothing is cut into smaller chunks."""

MOST_CHUNKS = 4
"""Chunks for each thread, at most: so fine can a part be taken over when its thread is late."""

PARTS = DimVar("number of threads")
"""Into how many parts stages are divided; not an extent that users can name."""

PARAMETERS = "ptr %in, ptr %out, ptr %workspace, ptr %constants, ptr %own, ptr %member, i64 %parts"


class BodyEmitter(Indices):
    """Writes one body."""

    def __init__(
        self,
        module: ModuleBuilder,
        machine: Machine,
        program: Program,
        overlaps: Overlaps,
        shared_at: Dim,
        has_team: bool,
    ) -> None:
        """`shared_at` is where in the workspace the scratch that phases share begins; without
        `has_team` the calling thread always works alone."""
        super().__init__(FunctionBuilder(module), machine)
        self.program = program
        self.overlaps = overlaps
        self.shared_at = shared_at
        self.offsets = dict(
            zip((d.buffer for d in program.constants), constant_layout(program)[0], strict=True)
        )
        self.ports = {
            port.buffer.root: (side, number)
            # An output that is an input as well is found among the inputs.
            for side, ports in (("%out", program.outputs), ("%in", program.inputs))
            for number, port in reversed(tuple(enumerate(ports)))
        }
        """Where the pointer to each port's array stands."""
        self.has_team = has_team
        self.most_items = 0
        """Of a stage that is cut into chunks."""
        self.everywhere: dict[Dim, str] = {}
        """Numbers that were computed before the first stage."""
        self.variables[PARTS] = (0, "%parts")
        self.bound(PARTS, (1, None))

    def emit(self, symbol: str, calls: Sequence[Call]) -> str:
        """The text of the function that runs the calls in order."""
        builder = self.builder
        ready, inside = builder.block("ready"), builder.block("run")
        builder.line(f"br label %{ready.name}")
        builder.place(ready)
        builder.scopes[0].hoist = ready
        first = len(self.program.inputs) * abi.POINTER_BYTES
        for number, var in enumerate(self.program.dims):
            self.variables[var] = (0, self._field("%in", first + 8 * number, "i64"))
        builder.place(inside)
        self.steps(calls)
        builder.line("ret void")
        if self.most_items:
            room = f"%counts = alloca [{self.most_items} x i64], align 8"
            builder.blocks[0].lines.insert(0, room)
        ready.lines.append(f"br label %{inside.name}")
        return builder.text(f"define internal void @{symbol}({PARAMETERS}) nounwind")

    def steps(self, calls: Sequence[Call]) -> None:
        """Calls in order, from the current place on; all their chunks are done where it ends."""
        waiting: list[PhaseCall] = []
        for call in calls:
            if isinstance(call, PhaseCall):
                waiting.append(call)
                continue
            self._stages(waiting)
            waiting = []
            self._repeat(call)
        self._stages(waiting)

    def _stages(self, calls: Sequence[PhaseCall]) -> None:
        for stage in stages(calls, self.overlaps):
            self._stage(stage)

    def _repeat(self, loop: LoopCalls) -> None:
        """for counter in 0 .. count-1: steps, on every thread."""
        builder, counter = self.builder, loop.loop.counter
        count = self.scalar(loop.loop.count)
        head, inside, after = (builder.block(n) for n in ("repeat", "steps", "done"))
        some = builder.pure(f"icmp sgt i64 {count}, 0")
        before = builder.current
        builder.line(f"br i1 {some}, label %{head.name}, label %{after.name}")
        builder.place(head)
        builder.open(head)
        name, following = builder.fresh(), builder.fresh()
        self.variables[counter] = (builder.depth, name)
        builder.place(inside)
        self.steps(loop.calls)
        latch = builder.current
        builder.line(f"{following} = add nuw nsw i64 {name}, 1")
        more = builder.fresh()
        builder.line(f"{more} = icmp slt i64 {following}, {count}")
        builder.line(f"br i1 {more}, label %{head.name}, label %{after.name}")
        head.lines.insert(0, f"{name} = phi i64 [0, %{before.name}], [{following}, %{latch.name}]")
        head.lines.append(f"br label %{inside.name}")
        builder.close()
        del self.variables[counter]
        builder.place(after)

    # -- where things lie ----------------------------------------------------------------------

    def scalar(self, dim: Dim) -> str:
        """An i64; offsets of an open plan are long, and every step asks for its buffers' anew."""
        if isinstance(dim, int):
            return str(dim)
        if dim not in self.everywhere:
            level, text = self.term(self.resolve(dim))
            if level > 0:
                return text
            self.everywhere[dim] = text
        return self.everywhere[dim]

    def _field(self, base: str, offset: int, type: str) -> str:
        pointer = self.builder.hoisted(f"getelementptr i8, ptr {base}, i64 {offset}", 0)
        return self.builder.hoisted(f"load {type}, ptr {pointer}, align 8", 0)

    def address(self, buffer: ProgramBuffer) -> str:
        """The pointer to a buffer's bytes, where it is a part of another one too."""
        root = buffer.root
        if root in self.ports:
            side, number = self.ports[root]
            array = self._field(side, abi.POINTER_BYTES * number, "ptr")
            return self._at(array, buffer.start)
        if root.place == "constant":
            return self._at("%constants", dims.add(self.offsets[root], buffer.start))
        if root.place == "arena" and self.program.plan is not None:
            return self._at("%workspace", self.program.plan.offset_of(buffer))
        raise InternalError(f"buffer {buffer.name} has no place")

    def _at(self, base: str, offset: Dim) -> str:
        if offset == 0:
            return base
        text = self.scalar(offset)
        return self.builder.hoisted(f"getelementptr i8, ptr {base}, i64 {text}", 0)

    def _arguments(self, call: PhaseCall) -> str:
        pointers = [self.address(b) for b in call.step.arguments]
        extents = [self.scalar(var) for var in call.step.kernel.dims]
        values = [*pointers, self._at("%workspace", self.shared_at), "%own", *extents]
        types = argument_types(call.step.kernel)
        return ", ".join(f"{t} {v}" for t, v in zip(types, values, strict=True))

    # -- stages --------------------------------------------------------------------------------

    def _stage(self, stage: Stage) -> None:
        """All of it on a thread alone, or its chunks one by one."""
        builder = self.builder
        if not self.has_team:
            for item in stage:
                self._whole(item)
            return
        several = builder.hoisted("icmp ne ptr %member, null", 0)
        share, alone, after = (builder.block(n) for n in ("share", "alone", "after"))
        builder.line(f"br i1 {several}, label %{share.name}, label %{alone.name}")
        builder.place(alone)
        builder.open(None)
        for item in stage:
            self._whole(item)
        builder.close()
        builder.line(f"br label %{after.name}")
        builder.place(share)
        builder.open(None)
        self._chunks(stage, after)
        builder.close()
        builder.place(after)

    def _whole(self, item: Item) -> None:
        for call in item.calls:
            loop = call.phase.loop
            count = 0 if loop is None else self.scalar(loop.extent)
            self.builder.line(
                f"call void @{call.function.name}({self._arguments(call)}, i64 0, i64 {count})"
            )

    def _chunks(self, stage: Stage, after: BasicBlock) -> None:
        """Chunks as long as there are any; then the stage is over."""
        builder = self.builder
        counts = [self._count(item) for item in stage]
        name = team.declare_next(builder.module, self.machine)
        ask, run = builder.block("ask"), builder.block("chunk")
        self.most_items = max(self.most_items, len(stage))
        for number, count in enumerate(counts):
            slot = builder.pure(f"getelementptr i64, ptr %counts, i64 {number}")
            builder.line(f"store i64 {self.scalar(count)}, ptr {slot}, align 8")
        builder.line(f"br label %{ask.name}")
        builder.place(ask)
        chunk = builder.fresh()
        builder.line(f"{chunk} = call i64 @{name}(ptr %member, ptr %counts, i64 {len(stage)})")
        some = builder.pure(f"icmp sge i64 {chunk}, 0")
        builder.line(f"br i1 {some}, label %{run.name}, label %{after.name}")
        builder.place(run)
        for item, count in zip(stage, counts, strict=True):
            if item is stage[-1]:
                self._chunk(item, chunk, count)
                builder.line(f"br label %{ask.name}")
                return
            text = self.scalar(count)
            here, other = builder.block("item"), builder.block("other")
            inside = builder.pure(f"icmp slt i64 {chunk}, {text}")
            builder.line(f"br i1 {inside}, label %{here.name}, label %{other.name}")
            builder.place(here)
            builder.open(None)
            self._chunk(item, chunk, count)
            builder.close()
            builder.line(f"br label %{ask.name}")
            builder.place(other)
            chunk = builder.pure(f"sub i64 {chunk}, {text}")

    def _count(self, item: Item) -> Dim:
        """How many chunks an item has; the same for all threads of a call."""
        if not item.is_shared:
            return 1
        phase = item.calls[0].phase
        assert phase.loop is not None
        enough = dims.floordiv(dims.floordiv(phase.cost, CHUNK_COST), PARTS)
        each = dims.maximum(1, dims.minimum(MOST_CHUNKS, enough))
        worthwhile = dims.maximum(1, dims.floordiv(phase.cost, LEAST_CHUNK_COST))
        return dims.minimum(phase.loop.extent, dims.minimum(worthwhile, dims.mul(PARTS, each)))

    def _chunk(self, item: Item, number: str, count: Dim) -> None:
        """One chunk: the iterations from number*extent/count on."""
        if not item.is_shared:
            self._whole(item)
            return
        (call,), pure = item.calls, self.builder.pure
        assert call.phase.loop is not None
        extent, of = self.scalar(call.phase.loop.extent), self.scalar(count)
        low = pure(f"mul i64 {number}, {extent}")
        high = pure(f"add i64 {low}, {extent}")
        begin, end = pure(f"udiv i64 {low}, {of}"), pure(f"udiv i64 {high}, {of}")
        self.builder.line(
            f"call void @{call.function.name}({self._arguments(call)}, i64 {begin}, i64 {end})"
        )
