"""Operators by name, for files and for the arithmetic of symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..errors import AttributeValueError, UnknownOperatorError

if TYPE_CHECKING:
    from .op import Op


class Registry:
    """Operators by name."""

    def __init__(self) -> None:
        self._classes: dict[str, type[Op]] = {}

    def add(self, cls: type[Op]) -> None:
        """Register; the same class may be defined again, as in a notebook cell."""
        if not isinstance(cls, type) or not isinstance(getattr(cls, "name", None), str):
            raise AttributeValueError(
                f"register: need the class of an operator, got {type(cls).__name__} {cls!r}; put "
                f"@register above a class derived from symgraph.Op"
            )
        if not cls.name:
            raise AttributeValueError(f"{cls.__name__}: an operator needs a class attribute `name`")
        known = self._classes.get(cls.name)
        if known is not None and (known.__module__, known.__qualname__) != (
            cls.__module__,
            cls.__qualname__,
        ):
            raise AttributeValueError(
                f"operator name {cls.name!r} is taken by {known.__module__}.{known.__qualname__}"
            )
        self._classes[cls.name] = cls

    def remove(self, name: str) -> None:
        self._classes.pop(name, None)

    def get(self, name: str) -> type[Op]:
        if name not in self._classes:
            import difflib

            near = difflib.get_close_matches(name, self._classes, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UnknownOperatorError(f"unknown operator {name!r}{hint}")
        return self._classes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._classes))


registry = Registry()
C = TypeVar("C", bound="type[Op]")


def register(cls: C) -> C:
    """Class decorator: make an operator known by its name."""
    registry.add(cls)
    return cls
