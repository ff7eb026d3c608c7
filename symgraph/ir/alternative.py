"""Equivalent forms that an operator offers for itself, with what they cost in accuracy.

An operator's class states them (`Op.alternatives`); passes choose among them and name no operator.
What a form costs in time follows from the operators it is made of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .symbol import Symbol


ALGORITHM = "algorithm"
"""The attribute of a node that names the form whose part it is."""

STANDS_FOR = "stands_for"
"""The attribute of such a node that names the operator, and the estimated cycles that the form
saves."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """`make` builds the form; nothing is built before a pass wants to look at it.

    `error` bounds the root mean square rounding error of the form against that of the operator as
    it is defined, on inputs and constants drawn independently.  `name` is for people.
    """

    name: str
    error: float
    make: Callable[[], Symbol]
