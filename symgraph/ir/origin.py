"""Where a node was declared, and under which scopes: names and attributes.

Scopes are context-local, so threads and asynchronous tasks do not see each other's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from ..errors import AttributeValueError

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


@dataclass(frozen=True, slots=True)
class Origin:
    """A place in the user's code, or a note such as "gradient of conv1"."""

    file: str
    line: int
    note: str = ""

    def __str__(self) -> str:
        place = f"{os.path.basename(self.file)}:{self.line}" if self.file else ""
        return f"{place} ({self.note})" if place and self.note else place or self.note

    def with_note(self, note: str) -> Origin:
        return Origin(self.file, self.line, note)


NOWHERE = Origin("", 0)


_deriving: ContextVar[Origin | None] = ContextVar("symgraph_deriving", default=None)


@contextmanager
def deriving(origin: Origin) -> Iterator[None]:
    """Nodes made inside come from the node at `origin`, not from a line of the user's."""
    token = _deriving.set(origin)
    try:
        yield
    finally:
        _deriving.reset(token)


def caller() -> Origin:
    """The innermost place outside this package, or what the current derivation comes from."""
    derived = _deriving.get()
    if derived is not None:
        return derived
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_PACKAGE) and not file.startswith("<frozen"):
            return Origin(file, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return NOWHERE


_names: ContextVar[tuple[str, ...]] = ContextVar("symgraph_name_scope", default=())
_attributes: ContextVar[tuple[tuple[str, Any], ...]] = ContextVar(
    "symgraph_attribute_scope", default=()
)


@contextmanager
def name_scope(name: str) -> Iterator[None]:
    """Operators declared inside get `name/` before their names, and are drawn in one box."""
    if not isinstance(name, str) or not name or name.startswith("/"):
        raise AttributeValueError(f"name_scope: need a non-empty name, got {name!r}")
    token = _names.set((*_names.get(), name))
    try:
        yield
    finally:
        _names.reset(token)


@contextmanager
def attribute_scope(**attributes: Any) -> Iterator[None]:
    """Operators declared inside carry these attributes; inner scopes win."""
    merged = {**dict(_attributes.get()), **attributes}
    token = _attributes.set(tuple(sorted(merged.items())))
    try:
        yield
    finally:
        _attributes.reset(token)


def current_scope() -> str:
    """The path of name scopes, joined by '/'."""
    return "/".join(_names.get())


def current_attributes() -> Mapping[str, Any]:
    return dict(_attributes.get())
