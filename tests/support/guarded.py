"""Memory that tells when a program leaves it: full of 0xFF, between pages that nobody may touch.

A block touches one of the two forbidden pages with its first or with its last byte; what lies
between its other end and the other page is written by nobody, which `intact` tells.
"""

from __future__ import annotations

import ctypes
import mmap
import weakref

import numpy as np
import pytest

from symgraph.codegen.executable import Executable
from symgraph.codegen.llvm.runtime import Workspace

POISON = 0xFF


class Guarded:
    """A block of bytes; `at_end` says which end touches a forbidden page."""

    def __init__(self, nbytes: int, *, at_end: bool, alignment: int = 1) -> None:
        page = mmap.PAGESIZE
        size = -(-nbytes // alignment) * alignment
        inner = max(1, -(-size // page)) * page
        mapped = mmap.mmap(-1, inner + 2 * page)
        whole = np.frombuffer(mapped, np.uint8)
        self.inner = whole[page : page + inner]
        self.inner[:] = POISON
        base = whole.ctypes.data
        for forbidden in (base, base + page + inner):
            _protect(forbidden, page, 0)
        # Unprotected again before the memory is given back, which may be reused.
        weakref.finalize(self, _unprotect, mapped, base, page, inner)
        start = inner - size if at_end else 0
        self.bytes = self.inner[start : start + size]
        self.rest = self.inner[:start] if at_end else self.inner[size:]

    @property
    def intact(self) -> bool:
        """Nobody wrote beside the block."""
        return bool((self.rest == POISON).all())

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        return self.bytes[:count].view(dtype).reshape(shape)


def _protect(address: int, nbytes: int, protection: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(nbytes), protection):
        pytest.skip("no page protection here")


def _unprotect(mapped: mmap.mmap, base: int, page: int, inner: int) -> None:
    for forbidden in (base, base + page + inner):
        _protect(forbidden, page, mmap.PROT_READ | mmap.PROT_WRITE)


def run_guarded(
    f: Executable, arrays: dict[str, np.ndarray], results: list[np.ndarray], *, at_end: bool
) -> list[np.ndarray]:
    """Call an LLVM program with its inputs, outputs and workspace each in a block of its own.

    `results` say the shapes and dtypes of the outputs.

    Raises: AssertionError where it wrote beside a block; reading or writing a forbidden page ends
    the process.
    """
    runner = f._runner
    blocks = []

    def guarded(like: np.ndarray) -> np.ndarray:
        blocks.append(Guarded(like.nbytes, at_end=at_end))
        return blocks[-1].array(like.shape, like.dtype)

    inputs = []
    for port in f.program.inputs:
        inputs.append(guarded(arrays[port.name]))
        inputs[-1][...] = arrays[port.name]
    outputs = [guarded(a) for a in results]
    env = extents(f, arrays)
    nbytes = runner._measure(tuple(env[v.name] for v in f.program.dims))
    blocks.append(Guarded(nbytes, at_end=at_end, alignment=64))
    space = blocks[-1].bytes
    runner._idle[:] = [workspace := Workspace(space, space.ctypes.data, len(space))]
    runner.run(inputs, outputs, env)
    assert runner._idle.pop() is workspace, "the program ran in other memory"
    for array, port in zip(inputs, f.program.inputs, strict=True):
        np.testing.assert_array_equal(array, arrays[port.name], f"input {port.name} was written")
    assert all(block.intact for block in blocks), "bytes beside a block were written"
    return [np.array(a) for a in outputs]


def extents(f: Executable, arrays: dict[str, np.ndarray]) -> dict[str, int]:
    """The open extents of a program, read off its inputs."""
    found = {}
    for port in f.program.inputs:
        for dim, size in zip(port.type.shape, arrays[port.name].shape, strict=True):
            if not isinstance(dim, int) and str(dim).isidentifier():
                found[str(dim)] = size
    return {v.name: found[v.name] for v in f.program.dims}
