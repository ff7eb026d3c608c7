"""Memory that a long compilation no longer needs: garbage that refers to itself, freed pages.

A compiler keeps nearly all of the many small values it makes, and hardly any of them in cycles:
walking through them every few hundred takes a tenth of the time and frees next to nothing.

What is freed goes back to the C library, which keeps pages between others that are still used; the
system counts them as the process's.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

SELDOM = 50_000
"""New values between two looks; Python's own is 700."""

_lock = threading.Lock()
_inside = 0
_before = (0, 0, 0)


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for such garbage less often meanwhile; the process's own setting comes back after the
    last of those that do so at the same time."""
    global _inside, _before
    with _lock:
        if _inside == 0:
            _before = gc.get_threshold()
            if 0 < _before[0] < SELDOM:  # 0: the user has switched it off
                gc.set_threshold(SELDOM, *_before[1:])
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                gc.set_threshold(*_before)


class GivenBack:
    """Counts bytes that are freed, and now and then gives their pages back to the system."""

    def __init__(self) -> None:
        self._waiting = 0

    def freed(self, nbytes: int) -> None:
        """So many bytes more are free."""
        self._waiting += nbytes
        if self._waiting >= WORTH_GIVING_BACK:
            give_back()
            self._waiting = 0


WORTH_GIVING_BACK = 16 << 20
"""Bytes for which the C library's pages are looked through, which takes about a millisecond."""


def give_back() -> None:
    """Give pages that nothing uses back to the system, where the C library can."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    """glibc's malloc_trim (malloc_trim(3)); None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = (ctypes.c_size_t,), ctypes.c_int
    return trim
