"""Schedules: rearrangements of kernels that keep what they compute, one building block a file.

A block takes a kernel (or a loop of one) and names what it changes by its loop variable.  Each says
when it may be used and raises ScheduleError when it may not.
"""

from .collapse import collapse, flatten_axes
from .drop_unit_loops import drop_unit_loops
from .hoist_scalars import hoist_scalars
from .jam import jam
from .locate import ScheduleError, find_loop, perfect_nest, replace_loop
from .reorder import reorder
from .sink_condition import sink_condition
from .split import split
from .stage import stage
from .unroll import unroll
from .unroll_choices import unroll_choices
from .vectorise import vectorise
from .vectorise_reduction import vectorise_reduction

__all__ = [
    "ScheduleError",
    "collapse",
    "drop_unit_loops",
    "find_loop",
    "flatten_axes",
    "hoist_scalars",
    "jam",
    "perfect_nest",
    "reorder",
    "replace_loop",
    "sink_condition",
    "split",
    "stage",
    "unroll",
    "unroll_choices",
    "vectorise",
    "vectorise_reduction",
]
