"""Runs a compiled program on numpy arrays.

Owns: the workspaces (one for each call that runs at the same time, kept for the next call), the
block of constants, the context that names the thread pool, and the calls back to host operators
between segments.  The entries are called without the interpreter's lock.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ...errors import InternalError
from ...ir.program import HostStep, Program, ProgramBuffer, constant_layout
from ...ir.release import is_gathered
from ...kernel import dims
from ...kernel.dims import Dim, DimVar
from ...kernel.dtypes import as_dtype
from ...pages import aligned_bytes
from ..host import call_host
from . import abi
from .emit import Layout
from .native_call import native_call
from .objects import LoadedObject
from .pool import available_processors, get_pool

Array = np.ndarray[Any, np.dtype[Any]]

ENTRY = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
)


LONG_CALL = 50_000
"""Estimated instructions (about 10 us) from which other Python threads may run meanwhile."""

OWN_BYTES = 64 << 10
"""A workspace of at most so many bytes may wait for the next call of one function alone."""


@dataclass(slots=True)
class Workspace:
    """Aligned memory of one running call."""

    memory: Array
    address: int
    nbytes: int


class LLVMRunner:
    """A loaded program; safe from many threads."""

    def __init__(
        self,
        program: Program,
        layout: Layout,
        loaded: LoadedObject,
        threads: int,
        single: bool = False,
    ) -> None:
        self.program = program
        self.single = single
        self.layout = layout
        self._loaded = loaded
        self._entries = tuple(ENTRY(address) for address in loaded.addresses)
        self._hosts = tuple(s for s in program.steps if isinstance(s, HostStep))
        self._idle: list[Workspace] = []
        self._sizes: dict[tuple[int, ...], int] = {}
        self._names = tuple(var.name for var in program.dims)
        self._in_type = ctypes.c_int64 * (len(program.inputs) + len(self._names))
        self._out_type = ctypes.c_int64 * len(program.outputs)
        self._constants = _constant_block(program)
        self.threads = threads if threads else available_processors()
        self.spills: Mapping[str, int] = {}
        self._context = self._make_context()
        self._context_address = ctypes.addressof(self._context)

    def _make_context(self) -> abi.Context:
        context = abi.Context(size=abi.CONTEXT_BYTES, threads=self.threads)
        context.constants = self._constants.address
        if self.threads > 1:
            pool = get_pool(self.threads)
            context.parallel_for = pool.parallel_for_pointer
            context.pool = pool.pool_pointer
            context.relax = pool.relax_pointer
        return context

    def with_threads(self, threads: int) -> LLVMRunner:
        """The same code and constants for another number of threads; 0 is one per processor."""
        runner = LLVMRunner(self.program, self.layout, self._loaded, threads, self.single)
        runner.spills = self.spills
        return runner

    def run(
        self, inputs: Sequence[Array], outputs: Sequence[Array], dims: Mapping[str, int]
    ) -> tuple[int, ...]:
        sizes = tuple([dims[name] for name in self._names])
        reads = self._in_type(*[_address(a) for a in inputs], *sizes)
        writes = self._out_type(*[_address(a) for a in outputs])
        nbytes = self._sizes.get(sizes)
        if nbytes is None:
            nbytes = self._measure(sizes)
        workspace = self._take(nbytes)
        try:
            places = ctypes.addressof(reads), ctypes.addressof(writes), workspace.address
            if self.single:
                return self._run_single(places, inputs, outputs, sizes, workspace)
            for number, entry in enumerate(self._entries):
                if number:
                    self._host(self._hosts[number - 1], inputs, outputs, sizes, workspace)
                self._enter(entry, places)
        finally:
            self._idle.append(workspace)
        return ()

    def _run_single(
        self,
        places: tuple[int, int, int],
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        sizes: tuple[int, ...],
        workspace: Workspace,
    ) -> tuple[int, ...]:
        """Step by step; the nanoseconds of each."""
        times = [time.perf_counter_ns()]
        for step, entry in zip(self.program.steps, self._entries, strict=True):
            if isinstance(step, HostStep):
                self._host(step, inputs, outputs, sizes, workspace)
            else:
                self._enter(entry, places)
            times.append(time.perf_counter_ns())
        return tuple(after - before for before, after in pairwise(times))

    def _enter(self, entry: Any, places: tuple[int, int, int]) -> None:
        status = entry(*places, self._context_address)
        if status != abi.OK:
            raise InternalError(f"{self.program.name}: the program returned {status}")

    def scratch_nbytes(self, dims: Mapping[str, int]) -> int:
        """The workspace without the arena."""
        sizes = tuple([dims[name] for name in self._names])
        whole = self._value(self.layout.workspace.nbytes(self.threads), sizes)
        return whole - self._value(self.layout.workspace.arena, sizes)

    def prepare(
        self, inputs: Sequence[Array], outputs: Sequence[Array], dims: Mapping[str, int]
    ) -> Callable[..., bool] | None:
        """`run` for arrays of exactly these types, in the order of the ports; None where there is
        no such short way.  It returns False, and nothing has run, for arrays of other types."""
        if len(self._entries) != 1:
            return None
        sizes = tuple([dims[name] for name in self._names])
        nbytes = self._sizes.get(sizes)
        if nbytes is None:
            nbytes = self._measure(sizes)
        is_long = self._value(self.layout.work, sizes) >= LONG_CALL
        own = _aligned(nbytes) if not is_long or nbytes <= OWN_BYTES else None
        call = self._taking(self._native(inputs, outputs, sizes, None), nbytes) if is_long else None
        if own is None:
            return call
        return self._native(inputs, outputs, sizes, own, call)

    def _native(
        self,
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        sizes: tuple[int, ...],
        own: Workspace | None,
        instead: Callable[..., bool] | None = None,
    ) -> Callable[..., bool] | None:
        """The native call with a workspace of its own, or with one that it is given."""
        return native_call(
            self._loaded.addresses[0],
            self._context_address,
            inputs,
            outputs,
            sizes,
            None if own is None else own.address,
            (self, own),
            instead,
        )

    def _taking(
        self, function: Callable[..., bool] | None, nbytes: int
    ) -> Callable[..., bool] | None:
        """The native call with a workspace from the idle ones."""
        if function is None:
            return None

        def call(*arrays: Any) -> bool:
            workspace = self._take(nbytes)
            try:
                return function(workspace.memory, *arrays)
            finally:
                self._idle.append(workspace)

        return call

    # -- memory --------------------------------------------------------------------------------

    def _measure(self, sizes: tuple[int, ...]) -> int:
        total = self.layout.workspace.nbytes(self.threads)
        nbytes = self._value(total, sizes)
        if len(self._sizes) > 4096:
            self._sizes.clear()
        self._sizes[sizes] = nbytes
        return nbytes

    def _value(self, dim: Dim, sizes: tuple[int, ...]) -> int:
        env = {DimVar(name): size for name, size in zip(self._names, sizes, strict=True)}
        return int(dims.evaluate(dim, env))

    def _take(self, nbytes: int) -> Workspace:
        """A workspace that no other call uses; list operations are atomic."""
        try:
            workspace = self._idle.pop()
        except IndexError:
            return _aligned(nbytes)
        return workspace if workspace.nbytes >= nbytes else _aligned(nbytes)

    # -- host operators ------------------------------------------------------------------------

    def _host(
        self,
        step: HostStep,
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        sizes: tuple[int, ...],
        workspace: Workspace,
    ) -> None:
        arrays = [self._array(b, inputs, outputs, sizes, workspace) for b in step.arguments]
        call_host(step, arrays[: len(step.reads)], arrays[len(step.reads) :])

    def _array(
        self,
        buffer: ProgramBuffer,
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        sizes: tuple[int, ...],
        workspace: Workspace,
    ) -> Array:
        """The array of a buffer during one call."""
        assert buffer.type.shape is not None
        shape = tuple(self._value(d, sizes) for d in buffer.type.shape)
        memory = self._root_bytes(buffer.root, inputs, outputs, workspace)
        plan = self.program.plan
        in_arena = buffer.root.place == "arena"
        assert not in_arena or plan is not None
        offset = plan.offset_of(buffer) if in_arena and plan is not None else buffer.start
        start = self._value(offset, sizes)
        dtype = as_dtype(buffer.type.dtype).numpy
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return memory[start : start + count].view(dtype).reshape(shape)

    def _root_bytes(
        self,
        root: ProgramBuffer,
        inputs: Sequence[Array],
        outputs: Sequence[Array],
        workspace: Workspace,
    ) -> Array:
        """The bytes in which a buffer lies: its array's, or the whole workspace."""
        ports = (*self.program.inputs, *self.program.outputs)
        for port, array in zip(ports, (*inputs, *outputs), strict=True):
            if port.buffer.root is root:
                return array.reshape(-1).view(np.uint8)
        for data in self.program.constants:
            if data.buffer is root:
                return np.ascontiguousarray(data.array).reshape(-1).view(np.uint8)
        return workspace.memory


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def _aligned(nbytes: int) -> Workspace:
    memory = aligned_bytes(nbytes, abi.ALIGNMENT)
    return Workspace(memory, memory.ctypes.data, nbytes)


def _constant_block(program: Program) -> Workspace:
    """Every constant at its place in one block; that in which they lie already, where they do."""
    offsets, nbytes = constant_layout(program, abi.ALIGNMENT)
    if program.constants and is_gathered(program, abi.ALIGNMENT):
        first = program.constants[0].array
        return Workspace(first, _address(first), nbytes)
    result = _aligned(nbytes)
    for data, offset in zip(program.constants, offsets, strict=True):
        raw = np.ascontiguousarray(data.array).reshape(-1).view(np.uint8)
        result.memory[offset : offset + raw.nbytes] = raw
    return result
