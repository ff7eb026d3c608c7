"""Memory in large pages, where the system has them.

A processor knows the places of some thousand pages by heart and looks others up; of 4 KiB pages
that is a few megabytes, of 2 MiB pages all that a network has.  Lines of a large page also fall
evenly on the sets of a core's own cache, those of small pages as chance has placed them.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import numpy as np

PAGE_BYTES = 2 << 20
"""A large page of x86-64, and of aarch64 with small pages of 4 KiB."""


def aligned_bytes(nbytes: int, alignment: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Writable memory of `nbytes` bytes whose address is a multiple of `alignment`, a power of two
    of at most 4096; in large pages as far as a quarter of each is filled.

    What it holds is undefined.
    """
    pages = (nbytes + 3 * PAGE_BYTES // 4) // PAGE_BYTES
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if not pages or advice is None:
        memory = np.empty(nbytes + alignment, np.uint8)
        skip = -memory.ctypes.data % alignment
        return memory[skip : skip + nbytes]
    # Pages that nobody touches take no memory, so that there is room to begin at a large one.
    whole = max(nbytes, pages * PAGE_BYTES)
    # Shared memory, which is what `mmap` gives unless told otherwise, is one with a fork's.
    mapped = mmap.mmap(-1, whole + PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory = np.frombuffer(mapped, np.uint8)
    skip = -memory.ctypes.data % PAGE_BYTES
    # A system may have none, or may not give any: then its pages are small ones.
    with contextlib.suppress(OSError):
        mapped.madvise(advice, skip, pages * PAGE_BYTES)
    return memory[skip : skip + nbytes]
