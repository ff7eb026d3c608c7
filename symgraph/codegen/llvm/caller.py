"""The structs of a caller as IR values: what NAME_run and its tests both read.

The caller's structs have the layout of the machine's C compiler; extents are loaded once.
"""

from __future__ import annotations

from ...kernel import dims
from ...kernel.dims import Dim, DimVar
from .builder import FunctionBuilder, ModuleBuilder
from .contract import CONTEXT_FIELDS, Shipped
from .indices import Indices
from .machine import Machine

SIZE, FLAGS, PARALLEL_FOR, POOL, THREADS, CONSTANTS, WORKSPACE_BYTES = range(7)
"""Positions in sg_context."""

POINTERS = "ptr %in, ptr %out, ptr %workspace, ptr %context"
"""The parameters of NAME_run, in IR."""


class Caller(Indices):
    """One function that gets what NAME_run gets."""

    def __init__(self, machine: Machine, shipped: Shipped) -> None:
        super().__init__(FunctionBuilder(ModuleBuilder()), machine)
        self.shipped = shipped
        self.word = f"i{shipped.pointer_bits}"
        self.in_type = _struct(shipped.inputs, len(shipped.extents))
        count = len({i for kind, i in shipped.outputs if kind == "out"})
        self.out_type = _struct(count, 0)
        self.context_type = "{" + ", ".join(CONTEXT_FIELDS) + "}"

    def load(self, struct: str, base: str, index: int, type: str) -> str:
        pointer = self.builder.pure(f"getelementptr {struct}, ptr {base}, i32 0, i32 {index}")
        return self.builder.pure(f"load {type}, ptr {pointer}")

    def context(self, field: int) -> str:
        return self.load(self.context_type, "%context", field, CONTEXT_FIELDS[field])

    def array(self, struct: str, index: int) -> str:
        """A pointer of the inputs ("in") or outputs ("out")."""
        type, base = (self.in_type, "%in") if struct == "in" else (self.out_type, "%out")
        return self.load(type, base, index, "ptr")

    def extent(self, extent: DimVar) -> str:
        if extent not in self.variables:
            index = self.shipped.inputs + self.shipped.extents.index(extent)
            self.variables[extent] = (0, self.load(self.in_type, "%in", index, "i64"))
        return self.variables[extent][1]

    def value(self, dim: Dim) -> str:
        """An expression at the current place: every earlier test has passed here."""
        for extent in dims.dim_vars(dim):
            self.extent(extent)
        self.builder.scopes[0].hoist = self.builder.current
        return self.scalar(dim)

    def level(self) -> str:
        """What the caller says the processor can do, or what it is found to."""
        builder = self.builder
        flags = self.context(FLAGS)
        ask, known = builder.block("ask"), builder.block("known")
        before = builder.current.name
        unknown = builder.pure(f"icmp eq i32 {flags}, 0")
        builder.line(f"br i1 {unknown}, label %{ask.name}, label %{known.name}")
        builder.place(ask)
        found = builder.fresh()
        builder.line(f"{found} = call i32 @{self.shipped.prefix}_isa()")
        builder.line(f"br label %{known.name}")
        builder.place(known)
        level = builder.fresh()
        builder.line(f"{level} = phi i32 [{flags}, %{before}], [{found}, %{ask.name}]")
        return level

    def slots(self, name: str, count: int) -> str:
        """Room for `count` numbers of 8 bytes on the stack."""
        entry = self.builder.blocks[0]
        entry.lines.insert(0, f"%{name} = alloca [{max(1, count)} x i64], align 8")
        return f"%{name}"

    def store(self, base: str, number: int, type: str, value: str) -> None:
        slot = self.builder.pure(f"getelementptr i8, ptr {base}, i32 {8 * number}")
        self.builder.line(f"store {type} {value}, ptr {slot}, align 8")


def _struct(pointers: int, numbers: int) -> str:
    fields = ["ptr"] * pointers + ["i64"] * numbers
    return "{" + ", ".join(fields or ["i64"]) + "}"
