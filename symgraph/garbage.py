"""How often Python looks for garbage that refers to itself.

A compiler keeps nearly all of the many small values it makes, and hardly any of them in cycles:
walking through them every few hundred takes a tenth of the time and frees next to nothing.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = 20_000
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
