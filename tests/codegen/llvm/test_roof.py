"""The loops that tell what a machine can do compute what is counted."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph.codegen.llvm.roof import ACCUMULATORS, FED_ROWS, FED_STEPS, FED_VECTORS, Roof


@pytest.fixture(scope="module")
def roof() -> Roof:
    return Roof(1, 1 << 14)


@pytest.mark.parametrize("rounds", [1, 3, FED_STEPS + 1])
def test_every_multiply_add_of_loaded_operands_is_done(roof: Roof, rounds: int) -> None:
    step = (FED_VECTORS + 1) * roof.lanes
    data = np.full(FED_STEPS * step, 0.5, np.float32)
    out = np.zeros(roof.lanes + 1, np.float32)
    assert roof.fed(data.ctypes.data, out.ctypes.data, rounds, None) == 0
    np.testing.assert_array_equal(out[:-1], rounds * FED_ROWS * FED_VECTORS * 0.25)
    assert out[-1] == 0


def test_every_multiply_add_in_registers_is_done(roof: Roof) -> None:
    data, out = np.full(roof.lanes, 2.0, np.float32), np.zeros(roof.lanes, np.float32)
    assert roof.peak(data.ctypes.data, out.ctypes.data, 5, None) == 0
    np.testing.assert_array_equal(out, 5 * ACCUMULATORS * 4.0)


def test_rates_are_positive(roof: Roof) -> None:
    roof.measure()
    assert roof.flops_per_second > 0
    assert roof.in_registers(1e-4) > 0
    assert roof.sustained(1e-4) > 0
