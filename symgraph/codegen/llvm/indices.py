"""Integer expressions as i64 instructions, each put where its variables allow.

Owns: loop variables and open extents by name and scope, and the rule that a sum is built from the
outermost term inwards, so that what does not change in an inner loop stands before it.  Division is
the cheap unsigned form where intervals show that nothing is negative.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...kernel import dims
from ...kernel.dims import Atom, Dim, LoopVar
from ...kernel.dtypes import int64
from ...kernel.ir import Buffer, DataIndex, Expr, IndexValue, Load
from ...kernel.rewrite import walk
from ...kernel.transform.locate import expr_uses, uses
from .arithmetic import Arithmetic
from .builder import HERE, FunctionBuilder
from .machine import Machine
from .types import Value, vector

_FUNCTIONS: dict[type[Atom], str] = {dims.FloorDiv: "floordiv", dims.Mod: "mod",
                                     dims.Minimum: "min", dims.Maximum: "max"}  # fmt: skip

Term = tuple[int, str]
"""Scope and text of an i64 value."""


@dataclass(eq=False, slots=True)
class VectorLoop:
    """The vector loop being emitted; `mask` is None when every lane is active.

    `own_mask` is the mask of the loop itself, without those of conditions inside; `active` is the
    number of lanes that it lets through.
    """

    var: LoopVar
    lanes: int
    mask: str | None
    own_mask: str | None
    active: Dim


class Indices:
    """What every part of a kernel's emitter shares: where variables live."""

    def __init__(self, builder: FunctionBuilder, machine: Machine) -> None:
        self.builder = builder
        self.machine = machine
        self.arithmetic = Arithmetic(builder, machine)
        self.variables: dict[Atom, Term] = {}
        self.ranges: dict[object, dims.Interval] = {}
        self._bounds: dict[object, dims.Interval] = {}
        """The last interval of every variable, also of those that have left."""
        self._simple: dict[Dim, Dim] = {}
        self._by_lane: dict[tuple[Dim, LoopVar, int], list[Dim]] = {}
        self.unrolled: dict[Atom, Dim] = {}
        self.vector: VectorLoop | None = None

    def expr(self, top: Expr) -> Value:
        """The value of an expression (see expressions.py)."""
        raise NotImplementedError

    def loads_lanes(self, buffer: Buffer, index: tuple[Dim, ...]) -> bool:
        """A load is made lane by lane although its index is the same in all (see memory.py)."""
        raise NotImplementedError

    def bound(self, var: object, interval: dims.Interval) -> None:
        """From here on a variable lies in an interval."""
        self.ranges[var] = interval
        if self._bounds.get(var) != interval:
            # Expressions were simplified by what was known before.
            self._bounds[var] = interval
            self._simple.clear()
            self._by_lane.clear()

    def resolve(self, dim: Dim) -> Dim:
        """The expression with unrolled variables put in and divisions decided by intervals."""
        if isinstance(dim, int):
            return dim
        if self.unrolled:
            dim = dims.substitute(dim, self.unrolled)
        if isinstance(dim, int):
            return dim
        found = self._simple.get(dim)
        if found is None:
            found = self._simple[dim] = dims.simplify(dim, self.ranges)
        return found

    def low(self, dim: Dim) -> int | None:
        return dims.bounds(dim, self.ranges)[0]

    def scalar(self, dim: Dim) -> str:
        """An i64; the vector variable may not occur in it."""
        return self.term(self.resolve(dim))[1]

    def term(self, dim: Dim) -> Term:
        """Scope and text of a resolved expression."""
        if isinstance(dim, int):
            return 0, str(dim)
        if isinstance(dim, Atom):
            return self._atom(dim)
        terms, constant = dims.terms_of(dim)
        pieces = sorted((self._monomial(m, c) for m, c in terms), key=lambda t: t[0])
        level, text = pieces[0]
        for other, piece in pieces[1:]:
            level = max(level, other)
            text = self.builder.hoisted(f"add nsw i64 {text}, {piece}", level)
        if constant:
            text = self.builder.hoisted(f"add nsw i64 {text}, {constant}", level)
        return level, text

    def _monomial(self, monomial: tuple[Atom, ...], coefficient: int) -> Term:
        factors = sorted((self._atom(a) for a in monomial), key=lambda t: t[0])
        level, text = factors[0]
        for other, factor in factors[1:]:
            level = max(level, other)
            text = self.builder.hoisted(f"mul nsw i64 {text}, {factor}", level)
        if coefficient != 1:
            text = self.builder.hoisted(f"mul nsw i64 {text}, {coefficient}", level)
        return level, text

    def _atom(self, atom: Atom) -> Term:
        if atom in self.variables:
            return self.variables[atom]
        if isinstance(atom, DataIndex):
            return self._data_index(atom)
        if isinstance(atom, (dims.FloorDiv, dims.Mod)):
            return self._division(atom)
        if isinstance(atom, (dims.Minimum, dims.Maximum)):
            (la, a), (lb, b) = self.term(atom.a), self.term(atom.b)
            level = max(la, lb)
            order = "slt" if isinstance(atom, dims.Minimum) else "sgt"
            taken = self.builder.hoisted(f"icmp {order} i64 {a}, {b}", level)
            return level, self.builder.hoisted(f"select i1 {taken}, i64 {a}, i64 {b}", level)
        raise AssertionError(atom)

    def _division(self, atom: dims.FloorDiv | dims.Mod) -> Term:
        (la, a), (lb, b) = self.term(atom.a), self.term(atom.b)
        level = max(la, lb)
        is_div = isinstance(atom, dims.FloorDiv)

        def new(text: str) -> str:
            return self.builder.hoisted(text, level)

        low_a, low_b = self.low(atom.a), self.low(atom.b)
        if low_b is None or low_b < 1:
            # An extent of 0 must not trap; nothing uses the result then.
            is_zero = new(f"icmp eq i64 {b}, 0")
            b = new(f"select i1 {is_zero}, i64 1, i64 {b}")
        if low_a is not None and low_a >= 0 and low_b is not None and low_b >= 0:
            if isinstance(atom.b, int) and atom.b & (atom.b - 1) == 0:
                shift = atom.b.bit_length() - 1
                text = f"lshr i64 {a}, {shift}" if is_div else f"and i64 {a}, {atom.b - 1}"
                return level, new(text)
            return level, new(f"{'udiv' if is_div else 'urem'} i64 {a}, {b}")
        quotient = new(f"sdiv i64 {a}, {b}")
        rest = new(f"sub i64 {a}, {new(f'mul i64 {quotient}, {b}')}")
        is_rest = new(f"icmp ne i64 {rest}, 0")
        sign = new(f"xor i64 {rest}, {b}")
        differs = new(f"icmp slt i64 {sign}, 0")
        shift_down = new(f"and i1 {is_rest}, {differs}")
        if is_div:
            lower = new(f"sub i64 {quotient}, 1")
            return level, new(f"select i1 {shift_down}, i64 {lower}, i64 {quotient}")
        moved = new(f"add i64 {rest}, {b}")
        return level, new(f"select i1 {shift_down}, i64 {moved}, i64 {rest}")

    def _data_index(self, atom: DataIndex) -> Term:
        value = self.expr(atom.value)
        return HERE, self.clamped(value, atom.extent)

    def clamped(self, value: Value, extent: Dim) -> str:
        """An index read from data, kept inside 0 .. extent-1; lane by lane for a vector."""
        pure = self.builder.pure
        type = vector("i64", value.lanes)
        text = value.text
        signed = value.dtype.kind == "int"
        if value.dtype.nbytes < 8:
            opcode = "sext" if signed else "zext"
            text = pure(f"{opcode} {value.type} {text} to {type}")
        _, limit = self.term(self.resolve(dims.maximum(dims.add(extent, -1), 0)))
        last = self.broadcast_index(limit, value.lanes)
        high = pure(f"icmp {'s' if signed else 'u'}gt {type} {text}, {last}")
        mask = vector("i1", value.lanes)
        text = pure(f"select {mask} {high}, {type} {last}, {type} {text}")
        zero = "0" if value.lanes == 1 else "zeroinitializer"
        if signed:
            negative = pure(f"icmp slt {type} {text}, {zero}")
            text = pure(f"select {mask} {negative}, {type} {zero}, {type} {text}")
        return text

    def broadcast_index(self, text: str, lanes: int) -> str:
        """An i64 in every lane."""
        return self.arithmetic.broadcast(Value(text, int64), lanes).text

    # -- the vector variable -------------------------------------------------------------------

    def varies(self, dim: Dim) -> bool:
        """The resolved expression differs between lanes."""
        if self.vector is None:
            return False
        return uses(dim, self.vector.var) or self._reads_lanes(dim)

    def _reads_lanes(self, dim: Dim) -> bool:
        """Data decide the expression, and differ between lanes: the vector variable occurs in
        their index, or a load of them is made lane by lane."""
        assert self.vector is not None
        if isinstance(dim, int) or not dim.holds & dims.OTHER:
            return False
        var = self.vector.var
        return any(
            expr_uses(atom.value, var) or self._loads_lanes(atom.value)
            for atom in dims.atoms(dim)
            if isinstance(atom, DataIndex)
        )

    def _loads_lanes(self, expr: Expr) -> bool:
        """Some load of the expression is made lane by lane, also inside an index."""
        for e in walk(expr):
            if isinstance(e, Load):
                if isinstance(e.tensor, Buffer) and self.loads_lanes(e.tensor, e.index):
                    return True
                if any(self._reads_lanes(d) for d in e.index):
                    return True
            elif isinstance(e, IndexValue) and self._reads_lanes(e.dim):
                return True
        return False

    def stride(self, dim: Dim) -> int | None:
        """c when a resolved expression is c*lane + uniform, with c a number."""
        assert self.vector is not None
        coefficient = dims.coefficient(dim, self.vector.var)
        if not isinstance(coefficient, int):
            return None
        if self._reads_lanes(dim):
            return None
        return coefficient

    def base(self, dim: Dim) -> Dim:
        """The resolved expression in lane 0."""
        assert self.vector is not None
        return dims.substitute(dim, {self.vector.var: 0})

    def lane_values(self, dim: Dim) -> list[Dim] | None:
        """The expression in each lane, or None when data decide."""
        assert self.vector is not None
        if self._reads_lanes(dim):
            return None
        var, lanes = self.vector.var, self.vector.lanes
        # Conditions and unrolled statements ask for the same address again.
        found = self._by_lane.get((dim, var, lanes))
        if found is None:
            found = [self.resolve(dims.substitute(dim, {var: n})) for n in range(lanes)]
            self._by_lane[dim, var, lanes] = found
        return found

    def vector_dim(self, dim: Dim) -> str:
        """The resolved expression in every lane, as <lanes x i64>."""
        assert self.vector is not None
        lanes = self.vector.lanes
        if not self.varies(dim):
            return self.broadcast_index(self.term(dim)[1], lanes)
        stride = self.stride(dim)
        type = vector("i64", lanes)
        if stride is not None:
            step = ", ".join(f"i64 {n * stride}" for n in range(lanes))
            base = self.base(dim)
            if base == 0:
                return f"<{step}>"
            start = self.broadcast_index(self.term(base)[1], lanes)
            return self.builder.pure(f"add {type} {start}, <{step}>")
        values = self.lane_values(dim)
        if values is None:
            return self._vector_data(dim)
        text = "poison"
        for lane, value in enumerate(values):
            scalar = self.term(value)[1]
            text = self.builder.pure(f"insertelement {type} {text}, i64 {scalar}, i64 {lane}")
        return text

    def _vector_data(self, dim: Dim) -> str:
        """As vector_dim where the index of each lane comes from data."""
        assert self.vector is not None
        lanes = self.vector.lanes
        if isinstance(dim, DataIndex):
            return self.clamped(self.arithmetic.broadcast(self.expr(dim.value), lanes), dim.extent)
        terms, constant = dims.terms_of(dim)
        if isinstance(dim, Atom):
            args = [Value(self.vector_dim(c), int64, lanes) for c in dim.children()]
            return self.arithmetic.call(_FUNCTIONS[type(dim)], args, int64).text
        total = Value(self.broadcast_index(str(constant), lanes), int64, lanes)
        for monomial, coefficient in terms:
            piece = Value(self.broadcast_index(str(coefficient), lanes), int64, lanes)
            for atom in monomial:
                factor = Value(self.vector_dim(atom), int64, lanes)
                piece = self.arithmetic.call("mul", [piece, factor], int64)
            total = self.arithmetic.call("add", [total, piece], int64)
        return total.text
