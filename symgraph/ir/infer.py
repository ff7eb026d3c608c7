"""Shape and dtype inference: relations stated by operators, solved in every direction.

Every value has a shape cell and a dtype cell.  An operator relates the cells of its inputs and
returns those of its outputs; what is learnt on one side flows to the other because both sides
share the same unknown extents.  Extents are integer expressions: an equation that determines one
unknown binds it (`h + 4 == 28`), any other is kept and checked when more is known
(`(h-1)//2+1 == 14`).  Nodes are visited forward, then backward, until nothing changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np

from ..errors import DTypeError, ShapeError
from ..kernel import dims
from ..kernel.dims import Dim, DimVar, Unknown
from ..kernel.dtypes import DType, as_dtype, bool_
from .node import Node, Value
from .tensor_type import Shape, TensorType

if TYPE_CHECKING:
    from .graph import Graph

_Cell = TypeVar("_Cell")


class RankUnknown(Exception):
    """Control flow: the operator needs a rank nobody knows yet; the node is visited again."""


class ShapeView:
    """A shape as an operator's `infer_shape` sees it."""

    __slots__ = ("_dims", "_parent", "_unifier")

    def __init__(self, unifier: Unifier, shape: Shape) -> None:
        self._unifier = unifier
        self._parent: ShapeView | None = None
        self._dims = shape

    def root(self) -> ShapeView:
        view = self
        while view._parent is not None:
            view = view._parent
        # Shorten the way for the next time: a chain of equal cells is as long as the graph.
        step = self
        while step._parent is not None and step._parent is not view:
            step._parent, step = view, step._parent
        return view

    @property
    def rank(self) -> int | None:
        """The number of axes, None when unknown."""
        shape = self.root()._dims
        return None if shape is None else len(shape)

    @property
    def dims(self) -> tuple[Dim, ...]:
        """The extents, as far as known.  Raises: RankUnknown."""
        shape = self.root()._dims
        if shape is None:
            raise RankUnknown
        return tuple(self._unifier.resolve(d) for d in shape)

    def __len__(self) -> int:
        return len(self.dims)

    def __iter__(self) -> Iterator[Dim]:
        return iter(self.dims)

    def __getitem__(self, index: Any) -> Any:
        return self.dims[index]


class DTypeView:
    """A dtype as an operator's `infer_dtype` sees it."""

    __slots__ = ("_dtype", "_parent")

    def __init__(self, dtype: DType | None) -> None:
        self._parent: DTypeView | None = None
        self._dtype = dtype

    def root(self) -> DTypeView:
        view = self
        while view._parent is not None:
            view = view._parent
        # Shorten the way for the next time: a chain of equal cells is as long as the graph.
        step = self
        while step._parent is not None and step._parent is not view:
            step._parent, step = view, step._parent
        return view

    @property
    def known(self) -> DType | None:
        return self.root()._dtype


@dataclass(frozen=True, slots=True)
class _Equation:
    left: Dim
    right: Dim
    why: str
    node: Node


@dataclass
class Unifier:
    """Cells, bindings and kept equations of one inference."""

    shapes: dict[Value, ShapeView] = field(default_factory=dict)
    dtypes: dict[Value, DTypeView] = field(default_factory=dict)
    bindings: dict[Any, Dim] = field(default_factory=dict)
    kept: list[_Equation] = field(default_factory=list)
    least: dict[tuple[Node, Dim], str] = field(default_factory=dict)
    names: Mapping[Node, str] = field(default_factory=dict)
    overrides: dict[Node, Shape] = field(default_factory=dict)
    local: bool = False
    node: Node | None = None
    version: int = 0
    _fresh: dict[tuple[int, Any], Any] = field(default_factory=dict)
    _parts: dict[Node, Any] = field(default_factory=dict)

    # -- what operators call ---------------------------------------------------------------------

    def rank(self, shape: ShapeView, rank: int, what: str = "x") -> tuple[Dim, ...]:
        """The extents of a shape that must have `rank` axes."""
        root = shape.root()
        if root._dims is None:
            root._dims = tuple(self.fresh((id(root), i)) for i in range(rank))
            self.version += 1
        if len(root._dims) != rank:
            self.fail(f"{what} must have {rank} axes: {rank} != {len(root._dims)}")
        return shape.dims

    def output(self, index: int = 0) -> ShapeView:
        """The shape of an output, as far as its users tell."""
        return self.shape(self._current()[index])

    def at_least(self, shape: ShapeView, rank: int, what: str = "x") -> tuple[Dim, ...]:
        """The extents of a shape that must have `rank` axes or more."""
        if len(shape) < rank:
            self.fail(f"{what} must have at least {rank} axes, got {len(shape)}")
        return shape.dims

    def axis(self, axis: int, rank: int, what: str = "axis") -> int:
        """A non-negative axis number."""
        if not -rank <= axis < rank:
            self.fail(f"{what} must be in [{-rank}, {rank}), got {axis}")
        return axis % rank

    def equal(self, a: Dim, b: Dim, why: str) -> None:
        """Two extents must be equal; works in any direction."""
        left, right = self.resolve(a), self.resolve(b)
        if left == right:
            return
        outcome = self._solve(left, right)
        if outcome is None:
            self._keep(_Equation(left, right, why, self._current()))
        elif not outcome:
            self.fail(f"{why}: {left} != {right}", why, left, right)

    def same_shape(self, a: ShapeView, b: ShapeView, why: str) -> None:
        """Two shapes must be equal, whatever is known of either."""
        x, y = a.root(), b.root()
        if x is y:
            return
        if x._dims is None or y._dims is None:
            source, target = (x, y) if x._dims is None else (y, x)
            source._parent = target
            self.version += 1
            return
        if len(x._dims) != len(y._dims):
            self.fail(f"{why}: {dims.dim_text(a.dims)} != {dims.dim_text(b.dims)}")
        for axis, (left, right) in enumerate(zip(x._dims, y._dims, strict=True)):
            self.equal(left, right, f"{why}, axis {axis}")

    def broadcast(self, *shapes: ShapeView, why: str = "shapes must broadcast") -> tuple[Dim, ...]:
        """The common shape by numpy's rules."""
        views = [(s.dims, self._argument_of(s)) for s in shapes]
        rank = max(len(v) for v, _ in views)
        result: list[Dim] = []
        for axis in range(rank):
            back = axis - rank
            here = [(v[back], f"{name}.shape[{back}]") for v, name in views if back >= -len(v)]
            result.append(self._broadcast_axis(here, back, why))
        return tuple(result)

    def _argument_of(self, view: ShapeView) -> str:
        """The name of the input whose shape this is, for messages; empty when it is none."""
        node = self._current()
        names = node.op.argument_names(len(node.inputs))
        for value, name in zip(node.inputs, names, strict=True):
            if value in self.shapes and self.shapes[value] is view:
                return name
        return ""

    def _broadcast_axis(self, extents: list[tuple[Dim, str]], axis: int, why: str) -> Dim:
        """The common extent of some, each with what it is called."""
        current: Dim = 1
        source = ""
        for extent, name in extents:
            extent = self.resolve(extent)
            if extent == current or extent == 1:
                continue
            if current == 1:
                current, source = extent, name
            elif not dims.is_closed(extent):
                current = current if isinstance(current, int) else self.fresh((axis, "broadcast"))
            elif not dims.is_closed(current):
                known = isinstance(extent, int)
                current, source = extent if known else self.fresh((axis, "broadcast")), name
            else:
                named = not (name.startswith(".") or source.startswith("."))
                rule = f"{source} must equal {name} or one be 1" if named else f"axis {axis}"
                self.equal(current, extent, f"{why}: {rule}")
                current = self.resolve(current)
        return current

    def require(self, condition: bool, message: str) -> None:
        """A condition on what is known."""
        if not condition:
            self.fail(message)

    def positive(self, dim: Dim, what: str) -> Dim:
        """An extent that must be at least 1; checked at each call where it stays open."""
        value = self.resolve(dim)
        if isinstance(value, int) and value < 1:
            self.fail(f"{what} must be at least 1, got {value}")
        if not isinstance(value, int) and dims.is_closed(value):
            low, _ = dims.bounds(value)
            if low is None or low < 1:
                self.least.setdefault((self._current(), value), what)
        return value

    def fresh(self, tag: Any) -> Dim:
        """An unknown extent of this node, the same at every visit."""
        key = (id(self.node), tag)
        if key not in self._fresh:
            self._fresh[key] = Unknown("?")
        return self.resolve(self._fresh[key])

    def unknown_shape(self, tag: Any) -> ShapeView:
        return self._cell(("shape", tag), lambda: ShapeView(self, None))

    def unknown_dtype(self, tag: Any) -> DTypeView:
        return self._cell(("dtype", tag), lambda: DTypeView(None))

    def declared_shape(self, type: TensorType) -> ShapeView:
        shape = self.overrides.get(self._current(), type.shape)
        return self._cell("declared shape", lambda: ShapeView(self, shape))

    def override(self, node: Node, shape: Shape) -> None:
        """The shape of a variable in place of the declared one."""
        self.overrides[node] = shape
        self.shapes[node[0]] = ShapeView(self, shape)

    def declared_dtype(self, type: TensorType) -> DTypeView:
        return self._cell("declared dtype", lambda: DTypeView(type.dtype))

    def _cell(self, tag: Any, make: Callable[[], _Cell]) -> _Cell:
        key = (id(self.node), tag)
        if key not in self._fresh:
            self._fresh[key] = make()
        cell: _Cell = self._fresh[key]
        return cell

    def same(self, a: DTypeView, b: DTypeView | DType, why: str) -> None:
        """Two dtypes must be the same."""
        x = a.root()
        y = b.root() if isinstance(b, DTypeView) else DTypeView(b)
        if x is y:
            return
        if x._dtype is not None and y._dtype is not None:
            if x._dtype != y._dtype:
                self._fail(DTypeError, f"{why}: {x._dtype} != {y._dtype}; convert with sg.cast")
            return
        source, target = (x, y) if x._dtype is None else (y, x)
        source._parent = target
        self.version += 1

    def floating(self, dtype: DTypeView, what: str = "x") -> DTypeView:
        """A dtype that must be a float where it is known."""
        known = dtype.known
        if known is not None and not known.is_float:
            self._fail(
                DTypeError, f"{what} must have a float dtype, got {known}; convert with sg.cast"
            )
        return dtype

    def holding(self, dtype: DTypeView, number: int) -> DTypeView:
        """A dtype that, where it is known to be an integer, has the number among its values."""
        known = dtype.known
        if known is not None and known.is_integer:
            range = np.iinfo(known.numpy)
            if not range.min <= number <= range.max:
                self._fail(
                    DTypeError,
                    f"the number {number} does not fit in {known} ({range.min} to {range.max}); "
                    "convert its partner with sg.cast",
                )
        return dtype

    def integer(self, dtype: DTypeView, what: str = "x") -> DTypeView:
        """A dtype that must be an integer where it is known."""
        known = dtype.known
        if known is not None and not known.is_integer:
            self._fail(DTypeError, f"{what} must have an integer dtype, got {known}")
        return dtype

    def whole(self, dtype: DTypeView, what: str = "x") -> DTypeView:
        """A dtype that must be an integer or bool where it is known."""
        known = dtype.known
        if known is not None and known.is_float:
            self._fail(DTypeError, f"{what} needs integers or bool, got {known}")
        return dtype

    def number(self, dtype: DTypeView, what: str = "x") -> DTypeView:
        """A dtype that must not be bool where it is known."""
        known = dtype.known
        if known is not None and known.is_bool:
            self._fail(DTypeError, f"{what} needs numbers, got bool; convert with sg.cast")
        return dtype

    def boolean(self, dtype: DTypeView, what: str = "x") -> DTypeView:
        """A dtype that must be bool."""
        known = dtype.known
        if known is not None and not known.is_bool:
            self._fail(DTypeError, f"{what} needs bool, got {known}; compare first, as in "
                                   f"sg.not_equal(x, 0)")  # fmt: skip
        self.same(dtype, bool_, what)
        return dtype

    def fail(self, message: str, why: str = "", left: Dim = 0, right: Dim = 0) -> NoReturn:
        """A shape error with the node, where it was declared, and where the inputs come from."""
        self._fail(ShapeError, message, why)

    # -- solving -----------------------------------------------------------------------------------

    def resolve(self, dim: Dim) -> Dim:
        """The extent with everything that is known written in."""
        while not isinstance(dim, int) and self.bindings:
            new = dims.substitute(dim, self.bindings)
            if new is dim or new == dim:
                return new
            dim = new
        return dim

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
            return None
        return self._judge_closed(difference)

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

    def _keep(self, equation: _Equation) -> None:
        if all(
            (e.left, e.right, e.node) != (equation.left, equation.right, equation.node)
            for e in self.kept
        ):
            self.kept.append(equation)

    def recheck(self) -> None:
        """Try the kept equations again."""
        waiting, self.kept = self.kept, []
        for equation in waiting:
            self.node = equation.node
            self.equal(equation.left, equation.right, equation.why)

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

    # -- visiting ----------------------------------------------------------------------------------

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

    def visit(self, node: Node) -> None:
        """State the relations of one node."""
        self.node = node
        if _infers_by_parts(node):
            self._visit_parts(node)
            return
        self._visit_dtypes(node)
        try:
            results = node.op.infer_shape(self, *(self.shape(v) for v in node.inputs))
        except RankUnknown:
            return
        self._check_count(node, results, "infer_shape")
        for value, result in zip(node.values, results, strict=True):
            view = result if isinstance(result, ShapeView) else ShapeView(self, tuple(result))
            self.same_shape(self.shape(value), view, f"{value_name(value)} must have this shape")

    def _visit_dtypes(self, node: Node) -> None:
        results = node.op.infer_dtype(self, *(self.dtype(v) for v in node.inputs))
        self._check_count(node, results, "infer_dtype")
        for value, result in zip(node.values, results, strict=True):
            fixed = result if isinstance(result, (DTypeView, DType)) else as_dtype(result)
            self.same(self.dtype(value), fixed, f"{value_name(value)} must have this dtype")

    def _check_count(self, node: Node, results: Sequence[Any], method: str) -> None:
        if len(results) != node.op.output_count:
            self.fail(
                f"{type(node.op).__name__}.{method} must return one entry for each of the "
                f"{node.op.output_count} outputs, got {len(results)}"
            )

    def own_graph(self, graph: Graph) -> Graph:
        """A copy of a graph that the current node holds, the same at every visit.

        Its nodes carry no types, so that what is known comes from this node's own inputs.
        """
        node = self._current()
        if node not in self._parts:
            self._parts[node] = _untyped(graph)
        copy: Graph = self._parts[node]
        return copy

    def visit_graph(self, graph: Graph) -> None:
        """State the relations of every node of a graph that the current node holds."""
        node = self._current()
        for part in graph.nodes:
            self.visit(part)
        self.node = node

    def view(self, extents: Sequence[Dim]) -> ShapeView:
        """A shape of these extents, to relate others to."""
        return ShapeView(self, tuple(extents))

    def _visit_parts(self, node: Node) -> None:
        """A composite operator: the relations of its parts, and a mistake in one of them is one of
        the whole."""
        try:
            self._relate_parts(node)
        except (ShapeError, DTypeError) as error:
            title = f"{node.op.name} {self._name(node)}".strip()
            message = f"{title}: in its part {error}\n  {self._describe(node)}"
            raise type(error)(message) from None

    def _relate_parts(self, node: Node) -> None:
        if node not in self._parts:
            from .symbol import expand_parts

            self._parts[node] = expand_parts(node)
        inputs, inner, outputs = self._parts[node]
        for value, variable in zip(node.inputs, inputs, strict=True):
            self.same_shape(self.shape(value), self.shape(variable), "input")
            self.same(self.dtype(value), self.dtype(variable), "input")
        for part in inner:
            self.visit(part)
        self.node = node
        for value, result in zip(node.values, outputs, strict=True):
            self.same_shape(self.shape(value), self.shape(result), "output")
            self.same(self.dtype(value), self.dtype(result), "output")

    def visit_dtypes(self, node: Node) -> None:
        """State the relations of one node, those among shapes only where they cannot be told
        apart."""
        if node.op.subgraph is not None or _infers_by_parts(node):
            self.visit(node)
        else:
            self.node = node
            self._visit_dtypes(node)

    def run(self, nodes: Sequence[Node], *, shapes: bool = True) -> None:
        """Forward and backward until nothing changes; without `shapes` where only dtypes may have
        been learnt."""
        visit = self.visit if shapes else self.visit_dtypes
        forward = True
        while True:
            before = self.version
            for node in nodes if forward else reversed(nodes):
                visit(node)
            self.recheck()
            if self.version == before:
                return
            forward = not forward

    def type_of(self, value: Value) -> TensorType:
        """The best knowledge of a value."""
        root = self.shape(value).root()._dims
        shape = None if root is None else tuple(self.resolve(d) for d in root)
        return TensorType(shape, self.dtype(value).known)

    # -- errors ------------------------------------------------------------------------------------

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


def _infers_by_parts(node: Node) -> bool:
    cls: Any = type(node.op)
    return node.op.is_composite and _states_no_shapes(cls)


@cache
def _states_no_shapes(cls: Any) -> bool:
    from .op import Op

    return bool(cls.infer_shape is Op.infer_shape)


def _untyped(graph: Graph) -> Graph:
    """A copy whose variables and results have no types."""
    from .graph import Graph
    from .op import Variable

    new: dict[Value, Value] = {}
    for node in graph.nodes:
        inputs = tuple(new[v] for v in node.inputs)
        types = (TensorType(None, None),) * len(node.types) if node.op.is_inferable else node.types
        op = Variable() if node.is_variable else node.op
        copy = Node(op, inputs, types, graph.names[node], node.origin, "", node.attributes,
                    node.serial)  # fmt: skip
        new.update(zip(node.values, copy.values, strict=True))
    return Graph([new[v] for v in graph.outputs])


def value_name(value: Value) -> str:
    """A value for messages: the node's name, with the output's when there are several."""
    if value.node.op.output_count == 1:
        return value.node.label
    return f"{value.node.label}.{value.node.op.output_names[value.index]}"


def infer_node(node: Node) -> tuple[TensorType, ...]:
    """What the inputs' known types say of the outputs, and check them.  Raises: ShapeError."""
    unifier = Unifier(local=True)
    unifier.visit(node)
    unifier.recheck()
    return tuple(unifier.type_of(v) for v in node.values)


def default_dtypes(unifier: Unifier, nodes: Sequence[Node]) -> None:
    """Dtypes of what nobody gave one, directly or through relations: first of the variables, then,
    as far as these leave it open, of numbers standing alone."""
    sources = [n for n in nodes if n.op.default_dtype is not None]
    for chosen in (
        [n for n in sources if n.is_variable],
        [n for n in sources if not n.is_variable],
    ):
        before = unifier.version
        for node in chosen:
            if unifier.dtype(node[0]).known is None:
                unifier.node = node
                unifier.same(unifier.dtype(node[0]), as_dtype(node.op.default_dtype), "default")
        if unifier.version != before:
            unifier.run(nodes, shapes=False)
