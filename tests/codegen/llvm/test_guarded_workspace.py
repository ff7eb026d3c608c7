"""Programs touch memory only where the plan says, and rely on nothing found there.

`python -m tests.property.guarded_graphs` does the same for graphs by the thousand.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import symgraph as sg
from symgraph.ir.symbol import Symbol
from tests.property.graphs import Case, graphs
from tests.property.guarded_graphs import differences
from tests.support.guarded import run_guarded


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(case=graphs(size=12))
def test_random_graphs_in_poisoned_guarded_memory(case: Case) -> None:
    differences(case, 1)


def stacked() -> tuple[Symbol, dict[str, np.ndarray]]:
    """Two products with a value of 60 bytes between them."""
    x = sg.var("x", ("N", 5))
    h = sg.softmax(sg.linear(x, 5, sg.var("v", (5, 5)), use_bias=False))
    y = sg.linear(h, 7, sg.var("w", (7, 5)), use_bias=False)
    rng = np.random.default_rng(0)
    shapes = {"x": (3, 5), "v": (5, 5), "w": (7, 5)}
    return y, {n: rng.normal(size=s).astype(np.float32) for n, s in shapes.items()}


def run_with_too_little_memory(at_end: bool) -> None:
    """The last bytes of the arena lie behind the workspace."""
    y, arrays = stacked()
    f = sg.compile(y, target="llvm", threads=1, level=1)
    nbytes = f.memory_report(N=3).planned - 64
    f._runner._sizes[3,] = nbytes
    f._runner._measure = lambda sizes: nbytes
    run_guarded(f, arrays, [np.zeros((3, 7), np.float32)], at_end=at_end)


def test_a_program_that_leaves_its_workspace_is_caught() -> None:
    code = f"from {__name__} import *; run_with_too_little_memory(True)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGSEGV, done.stderr


def test_writing_beside_a_block_is_told() -> None:
    with pytest.raises(AssertionError, match="bytes beside a block were written"):
        run_with_too_little_memory(at_end=False)
