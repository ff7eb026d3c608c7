"""What an inference knows: cells of values, extents that are bound, equations kept for later.

An equation that determines one unknown binds it (`h + 4 == 28`), any other is kept and checked when
more is known (`(h-1)//2+1 == 14`).  Errors name the node, its line, and where its inputs come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ..errors import ShapeError
from ..kernel import dims
from ..kernel.dims import Dim, DimVar, Unknown
from .cells import DTypeView, ShapeView, resolved
from .node import Node, Value
from .tensor_type import Shape, TensorType


@dataclass(frozen=True, slots=True)
class Equation:
    """Two extents that must be equal, why, and the node that says so."""

    left: Dim
    right: Dim
    why: str
    node: Node


@dataclass
class Equations:
    """Cells, bindings and kept equations of one inference."""

    shapes: dict[Value, ShapeView] = field(default_factory=dict)
    dtypes: dict[Value, DTypeView] = field(default_factory=dict)
    bindings: dict[Any, Dim] = field(default_factory=dict)
    numbers: dict[Dim, int] = field(default_factory=dict)
    """What kept equations say an extent is, though not what its unknowns are: `h*w` is 800."""
    kept: list[Equation] = field(default_factory=list)
    least: dict[tuple[Node, Dim], str] = field(default_factory=dict)
    names: Mapping[Node, str] = field(default_factory=dict)
    overrides: dict[Node, Shape] = field(default_factory=dict)
    local: bool = False
    node: Node | None = None
    version: int = 0
    _fresh: dict[tuple[int, Any], Any] = field(default_factory=dict)
    _parts: dict[Node, Any] = field(default_factory=dict)

    # -- solving -----------------------------------------------------------------------------------

    def resolve(self, dim: Dim) -> Dim:
        """The extent with everything that is known written in."""
        return resolved(dim, self.bindings)

    def _solve(self, left: Dim, right: Dim) -> bool | None:
        """True: now equal.  False: impossible.  None: undetermined."""
        difference = dims.add(left, dims.mul(right, -1))
        terms, constant = dims.terms_of(difference)
        if not terms:
            return constant == 0
        for kind in (Unknown, DimVar):
            for monomial, factor in terms:
                if len(monomial) != 1 or not isinstance(monomial[0], kind):
                    continue
                outcome = self._bind(monomial[0], factor, difference)
                if outcome is not None:
                    return outcome
        if any(isinstance(a, Unknown) for a in dims.atoms(difference)):
            return self._bind_ones(terms, constant)
        return self._judge_closed(difference)

    def _bind_ones(self, terms: Any, constant: int) -> bool | None:
        """A product of unknown extents that is 1: so is each of them."""
        (monomial, factor), *others = terms
        if others or factor + constant or not all(isinstance(a, Unknown) for a in monomial):
            return None
        self.bindings.update(dict.fromkeys(monomial, 1))
        self.version += 1
        return True

    def _bind(self, variable: Any, factor: int, difference: Dim) -> bool | None:
        rest = dims.add(difference, dims.mul(variable, -factor))
        if any(atom == variable for atom in dims.atoms(rest)):
            return None
        if isinstance(variable, DimVar) and not isinstance(rest, int):
            return None
        value = dims.exact_quotient(dims.mul(rest, -1), factor)
        if value is None or (isinstance(value, int) and value < 0):
            return False if isinstance(rest, int) else None
        self.bindings[variable] = value
        self.version += 1
        return True

    @staticmethod
    def _judge_closed(difference: Dim) -> bool | None:
        """An equation among named extents only: impossible, or open until the call."""
        low, high = dims.bounds(difference)
        if (low is not None and low > 0) or (high is not None and high < 0):
            return False
        terms, _ = dims.terms_of(difference)
        nonlinear = any(not isinstance(a, DimVar) for m, _ in terms for a in m)
        return None if nonlinear or any(len(m) > 1 for m, _ in terms) else False

    def _keep(self, equation: Equation) -> None:
        if all(
            (e.left, e.right, e.node) != (equation.left, equation.right, equation.node)
            for e in self.kept
        ):
            self.kept.append(equation)
        for extent, number in ((equation.left, equation.right), (equation.right, equation.left)):
            if isinstance(number, int) and not dims.is_closed(extent):
                self.version += extent not in self.numbers
                self.numbers[extent] = number

    def constraints(self) -> Iterator[tuple[Dim, str, Dim, str]]:
        """Conditions on named extents that are still open, with the node that needs them."""
        for equation in self.kept:
            left, right = self.resolve(equation.left), self.resolve(equation.right)
            if dims.is_closed(left) and dims.is_closed(right):
                yield left, "==", right, f"{self._title(equation.node)} needs {equation.why}"
        for (node, extent), what in self.least.items():
            value = self.resolve(extent)
            if not isinstance(value, int):
                yield value, ">=", 1, f"{self._title(node)} would make {what} {value}"

    def _title(self, node: Node) -> str:
        title = f"{node.op.name} {self._name(node)}".strip()
        return f"{title} (declared at {node.origin})" if str(node.origin) else title

    # -- cells -------------------------------------------------------------------------------------

    def shape(self, value: Value) -> ShapeView:
        if value not in self.shapes:
            known = value.type.shape if self._trusted(value) else None
            self.shapes[value] = ShapeView(self, known)
        return self.shapes[value]

    def dtype(self, value: Value) -> DTypeView:
        if value not in self.dtypes:
            self.dtypes[value] = DTypeView(value.type.dtype if self._trusted(value) else None)
        return self.dtypes[value]

    def _trusted(self, value: Value) -> bool:
        """Whether the type a node was made with counts; a whole graph is inferred afresh."""
        return self.local or not value.node.inputs or not value.node.op.is_inferable

    def type_of(self, value: Value) -> TensorType:
        """The best knowledge of a value."""
        shape = self.shape(value)
        return TensorType(None if shape.rank is None else shape.dims, self.dtype(value).known)

    # -- errors ------------------------------------------------------------------------------------

    def fail(self, message: str, why: str = "", left: Dim = 0, right: Dim = 0) -> NoReturn:
        """A shape error with the node, where it was declared, and where the inputs come from."""
        self._fail(ShapeError, message, why)

    def _current(self) -> Node:
        assert self.node is not None
        return self.node

    def _name(self, node: Node) -> str:
        return self.names.get(node) or node.name or ""

    def _fail(self, error: type[Exception], message: str, why: str = "") -> NoReturn:
        node = self._current()
        title = f"{node.op.name} {self._name(node)}".strip()
        lines = [f"{title}: {message}", "  " + self._describe(node)]
        lines += ["  " + line for line in self._provenance(node, why)]
        raise error("\n".join(lines))

    def _describe(self, node: Node) -> str:
        roles = node.op.argument_names(len(node.inputs))
        arguments = ", ".join(
            f"{self._name(v.node) or (role if v.node.is_variable else value_name(v))}"
            f": {self._type_text(v)}"
            for v, role in zip(node.inputs, roles, strict=True)
        )
        hidden = node.op.subgraph
        items = [
            f"{k}={v}"
            for k, v in node.op.attribute_items
            if not node.is_variable and (hidden is None or v is not hidden)
        ]
        attributes = " {" + ", ".join(items) + "}" if items else ""
        place = f"       declared at {node.origin}" if str(node.origin) else ""
        result = f"{self._name(node)} = " if self._name(node) else ""
        return f"{result}{node.op.name}({arguments}){attributes}{place}"

    def _type_text(self, value: Value) -> str:
        return str(self.type_of(value)) if value in self.shapes else str(value.type)

    def _provenance(self, node: Node, why: str) -> Iterable[str]:
        """Where the extents named in the rule come from."""
        names = node.op.argument_names(len(node.inputs))
        for name, axis in re.findall(r"(\w+)\.shape\[(-?\d+)\]", why):
            if name not in names:
                continue
            value = node.inputs[names.index(name)]
            shape = self.type_of(value).shape
            if shape is None or not -len(shape) <= int(axis) < len(shape):
                continue
            if not isinstance(shape[int(axis)], Unknown):
                source = value.node
                what = "variable" if source.is_variable else source.op.name
                label = f"{what} {self._name(source)}".strip()
                place = f" at {source.origin}" if str(source.origin) else ""
                yield f"{name}.shape[{axis}] = {shape[int(axis)]} comes from {label}{place}"


def value_name(value: Value) -> str:
    """A value for messages: the node's name, with the output's when there are several."""
    if value.node.op.output_count == 1:
        return value.node.label
    return f"{value.node.label}.{value.node.op.output_names[value.index]}"
