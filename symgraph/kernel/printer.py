"""Loop IR as text: deterministic, one statement a line, names made unique in order.

kernel matmul(a: f32[N,3], b: f32[3,5]) -> (c: f32[N,5])
  parallel i < N:
    parallel j < 5:
      alloc acc0: f32[] in register
      acc0[] = 0.0
      serial r < 3:
        acc0[] add= a[i,r] * b[r,j]
      c[i,j] = acc0[]
"""

from __future__ import annotations

from dataclasses import replace

from . import dims
from .dims import Atom, Dim, DimVar, LoopVar, Sum
from .ir import (
    Alloc,
    Axis,
    Barrier,
    Block,
    Buffer,
    Call,
    Cast,
    Const,
    DataIndex,
    Expr,
    For,
    If,
    IndexValue,
    Kernel,
    Load,
    Prefetch,
    Reduce,
    Select,
    Stmt,
    Store,
    Tensor,
    Update,
)
from .rewrite import Substitute, operands, walk

_INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "floordiv": "//",
    "mod": "%",
    "lt": "<",
    "le": "<=",
    "eq": "==",
    "ne": "!=",
    "and": "&",
    "or": "|",
    "xor": "^",
    "shl": "<<",
    "shr": ">>",
}

LARGE_TREE = 64
"""From so many parts on, an expression's shared parts are printed once, under a name."""


class Printer:
    """Prints one kernel; remembers the names it has given."""

    def __init__(self) -> None:
        self._names: dict[object, str] = {}
        self._taken: set[str] = set()
        self._written: dict[int, str] = {}
        # The names of expressions go by id, so these stay alive.
        self._kept: list[Expr] = []

    def name(self, item: LoopVar | Tensor) -> str:
        if item not in self._names:
            self._names[item] = self._fresh(item.hint if isinstance(item, LoopVar) else item.name)
        return self._names[item]

    def _fresh(self, base: str) -> str:
        name, number = base, 1
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name

    def dim(self, dim: Dim) -> str:
        if isinstance(dim, int):
            return str(dim)
        if isinstance(dim, Sum):
            return self._sum(dim)
        assert isinstance(dim, Atom)
        return self._atom(dim)

    def _sum(self, dim: Sum) -> str:
        text = ""
        for monomial, coefficient in dim.terms:
            size = abs(coefficient)
            alone = len(monomial) == 1 and size == 1
            factors = "*".join(self._atom(a) if alone else self._factor(a) for a in monomial)
            piece = factors if size == 1 else f"{size}*{factors}"
            text += ("-" if coefficient < 0 else "+" if text else "") + piece
        return text + (f"{dim.constant:+d}" if dim.constant else "")

    def _atom(self, atom: Atom) -> str:
        match atom:
            case LoopVar():
                return self.name(atom)
            case DimVar(name=name):
                return name
            case dims.FloorDiv(a=a, b=b):
                return f"{self._factor(a)}//{self._factor(b)}"
            case dims.Mod(a=a, b=b):
                return f"{self._factor(a)}%{self._factor(b)}"
            case dims.Minimum(a=a, b=b):
                return f"min({self.dim(a)}, {self.dim(b)})"
            case dims.Maximum(a=a, b=b):
                return f"max({self.dim(a)}, {self.dim(b)})"
            case DataIndex(value=value, extent=extent):
                return f"clamp({self.expr(value)}, {self.dim(extent)})"
            case _:
                return str(atom)

    def _factor(self, dim: Dim) -> str:
        compound = isinstance(dim, (Sum, dims.FloorDiv, dims.Mod))
        return f"({self.dim(dim)})" if compound else self.dim(dim)

    def index(self, index: tuple[Dim, ...]) -> str:
        return "[" + ",".join(self.dim(d) for d in index) + "]"

    def axis(self, axis: Axis) -> str:
        return f"{self.name(axis.var)} < {self.dim(axis.extent)}"

    def expr(self, expr: Expr, inside: bool = False) -> str:
        if id(expr) in self._written:
            return self._written[id(expr)]
        match expr:
            case Const(value=value):
                return str(value)
            case IndexValue(dim=dim):
                return f"({self.dim(dim)})" if inside else self.dim(dim)
            case Load(tensor=tensor, index=index):
                return f"{self.name(tensor)}{self.index(index)}"
            case Call(function=function, args=(a, b)) if function in _INFIX:
                text = f"{self.expr(a, True)} {_INFIX[function]} {self.expr(b, True)}"
                return f"({text})" if inside else text
            case Call(function=function, args=args):
                return f"{function}({', '.join(self.expr(a) for a in args)})"
            case Cast(value=value, dtype=dtype):
                return f"{dtype.short}({self.expr(value)})"
            case Select(condition=c, then=t, otherwise=o):
                return f"where({self.expr(c)}, {self.expr(t)}, {self.expr(o)})"
            case Reduce(kind=kind, axes=axes, body=body):
                loops = ", ".join(self.axis(a) for a in axes)
                return f"{kind}({loops}: {self.expr(body)})"
            case _:
                raise AssertionError(expr)

    def buffer(self, buffer: Buffer) -> str:
        return f"{self.name(buffer)}: {buffer.dtype.short}{self.index(buffer.shape)}"

    def _shared(self, value: Expr, pad: str) -> list[str]:
        """Lines that name what a large expression uses several times.

        Written out as a tree, `y = y*y` repeated 60 times would not fit any memory.
        """
        order = list(walk(value))
        size: dict[int, int] = {}
        uses: dict[int, int] = {}
        for e in order:
            below = operands(e)
            size[id(e)] = min(1 + sum(size[id(o)] for o in below), LARGE_TREE)
            for o in below:
                uses[id(o)] = uses.get(id(o), 0) + 1
        if size[id(value)] < LARGE_TREE:
            return []
        lines = []
        for e in order:
            if uses.get(id(e), 0) > 1 and isinstance(e, (Call, Cast, Select)):
                text = self.expr(e)
                self._written[id(e)] = self._fresh("v")
                self._kept.append(e)
                lines.append(f"{pad}{self._written[id(e)]} = {text}")
        return lines

    def stmt(self, stmt: Stmt, depth: int = 1) -> list[str]:
        pad = "  " * depth
        match stmt:
            case Block(stmts=stmts):
                return [line for inner in stmts for line in self.stmt(inner, depth)]
            case For(var=var, extent=extent, kind=kind, body=body, lanes=lanes):
                width = f" lanes {lanes}" if lanes else ""
                head = f"{pad}{kind} {self.name(var)} < {self.dim(extent)}{width}:"
                return [head, *self.stmt(body, depth + 1)]
            case Alloc(buffer=buffer, body=body):
                line = f"{pad}alloc {self.buffer(buffer)} in {buffer.scope}"
                return [line, *self.stmt(body, depth)]
            case Store(buffer=buffer, index=index, value=value):
                shared = self._shared(value, pad)
                target = f"{self.name(buffer)}{self.index(index)}"
                return [*shared, f"{pad}{target} = {self.expr(value)}"]
            case Update(buffer=buffer, index=index, function=function, value=value):
                shared = self._shared(value, pad)
                target = f"{self.name(buffer)}{self.index(index)}"
                return [*shared, f"{pad}{target} {function}= {self.expr(value)}"]
            case If(condition=condition, then=then, otherwise=otherwise):
                lines = [f"{pad}if {self.expr(condition)}:", *self.stmt(then, depth + 1)]
                if otherwise is not None:
                    lines += [f"{pad}else:", *self.stmt(otherwise, depth + 1)]
                return lines
            case Prefetch(buffer=buffer, index=index):
                return [f"{pad}prefetch {self.name(buffer)}{self.index(index)}"]
            case Barrier():
                return [f"{pad}barrier"]
            case _:
                raise AssertionError(stmt)


def kernel_text(kernel: Kernel) -> str:
    """The kernel as text; equal kernels give equal text."""
    printer = Printer()
    ins = ", ".join(printer.buffer(b) for b in kernel.inputs)
    outs = ", ".join(printer.buffer(b) for b in kernel.outputs)
    head = f"kernel {kernel.name}({ins}) -> ({outs})"
    return "\n".join([head, *printer.stmt(kernel.body)]) + "\n"


def text_without_names(kernel: Kernel) -> str:
    """The same for kernels that differ in what they and their tensors are called."""
    renamed: dict[Tensor, Buffer] = {
        b: replace(b, name=f"t{n}") for n, b in enumerate(kernel.params)
    }
    inputs, outputs = (tuple(renamed[b] for b in side) for side in (kernel.inputs, kernel.outputs))
    body = Substitute(buffers=renamed).stmt(kernel.body)
    return kernel_text(Kernel("kernel", inputs, outputs, kernel.dims, body))
