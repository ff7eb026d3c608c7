"""Statements and expressions of plain functions (`kernel.plain`) as LLVM IR.

Owns the meaning: integers are i64, floats are double, truth values are i1; every local name is a
slot on the stack, which LLVM turns into registers. Floor division and remainder round as Python's.
What is not part of a plain function is refused with its line.
"""

from __future__ import annotations

import ast
import inspect
import struct
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from ...errors import InternalError
from ...kernel.plain import DTYPES, PlainFunction

_SCALARS = {"int": "i64", "float": "double", "bool": "i1"}
_ELEMENTS = {"Ints": "i64", "SmallInts": "i32", "Floats": "double"}
_INTEGER = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and", ast.BitOr: "or",
            ast.BitXor: "xor", ast.LShift: "shl", ast.RShift: "ashr"}  # fmt: skip
_FLOAT = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_ORDER = {ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter after records are taken apart; `array` is "" for a number."""

    name: str
    kind: str
    array: str = ""


@dataclass(frozen=True, slots=True)
class _Value:
    text: str
    kind: str


def declared(function: PlainFunction) -> tuple[Parameter, ...]:
    """The parameters of a function, those of records as `record.field`."""
    found: list[Parameter] = []
    for argument in _tree(function).args.args:
        annotation = ast.unparse(argument.annotation) if argument.annotation else ""
        found += _parameters(argument.arg, annotation, function)
    return tuple(found)


def _parameters(name: str, annotation: str, function: PlainFunction) -> list[Parameter]:
    if annotation in DTYPES:
        return [Parameter(name, "ptr", annotation)]
    if annotation in _SCALARS:
        return [Parameter(name, _SCALARS[annotation])]
    record = function.__globals__.get(annotation)
    if record is None or not hasattr(record, "_fields"):
        raise InternalError(
            f"plain function {function.__name__}: {name}: {annotation} is unknown; expected int, "
            f"float, bool, {', '.join(DTYPES)} or a NamedTuple of them"
        )
    fields: list[Parameter] = []
    for field in record._fields:
        hint = record.__annotations__[field]
        hint = hint.__forward_arg__ if hasattr(hint, "__forward_arg__") else hint
        fields += _parameters(f"{name}.{field}", str(hint), function)
    return fields


def _tree(function: PlainFunction) -> ast.FunctionDef:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    return tree


def result_kind(function: PlainFunction) -> str:
    """The LLVM type that a function returns."""
    returns = _tree(function).returns
    name = ast.unparse(returns) if returns is not None else "None"
    return "void" if name == "None" else _SCALARS[name]


def function_text(function: PlainFunction, functions: Mapping[str, PlainFunction]) -> str:
    """One function; `functions` are those it may call."""
    return _Writer(function, functions).text()


class _Writer:
    """Writes one function: `lines` in order, `slots` of its locals in the entry block."""

    def __init__(self, function: PlainFunction, functions: Mapping[str, PlainFunction]) -> None:
        self.function, self.functions = function, functions
        self.result = result_kind(function)
        self.parameters = {p.name: p for p in declared(function)}
        self.registers = {name: f"%p{n}" for n, name in enumerate(self.parameters)}
        self.slots: dict[str, str] = {}
        self.lines: list[str] = []
        self.loops: list[tuple[str, str]] = []
        self.numbers = 0

    def text(self) -> str:
        entry = []
        for name, parameter in self.parameters.items():
            if not parameter.array and "." not in name:
                self.slots[name] = parameter.kind
                entry.append(f"store {parameter.kind} {self.registers[name]}, ptr %{name}.slot")
        self.block(_tree(self.function).body)
        self.lines.append(
            "ret void" if self.result == "void" else f"ret {self.result} {_zero(self.result)}"
        )
        passed = ", ".join(f"{p.kind}{' noalias' if p.array else ''} {self.registers[p.name]}"
                           for p in self.parameters.values())  # fmt: skip
        slots = [f"%{name}.slot = alloca {kind}" for name, kind in self.slots.items()]
        body = "\n".join(f"  {line}" if not line.endswith(":") else line
                         for line in (*slots, *entry, *self.lines))  # fmt: skip
        name = self.function.__name__
        # Copies stay loops: an object that calls memcpy would need a symbol from outside.
        head = f'define internal {self.result} @{name}({passed}) nounwind "no-builtins"'
        return f"{head} {{\nentry:\n{body}\n}}\n"

    # -- names, blocks ---------------------------------------------------------------------------

    def fresh(self, instruction: str) -> str:
        self.numbers += 1
        self.lines.append(f"%t{self.numbers} = {instruction}")
        return f"%t{self.numbers}"

    def label(self, hint: str) -> str:
        self.numbers += 1
        return f"{hint}{self.numbers}"

    def go(self, label: str) -> None:
        self.lines.append(f"br label %{label}")

    def begin(self, label: str) -> None:
        self.lines.append(f"{label}:")

    def branch(self, condition: ast.expr, then: str, otherwise: str) -> None:
        truth = self.truth(self.value(condition))
        self.lines.append(f"br i1 {truth}, label %{then}, label %{otherwise}")

    def refuse(self, node: ast.AST, what: str) -> NoReturn:
        line = self.function.__code__.co_firstlineno + getattr(node, "lineno", 1) - 1
        where = f"{self.function.__code__.co_filename}:{line}"
        raise InternalError(f"plain function {self.function.__name__} ({where}): {what}")

    # -- statements ------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            self.statement(statement)

    def statement(self, s: ast.stmt) -> None:
        match s:
            case ast.Assign(targets=[target]):
                self.assign(target, self.value(s.value))
            case ast.AugAssign():
                self.assign(s.target, self.binary(s, s.op, self.value(s.target), s.value))
            case ast.If():
                self.choose(s)
            case ast.While(orelse=[]):
                self.loop(s)
            case ast.For(target=ast.Name(id=name), iter=ast.Call(args=args), orelse=[]):
                self.count(s, name, args)
            case ast.Return():
                self.leave(s)
            case ast.Break() | ast.Continue():
                self.go(self.loops[-1][isinstance(s, ast.Continue)])
                self.begin(self.label("after"))
            case ast.Expr(value=ast.Constant()) | ast.Pass():
                pass
            case ast.Expr(value=ast.Call() as call):
                self.call(call)
            case _:
                self.refuse(s, f"{type(s).__name__} is no statement of plain functions")

    def assign(self, target: ast.expr, value: _Value) -> None:
        if isinstance(target, ast.Name):
            if target.id in self.parameters and self.parameters[target.id].array:
                self.refuse(target, "an array parameter is assigned to")
            kind = self.slots.setdefault(target.id, value.kind)
            self.lines.append(f"store {kind} {self.as_kind(target, value, kind)}, "
                              f"ptr %{target.id}.slot")  # fmt: skip
        elif isinstance(target, ast.Subscript):
            address, array = self.element(target)
            element = _ELEMENTS[array]
            text = self.as_kind(target, value, "double" if element == "double" else "i64")
            if element == "i32":
                text = self.fresh(f"trunc i64 {text} to i32")
            self.lines.append(f"store {element} {text}, ptr {address}")
        else:
            self.refuse(target, "only names and elements can be assigned to")

    def choose(self, s: ast.If) -> None:
        then, otherwise, after = self.label("then"), self.label("else"), self.label("after")
        self.branch(s.test, then, otherwise)
        for label, body in ((then, s.body), (otherwise, s.orelse)):
            self.begin(label)
            self.block(body)
            self.go(after)
        self.begin(after)

    def loop(self, s: ast.While) -> None:
        head, body, after = self.label("head"), self.label("body"), self.label("after")
        self.go(head)
        self.begin(head)
        self.branch(s.test, body, after)
        self.begin(body)
        self.loops.append((after, head))
        self.block(s.body)
        self.loops.pop()
        self.go(head)
        self.begin(after)

    def count(self, s: ast.For, name: str, args: list[ast.expr]) -> None:
        """`range` with one or two ends; the name keeps its value only within the body."""
        if ast.unparse(s.iter).split("(")[0] != "range" or len(args) > 2:
            self.refuse(s, "loops run over range(stop) or range(start, stop)")
        ends = [self.as_kind(a, self.value(a), "i64") for a in args]
        start, stop = ("0", *ends)[-2:]
        self.slots.setdefault(name, "i64")
        head, body, step, after = (self.label(h) for h in ("head", "body", "step", "after"))
        counter = f"{name}.at{self.numbers}"
        self.slots[counter] = "i64"
        self.lines.append(f"store i64 {start}, ptr %{counter}.slot")
        self.go(head)
        self.begin(head)
        at = self.fresh(f"load i64, ptr %{counter}.slot")
        more = self.fresh(f"icmp slt i64 {at}, {stop}")
        self.lines.append(f"br i1 {more}, label %{body}, label %{after}")
        self.begin(body)
        self.lines.append(f"store i64 {at}, ptr %{name}.slot")
        self.loops.append((after, step))
        self.block(s.body)
        self.loops.pop()
        self.go(step)
        self.begin(step)
        following = self.fresh(f"add nsw i64 {at}, 1")
        self.lines.append(f"store i64 {following}, ptr %{counter}.slot")
        self.go(head)
        self.begin(after)

    def leave(self, s: ast.Return) -> None:
        if s.value is None:
            self.lines.append("ret void")
        else:
            text = self.as_kind(s, self.value(s.value), self.result)
            self.lines.append(f"ret {self.result} {text}")
        self.begin(self.label("after"))

    # -- expressions -----------------------------------------------------------------------------

    def value(self, e: ast.expr) -> _Value:
        match e:
            case ast.Constant(value=bool() as truth):
                return _Value("true" if truth else "false", "i1")
            case ast.Constant(value=int() as number):
                return _Value(str(number), "i64")
            case ast.Constant(value=float() as number):
                return _Value(_float(number), "double")
            case ast.Name() | ast.Attribute():
                return self.named(e)
            case ast.Subscript():
                return self.loaded(e)
            case ast.BinOp():
                return self.binary(e, e.op, self.value(e.left), e.right)
            case ast.UnaryOp(op=ast.USub()):
                return self.negated(self.value(e.operand))
            case ast.UnaryOp(op=ast.Not()):
                return _Value(self.fresh(f"xor i1 {self.truth(self.value(e.operand))}, 1"), "i1")
            case ast.Compare(ops=[op], comparators=[right]):
                return self.compared(e, op, self.value(e.left), self.value(right))
            case ast.BoolOp():
                return self.short_circuit(e)
            case ast.IfExp():
                return self.selected(self.value(e.test), self.value(e.body), self.value(e.orelse))
        if not isinstance(e, ast.Call):
            self.refuse(e, f"{ast.unparse(e)} is no expression of plain functions")
        return self.call(e)

    def named(self, e: ast.Name | ast.Attribute) -> _Value:
        name = ast.unparse(e)
        if name in self.slots:
            kind = self.slots[name]
            return _Value(self.fresh(f"load {kind}, ptr %{name}.slot"), kind)
        if name in self.parameters:
            return _Value(self.registers[name], self.parameters[name].kind)
        constant = self.function.__globals__.get(name)
        if not isinstance(constant, (int, float)):
            self.refuse(e, f"{name} is neither a local, a parameter nor a constant number")
        return self.value(ast.Constant(constant))

    def element(self, e: ast.Subscript) -> tuple[str, str]:
        name = ast.unparse(e.value)
        if name not in self.parameters or not self.parameters[name].array:
            self.refuse(e, f"{name} is no array")
        array = self.parameters[name].array
        index = self.as_kind(e, self.value(e.slice), "i64")
        address = f"getelementptr inbounds {_ELEMENTS[array]}, ptr {self.registers[name]}, i64"
        return self.fresh(f"{address} {index}"), array

    def loaded(self, e: ast.Subscript) -> _Value:
        address, array = self.element(e)
        element = _ELEMENTS[array]
        text = self.fresh(f"load {element}, ptr {address}")
        if element == "i32":
            text = self.fresh(f"sext i32 {text} to i64")
        return _Value(text, "double" if element == "double" else "i64")

    def binary(
        self, at: ast.expr | ast.stmt, op: ast.operator, left: _Value, other: ast.expr
    ) -> _Value:
        right = self.value(other)
        if isinstance(op, ast.Div) or "double" in (left.kind, right.kind):
            if type(op) not in _FLOAT:
                self.refuse(at, f"{type(op).__name__} is for integers")
            a, b = (self.as_kind(at, v, "double") for v in (left, right))
            return _Value(self.fresh(f"{_FLOAT[type(op)]} double {a}, {b}"), "double")
        a, b = (self.as_kind(at, v, "i64") for v in (left, right))
        if isinstance(op, (ast.FloorDiv, ast.Mod)):
            return self.divided(isinstance(op, ast.FloorDiv), a, b)
        if type(op) not in _INTEGER:
            self.refuse(at, f"{type(op).__name__} is no operation of plain functions")
        return _Value(self.fresh(f"{_INTEGER[type(op)]} i64 {a}, {b}"), "i64")

    def divided(self, quotient: bool, a: str, b: str) -> _Value:
        """Rounded towards minus infinity, as Python does."""
        rest = self.fresh(f"srem i64 {a}, {b}")
        odd = self.fresh(f"icmp ne i64 {rest}, 0")
        signs = self.fresh(f"xor i64 {rest}, {b}")
        differ = self.fresh(f"icmp slt i64 {signs}, 0")
        wrong = self.fresh(f"and i1 {odd}, {differ}")
        if quotient:
            ratio = self.fresh(f"sdiv i64 {a}, {b}")
            less = self.fresh(f"sext i1 {wrong} to i64")
            return _Value(self.fresh(f"add i64 {ratio}, {less}"), "i64")
        more = self.fresh(f"add i64 {rest}, {b}")
        return _Value(self.fresh(f"select i1 {wrong}, i64 {more}, i64 {rest}"), "i64")

    def negated(self, v: _Value) -> _Value:
        if v.kind == "double":
            return _Value(self.fresh(f"fneg double {v.text}"), "double")
        return _Value(self.fresh(f"sub i64 0, {v.text}"), "i64")

    def compared(self, at: ast.expr, op: ast.cmpop, left: _Value, right: _Value) -> _Value:
        if type(op) not in _ORDER:
            self.refuse(at, f"{type(op).__name__} is no comparison of plain functions")
        order = _ORDER[type(op)]
        if "double" in (left.kind, right.kind):
            a, b = (self.as_kind(at, v, "double") for v in (left, right))
            prefix = "u" if order == "ne" else "o"
            return _Value(self.fresh(f"fcmp {prefix}{order} double {a}, {b}"), "i1")
        a, b = (self.as_kind(at, v, "i64") for v in (left, right))
        signed = order if order in ("eq", "ne") else f"s{order}"
        return _Value(self.fresh(f"icmp {signed} i64 {a}, {b}"), "i1")

    def short_circuit(self, e: ast.BoolOp) -> _Value:
        """Later operands are not evaluated once the outcome is known."""
        slot = self.label("truth")
        self.slots[slot] = "i1"
        after = self.label("after")
        for operand in e.values:
            truth = self.truth(self.value(operand))
            self.lines.append(f"store i1 {truth}, ptr %{slot}.slot")
            further = self.label("further")
            ends = (further, after) if isinstance(e.op, ast.And) else (after, further)
            self.lines.append(f"br i1 {truth}, label %{ends[0]}, label %{ends[1]}")
            self.begin(further)
        self.go(after)
        self.begin(after)
        return _Value(self.fresh(f"load i1, ptr %{slot}.slot"), "i1")

    def selected(self, test: _Value, then: _Value, otherwise: _Value) -> _Value:
        kind = "double" if "double" in (then.kind, otherwise.kind) else then.kind
        a, b = (self.converted(v, kind) for v in (then, otherwise))
        return _Value(self.fresh(f"select i1 {self.truth(test)}, {kind} {a}, {kind} {b}"), kind)

    def call(self, e: ast.Call) -> _Value:
        name = ast.unparse(e.func)
        if name in ("min", "max") and len(e.args) == 2:
            left, right = (self.value(a) for a in e.args)
            # Python's keeps the first of two equals, and the first where nothing compares.
            op: ast.cmpop = ast.Lt() if name == "min" else ast.Gt()
            return self.selected(self.compared(e, op, right, left), right, left)
        if name == "abs":
            value = self.value(e.args[0])
            below = self.compared(e, ast.Lt(), value, _Value("0", "i64"))
            return self.selected(below, self.negated(value), value)
        if name == "math.sqrt":
            text = self.as_kind(e, self.value(e.args[0]), "double")
            return _Value(self.fresh(f"call double @llvm.sqrt.f64(double {text})"), "double")
        if name in _SCALARS:
            return _Value(self.converted(self.value(e.args[0]), _SCALARS[name]), _SCALARS[name])
        if name not in self.functions:
            self.refuse(e, f"{name} is not a plain function that was given")
        return self.called(e, self.functions[name])

    def called(self, e: ast.Call, function: PlainFunction) -> _Value:
        names = [a.arg for a in _tree(function).args.args]
        given = dict(zip(names, e.args, strict=True))
        passed = []
        for parameter in declared(function):
            first, _, field = parameter.name.partition(".")
            whole = ast.unparse(given[first])
            if field or parameter.array:
                name = f"{whole}.{field}" if field else whole
                if name not in self.parameters:
                    self.refuse(e, f"{name} is no parameter that can be passed on")
                passed.append(f"{parameter.kind} {self.registers[name]}")
            else:
                text = self.as_kind(e, self.value(given[first]), parameter.kind)
                passed.append(f"{parameter.kind} {text}")
        kind = result_kind(function)
        call = f"call {kind} @{function.__name__}({', '.join(passed)})"
        if kind == "void":
            self.lines.append(call)
            return _Value("", "void")
        return _Value(self.fresh(call), kind)

    # -- kinds -----------------------------------------------------------------------------------

    def truth(self, v: _Value) -> str:
        if v.kind == "i1":
            return v.text
        if v.kind == "double":
            return self.fresh(f"fcmp une double {v.text}, 0.0")
        return self.fresh(f"icmp ne i64 {v.text}, 0")

    def as_kind(self, at: ast.AST, v: _Value, kind: str) -> str:
        """Widened where Python would; a float never becomes an integer by itself."""
        if v.kind == "void" or (v.kind == "double" and kind != "double"):
            self.refuse(at, f"{v.kind} where {kind} is needed")
        return self.converted(v, kind)

    def converted(self, v: _Value, kind: str) -> str:
        if v.kind == kind:
            return v.text
        if kind == "i1":
            return self.truth(v)
        if kind == "double":
            wide = self.converted(v, "i64")
            return self.fresh(f"sitofp i64 {wide} to double")
        if v.kind == "double":
            return self.fresh(f"fptosi double {v.text} to i64")
        return self.fresh(f"zext i1 {v.text} to i64")


def _zero(kind: str) -> str:
    return {"double": "0.0", "i64": "0", "i1": "false"}[kind]


def _float(number: float) -> str:
    (bits,) = struct.unpack(">Q", struct.pack(">d", number))
    return f"0x{bits:016X}"
