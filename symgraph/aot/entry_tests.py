"""The rules of a signature as the tests that the object's entry makes."""

from __future__ import annotations

from collections.abc import Sequence

from ..codegen.llvm import contract
from ..codegen.llvm.contract import Shipped, Test, Version
from ..codegen.llvm.platform import Platform
from ..codegen.llvm.selftest import Selftest
from ..ir.program import Program
from ..kernel.dims import DimVar
from .rules import Kind, Rule
from .signature import MOST_THREADS, Signature, Tensor


def entry_of(
    signature: Signature,
    program: Program,
    rules: Sequence[Rule],
    weights: str,
    platform: Platform,
    description: bytes,
    layout: bytes,
    digest: bytes,
    support: tuple[str, ...] = (),
    selftest: tuple[Version, Selftest] | None = None,
) -> Shipped:
    """What codegen needs to write the checked entry."""
    return Shipped(
        prefix=signature.prefix,
        inputs=len(signature.inputs),
        extents=program.dims,
        outputs=_places(signature),
        arena_nbytes=signature.workspace,
        thread_nbytes=signature.thread_workspace,
        tests=tuple(_test(rule, signature, weights) for rule in rules),
        messages=("success", *(rule.message for rule in rules)),
        weights=weights,
        weights_nbytes=signature.weights_nbytes,
        sections=platform.sections,
        pointer_bits=platform.pointer_bits,
        layout=layout,
        digest=digest,
        description=description,
        support=support,
        selftest=selftest,
    )


def _places(signature: Signature) -> tuple[tuple[str, int], ...]:
    """For each output of the program the struct and the position of its pointer."""
    position = {tensor.name: n for n, tensor in enumerate(signature.inputs)}
    places, count = [], 0
    for tensor in signature.outputs:
        if tensor.updates:
            places.append(("in", position[tensor.updates]))
        else:
            places.append(("out", count))
            count += 1
    return tuple(places)


def _test(rule: Rule, signature: Signature, weights: str) -> Test:
    code, index = rule.code, rule.index
    match rule.kind:
        case Kind.STRUCTS:
            return contract.NotNull(code)
        case Kind.CONTEXT:
            return contract.ContextSize(code)
        case Kind.FLAGS:
            return contract.Flags(4 if signature.asks_processor else 0, code)
        case Kind.PROCESSOR:
            return contract.Processor(signature.processor, code)
        case Kind.THREADS:
            return contract.ThreadRange(MOST_THREADS, code)
        case Kind.EXTENT:
            extent = signature.extents[index]
            return contract.ExtentRange(DimVar(extent.name), extent.low, extent.high, code)
        case Kind.CONDITION:
            condition = signature.conditions[index]
            return contract.Relation(condition.left, condition.relation, condition.right, code)
        case Kind.INPUT:
            return _array("in", index, signature.inputs[index], code)
        case Kind.OUTPUT:
            return _array("out", index, signature.results[index], code)
        case Kind.WEIGHTS:
            return contract.WeightsPointer(4096 if weights == "file" else 64, code)
        case Kind.WEIGHTS_FILE:
            return contract.WeightsFile(code)
        case Kind.WORKSPACE:
            return contract.WorkspacePointer(code)
        case Kind.WORKSPACE_SIZE:
            return contract.WorkspaceSize(code)


def _array(struct: str, index: int, tensor: Tensor, code: int) -> Test:
    return contract.ArrayPointer(struct, index, tensor.nelems, tensor.dtype.nbytes, code)
