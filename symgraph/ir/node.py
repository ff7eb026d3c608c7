"""Nodes and values: a node applies one operator to values, a value is one output of a node.

Both are frozen.  Nodes compare by identity: two equal additions are two nodes until the pass for
common subexpressions says otherwise.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .origin import NOWHERE, Origin
from .tensor_type import TensorType

if TYPE_CHECKING:
    from .op import Op

_serials = itertools.count()


def next_serial() -> int:
    """A number greater than that of every node so far."""
    return next(_serials)


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One application of an operator.

    `types` holds the best knowledge of the outputs when the node was made; `name` is None until
    the graph gives one; `serial` orders nodes by creation and appears in no output.
    """

    op: Op
    inputs: tuple[Value, ...]
    types: tuple[TensorType, ...]
    name: str | None = None
    origin: Origin = NOWHERE
    scope: str = ""
    attributes: tuple[tuple[str, Any], ...] = ()
    serial: int = field(default_factory=next_serial)

    def __getitem__(self, index: int) -> Value:
        return Value(self, index)

    @property
    def values(self) -> tuple[Value, ...]:
        """All outputs."""
        if len(self.types) == 1:
            return (Value(self, 0),)
        return tuple(Value(self, i) for i in range(len(self.types)))

    @property
    def is_variable(self) -> bool:
        return self.op.is_variable

    @property
    def label(self) -> str:
        """The given name, or the operator's."""
        return self.name if self.name is not None else self.op.name

    def __repr__(self) -> str:
        return f"<{self.op.name} {self.name or 'unnamed'}>"

    # A node's inputs form a chain that can be 50,000 long, so the default recursive copying and
    # pickling cannot be used on a node; Graph and Symbol go through the graph's own form.
    def __copy__(self) -> Node:
        return self


@dataclass(frozen=True, slots=True)
class Value:
    """One output of a node."""

    node: Node
    index: int = 0

    # Values are the keys of most tables of a compilation: these two are as short as can be.
    def __hash__(self) -> int:
        return (id(self.node) >> 4) + self.index

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not Value:
            return NotImplemented
        return self.node is other.node and self.index == other.index

    @property
    def type(self) -> TensorType:
        return self.node.types[self.index]

    def __repr__(self) -> str:
        return f"{self.node!r}[{self.index}]"
