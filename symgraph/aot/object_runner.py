"""Calls a shipped object in this process, with its own workspaces and this process's threads."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..codegen.llvm.native_call import native_call
from ..codegen.llvm.pool import available_processors, get_pool
from ..codegen.llvm.runtime import LONG_CALL
from ..errors import InputError
from ..ir.program import Program
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..pages import aligned_bytes
from .extents_text import decode_dim
from .signature import ALIGNMENT

Array = np.ndarray[Any, np.dtype[Any]]

_RUN = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
)
_EXPLAIN = ctypes.CFUNCTYPE(
    ctypes.c_int32, *[ctypes.c_void_p] * 4, ctypes.c_char_p, ctypes.c_size_t
)


class Context(ctypes.Structure):
    """sg_context, as the header declares it."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("parallel_for", ctypes.c_void_p),
        ("pool", ctypes.c_void_p),
        ("threads", ctypes.c_int64),
        ("constants", ctypes.c_void_p),
        ("workspace_bytes", ctypes.c_uint64),
    )


class ObjectRunner:
    """Calls a shipped object; safe from many threads, each with a workspace of its own."""

    def __init__(
        self,
        program: Program,
        made: Mapping[str, Any],
        addresses: Mapping[str, int],
        constants: int,
        threads: int,
        level: int,
        held: Any,
    ) -> None:
        self.program = program
        self._held = held
        self._entry = addresses["run"]
        self._run = _RUN(self._entry)
        self._explain = _EXPLAIN(addresses["explain"])
        self._level = level
        self._names = tuple(v.name for v in program.dims)
        self._results = tuple(n for n, p in enumerate(program.outputs) if not p.updates)
        self._constants = constants
        self._idle: list[Array] = []
        self.threads = threads if threads else available_processors()
        space = made["workspace"]
        self._shared = decode_dim(space["shared"])
        self._per_thread = decode_dim(space["per_thread"])
        self._work = decode_dim(made["work"])

    def scratch_nbytes(self, dims: Mapping[str, int]) -> int:
        """The workspace without the arena."""
        assert self.program.plan is not None
        return self._nbytes(dims) - _value(self.program.plan.nbytes, dims)

    def run(
        self, inputs: Sequence[Array], outputs: Sequence[Array], dims: Mapping[str, int]
    ) -> None:
        sizes = [dims[name] for name in self._names]
        reads = (ctypes.c_int64 * (len(inputs) + len(sizes) + 1))(
            *[_address(a) for a in inputs], *sizes
        )
        results = [_address(outputs[n]) for n in self._results]
        writes = (ctypes.c_int64 * (len(results) + 1))(*results)
        nbytes = self._nbytes(dims)
        workspace = self._take(nbytes)
        context = self._context(nbytes)
        call = (
            ctypes.addressof(reads), ctypes.addressof(writes), workspace.ctypes.data,
            ctypes.addressof(context),
        )  # fmt: skip
        text = ctypes.create_string_buffer(1)
        try:
            status = self._run(*call)
            if status:
                text = ctypes.create_string_buffer(1024)
                self._explain(*call, text, len(text))
        finally:
            self._idle.append(workspace)
        if status:
            raise InputError(f"{self.program.name}: {text.value.decode()} (code {status})")

    def prepare(
        self, inputs: Sequence[Array], outputs: Sequence[Array], dims: Mapping[str, int]
    ) -> Callable[..., bool] | None:
        """`run` for arrays of exactly these types, in the order of the ports; None where there is
        no such short way.  It returns False, and nothing has run, for arrays of other types.

        It is asked for after a call with these extents has succeeded, so no rule can be broken.
        """
        sizes = [dims[name] for name in self._names]
        nbytes = self._nbytes(dims)
        context = self._context(nbytes)
        is_long = _value(self._work, dims) >= LONG_CALL
        own = None if is_long else _aligned(nbytes)
        results = [outputs[n] for n in self._results]
        function = native_call(
            self._entry,
            ctypes.addressof(context),
            inputs,
            results,
            sizes,
            None if own is None else own.ctypes.data,
            (self, context, own),
        )
        if function is None:
            return None
        if own is not None and len(results) == len(outputs):
            return function
        return self._call(function, nbytes if is_long else None, len(inputs))

    def _call(
        self, function: Callable[..., bool], nbytes: int | None, inputs: int
    ) -> Callable[..., bool]:
        """The native call with a workspace from the idle ones, without the arrays of outputs that
        are written over inputs."""
        kept = (*range(inputs), *(inputs + n for n in self._results))
        is_plain = len(self._results) == len(self.program.outputs)

        def call(*arrays: Any) -> bool:
            if not is_plain:
                if len(arrays) != inputs + len(self.program.outputs):
                    return False
                arrays = tuple([arrays[n] for n in kept])
            if nbytes is None:
                return function(*arrays)
            workspace = self._take(nbytes)
            try:
                return function(workspace, *arrays)
            finally:
                self._idle.append(workspace)

        return call

    def _take(self, nbytes: int) -> Array:
        """A workspace that no other call uses; list operations are atomic."""
        try:
            workspace = self._idle.pop()
        except IndexError:
            return _aligned(nbytes)
        return workspace if workspace.nbytes >= nbytes else _aligned(nbytes)

    def _context(self, nbytes: int) -> Context:
        context = Context(
            size=ctypes.sizeof(Context),
            flags=self._level,
            threads=self.threads,
            constants=self._constants or None,
            workspace_bytes=nbytes,
        )
        if self.threads > 1:
            pool = get_pool(self.threads)
            context.parallel_for = pool.parallel_for_pointer
            context.pool = pool.pool_pointer
        return context

    def _nbytes(self, extents: Mapping[str, int]) -> int:
        return _value(self._shared, extents) + _value(self._per_thread, extents) * self.threads


def _value(dim: Dim, extents: Mapping[str, int]) -> int:
    return int(dims.evaluate(dim, {DimVar(name): size for name, size in extents.items()}))


def _aligned(nbytes: int) -> Array:
    # At least one byte: numpy keeps no address of an empty part.
    return aligned_bytes(nbytes + 1, ALIGNMENT)


def _address(array: Array) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
