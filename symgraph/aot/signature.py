"""What an artefact takes and gives: tensors, extents, conditions and memory, by name.

A signature is read off a program and written into the header, the metadata and the entry function,
so that all three say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import TargetError
from ..ir.program import HostStep, Port, Program
from ..kernel import dims
from ..kernel.dims import Dim, DimVar, FloorDiv, Mod
from ..kernel.dtypes import DType, as_dtype
from ..kernel.packing import Packing
from .formula import greatest_extent
from .names import identifier, unique_identifiers

ALIGNMENT = 64
"""Of the workspace and of the block of weights, in bytes."""

MOST_THREADS = 1024


@dataclass(frozen=True, slots=True)
class Tensor:
    """One array of the interface.

    `field` is its C name; `role` is "input", "parameter", "auxiliary" or "output"; `updates` names
    the input over which an output is written; `origin` says where the user declared it.
    """

    name: str
    field: str
    dtype: DType
    shape: tuple[Dim, ...]
    role: str
    updates: str = ""
    origin: str = ""

    @property
    def nelems(self) -> Dim:
        return dims.product(self.shape)

    @property
    def nbytes(self) -> Dim:
        return dims.mul(self.nelems, self.dtype.nbytes)

    def __str__(self) -> str:
        return f"{self.dtype.name}{dims.dim_text(self.shape)}"


@dataclass(frozen=True, slots=True)
class Extent:
    """An open extent: legal values are `low` to `high`, both included.

    `is_limited` says that the user gave the limits; else they are what the arithmetic can bear.
    """

    name: str
    field: str
    low: int
    high: int
    is_limited: bool = False


@dataclass(frozen=True, slots=True)
class Condition:
    """`left relation right` must hold among the extents; `message` says why."""

    left: Dim
    relation: str
    right: Dim
    message: str


@dataclass(frozen=True, slots=True)
class Weight:
    """One constant in the block of weights, `offset` bytes from its start.

    `shape` is the array's own; with `packing` its elements lie in the block in that order.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    offset: int
    packing: Packing | None = None

    @property
    def order(self) -> list[Any] | None:
        """The packing, for the description."""
        return None if self.packing is None else [
            list(self.packing.view), list(self.packing.order), self.packing.panel]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Signature:
    """The interface of one artefact; `prefix` begins every C name.

    A call on `threads` threads needs `workspace + thread_workspace * threads` bytes.  `levels` are
    the x86-64 levels between which the object chooses, none when it has only one version.
    """

    prefix: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    extents: tuple[Extent, ...]
    conditions: tuple[Condition, ...]
    workspace: Dim
    thread_workspace: Dim
    alignment: int
    weights: tuple[Weight, ...]
    weights_nbytes: int
    levels: tuple[int, ...] = ()
    processor: int = 0
    """The level of x86-64 that every call needs; 0 and 1 need nothing."""

    @property
    def fields(self) -> Mapping[str, str]:
        """The C name of each open extent."""
        return {extent.name: extent.field for extent in self.extents}

    @property
    def asks_processor(self) -> bool:
        """The object has NAME_isa, and context.flags may say what that returns."""
        return bool(self.levels) or self.processor > 1

    @property
    def needed(self) -> Dim:
        """The workspace of a call on the calling thread alone."""
        return dims.add(self.workspace, self.thread_workspace)

    def largest(self, dim: Dim) -> int | None:
        """No legal extents make the expression larger; None where one has no limit."""
        used = {variable.name for variable in dims.dim_vars(dim)}
        if any(e.name in used and not e.is_limited for e in self.extents):
            return None
        legal = {DimVar(e.name): (e.low, e.high) for e in self.extents}
        return dims.bounds(dim, legal)[1]

    @property
    def results(self) -> tuple[Tensor, ...]:
        """The outputs with an array of their own."""
        return tuple(t for t in self.outputs if not t.updates)


def signature_of(
    programs: Sequence[Program],
    prefix: str,
    *,
    workspace: Dim,
    thread_workspace: Dim,
    weights: tuple[Weight, ...],
    weights_nbytes: int,
    levels: tuple[int, ...] = (),
    processor: int = 0,
    ranges: Mapping[str, tuple[int, int]] | None = None,
    origins: Mapping[str, str] | None = None,
    pointer_bits: int = 64,
) -> Signature:
    """The signature of a planned program, given as one or more versions with the same interface.

    workspace, thread_workspace   bytes that a call needs, and that each of its threads needs
    ranges   legal values of open extents, both ends included
    origins  where the user declared each variable, for the documentation

    Raises: TargetError for a host operator, which needs Python to run.
    """
    program = programs[0]
    ports = (*program.inputs, *(p for p in program.outputs if not p.updates))
    names = unique_identifiers([v.name for v in program.dims], fallback="n")
    fields = unique_identifiers([p.name for p in ports], names)
    known = dict(zip(ports, fields, strict=True))
    where = origins or {}

    def tensor(port: Port) -> Tensor:
        field = known[port] if port in known else known[_updated(program, port)]
        assert port.type.shape is not None
        return Tensor(
            port.name,
            field,
            as_dtype(port.type.dtype),
            port.type.shape,
            port.role,
            port.updates,
            where.get(port.name, ""),
        )

    inputs = tuple(tensor(p) for p in program.inputs)
    outputs = tuple(tensor(p) for p in program.outputs)
    total = dims.add(workspace, dims.mul(thread_workspace, MOST_THREADS))
    sizes = [total, *(b.type.nbytes for version in programs for b in version.buffers)]
    extents = _extents(program, names, sizes, ranges or {}, pointer_bits)
    return Signature(
        prefix=identifier(prefix, "model"),
        inputs=inputs,
        outputs=outputs,
        extents=extents,
        conditions=_conditions(program, (*inputs, *outputs), total),
        workspace=workspace,
        thread_workspace=thread_workspace,
        alignment=ALIGNMENT,
        weights=weights,
        weights_nbytes=weights_nbytes,
        levels=levels,
        processor=processor,
    )


def _updated(program: Program, port: Port) -> Port:
    return next(p for p in program.inputs if p.name == port.updates)


def refuse_host_operators(program: Program) -> None:
    """Raises: TargetError that names the first host operator and where it was written."""
    for step in program.timeline:
        if isinstance(step, HostStep):
            raise TargetError(
                f"export: node {step.name!r} (declared at {step.node.origin}) is the host operator "
                f"{step.node.op.name!r}, which calls back into Python and cannot be shipped; write "
                f"its forward as index expressions or from other operators"
            )


def _extents(
    program: Program,
    names: tuple[str, ...],
    sizes: list[Dim],
    ranges: Mapping[str, tuple[int, int]],
    pointer_bits: int,
) -> tuple[Extent, ...]:
    unknown = sorted(set(ranges) - {v.name for v in program.dims})
    if unknown:
        known = ", ".join(v.name for v in program.dims) or "none"
        raise TargetError(
            f"export: there is no open extent {unknown[0]!r} to limit; the open ones are {known}"
        )
    for name, (low, high) in ranges.items():
        if not 0 <= low <= high:
            raise TargetError(f"export: extent {name} needs 0 <= low <= high, got {low}..{high}")
    limit = greatest_extent(sizes, pointer_bits - 1, {k: high for k, (_, high) in ranges.items()})
    result = []
    for variable, field in zip(program.dims, names, strict=True):
        low, high = ranges.get(variable.name, (0, limit))
        is_limited = variable.name in ranges
        result.append(Extent(variable.name, field, low, min(high, limit), is_limited))
    return tuple(result)


def _conditions(
    program: Program, tensors: tuple[Tensor, ...], workspace: Dim
) -> tuple[Condition, ...]:
    """The program's own checks, then what every size and division needs."""
    found = [Condition(c.left, c.relation, c.right, c.message) for c in program.checks]
    for divisor in _divisors([workspace, *(d for t in tensors for d in t.shape)]):
        low = dims.bounds(divisor)[0]
        if low is None or low < 1:
            found.append(Condition(divisor, ">=", 1, f"{divisor} is divided by"))
    for tensor in tensors:
        for axis, extent in enumerate(tensor.shape):
            low = dims.bounds(extent)[0]
            if low is None or low < 0:
                message = f"{tensor.role} '{tensor.name}' dim {axis} ({extent}) is negative"
                found.append(Condition(extent, ">=", 0, message))
    return tuple(dict.fromkeys(found))


def _divisors(expressions: list[Dim]) -> Iterator[Dim]:
    for expression in expressions:
        for atom in dims.atoms(expression):
            if isinstance(atom, (FloorDiv, Mod)) and not isinstance(atom.b, int):
                yield atom.b
