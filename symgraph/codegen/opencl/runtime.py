"""Builds a source and runs it: one arena, one in-order queue, one wait at the end of a call.

Buffers of a program lie in the arena (followed by the kernels' scratch), in the block of constants,
or in a buffer of their own for each input and output; kernels get a buffer and a byte offset.  What
depends on the extents of a call is kept as a session and used again by calls of the same extents.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyopencl as cl

from ...errors import TargetError
from ...ir.program import (
    HostStep,
    KernelStep,
    Program,
    ProgramBuffer,
    RepeatStep,
    Step,
    constant_layout,
)
from ...kernel import dims
from ...kernel.dims import Dim, DimVar
from ...kernel.dtypes import as_dtype
from ..host import call_host
from .devices import Device, build_log, build_options
from .emit import first_double, launch_plans
from .launches import SLICE_ALIGNMENT, Launch, LaunchPlan, aligned_bytes

Array = np.ndarray[Any, np.dtype[Any]]
ALIGNMENT = 128
SCRATCH_BUDGET = 64 << 20
"""Bytes of scratch for the slices of one launch, unless a single slice is larger."""
SESSIONS = 4
INT_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class _Place:
    """Bytes in a device buffer."""

    memory: Any
    offset: int


class OpenCLRunner:
    """A loaded program.  Calls from several threads take turns."""

    def __init__(self, program: Program, text: str, device: Device) -> None:
        self.program = program
        self.text = text
        self.device = device
        self.plans = launch_plans(program)
        self._check_device()
        self.queue = cl.CommandQueue(device.context, device.handle)
        self._lock = threading.Lock()
        self._built: dict[str, Any] = {}
        self._sessions: OrderedDict[tuple[tuple[str, int], ...], _Session] = OrderedDict()
        self.build("int")
        self.constants = self._upload_constants()

    def run(
        self, inputs: Sequence[Array], outputs: Sequence[Array], dims: Mapping[str, int]
    ) -> None:
        with self._lock:
            session = self._session(dims)
            try:
                session.run(inputs, outputs)
            except cl.Error as error:
                raise TargetError(
                    f"{self.program.name}: the OpenCL device "
                    f"{self.device.description.name} failed: {error}"
                ) from error

    def scratch_nbytes(self, dims: Mapping[str, int]) -> int:
        with self._lock:
            return self._session(dims).scratch

    def _session(self, env: Mapping[str, int]) -> _Session:
        key = tuple(sorted(env.items()))
        if key not in self._sessions:
            while len(self._sessions) >= SESSIONS:
                self._sessions.popitem(last=False)
            self._sessions[key] = _Session(self, env)
        self._sessions.move_to_end(key)
        return self._sessions[key]

    def build(self, index_type: str) -> Any:
        """The program built for an index type.  Raises: TargetError with the build log."""
        if index_type not in self._built:
            options = build_options(self.device, index_type)
            program = cl.Program(self.device.context, self.text)
            try:
                with self.device.lock:
                    built: Any = program.build(options, cache_dir=False)  # type: ignore[arg-type]
                self._built[index_type] = built
            except cl.Error as error:
                raise TargetError(
                    f"{self.program.name}: the OpenCL compiler of "
                    f"{self.device.description.name} refuses kernel "
                    f"{failing_kernel(self.text, str(error))}: {build_log(error)}"
                ) from error
        return self._built[index_type]

    def _check_device(self) -> None:
        description = self.device.description
        for kernel, plan in self.plans.items():
            tensor = first_double(kernel)
            if tensor is not None and not description.has_float64:
                raise TargetError(
                    f"{self.program.name}: tensor {tensor} of kernel {kernel.name} "
                    f"({kernel.origin}) is float64, which {description.name} does not support: "
                    f"cast it to float32, or choose another device"
                )
            for launch in plan.launches:
                if launch.group > description.max_work_group:
                    raise TargetError(
                        f"{self.program.name}: kernel {kernel.name} needs work-groups of "
                        f"{launch.group}, {description.name} allows {description.max_work_group}; "
                        f"compile it for this device"
                    )

    def _upload_constants(self) -> dict[ProgramBuffer, _Place]:
        offsets, total = constant_layout(self.program, ALIGNMENT)
        memory = self.allocate(total, "the constants")
        for data, offset in zip(self.program.constants, offsets, strict=True):
            _write(self.queue, _Place(memory, offset), np.ascontiguousarray(data.array), True)
        pairs = zip(self.program.constants, offsets, strict=True)
        return {data.buffer: _Place(memory, offset) for data, offset in pairs}

    def allocate(self, nbytes: int, what: str) -> Any:
        """A device buffer.  Raises: TargetError when the device cannot hold it."""
        limit = self.device.description.max_allocation
        if nbytes > limit:
            raise TargetError(
                f"{self.program.name}: {what} need {nbytes} bytes, but "
                f"{self.device.description.name} gives at most {limit} at once"
            )
        try:
            # Never of no bytes, which the standard forbids; the slack is never read for its value.
            return cl.Buffer(self.device.context, cl.mem_flags.READ_WRITE, nbytes + ALIGNMENT)
        except cl.Error as error:
            raise TargetError(
                f"{self.program.name}: no memory on {self.device.description.name} "
                f"for {what} ({nbytes} bytes): {error}"
            ) from error


@dataclass(frozen=True, slots=True)
class _PreparedLaunch:
    """A kernel with its arguments; those for `dims` begin at position `first_dim`."""

    kernel: Any
    work: int
    group: int
    dims: tuple[DimVar, ...]
    first_dim: int


@dataclass(frozen=True, slots=True)
class _Loop:
    """Steps to run `count` times; `counters` are the arguments that take the number of the time."""

    count: int
    steps: list[_Prepared]
    counters: list[tuple[Any, int]]


_Prepared = HostStep | list[_PreparedLaunch] | _Loop


def _flat(steps: Sequence[_Prepared]) -> Iterator[_Prepared]:
    for step in steps:
        if isinstance(step, _Loop):
            yield from _flat(step.steps)
        else:
            yield step


class _Session:
    """Everything that depends on the extents of a call: places, kernels with their arguments."""

    def __init__(self, runner: OpenCLRunner, env: Mapping[str, int]) -> None:
        self.runner = runner
        self.program = runner.program
        self.env: dict[Any, int] = {DimVar(k): v for k, v in env.items()}
        small = max(map(self.nelems, self.program.buffers), default=0) < INT_LIMIT
        self.scratch = max((self._scratch(p) for p in runner.plans.values()), default=0)
        scratch = self.scratch
        small = small and scratch < INT_LIMIT
        self.index_type = "int" if small else "long"
        self.built = runner.build(self.index_type)
        plan = self.program.plan
        assert plan is not None
        self.scratch_offset = _align(self.value(plan.nbytes), ALIGNMENT)
        self.arena = runner.allocate(self.scratch_offset + scratch, "the intermediates")
        self.places = self._places()
        self.steps = [self._step(s) for s in self.program.steps]

    def value(self, dim: Dim) -> int:
        return int(dims.evaluate(dim, self.env))

    def nelems(self, buffer: ProgramBuffer) -> int:
        assert buffer.type.shape is not None
        return int(np.prod([self.value(d) for d in buffer.type.shape], dtype=np.int64))

    def run(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        queue = self.runner.queue
        # Transfers are kept until the end: dropping one waits for it.
        pending = [
            _write(queue, self.place(port.buffer), array, False)
            for port, array in zip(self.program.inputs, inputs, strict=True)
        ]
        self._enqueue(self.steps)
        pending += [
            _read(queue, self.place(port.buffer), array, False)
            for port, array in zip(self.program.outputs, outputs, strict=True)
        ]
        queue.finish()
        pending.clear()

    def _enqueue(self, steps: Sequence[_Prepared]) -> None:
        """Run steps in order; a loop's as often as it says, with its counter set before each."""
        for step in steps:
            if isinstance(step, HostStep):
                self._host(step)
            elif isinstance(step, _Loop):
                for number in range(step.count):
                    for kernel, position in step.counters:
                        kernel.set_arg(position, self.number(number))
                    self._enqueue(step.steps)
            else:
                for launch in step:
                    cl.enqueue_nd_range_kernel(
                        self.runner.queue, launch.kernel, (launch.work,), (launch.group,)
                    )

    def number(self, value: int) -> Any:
        """An extent as kernels take it."""
        return np.int32(value) if self.index_type == "int" else np.int64(value)

    # -- places --------------------------------------------------------------------------------

    def _places(self) -> dict[ProgramBuffer, _Place]:
        places = dict(self.runner.constants)
        assert self.program.plan is not None
        for buffer, offset in self.program.plan.offsets:
            places[buffer] = _Place(self.arena, self.value(offset))
        for port in (*self.program.inputs, *self.program.outputs):
            root = port.buffer.root
            if root not in places:
                nbytes = self.nelems(root) * as_dtype(root.type.dtype).nbytes
                memory = self.runner.allocate(nbytes, f"the array {port.name!r}")
                places[root] = _Place(memory, 0)
        return places

    def place(self, buffer: ProgramBuffer) -> _Place:
        """Where a buffer lies, as a part of another one too."""
        root = self.places[buffer.root]
        return _Place(root.memory, root.offset + self.value(buffer.start))

    def _scratch(self, plan: LaunchPlan) -> int:
        shared = sum(self.value(aligned_bytes(b)) for b in plan.tensors)
        slices = [self._slots(x) * self.value(x.slice_bytes) for x in plan.launches]
        return shared + max(slices, default=0)

    def _slots(self, launch: Launch) -> int:
        """Work-items of a launch that has scratch of its own for each."""
        nbytes = self.value(launch.slice_bytes)
        if not launch.slices or nbytes == 0:
            return self.value(launch.count)
        return max(1, min(self.value(launch.count), SCRATCH_BUDGET // nbytes))

    # -- launches ------------------------------------------------------------------------------

    def _step(self, step: Step) -> _Prepared:
        if isinstance(step, HostStep):
            return step
        if isinstance(step, RepeatStep):
            return self._loop(step)
        plan = self.runner.plans[step.kernel]
        base, tensors = self.scratch_offset, {}
        for buffer in plan.tensors:
            tensors[buffer] = _Place(self.arena, base)
            base += self.value(aligned_bytes(buffer))
        result: list[_PreparedLaunch] = []
        for launch in plan.launches:
            prepared = self._launch(launch, step, tensors, base)
            if prepared is not None:
                result.append(prepared)
        return result

    def _loop(self, step: RepeatStep) -> _Loop:
        self.env[step.counter] = 0
        steps = [self._step(s) for s in step.steps]
        del self.env[step.counter]
        launches = [x for s in _flat(steps) if isinstance(s, list) for x in s]
        counters = [
            (x.kernel, x.first_dim + x.dims.index(step.counter))
            for x in launches
            if step.counter in x.dims
        ]
        return _Loop(self.value(step.count), steps, counters)

    def _launch(
        self, launch: Launch, step: KernelStep, tensors: Mapping[Any, _Place], base: int
    ) -> _PreparedLaunch | None:
        count = self.value(launch.count)
        if count == 0:
            return None
        kernel = cl.Kernel(self.built, launch.name)
        work, group = self._sizes(launch, kernel, count)
        arguments: list[Any] = []
        by_buffer = dict(zip(step.kernel.params, step.arguments, strict=True))
        places = [self.place(by_buffer[b]) for b in launch.buffers]
        places += [tensors[b] for b in launch.tensors]
        for buffer in launch.slices:
            places.append(_Place(self.arena, base))
            base += work * _align(self.value(buffer.nbytes), SLICE_ALIGNMENT)
        for place in places:
            arguments += [place.memory, np.uint64(place.offset)]
        first_dim = len(arguments)
        arguments += [self.number(self.env[v]) for v in launch.dims]
        kernel.set_args(*arguments)
        return _PreparedLaunch(kernel, work, group, tuple(launch.dims), first_dim)

    def _sizes(self, launch: Launch, kernel: Any, count: int) -> tuple[int, int]:
        """The global and the local number of work-items."""
        device = self.runner.device
        if launch.group:
            return count * launch.group, launch.group
        if launch.fixed_group:
            return count, launch.fixed_group
        info = cl.kernel_work_group_info.WORK_GROUP_SIZE
        limit = min(
            int(kernel.get_work_group_info(info, device.handle)),
            device.description.max_work_items[0],
        )
        preferred = 32 if device.description.type == "cpu" else 128
        group = 1
        while group * 2 <= min(limit, preferred):
            group *= 2
        if launch.slices:
            slots = self._slots(launch)
            while group > slots:
                group //= 2
            return slots // group * group, group
        if count == 1:
            return 1, 1
        return _align(count, group), group

    # -- host operators ------------------------------------------------------------------------

    def _host(self, step: HostStep) -> None:
        queue = self.runner.queue
        arrays = [self._array(b) for b in step.arguments]
        for buffer, array in zip(step.reads, arrays, strict=False):
            _read(queue, self.place(buffer), array, True)
        writes = arrays[len(step.reads) :]
        call_host(step, arrays[: len(step.reads)], writes)
        for buffer, array in zip(step.writes, writes, strict=True):
            _write(queue, self.place(buffer), array, True)

    def _array(self, buffer: ProgramBuffer) -> Array:
        assert buffer.type.shape is not None
        shape = tuple(self.value(d) for d in buffer.type.shape)
        return np.zeros(shape, as_dtype(buffer.type.dtype).numpy)


def _bytes(array: Array) -> Array:
    return array.reshape(-1).view(np.uint8)


def _write(queue: Any, place: _Place, array: Array, wait: bool) -> Any:
    if array.size == 0:
        return None
    return cl.enqueue_copy(
        queue, place.memory, _bytes(array), dst_offset=place.offset, is_blocking=wait
    )


def _read(queue: Any, place: _Place, array: Array, wait: bool) -> Any:
    if array.size == 0:
        return None
    return cl.enqueue_copy(
        queue, _bytes(array), place.memory, src_offset=place.offset, is_blocking=wait
    )


def _align(number: int, alignment: int) -> int:
    return -(-number // alignment) * alignment


def failing_kernel(text: str, log: str) -> str:
    """The name of the function that holds the first line a build log speaks of."""
    import re

    found = re.search(r":(\d+):\d+: *(?:fatal )?error", log)
    lines = text.splitlines()
    last = int(found.group(1)) if found else len(lines)
    names = re.findall(r"__kernel void (\w+)", "\n".join(lines[:last] if found else lines))
    return (names[-1] if found else names[0]) if names else "(none)"
