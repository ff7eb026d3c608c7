"""Memory planning: offsets in one arena for buffers with live ranges. Knows no operators or graphs.

`place` plans fixed sizes, `place_shapes` those of which only parts matter at times,
`place_symbolic` sizes that are known at run time only; `check` judges.
"""

from .check import check
from .interval import (
    Interval,
    Placement,
    lower_bound,
    naive_total,
)
from .place import Means, forget_plans, place
from .shapes import Rectangle, Shape, place_shapes, shapes_bound
from .store import PlanStore
from .symbolic import SymbolicInterval, SymbolicPlacement, place_symbolic

__all__ = [
    "Interval",
    "Means",
    "Placement",
    "PlanStore",
    "Rectangle",
    "Shape",
    "SymbolicInterval",
    "SymbolicPlacement",
    "check",
    "forget_plans",
    "lower_bound",
    "naive_total",
    "place",
    "place_shapes",
    "place_symbolic",
    "shapes_bound",
]
