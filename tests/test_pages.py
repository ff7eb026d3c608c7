"""Memory in large pages: its place, its size, and that it belongs to this process alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from symgraph import pages
from symgraph.pages import PAGE_BYTES, aligned_bytes

SIZES = (0, 1, 63, 4097, PAGE_BYTES // 4 - 1, PAGE_BYTES // 4, PAGE_BYTES, 5 * PAGE_BYTES + 17)


@pytest.mark.parametrize("nbytes", SIZES)
@pytest.mark.parametrize("alignment", [1, 64, 4096])
def test_size_and_place(nbytes: int, alignment: int) -> None:
    memory = aligned_bytes(nbytes, alignment)
    assert memory.shape == (nbytes,) and memory.dtype == np.uint8 and memory.flags.writeable
    if nbytes:
        assert memory.ctypes.data % alignment == 0
        memory[:] = 7
        assert memory[0] == memory[-1] == 7


@pytest.mark.parametrize("nbytes", SIZES)
def test_without_large_pages_it_is_the_same_but_for_the_pages(
    nbytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(pages.mmap, "MADV_HUGEPAGE", raising=False)
    memory = aligned_bytes(nbytes, 64)
    assert memory.shape == (nbytes,)
    assert not nbytes or memory.ctypes.data % 64 == 0


def _advised_bytes(address: int) -> int:
    """Bytes from an address on to the end of its mapping, where that wants large pages."""
    start = end = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if "-" in first and not first.endswith(":"):
            start, end = (int(part, 16) for part in first.split("-"))
        elif first == "VmFlags:" and start <= address < end:
            return end - address if "hg" in rest else 0
    raise AssertionError("the address is in no mapping")


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="tells of pages")
def test_large_memory_lies_in_large_pages() -> None:
    if not Path("/sys/kernel/mm/transparent_hugepage").exists():
        pytest.skip("the kernel has no large pages")
    for nbytes, count in ((PAGE_BYTES // 4, 1), (3 * PAGE_BYTES, 3), (3 * PAGE_BYTES + 5, 3)):
        memory = aligned_bytes(nbytes, 64)
        assert memory.ctypes.data % PAGE_BYTES == 0
        assert _advised_bytes(memory.ctypes.data) == count * PAGE_BYTES


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_has_a_copy() -> None:
    memory = aligned_bytes(PAGE_BYTES, 64)
    memory[:] = 1
    child = os.fork()
    if child == 0:
        memory[:] = 2
        os._exit(0)
    os.waitpid(child, 0)
    assert (memory == 1).all()
