"""The checks of operators find what is wrong, and say where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.kernel.compute import compute
from symgraph.testing.operators import check_together


@dataclass(frozen=True, slots=True)
class Tripled(sg.Op):
    """y = 3 x, at inference 4 x; its reference adds `mistake`."""

    mistake: float = 0.0
    name = "tripled"

    def infer_shape(self, u: Any, x: Any) -> Any:
        return (x,)

    def forward(self, x: Any) -> Any:
        return compute(x.shape, lambda *i: x[i] * 3)

    def inference(self, ins: tuple[sg.Symbol, ...]) -> sg.Symbol:
        return ins[0] * 4.0

    def reference(self, x: Any) -> Any:
        return x * 3 + np.asarray(self.mistake, x.dtype)


GOOD = [sg.Sample(Tripled(), ((3, 5),)), sg.Sample(Tripled(), ((),), dtype="float64")]


def test_several_samples_are_one_program_and_the_wrong_one_is_named() -> None:
    check_together(GOOD, "interp")
    check_together(GOOD, "llvm", training=False)
    wrong = sg.Sample(Tripled(0.5), ((2,),))
    with pytest.raises(AssertionError, match=r"tripled\(\[2\], mistake=0.5\) float32, output 0"):
        check_together([*GOOD, wrong], "llvm")
