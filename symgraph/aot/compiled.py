"""The versions of a program that one object holds, and their common signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..codegen.llvm.emit import Layout
from ..codegen.llvm.machine import Machine
from ..codegen.llvm.platform import Platform
from ..codegen.llvm.target import LLVMTarget
from ..codegen.llvm.versions import level_of
from ..codegen.target import find_target
from ..compiler import Build
from ..errors import TargetError
from ..ir.program import Program
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..options import Options
from ..passes.infer_types import InferTypes
from .names import identifier
from .request import Request
from .share_weights import share_weights
from .signature import Signature, refuse_host_operators, signature_of
from .weights import Block


@dataclass(frozen=True)
class Compiled:
    """One version of the program; `level` is that of x86-64, 0 elsewhere; `extents` are those it
    alone is for, none for the version that fits every call."""

    level: int
    extents: Mapping[str, int]
    options: Options
    program: Program
    machine: Machine
    layout: Layout
    text: str


def _enough(versions: Sequence[Compiled], sizes: Sequence[Dim]) -> Dim:
    """A size that is enough for every version: the largest of those for all extents, and where a
    version for some extents alone needs more than that, so much more."""
    result: Dim = 0
    for version, size in zip(versions, sizes, strict=True):
        if not version.extents:
            result = dims.maximum(result, size)
    slack = 0
    for version, size in zip(versions, sizes, strict=True):
        if version.extents:
            env = {DimVar(name): value for name, value in version.extents.items()}
            gap = dims.add(size, dims.mul(dims.substitute(result, env), -1))
            _, high = dims.bounds(gap)
            if high is None:
                result = dims.maximum(result, size)
            else:
                slack = max(slack, high)
    return dims.add(result, slack)


@dataclass(frozen=True)
class _Draft:
    """A version before its weights are shared."""

    entry: int
    level: int
    extents: Mapping[str, int]
    options: Options
    program: Program


def compile_entries(requests: Sequence[Request]) -> tuple[tuple[Compiled, ...], ...]:
    """The program of each entry compiled for each processor and size, by falling level; all of
    them with the same constants."""
    target = find_target("llvm")
    assert isinstance(target, LLVMTarget)
    drafts = [d for n, request in enumerate(requests) for d in _drafts(n, request, target)]
    drafts.sort(key=lambda draft: (draft.entry, -draft.level))
    preferred = sorted(
        range(len(drafts)), key=lambda n: (-drafts[n].level, bool(drafts[n].extents))
    )
    shared = share_weights([draft.program for draft in drafts], preferred)
    made = [
        Compiled(
            draft.level,
            draft.extents,
            draft.options,
            program,
            target.machine(draft.options),
            target.layout(program, draft.options, requests[draft.entry].alone),
            target.emit(program, draft.options, requests[draft.entry].alone),
        )
        for draft, program in zip(drafts, shared, strict=True)
    ]
    return tuple(
        tuple(c for d, c in zip(drafts, made, strict=True) if d.entry == number)
        for number in range(len(requests))
    )


def _drafts(entry: int, request: Request, target: LLVMTarget) -> Iterator[_Draft]:
    for cpu in request.cpus:
        options = request.options.with_(cpu=cpu)
        for extents in (*request.special_extents(), {}):
            at = ", ".join(f"{k}={v}" for k, v in extents.items())
            request.progress(f"graph to kernels for {cpu or 'the processor'}{at and f' at {at}'}")
            program = _build(request, options, _fixed_shapes(request, extents)).program(target)
            refuse_host_operators(program)
            yield _Draft(entry, level_of(target.machine(options)), extents, options, program)


def _fixed_shapes(request: Request, extents: Mapping[str, int]) -> dict[str, Any]:
    """The shapes of all variables with some extents fixed.  Raises: TargetError."""
    if not extents:
        return dict(request.shapes)
    typed = InferTypes(request.shapes, request.dtypes, request.params).run(request.graph)
    values = {DimVar(name): value for name, value in extents.items()}
    shapes, seen = dict(request.shapes), set[str]()
    for node in typed.variables:
        shape = node.types[0].shape
        assert shape is not None
        named = {v.name for dim in shape for v in dims.dim_vars(dim)}
        seen |= named
        if named & set(extents):
            shapes[typed.names[node]] = tuple(dims.substitute(d, values) for d in shape)
    unknown = sorted(set(extents) - seen)
    if unknown:
        raise TargetError(
            f"export: there is no open extent {unknown[0]!r} to specialise; the open ones are "
            f"{', '.join(sorted(seen)) or 'none'}"
        )
    return shapes


def _build(request: Request, options: Options, shapes: Mapping[str, Any]) -> Build:
    return Build(
        request.graph,
        request.params,
        request.training,
        shapes,
        request.dtypes,
        identifier(request.name, "model"),
        options,
        keep_recipes=request.weights != "embedded",
    )


def signature_for(
    request: Request, versions: Sequence[Compiled], platform: Platform, block: Block
) -> Signature:
    names = request.graph.names
    origins = {names[n]: str(n.origin) for n in request.graph.variables if str(n.origin)}
    shared = _enough(versions, [v.layout.workspace.nbytes(0) for v in versions])
    own = _enough(versions, [v.layout.workspace.own for v in versions])
    if request.alone:
        shared, own = dims.add(shared, own), 0
    levels = tuple(dict.fromkeys(v.level for v in versions))
    return signature_of(
        [versions[-1].program, *(v.program for v in versions[:-1])],
        request.name,
        workspace=shared,
        thread_workspace=own,
        weights=block.arrays,
        weights_nbytes=len(block.data),
        levels=levels if len(levels) > 1 else (),
        processor=min(levels),
        ranges=request.ranges,
        origins={name: f"declared at {place}" for name, place in origins.items()},
        pointer_bits=platform.pointer_bits,
    )
