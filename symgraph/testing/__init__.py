"""Checks for operators, the same that the package's own tests use.

sg.testing.check_gradients(lambda x: sg.tanh(x) * x, [np.ones((2, 3))])
sg.testing.check_operator(LargeMargin(units=3, margin=2), samples=[Sample(...)])
"""

from __future__ import annotations

from ..ir.arguments import explain_all
from .gradients import GradientCheckError, GradientReport, check_gradients
from .operators import check_inference, check_operator, check_reference, check_target
from .samples import sample_arrays, tolerance

__all__ = [
    "GradientCheckError",
    "GradientReport",
    "check_gradients",
    "check_inference",
    "check_operator",
    "check_reference",
    "check_target",
    "sample_arrays",
    "tolerance",
]

explain_all(globals(), __all__)
