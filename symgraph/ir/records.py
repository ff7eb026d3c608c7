"""Frozen values of this package as a table of plain records, and back.

    encode(value) -> Records(text, arrays)       decode(Records, places) -> an equal value

A record is a class of this package and its fields; a field is a plain value or the number of an
earlier record, so that reading is one pass and nothing recurses, however deep a graph is.  What is
compared by identity (nodes, buffers, loop variables) keeps who is who: one object, one record.
What is compared by value has one record for equal values, so that equal graphs give the same text
whatever was shared or built before in the process.  Numbers that only order things (serials) are
written as ranks.

Places in the user's code are not part of the text: they are numbered in order of appearance, and
reading takes the places of the graph at hand.  So a program that was made before lines were added
above its model is told in terms of the lines as they are now.

Only frozen data of this package can be written; a class, function or array of objects of somebody
else's raises NotRecordable.  Reading makes no other objects than these and calls nothing of theirs.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from ..errors import FormatError
from ..kernel import dims
from ..kernel.dtypes import DType, as_dtype
from .graph import Graph
from .node import Node, next_serial
from .origin import Origin

Array = np.ndarray[Any, np.dtype[Any]]

PACKAGE = __name__.split(".")[0]
TUPLE, LIST, DICT, GRAPH, DTYPE, ARRAY, ORIGIN = "(", "[", "{", "graph", "dtype", "array", "origin"


class NotRecordable(Exception):
    """Something in the value is not frozen data of this package; the text says what."""


@dataclass(frozen=True, slots=True)
class Records:
    """`arrays` are referred to by number, in order of first appearance."""

    text: str
    arrays: tuple[Array, ...]


@dataclass(slots=True)
class Places:
    """Lines of the user's code, by number; `number` gives new ones to lines not seen before."""

    lines: list[tuple[str, int]] = field(default_factory=list)
    _numbers: dict[tuple[str, int], int] = field(default_factory=dict)

    def number(self, origin: Origin, grow: bool) -> int | None:
        """Raises: NotRecordable for two files of one name, whose lines messages cannot tell."""
        key = (origin.file, origin.line)
        if key not in self._numbers and grow:
            text = _text(key)
            if any(_text(line) == text for line in self.lines):
                raise NotRecordable(f"two files are called {text}")
            self._numbers[key] = len(self.lines)
            self.lines.append(key)
        return self._numbers.get(key)

    def pattern(self) -> re.Pattern[str] | None:
        """Finds every place as messages spell it."""
        texts = sorted({_text(line) for line in self.lines}, key=len, reverse=True)
        if not texts:
            return None
        return re.compile(rf"(?<![\w.])({'|'.join(map(re.escape, texts))})(?!\d)")


def _text(line: tuple[str, int]) -> str:
    return str(Origin(*line))


def encode(value: Any, places: Places, *, grow: bool = False) -> Records:
    """The records of a value; with `grow` new places are numbered, else written as they are.

    Raises: NotRecordable.
    """
    return _Writer(places, grow).run(value)


def decode(records: Records, places: Places) -> Any:
    """The value, told in terms of these places.  Raises: FormatError."""
    try:
        return _Reader(records.arrays, places).run(json.loads(records.text))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ImportError) as error:
        raise FormatError(f"damaged records: {type(error).__name__}: {error}") from error


@cache
def _field_names(cls: Any) -> tuple[str, ...]:
    """What an object is made of; the rest follows from it (and hashes differ in each process)."""
    return tuple(f.name for f in dataclasses.fields(cls) if f.init or f.name == "serial")


@cache
def _derived(cls: Any) -> tuple[tuple[str, Any], ...]:
    """Fields that `__post_init__` fills, with what makes their first value."""
    return tuple((f.name, f.default_factory) for f in dataclasses.fields(cls) if not f.init)


@cache
def _class_name(cls: Any) -> str:
    """Raises: NotRecordable when it is not a data class of this package."""
    name = f"{cls.__module__}:{cls.__qualname__}"
    known = getattr(sys.modules.get(cls.__module__), cls.__name__, None)
    inside = cls.__module__.split(".")[0] == PACKAGE
    if not (inside and known is cls and dataclasses.is_dataclass(cls)):
        raise NotRecordable(f"{name} is no data class of {PACKAGE}")
    return name


@cache
def _class_named(name: str) -> type:
    module, _, attribute = name.partition(":")
    if module.split(".")[0] != PACKAGE:
        raise FormatError(f"damaged records: {name} is not of {PACKAGE}")
    found = getattr(importlib.import_module(module), attribute)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise FormatError(f"damaged records: {name} is no data class")
    return found


def _is_identity(cls: type) -> bool:
    return getattr(cls, "__eq__", None) is object.__eq__


class _Writer:
    """Fills the table; children stand before what holds them."""

    def __init__(self, places: Places, grow: bool) -> None:
        self.places = places
        self.grow = grow
        self.pattern = None if grow else places.pattern()
        self.numbers = {} if grow else {_text(p): n for n, p in enumerate(places.lines)}
        self.table: list[list[Any]] = []
        self.classes: dict[type, int] = {}
        self.arrays: list[Array] = []
        self.done: dict[int, int] = {}
        self.known: dict[Any, int] = {}
        self.kept: list[Any] = []
        self.serials: dict[int, tuple[int, str]] = {}

    def run(self, root: Any) -> Records:
        stack = [root]
        while stack:
            value = stack[-1]
            if _is_plain(value) or id(value) in self.done:
                stack.pop()
                continue
            waiting = [
                v for v in self.children(value) if not _is_plain(v) and id(v) not in self.done
            ]
            if waiting:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            self.add(value)
        self.rank()
        classes = [[_class_name(cls), *_field_names(cls)] for cls in self.classes]
        data = {"classes": classes, "table": self.table, "root": self.reference(root)}
        return Records(json.dumps(data, separators=(",", ":")), tuple(self.arrays))

    def children(self, value: Any) -> Sequence[Any]:
        if isinstance(value, (tuple, list)):
            return value
        if isinstance(value, dict):
            return [item for pair in value.items() for item in pair]
        if isinstance(value, Graph):
            return (value.outputs, value.updates)
        if isinstance(value, (np.ndarray, DType, Origin)):
            return ()
        cls: Any = type(value)
        _class_name(cls)
        return [getattr(value, name) for name in _field_names(cls) if name != "serial"]

    def add(self, value: Any) -> None:
        entry = self.entry(value)
        number = len(self.table)
        if not _is_identity(type(value)):
            number = self.known.setdefault(entry, number)
        if number == len(self.table):
            self.table.append(list(entry))
            if hasattr(value, "serial"):
                self.serials[number] = value.serial, type(value).__name__
        self.done[id(value)] = number
        self.kept.append(value)  # so that no other object takes its id

    def entry(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return (TUPLE, *map(self.reference, value))
        if isinstance(value, list):
            return (LIST, *map(self.reference, value))
        if isinstance(value, dict):
            return (DICT, *map(self.reference, self.children(value)))
        if isinstance(value, Graph):
            return (GRAPH, self.reference(value.outputs), self.reference(value.updates))
        if isinstance(value, DType):
            return (DTYPE, value.name)
        if isinstance(value, np.ndarray):
            return self.array(value)
        if isinstance(value, Origin):
            return self.origin(value)
        cls: Any = type(value)
        number = self.classes.setdefault(cls, len(self.classes))
        names = _field_names(cls)
        return (number, *(0 if n == "serial" else self.reference(getattr(value, n)) for n in names))

    def array(self, value: Array) -> tuple[Any, ...]:
        if value.dtype.hasobject:
            raise NotRecordable("an array of Python objects")
        self.arrays.append(value)
        return (ARRAY, len(self.arrays) - 1)

    def origin(self, value: Origin) -> tuple[Any, ...]:
        number = self.places.number(value, self.grow) if value.file else None
        if number is None:
            return (ORIGIN, value.file, value.line, value.note)
        return (ORIGIN, number, value.note)

    def reference(self, value: Any) -> Any:
        """A plain value as itself where JSON keeps its type, a record as [number]."""
        if value is None or isinstance(value, bool):
            return ("p", str(value))
        if isinstance(value, int):
            return int(value)
        if isinstance(value, float):
            return ("f", float(value).hex())
        if isinstance(value, str):
            return self.string(value)
        return (self.done[id(value)],)

    def string(self, value: str) -> Any:
        """Texts with places of the user's code are written in parts."""
        if self.pattern is None or ":" not in value:
            return value
        parts = self.pattern.split(value)
        if len(parts) == 1:
            return value
        return ("t", *(self.numbers[p] if n % 2 else p for n, p in enumerate(parts)))

    def rank(self) -> None:
        """Serials in order, those of nodes and of index variables apart."""
        for wanted in (True, False):
            found = [(s, n) for n, (s, kind) in self.serials.items() if (kind == "Node") == wanted]
            ranks = {serial: rank for rank, serial in enumerate(sorted({s for s, _ in found}))}
            classes = list(self.classes)
            for serial, number in found:
                names = _field_names(classes[self.table[number][0]])
                self.table[number][1 + names.index("serial")] = ranks[serial]


def _is_plain(value: Any) -> bool:
    if value is None or isinstance(value, (bool, int, float, str)):
        return not isinstance(value, np.generic)
    return False


class _Reader:
    """Makes the objects of a table, one after the other."""

    def __init__(self, arrays: Sequence[Array], places: Places) -> None:
        self.arrays = arrays
        self.places = places
        self.texts = [_text(line) for line in places.lines]
        self.made: list[Any] = []
        self.classes: list[tuple[type, tuple[str, ...], list[int] | None]] = []

    def run(self, data: Any) -> Any:
        self._read_classes(data["classes"], data["table"])
        for entry in data["table"]:
            kind = entry[0]
            if isinstance(kind, int):
                self.made.append(self._object(*self.classes[kind], entry))
            else:
                self.made.append(_KINDS[kind](self, entry[1:]))
        return self.value(data["root"])

    def _read_classes(self, listed: Any, table: Any) -> None:
        found = [(_class_named(name), tuple(fields)) for name, *fields in listed]
        serials: dict[bool, list[int]] = {}
        for is_node in (True, False):
            numbers = {
                n for n, (cls, f) in enumerate(found) if "serial" in f and (cls is Node) == is_node
            }
            places = {n: 1 + found[n][1].index("serial") for n in numbers}
            ranks = [entry[places[entry[0]]] for entry in table if entry[0] in numbers]
            serials[is_node] = _new_serials(max(ranks, default=-1) + 1, is_node)
        for cls, fields in found:
            if fields != _field_names(cls):
                raise FormatError(f"damaged records: {cls.__name__} has other fields")
            own = serials[cls is Node] if "serial" in fields else None
            self.classes.append((cls, fields, own))

    def _object(
        self, cls: type, names: tuple[str, ...], serials: list[int] | None, entry: Any
    ) -> Any:
        made: Any = object.__new__(cls)
        put = object.__setattr__
        for name, item in zip(names, entry[1:], strict=True):
            if serials is not None and name == "serial":
                put(made, name, serials[item])
            else:
                put(made, name, self.value(item))
        derived = _derived(cls)
        for name, make in derived:
            put(made, name, None if make is dataclasses.MISSING else make())
        if derived:
            made.__post_init__()
        return made

    def value(self, item: Any) -> Any:
        if not isinstance(item, list):
            return item
        if len(item) == 1:
            return self.made[item[0]]
        kind, *rest = item
        if kind == "f":
            return float.fromhex(rest[0])
        if kind == "t":
            return "".join(self.texts[p] if n % 2 else p for n, p in enumerate(rest))
        return {"None": None, "True": True, "False": False}[rest[0]]

    def values(self, items: Any) -> Iterator[Any]:
        return map(self.value, items)

    def origin(self, items: Any) -> Origin:
        if isinstance(items[0], str):
            return Origin(*items)
        file, line = self.places.lines[items[0]]
        return Origin(file, line, items[1])

    def graph(self, items: Any) -> Graph:
        outputs, updates = self.values(items)
        return Graph(outputs, updates)

    def dict(self, items: Any) -> dict[Any, Any]:
        listed = list(self.values(items))
        return dict(zip(listed[::2], listed[1::2], strict=True))


def _new_serials(count: int, of_nodes: bool) -> list[int]:
    """Numbers greater than every one so far, in order."""
    return [next_serial() if of_nodes else dims.next_serial() for _ in range(count)]


_KINDS: dict[str, Callable[[_Reader, Any], Any]] = {
    TUPLE: lambda r, items: tuple(r.values(items)),
    LIST: lambda r, items: list(r.values(items)),
    DICT: _Reader.dict,
    GRAPH: _Reader.graph,
    DTYPE: lambda r, items: as_dtype(items[0]),
    ARRAY: lambda r, items: r.arrays[items[0]],
    ORIGIN: _Reader.origin,
}
