"""The rules of a signature as the tests that the object's entry makes."""

from __future__ import annotations

from collections.abc import Sequence

from ..codegen.llvm import contract
from ..codegen.llvm.contract import Area, Message, Shipped, Test, Version
from ..codegen.llvm.platform import Platform
from ..codegen.llvm.selftest import Selftest
from ..ir.program import Program
from ..kernel.dims import DimVar
from .header import interface_symbol
from .rules import Kind, Rule, condition_sides
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
    home: str = "",
    has_weights: bool = True,
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
        messages=(Message("", "success"), *(rule.text for rule in rules)),
        weights=weights,
        weights_nbytes=signature.weights_nbytes,
        sections=platform.sections,
        pointer_bits=platform.pointer_bits,
        layout=layout,
        interface=interface_symbol(signature),
        digest=digest,
        description=description,
        support=support,
        selftest=selftest,
        home=home,
        has_weights=has_weights,
        checks_weights=weights != "embedded",
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
        case Kind.INPUTS:
            return contract.NotNull("in", code)
        case Kind.OUTPUTS:
            return contract.NotNull("out", code)
        case Kind.CONTEXT:
            return contract.NotNull("context", code)
        case Kind.CONTEXT_SIZE:
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
            left, right = condition_sides(condition)
            return contract.Relation(left, condition.relation, right, code)
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
        case Kind.OVERLAP:
            return _areas(signature, weights, code)


def _array(struct: str, index: int, tensor: Tensor, code: int) -> Test:
    return contract.ArrayPointer(struct, index, tensor.nelems, tensor.dtype.nbytes, code)


def _areas(signature: Signature, weights: str, code: int) -> contract.Apart:
    """Everything that a call writes, and everything that it reads."""
    updated = {t.updates for t in signature.outputs if t.updates}
    inputs = [(t, Area("in", n, t.nbytes, f"{t.role} '{t.name}'"))
              for n, t in enumerate(signature.inputs)]  # fmt: skip
    outputs = [Area("out", n, t.nbytes, f"output '{t.name}'")
               for n, t in enumerate(signature.results)]  # fmt: skip
    changed = [area for t, area in inputs if t.name in updated]
    read = [area for t, area in inputs if t.name not in updated]
    if weights != "embedded" and signature.weights_nbytes:
        header = contract.WEIGHTS_HEADER_BYTES if weights == "file" else 0
        nbytes = header + signature.weights_nbytes
        read.append(Area("constants", 0, nbytes, "the weights"))
    workspace = Area("workspace", 0, 0, "the workspace")
    return contract.Apart((*outputs, *changed, workspace), tuple(read), code)
