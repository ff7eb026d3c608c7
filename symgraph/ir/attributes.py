"""What every operator's attributes share: they are plain Python values of the declared kinds.

Numbers of numpy become Python's, so that extents and files hold one kind of number.  A value of
another kind than declared, and NaN, are refused.

The fields of an operator's class state the kind of each attribute, as annotations.  What else an
operator demands of its attributes it checks itself.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import numpy as np

from ..errors import AttributeValueError

if TYPE_CHECKING:
    from .op import Op

_PLAIN: dict[Any, tuple[str, tuple[type, ...]]] = {
    int: ("an int", (int, np.integer)),
    float: ("a number", (int, float, np.integer, np.floating)),
    bool: ("a bool", (bool, np.bool_)),
    str: ("a string", (str,)),
    NoneType: ("None", (NoneType,)),
}


@cache
def check_is_dataclass(cls: Any) -> None:
    """Raises: AttributeValueError for an operator's class whose attributes nobody can know."""
    names = vars(cls)
    inherited = {name for base in cls.__mro__[1:] for name in vars(base)}
    declared = [name for name in names.get("__annotations__", ()) if name not in inherited]
    written = "__dataclass_fields__" in names or "attribute_items" in names
    if not written and (declared or not dataclasses.is_dataclass(cls)):
        raise AttributeValueError(
            f"{cls.__name__}: the class of an operator must be a dataclass, so that its attributes "
            f"are known: put @dataclass(frozen=True) above `class {cls.__name__}`"
        )


def with_plain_numbers(op: Op) -> Op:
    """The operator with Python numbers in place of numpy's: np.int64(3) -> 3."""
    check_is_dataclass(class_of(op))
    changes = {
        key: _plain(value) for key, value in op.attribute_items if _plain(value) is not value
    }
    return dataclasses.replace(op, **changes) if changes else op  # type: ignore[type-var]


def class_of(op: Op) -> Any:
    """The class, as something that can be hashed (mypy takes its `__hash__` for the objects')."""
    return type(op)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple) and any(_plain(item) is not item for item in value):
        return tuple(_plain(item) for item in value)
    return value


def check_attributes(op: Op) -> None:
    """Raises: AttributeValueError naming the operator, the attribute, what is expected and got."""
    for key, kind in _declared_kinds(class_of(op)).items():
        value = getattr(op, key)
        if not fits(value, kind):
            raise AttributeValueError(
                f"{op.name}: attribute {key} must be {spelled(kind)}, got "
                f"{type(value).__name__} {value!r}"
            )
    for key, value in op.attribute_items:
        is_nan = isinstance(value, (float, np.floating)) and math.isnan(value)
        if is_nan and key not in op.may_be_nan:
            raise AttributeValueError(f"{op.name}: attribute {key} is NaN")


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated kind; True of annotations that say nothing of values."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        if parts[-1] is Ellipsis:
            return isinstance(value, tuple) and all(fits(item, parts[0]) for item in value)
        return (
            isinstance(value, tuple)
            and len(value) == len(parts)
            and all(fits(item, part) for item, part in zip(value, parts, strict=True))
        )
    if isinstance(value, (bool, np.bool_)) and kind in _PLAIN:
        return kind is bool
    if kind in _PLAIN:
        return isinstance(value, _PLAIN[kind][1])
    return kind in (Any, object) or not isinstance(kind, type) or isinstance(value, kind)


def spelled(kind: Any) -> str:
    """An annotated kind in words: "an int or None"."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(spelled(part) for part in parts)
    if origin is Literal:
        return " or ".join(map(repr, parts))
    if origin is tuple:
        items = ["..." if part is Ellipsis else spelled(part) for part in parts]
        return f"({', '.join(re.sub('^an? ', '', item) for item in items)})"
    return _PLAIN[kind][0] if kind in _PLAIN else getattr(kind, "__name__", str(kind))


def annotated_kind(annotation: Any, names: Mapping[str, Any]) -> Any:
    """The kind that an annotation states, read with the names of its module; Any where it uses
    names that are imported for type checkers alone."""
    try:
        kind = eval(annotation, dict(names)) if isinstance(annotation, str) else annotation
    except (NameError, AttributeError, TypeError, SyntaxError):
        return Any
    return NoneType if kind is None else kind


@cache
def _declared_kinds(cls: Any) -> dict[str, Any]:
    """The kind of each attribute whose annotation can be read.

    Names that a module imports for type checkers alone are not there to be read.
    """
    result: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        names = vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}
        for name, annotation in vars(base).get("__annotations__", {}).items():
            result[name] = annotated_kind(annotation, names)
    fields = getattr(cls, "__dataclass_fields__", {})
    return {name: kind for name, kind in result.items() if name in fields and kind is not Any}
