"""Values in OpenCL C: loads, functions, conditions, and the names of what they use.

Every value is computed eagerly; a load that stands under a `Select` and may lie outside its buffer
is itself made conditional on its index, so that laziness costs no branch and no repetition.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...kernel import dims
from ...kernel.dims import Dim, DimVar, LoopVar
from ...kernel.ir import Buffer, Call, Cast, Const, DataIndex, Expr, IndexValue, Load, Select
from ...kernel.rewrite import data_indices, operands, walk
from .indices import IndexText, is_inside
from .launches import Launch
from .scalars import Scalars, value_type

INLINE = 72
"""Text up to this length that is used once is written into its user."""
_ATOM = re.compile(r"^-?[\w.]+$")


class Names:
    """Unique C identifiers, in order of first use."""

    def __init__(self) -> None:
        self._names: dict[object, str] = {}
        self._taken: set[str] = set()

    def __call__(self, item: LoopVar | DimVar | Buffer, prefix: str) -> str:
        if item not in self._names:
            hint = item.hint if isinstance(item, LoopVar) else item.name
            base = prefix + re.sub(r"\W", "_", hint, flags=re.ASCII)
            name, number = base, 1
            while name in self._taken:
                name, number = f"{base}_{number}", number + 1
            self._taken.add(name)
            self._names[item] = name
        return self._names[item]

    def give(self, item: LoopVar, name: str) -> None:
        """Let an item have this very name."""
        self._taken.add(name)
        self._names[item] = name


class ValueText:
    """Writes the values of one launch; `used` collects the helpers they need."""

    def __init__(self, launch: Launch, used: set[tuple[str, str]]) -> None:
        self.launch = launch
        self.scalars = Scalars(used)
        self.names = Names()
        self.ranges: dict[object, tuple[int | None, int | None]] = {}
        self.extents: dict[LoopVar, Dim] = {}
        self.dim = IndexText(self._variable, self._data_name, self.ranges)
        self.lines: list[str] = []
        self.depth = 1
        self.temporaries = 0
        self.in_lanes = False
        self.has_vectors = launch.has_vectors
        self.item = LoopVar("item")
        self.names.give(self.item, "item")
        self.ranges[self.item] = (0, None)
        self.memo: dict[int, str] = {}
        self.data: dict[int, str] = {}
        self.pointers = {b: self.names(b, "b_") for b in self._arguments()}

    def _arguments(self) -> tuple[Buffer, ...]:
        return (*self.launch.buffers, *self.launch.tensors, *self.launch.slices)

    # -- memory --------------------------------------------------------------------------------

    def _prepared(self, index: Sequence[Dim], buffer: Buffer | None = None) -> tuple[str, ...]:
        """The text of each dim, its data-dependent parts computed before."""
        for atom in data_indices(tuple(index)):
            self.value(atom.value)
        if buffer is not None:
            return (self._offset(buffer, index),)
        return tuple(self.dim(d) for d in index)

    def _offset(self, buffer: Buffer, index: Sequence[Dim]) -> str:
        text = self.dim(self._flattened(buffer.offset(tuple(index))))
        return text[1:-1] if text.startswith("(") and _is_wrapped(text) else text

    def _flattened(self, offset: Dim) -> Dim:
        """i*W + j with i = item / W, j = item % W is item, which costs no division."""
        axes = self.launch.axes
        if self.launch.group or len(axes) < 2:
            return offset
        step = dims.coefficient(offset, axes[-1].var)
        if step is None or step == 0:
            return offset
        stride, rest = step, offset
        for axis in reversed(axes):
            if dims.coefficient(offset, axis.var) != stride:
                return offset
            rest = dims.add(rest, dims.mul(dims.mul(axis.var, stride), -1))
            stride = dims.mul(stride, axis.extent)
        return dims.add(rest, dims.mul(self.item, step))

    def _place(self, buffer: Buffer, offset: tuple[str, ...]) -> str:
        if buffer in self.launch.slices:
            return f"SLICE({offset[0]}, {self.dim(buffer.nelems)})"
        return offset[0]

    def _is_register(self, buffer: Buffer) -> bool:
        return self.pointers[buffer].startswith("r_")

    def _read(self, buffer: Buffer, place: str) -> str:
        pointer = self.pointers[buffer]
        if self._is_register(buffer):
            return pointer if buffer.shape == () else f"{pointer}[{place}]"
        return self.scalars.load(buffer.dtype, pointer, place)

    # -- expressions ---------------------------------------------------------------------------

    def value(self, top: Expr) -> str:
        """The text of an expression; what is shared or long is computed before, once."""
        order = list(walk(top))
        uses: dict[int, int] = {}
        for e in order:
            for operand in operands(e):
                uses[id(operand)] = uses.get(id(operand), 0) + 1
        guarded = {
            id(inner)
            for e in order
            if isinstance(e, Select)
            for branch in (e.then, e.otherwise)
            for inner in walk(branch)
        }
        for e in order:
            if id(e) in self.memo:
                continue
            text = self._one(e, id(e) in guarded)
            shared = uses.get(id(e), 0) > 1 or len(text) > INLINE
            self.memo[id(e)] = self._kept(e, text) if shared else text
        return self.memo[id(top)]

    def _kept(self, e: Expr, text: str) -> str:
        if _ATOM.match(text):
            return text
        name = self._temporary()
        self._line(f"const {value_type(e.dtype)} {name} = {text};")
        return name

    def _temporary(self) -> str:
        self.temporaries += 1
        return f"t{self.temporaries - 1}"

    def _one(self, e: Expr, guarded: bool) -> str:
        match e:
            case Const():
                return self.scalars.const(e)
            case IndexValue(dim=dim):
                return self.dim(dim, wide=True)
            case Load():
                return self._load(e, guarded)
            case Call(function=function, args=args):
                texts = tuple(self.memo[id(a)] for a in args)
                return self.scalars.call(function, args[0].dtype, texts)
            case Cast(value=value, dtype=dtype):
                return self.scalars.cast(value.dtype, dtype, self.memo[id(value)])
            case Select(condition=c, then=t, otherwise=o):
                return f"({self.memo[id(c)]} ? {self.memo[id(t)]} : {self.memo[id(o)]})"
            case _:
                raise AssertionError(e)

    def _load(self, load: Load, guarded: bool) -> str:
        buffer = load.tensor
        assert isinstance(buffer, Buffer)
        place = self._place(buffer, self._prepared(load.index, buffer))
        text = self._read(buffer, place)
        if not guarded:
            return text
        checks: list[str] = []
        for dim, extent in zip(load.index, buffer.shape, strict=True):
            if not is_inside(dim, extent, self.ranges, self.extents):
                position = self.dim(dim)
                checks.append(f"{position} >= 0 && {position} < {self.dim(extent)}")
        if not checks:
            return text
        return f"(({' && '.join(checks)}) ? {text} : ({value_type(buffer.dtype)})0)"

    # -- names and lines -----------------------------------------------------------------------

    def _variable(self, item: LoopVar | DimVar) -> str:
        return self.names(item, "i_" if isinstance(item, LoopVar) else "n_")

    def _data_name(self, atom: DataIndex) -> str:
        """The variable that holds a data-dependent index, clamped into its axis."""
        if id(atom) not in self.data:
            value = self.value(atom.value)
            unsigned = value_type(atom.value.dtype) == "ulong"
            function = "clamp_index_unsigned" if unsigned else "clamp_index"
            name = self._temporary()
            self._line(f"const index_t {name} = {function}({value}, {self.dim(atom.extent)});")
            self.data[id(atom)] = name
        return self.data[id(atom)]

    def _line(self, text: str) -> None:
        self.lines.append("  " * self.depth + text)

    def _open(self, text: str) -> None:
        self._line(text)
        self.depth += 1

    def _close(self) -> None:
        self.depth -= 1
        self._line("}")


def _is_wrapped(text: str) -> bool:
    """The first parenthesis closes at the end."""
    depth = 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0:
            return position == len(text) - 1
    return False
