"""Programs touch their workspace only where the plan says, and rely on nothing found there."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import symgraph as sg
from symgraph.codegen.llvm import runtime
from tests.property.graphs import Case, graphs

mmap_module = pytest.importorskip("mmap")
PAGE = mmap_module.PAGESIZE


def guarded(nbytes: int) -> runtime.Workspace:
    """Memory full of 0xFF that ends (to 64 bytes) right at a page that must not be touched."""
    size = -(-nbytes // 64) * 64
    pages = -(-size // PAGE) + 1
    mapped = mmap_module.mmap(-1, pages * PAGE)
    whole = np.frombuffer(mapped, np.uint8)
    whole[:] = 0xFF
    libc = ctypes.CDLL(None, use_errno=True)
    last = whole.ctypes.data + (pages - 1) * PAGE
    if libc.mprotect(ctypes.c_void_p(last), ctypes.c_size_t(PAGE), 0):
        pytest.skip("no page protection here")
    start = (pages - 1) * PAGE - size
    part = whole[start : start + size]
    return runtime.Workspace(part, part.ctypes.data, size)


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=graphs(size=12))
def test_random_graphs_in_poisoned_guarded_memory(case: Case) -> None:
    expected = sg.compile(case.outputs, target="interp", level=0)(**case.arrays(1))
    f = sg.compile(case.outputs, target="llvm", threads=1)
    runner = f._runner
    env = {"N": case.batch} if f.program.dims else {}
    nbytes = runner._measure(tuple(env[v.name] for v in f.program.dims))
    runner._idle[:] = [guarded(nbytes)]
    for a, b in zip(f(**case.arrays(1)), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
