"""Symbols: what users hold.  A symbol is one value; a group is several.

Arithmetic applies operators found by name in the registry, so this floor names none of the
classes that implement them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from ..errors import AttributeValueError, InputError, NameConflictError
from ..kernel.dims import Dim
from ..kernel.dtypes import DType, as_dtype
from .arithmetic import Arithmetic
from .by_name import DTypes, Shapes
from .graph import Graph, make_node
from .initializer import Initializer
from .node import Node, Value
from .op import Constant, Variable
from .origin import caller, current_attributes, current_scope
from .registry import registry
from .tensor_type import TensorType, as_shape

Scalar = (int, float, bool, np.generic)


class Expression:
    """What symbols and groups share: everything that concerns the graph behind them."""

    __slots__ = ()

    picture: ClassVar[Callable[[Any], str | None] | None] = None
    """Draws an expression as SVG in notebooks; the package sets it."""

    def _repr_svg_(self) -> str | None:
        return None if Expression.picture is None else Expression.picture(self)

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        raise NotImplementedError

    @property
    def graph(self) -> Graph:
        """The graph whose outputs these are."""
        return Graph([s.value for s in self.symbols])

    @property
    def variables(self) -> tuple[Symbol, ...]:
        """Every variable, in order of first use."""
        graph = self.graph
        return tuple(Symbol(n[0], graph.names[n]) for n in graph.variables)

    def _of_role(self, role: str) -> tuple[Symbol, ...]:
        graph = self.graph
        return tuple(Symbol(n[0], graph.names[n]) for n in graph.variables_of(role))

    @property
    def parameters(self) -> tuple[Symbol, ...]:
        """The variables that training changes."""
        return self._of_role("parameter")

    @property
    def inputs(self) -> tuple[Symbol, ...]:
        """The variables that are given at every call."""
        return self._of_role("input")

    @property
    def auxiliaries(self) -> tuple[Symbol, ...]:
        """The variables that the graph itself carries from step to step."""
        return self._of_role("auxiliary")

    def list_variables(self) -> tuple[str, ...]:
        """The names of all variables, in order of first use."""
        graph = self.graph
        return tuple(graph.names[n] for n in graph.variables)

    def list_outputs(self) -> tuple[str, ...]:
        """The name of each output."""
        return output_names(self.graph)

    @property
    def internals(self) -> Group:
        """Every value of the graph as one group; index it by name."""
        return Group([Symbol(v) for n in self.graph.nodes for v in n.values])

    def infer_shape(self, **shapes: Any) -> Shapes:
        """The shape of every variable, intermediate and output, from those given and declared.

        What cannot be known stays unknown; see `complete` and `unknown` of the result.
        Raises: ShapeError on a contradiction.
        """
        return Shapes(self.graph.infer(shapes))

    def infer_type(self, **dtypes: Any) -> DTypes:
        """The dtype of every variable, intermediate and output.  Raises: DTypeError."""
        return DTypes(self.graph.infer(None, dtypes))

    def substitute(self, **replacements: Any) -> Any:
        """The same expression with variables replaced by symbols, by name (composition)."""
        graph = self.graph
        by_name = {graph.names[n]: n[0] for n in graph.variables}
        mapping: dict[Value, Value] = {}
        for name, symbol in replacements.items():
            if name not in by_name:
                known = ", ".join(by_name) or "none"
                raise NameConflictError(f"no variable is named {name!r}; the variables are {known}")
            mapping[by_name[name]] = as_symbol(symbol).value
        new = graph.replace(mapping)
        symbols = [Symbol(v) for v in new.outputs]
        return symbols[0] if isinstance(self, Symbol) else Group(symbols)

    def to_json(self, *, indent: int | None = None) -> str:
        """The graph as versioned JSON; `from_json` reads it back identically."""
        from .serialize import to_json

        return to_json(self.graph, indent=indent)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the graph to a .json file, whole or not at all; `load_graph` reads it back."""
        from .serialize import save

        return save(self.graph, path)

    def __str__(self) -> str:
        return str(self.graph)

    def __reduce__(self) -> Any:
        from .serialize import to_json

        return (_unpickle, (type(self).__name__, to_json(self.graph)))

    def __deepcopy__(self, memo: Any) -> Any:
        from .serialize import from_json, to_json

        symbols = [Symbol(v) for v in from_json(to_json(self.graph)).outputs]
        return symbols[0] if isinstance(self, Symbol) else Group(symbols)


def from_json(text: str) -> Any:
    """The symbol, or the group where there are several outputs, that `to_json` wrote.

    Operators that nobody registered can be drawn and written again, not run.
    Raises: FormatError saying what is wrong and where.
    """
    from .serialize import from_json

    symbols = [Symbol(v) for v in from_json(text).outputs]
    return symbols[0] if len(symbols) == 1 else Group(symbols)


def load_graph(path: str | os.PathLike[str]) -> Any:
    """The symbol, or the group where there are several outputs, of a file that `save` wrote.

    Raises: FormatError naming the file and what is wrong with it.
    """
    from .serialize import load

    symbols = [Symbol(v) for v in load(path).outputs]
    return symbols[0] if len(symbols) == 1 else Group(symbols)


def _unpickle(kind: str, text: str) -> Any:
    from .serialize import from_json

    symbols = [Symbol(v) for v in from_json(text).outputs]
    return symbols[0] if kind == "Symbol" else Group(symbols)


def output_names(graph: Graph) -> tuple[str, ...]:
    """A name for each output: the node's, with the output's where the operator has several."""
    names: list[str] = []
    for value in graph.outputs:
        base = graph.names[value.node]
        several = value.node.op.output_count > 1
        names.append(f"{base}_{value.node.op.output_names[value.index]}" if several else base)
    return tuple(names)


class Symbol(Arithmetic, Expression):
    """One value of a graph; arithmetic on symbols declares further nodes.

    Every public function whose first input is a symbol is a method as well: `x.sum(axis=1)`,
    `x.reshape(2, -1)`, `x.relu()`.
    """

    __slots__ = ("_name", "value")
    __array_ufunc__ = None  # numpy arrays leave mixed arithmetic to us

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Any]:
            """The methods that methods.py attaches."""

    def __init__(self, value: Value, name: str | None = None) -> None:
        self.value = value
        self._name = name

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        return (self,)

    @property
    def name(self) -> str:
        """The name of the node in the graph that the symbol was taken from, else in its own."""
        return self.graph.names[self.value.node] if self._name is None else self._name

    @property
    def node(self) -> Node:
        return self.value.node

    @property
    def type(self) -> TensorType:
        """What is known of the value from its inputs' declarations."""
        return self.value.type

    @property
    def shape(self) -> tuple[Dim, ...] | None:
        """The shape as far as known from the inputs' declarations; None when the rank is not."""
        return self.value.type.shape

    @property
    def dtype(self) -> DType | None:
        return self.value.type.dtype

    @property
    def ndim(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    @property
    def T(self) -> Symbol:
        """The axes in reverse order, as `transpose`."""
        return self._unary("transpose")

    def astype(self, dtype: Any) -> Symbol:
        """Converted to a dtype, as `cast`."""
        result = registry.get("cast")(as_dtype(dtype).name)(self)
        assert isinstance(result, Symbol)
        return result

    @property
    def children(self) -> Group | None:
        """The direct inputs, None for a variable."""
        inputs = self.value.node.inputs
        return Group([Symbol(v) for v in inputs]) if inputs else None

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The operator's attributes and those of the scopes it was declared in."""
        node = self.value.node
        return {**dict(node.attributes), **dict(node.op.attribute_items)}

    def __hash__(self) -> int:
        return hash(self.value)

    def __eq__(self, other: object) -> bool:
        """Whether both are the same value of the same graph; of elements, sg.equal."""
        if isinstance(other, (int, float, np.ndarray, np.generic)):
            raise TypeError(
                "a symbol is compared with a number or array: `==` asks whether two symbols are "
                "the same one; for the elements use sg.equal(a, b) or sg.not_equal(a, b)"
            )
        return isinstance(other, Symbol) and other.value == self.value

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a symbol has no truth value, it stands for an array that is not computed yet; "
            "use sg.where(condition, a, b) to choose between values"
        )

    def __len__(self) -> int:
        shape = self.shape
        if not shape or not isinstance(shape[0], int):
            raise TypeError(f"the length of {self!r} is not known")
        return shape[0]

    def __iter__(self) -> Iterator[Symbol]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"<Symbol {self.value.node.label}: {self.type}>"

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(f"{self!r} is symbolic: compile it and call the result to get an array")

    def _binary(self, name: str, other: Any, swap: bool = False) -> Symbol:
        if not isinstance(other, (Symbol, np.ndarray, *Scalar)):
            return NotImplemented  # type: ignore[no-any-return]
        left, right = as_symbol(other) if swap else self, self if swap else as_symbol(other)
        result = registry.get(name)()(left, right)
        assert isinstance(result, Symbol)
        return result

    def _unary(self, name: str) -> Symbol:
        result = registry.get(name)()(self)
        assert isinstance(result, Symbol)
        return result

    def __getitem__(self, index: Any) -> Symbol:
        from_index = getattr(registry.get("slice"), "from_index", None)
        assert from_index is not None
        result = from_index(self, index)
        assert isinstance(result, Symbol)
        return result


class Group(Expression, Sequence[Symbol]):
    """Several symbols as one expression; index it by number or by name."""

    __slots__ = ("_symbols",)

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        self._symbols = tuple(symbols)

    @property
    def symbols(self) -> tuple[Symbol, ...]:
        return self._symbols

    def __len__(self) -> int:
        return len(self._symbols)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, str):
            return self._symbols[index]
        names = self.list_outputs()
        if index not in names:
            raise NameConflictError(f"no output is named {index!r}; the outputs are {list(names)}")
        return self._symbols[names.index(index)]

    def __repr__(self) -> str:
        return f"<Group {', '.join(s.value.node.label for s in self._symbols)}>"


def group(*symbols: Any) -> Group:
    """Several symbols as one expression with several outputs.  Raises: InputError."""
    flat: list[Symbol] = []
    for item in symbols:
        if not isinstance(item, (Expression, list, tuple)):
            raise InputError(f"need a symbol or several, got {type(item).__name__} {item!r:.80}")
        flat.extend(item.symbols if isinstance(item, Expression) else group(*item).symbols)
    return Group(flat)


def var(
    name: str,
    shape: Any = None,
    dtype: Any = None,
    *,
    init: Initializer | None = None,
    auxiliary: bool = False,
) -> Symbol:
    """A variable: an input of the graph, or a parameter when it has an initialiser.

    Shapes: `shape` is a tuple of ints, names of open extents such as "N", or None for unknown; or
    None altogether for an unknown rank.  Dtypes: inferred when not given, at last float32.
    """
    if not isinstance(name, str) or not name:
        raise AttributeValueError(f"var: need a non-empty name, got {name!r}")
    role = "auxiliary" if auxiliary else "input" if init is None else "parameter"
    type = TensorType(as_shape(shape, f"var {name!r}"), None if dtype is None else as_dtype(dtype))
    op = Variable(type, role, init)
    attributes = tuple(sorted(current_attributes().items()))
    node = Node(op, (), (type,), name, caller(), current_scope(), attributes)
    return Symbol(node[0])


def parameter(name: str, shape: Any = None, dtype: Any = None, *, init: Initializer) -> Symbol:
    """A variable that training changes, with its initialiser."""
    return var(name, shape, dtype, init=init)


def constant(value: Any, dtype: Any = None, *, name: str | None = None) -> Symbol:
    """An array that is part of the graph.  Dtypes: the array's; Python floats give float32."""
    if isinstance(value, Expression):
        raise InputError(
            f"constant: value is symbolic: {value!r} (called at {caller()}); give numbers or an "
            f"array, or use the symbol itself"
        )
    array = np.asarray(value)
    if dtype is not None:
        array = array.astype(as_dtype(dtype).numpy)
    elif not isinstance(value, (np.ndarray, np.generic)) and array.dtype == np.float64:
        array = array.astype(np.float32)
    as_dtype(array.dtype)
    array = np.ascontiguousarray(array).reshape(array.shape)
    array.flags.writeable = False
    node = make_node(Constant(array), (), name, caller(), current_scope())
    return Symbol(node[0])


def as_symbol(value: Any) -> Symbol:
    """A symbol from a symbol, an array, or a Python number (whose dtype follows its partner)."""
    if isinstance(value, Symbol):
        return value
    if isinstance(value, Group) and len(value) == 1:
        return value.symbols[0]
    if isinstance(value, (int, float, bool)):
        op = registry.get("scalar")(value)
        return Symbol(make_node(op, (), None, caller(), current_scope())[0])
    if isinstance(value, (np.ndarray, np.generic)):
        return constant(value)
    raise InputError(f"need a symbol, an array or a number, got {type(value).__name__} {value!r}")
