"""The conditions that a call must meet: one error code, one message, one test in the object each.

The order is the order of testing.  Code 0 is success.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..codegen.llvm.platform import X86_LEVELS
from ..kernel import dims
from .names import unique_identifiers
from .signature import MOST_THREADS, Signature, Tensor


class Kind(Enum):
    """What a rule tests; `Rule.index` is the position of what it tests in the signature."""

    STRUCTS = "structs"
    CONTEXT = "context"
    FLAGS = "flags"
    PROCESSOR = "processor"
    THREADS = "threads"
    EXTENT = "extent"
    CONDITION = "condition"
    INPUT = "input"
    OUTPUT = "output"
    WEIGHTS = "weights"
    WEIGHTS_FILE = "weights_file"
    WORKSPACE = "workspace"
    WORKSPACE_SIZE = "workspace_size"


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` ends the C constant, `message` is what strerror returns."""

    code: int
    name: str
    kind: Kind
    index: int
    message: str


def rules_of(signature: Signature, weights: str) -> tuple[Rule, ...]:
    """Every rule of an artefact whose weights are "embedded", a "file" or a "pointer"."""
    found: list[tuple[str, Kind, int, str]] = [
        ("STRUCTS", Kind.STRUCTS, 0, "inputs, outputs and context must not be NULL"),
        (
            "CONTEXT",
            Kind.CONTEXT,
            0,
            "context.size must be sizeof(sg_context) or more: was the context initialised, and is "
            "the header the one that was written with the object?",
        ),
        ("FLAGS", Kind.FLAGS, 0, _flags_message(signature)),
        *_processor_rule(signature),
        ("THREADS", Kind.THREADS, 0, f"context.threads must be 0 to {MOST_THREADS}"),
    ]
    for i, extent in enumerate(signature.extents):
        message = f"extent {extent.name} must be {extent.low} to {extent.high}"
        found.append((f"EXTENT_{extent.field}", Kind.EXTENT, i, message))
    for i, condition in enumerate(signature.conditions):
        message = (
            f"{condition.message}: need {condition.left} {condition.relation} {condition.right}"
        )
        found.append((f"CONDITION_{i + 1}", Kind.CONDITION, i, message))
    for kind, tensors in ((Kind.INPUT, signature.inputs), (Kind.OUTPUT, signature.results)):
        for i, tensor in enumerate(tensors):
            found.append((tensor.field, kind, i, _pointer_message(kind.value, tensor)))
    if weights != "embedded":
        found.append(("WEIGHTS", Kind.WEIGHTS, 0, _weights_message(weights)))
    if weights == "file":
        message = "context.constants is not the weights file of this model"
        found.append(("WEIGHTS_FILE", Kind.WEIGHTS_FILE, 0, message))
    per_thread = "" if signature.thread_workspace == 0 else f"{signature.thread_workspace}"
    needed = f"{signature.workspace}" + (f" + threads*({per_thread})" if per_thread else "")
    found += [
        (
            "WORKSPACE",
            Kind.WORKSPACE,
            0,
            f"workspace must be aligned to {signature.alignment} bytes, and not NULL where it "
            f"needs any",
        ),
        (
            "WORKSPACE_SIZE",
            Kind.WORKSPACE_SIZE,
            0,
            f"context.workspace_bytes is too small: need {needed}",
        ),
    ]
    names = unique_identifiers([name.upper() for name, *_ in found])
    return tuple(
        Rule(code, name, kind, index, message)
        for code, (name, (_, kind, index, message)) in enumerate(
            zip(names, found, strict=True), start=1
        )
    )


def _processor_rule(signature: Signature) -> list[tuple[str, Kind, int, str]]:
    if signature.processor < 2:
        return []
    name = list(X86_LEVELS)[signature.processor - 1]
    message = (
        f"this processor, or its system, is below {name}, which the object was compiled for: "
        f"compile it for an older cpu, or for several"
    )
    return [("PROCESSOR", Kind.PROCESSOR, 0, message)]


def _flags_message(signature: Signature) -> str:
    if signature.asks_processor:
        return (
            "context.flags must be 0 (the processor is asked what it can do), or 1 to 4: the "
            "level of x86-64 to use"
        )
    return "context.flags must be 0"


def _pointer_message(word: str, tensor: Tensor) -> str:
    size = tensor.dtype.nbytes
    aligned = f" and must be aligned to {size} bytes" if size > 1 else ""
    empty = "" if _never_empty(tensor) else ", unless it has no elements,"
    return f"{word} '{tensor.name}' ({tensor}) must not be NULL{empty}{aligned}"


def _never_empty(tensor: Tensor) -> bool:
    low = dims.bounds(tensor.nelems)[0]
    return low is not None and low > 0


def _weights_message(weights: str) -> str:
    what = "the mapped weights file" if weights == "file" else "the block of weights"
    alignment = 4096 if weights == "file" else 64
    return f"context.constants must point to {what}, aligned to {alignment} bytes"
