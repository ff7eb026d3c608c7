"""What every operator's attributes share: they are plain Python values of the declared kinds.

Numbers of numpy become Python's, so that extents and files hold one kind of number.  A value of
another kind than declared, and NaN, are refused.

The fields of an operator's class state the kind of each attribute; only those made of the plain
kinds below are checked here.  What else an operator demands of its attributes it checks itself.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError

if TYPE_CHECKING:
    from .op import Op

_KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "int": ("an int", (int, np.integer)),
    "float": ("a number", (int, float, np.integer, np.floating)),
    "bool": ("a bool", (bool, np.bool_)),
    "str": ("a string", (str,)),
    "tuple[int, ...]": ("ints", (tuple,)),
    "None": ("None", (type(None),)),
}


def with_plain_numbers(op: Op) -> Op:
    """The operator with Python numbers in place of numpy's: np.int64(3) -> 3."""
    if not dataclasses.is_dataclass(op):
        return op
    changes = {
        key: _plain(value) for key, value in op.attribute_items if _plain(value) is not value
    }
    return dataclasses.replace(op, **changes) if changes else op


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple) and any(_plain(item) is not item for item in value):
        return tuple(_plain(item) for item in value)
    return value


def check_attributes(op: Op) -> None:
    """Raises: AttributeValueError naming the operator, the attribute, what is expected and got."""
    kinds: dict[str, tuple[str, ...]] = {}
    if dataclasses.is_dataclass(op):
        kinds = _declared_kinds(type(op))
    for key, value in op.attribute_items:
        wanted = kinds.get(key)
        if wanted is not None and not any(_fits(value, kind) for kind in wanted):
            expected = " or ".join(_KINDS[kind][0] for kind in wanted)
            raise AttributeValueError(
                f"{op.name}: attribute {key} must be {expected}, got {type(value).__name__} "
                f"{value!r}"
            )
        is_nan = isinstance(value, (float, np.floating)) and math.isnan(value)
        if is_nan and key not in op.may_be_nan:
            raise AttributeValueError(f"{op.name}: attribute {key} is NaN")


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return kind == "bool"
    if kind == "tuple[int, ...]":
        return isinstance(value, tuple) and all(_fits(item, "int") for item in value)
    return isinstance(value, _KINDS[kind][1])


@cache
def _declared_kinds(cls: Any) -> dict[str, tuple[str, ...]]:
    """The plain kinds of each attribute that has no others."""
    result: dict[str, tuple[str, ...]] = {}
    for field in dataclasses.fields(cls):
        text = field.type if isinstance(field.type, str) else _spelled(field.type)
        kinds = tuple(part.strip() for part in text.split("|"))
        if all(kind in _KINDS for kind in kinds):
            result[field.name] = kinds
    return result


def _spelled(annotation: Any) -> str:
    return annotation.__name__ if type(annotation) is type else str(annotation)
