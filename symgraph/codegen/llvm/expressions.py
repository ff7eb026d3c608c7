"""Values of expressions.

Owns: evaluation in operand order without recursion over chains, the sharing of sub-expressions,
and the laziness of `Select`: a branch with loads that may lie outside their buffers is evaluated
under a mask when the condition differs between lanes, and behind a jump when it does not.
"""

from __future__ import annotations

from ...kernel import dims
from ...kernel.dtypes import bool_, int64
from ...kernel.ir import Buffer, Call, Cast, Const, Expr, IndexValue, Load, Select
from ...kernel.rewrite import operands, walk
from .memory import MemoryAccess
from .types import Value, is_rounded, literal, vector


class Expressions(MemoryAccess):
    """Evaluates expressions at the current place."""

    memo: list[dict[int, Value]]
    """Values of the current statement by expression, one table for each open branch."""

    def evaluate(self, top: Expr) -> Value:
        """The value of a statement's expression; nothing is remembered from other statements."""
        saved, self.memo = self.memo, [{}]
        value = self.expr(top)
        self.memo = saved
        return value

    def expr(self, top: Expr) -> Value:
        stack: list[tuple[Expr, bool]] = [(top, False)]
        while stack:
            current, ready = stack.pop()
            if self._known(current) is not None:
                continue
            if ready:
                self.memo[-1][id(current)] = self._one(current)
            else:
                stack.append((current, True))
                # The branches of a select are evaluated by _select, each in its own scope.
                below = (current.condition,) if isinstance(current, Select) else _needed(current)
                stack.extend((child, False) for child in reversed(below))
        value = self._known(top)
        assert value is not None
        return value

    def _known(self, expr: Expr) -> Value | None:
        for table in reversed(self.memo):
            if id(expr) in table:
                return table[id(expr)]
        return None

    def _value(self, expr: Expr) -> Value:
        value = self._known(expr)
        assert value is not None
        return value

    def _one(self, expr: Expr) -> Value:
        gated = _gated(expr)
        if gated is not None:
            return self.arithmetic.call("gated_tanh", [self._value(a) for a in gated], expr.dtype)
        match expr:
            case Const(value=value, dtype=dtype):
                return Value(literal(value, dtype), dtype)
            case IndexValue(dim=dim, dtype=dtype):
                resolved = self.resolve(dim)
                if self.varies(resolved):
                    assert self.vector is not None
                    wide = Value(self.vector_dim(resolved), int64, self.vector.lanes)
                else:
                    wide = Value(self.term(resolved)[1], int64)
                return self.arithmetic.cast(wide, dtype)
            case Load(tensor=tensor, index=index):
                assert isinstance(tensor, Buffer)
                return self.load(tensor, index)
            case Call(function=function, args=args, dtype=dtype):
                return self.arithmetic.call(function, [self._value(a) for a in args], dtype)
            case Cast(value=value, dtype=dtype):
                return self.arithmetic.cast(self._value(value), dtype)
            case Select():
                return self._select(expr)
            case _:
                raise AssertionError(expr)

    # -- select --------------------------------------------------------------------------------

    def _select(self, select: Select) -> Value:
        if self._surely_holds(select.condition):
            return self.expr(select.then)
        condition = self._value(select.condition)
        if condition.text in ("true", "false"):
            return self.expr(select.then if condition.text == "true" else select.otherwise)
        if not (self._is_unsafe(select.then) or self._is_unsafe(select.otherwise)):
            return self._choose(condition, self.expr(select.then), self.expr(select.otherwise))
        if condition.lanes == 1 and (self.vector is None or not self.machine.masked):
            return self._jump(condition, select)
        assert self.vector is not None
        mask = self.arithmetic.broadcast(condition, self.vector.lanes)
        then = self._guarded(select.then, mask.text)
        type = vector("i1", mask.lanes)
        all_lanes = self.arithmetic.constant(True, mask).text
        inverse = self.builder.pure(f"xor {type} {mask.text}, {all_lanes}")
        otherwise = self._guarded(select.otherwise, inverse)
        return self._choose(condition, then, otherwise)

    def _surely_holds(self, condition: Expr) -> bool:
        """Intervals prove `index < limit`."""
        if not isinstance(condition, Call) or condition.function != "lt":
            return False
        index, limit = condition.args
        if not isinstance(index, IndexValue) or not isinstance(limit, IndexValue):
            return False
        gap = dims.add(self.resolve(limit.dim), dims.mul(self.resolve(index.dim), -1))
        room = self.low(gap)
        return room is not None and room >= 1

    def _is_unsafe(self, branch: Expr) -> bool:
        """Something in it may only be read when the branch is taken."""
        for e in walk(branch):
            if isinstance(e, Load):
                assert isinstance(e.tensor, Buffer)
                if not self._inside(e.tensor, e.index):
                    return True
        return False

    def _guarded(self, branch: Expr, mask: str) -> Value:
        """A branch of which only the loads in the lanes of `mask` are made."""
        assert self.vector is not None
        type = vector("i1", self.vector.lanes)
        saved = self.guard
        outer = saved if saved is not None else self.vector.mask
        if outer is not None:
            mask = self.builder.pure(f"and {type} {mask}, {outer}")
        self.guard = mask
        self.memo.append({})
        value = self.expr(branch)
        self.memo.pop()
        self.guard = saved
        return value

    def _choose(self, condition: Value, then: Value, otherwise: Value) -> Value:
        lanes = max(condition.lanes, then.lanes, otherwise.lanes)
        if condition.lanes > 1:
            condition = self.arithmetic.broadcast(condition, lanes)
        a, b = (self.arithmetic.broadcast(v, lanes) for v in (then, otherwise))
        text = self.builder.pure(
            f"select {condition.type} {condition.text}, {a.type} {a.text}, {b.type} {b.text}"
        )
        return Value(text, then.dtype, lanes)

    def _jump(self, condition: Value, select: Select) -> Value:
        """Only the taken branch is evaluated; the value of each lane where one of them has that."""
        builder = self.builder
        blocks = builder.block("then"), builder.block("else")
        end = builder.block("end")
        builder.line(f"br i1 {condition.text}, label %{blocks[0].name}, label %{blocks[1].name}")
        found = []
        for block, branch in zip(blocks, (select.then, select.otherwise), strict=True):
            builder.place(block)
            builder.open(None)
            self.memo.append({})
            found.append((self.expr(branch), builder.current))
            self.memo.pop()
            builder.close()
        lanes = max(value.lanes for value, _ in found)
        pairs = []
        for value, builder.current in found:
            builder.open(None)
            text = self.arithmetic.broadcast(value, lanes).text
            builder.close()
            pairs.append(f"[{text}, %{builder.current.name}]")
            builder.line(f"br label %{end.name}")
        builder.place(end)
        result = Value(builder.fresh(), select.dtype, lanes)
        builder.line(f"{result.text} = phi {result.type} {', '.join(pairs)}")
        return result

    def condition(self, expr: Expr) -> Value:
        value = self.evaluate(expr)
        assert value.dtype == bool_
        return value

    def positive(self, dim: dims.Dim) -> bool:
        """Intervals prove that it is at least 1."""
        low = self.low(dim)
        return low is not None and low >= 1


def _needed(expr: Expr) -> tuple[Expr, ...]:
    """The expressions whose values come before this one's."""
    gated = _gated(expr)
    return operands(expr) if gated is None else gated


def _gated(expr: Expr) -> tuple[Expr, Expr] | None:
    """x and y of sigmoid(x)*tanh(y), as in recurrent cells, where both are of the dtype that is
    worked in: they share a division."""
    if not isinstance(expr, Call) or expr.function != "mul" or is_rounded(expr.dtype):
        return None
    found = {a.function: a.args[0] for a in expr.args if isinstance(a, Call)}
    return (found["sigmoid"], found["tanh"]) if set(found) == {"sigmoid", "tanh"} else None
