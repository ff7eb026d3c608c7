"""The conditions that a call must meet: one error code, one message, one test in the object each.

The order is the order of testing.  Code 0 is success.  A message is `subject: need ...`; where a
call breaks the rule, NAME_explain puts between the two what it found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from ..codegen.llvm.contract import Detail, Message
from ..codegen.llvm.platform import X86_LEVELS
from ..kernel import dims
from ..kernel.dims import Dim, DimVar, FloorDiv
from .names import unique_identifiers
from .signature import MOST_THREADS, Condition, Signature, Tensor


class Kind(Enum):
    """What a rule tests; `Rule.index` is the position of what it tests in the signature."""

    INPUTS = "inputs"
    OUTPUTS = "outputs"
    CONTEXT = "context"
    CONTEXT_SIZE = "context_size"
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
    OVERLAP = "overlap"


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` ends the C constant, `message` is what strerror returns."""

    code: int
    name: str
    kind: Kind
    index: int
    text: Message

    @property
    def message(self) -> str:
        return self.text.text


_Found = tuple[str, Kind, int, Message]


def rules_of(signature: Signature, weights: str) -> tuple[Rule, ...]:
    """Every rule of an artefact whose weights are "embedded", a "file" or a "pointer"."""
    found = [
        *_context_rules(signature),
        *_extent_rules(signature),
        *_array_rules(signature),
        *_weights_rules(weights),
        *_workspace_rules(signature),
    ]
    names = unique_identifiers([name.upper() for name, *_ in found])
    return tuple(
        Rule(code, name, kind, index, message)
        for code, (name, (_, kind, index, message)) in enumerate(
            zip(names, found, strict=True), start=1
        )
    )


def _context_rules(signature: Signature) -> Iterator[_Found]:
    for kind in (Kind.INPUTS, Kind.OUTPUTS, Kind.CONTEXT):
        need = "need a pointer to the struct, not NULL"
        yield kind.name, kind, 0, Message(kind.value, need, Detail.ADDRESS)
    size = Message(
        "context.size",
        "less than sizeof(sg_context): initialise the context with SG_CONTEXT, and use the header "
        "that was written with the object",
        Detail.NEED,
    )
    yield "CONTEXT_SIZE", Kind.CONTEXT_SIZE, 0, size
    flags = "need 0"
    if signature.asks_processor:
        flags = "need 0 (the processor is asked what it can do), or 1 to 4: the level of x86-64"
    yield "FLAGS", Kind.FLAGS, 0, Message("context.flags", flags, Detail.NUMBER)
    if signature.processor > 1:
        name = list(X86_LEVELS)[signature.processor - 1]
        need = (
            f"need level {signature.processor}, {name}, which the object was compiled for: compile "
            f"it for an older cpu, or for several"
        )
        level = Message("x86-64 level of the processor and its system", need, Detail.NUMBER)
        yield "PROCESSOR", Kind.PROCESSOR, 0, level
    threads = Message("context.threads", f"need 0 to {MOST_THREADS}", Detail.NUMBER)
    yield "THREADS", Kind.THREADS, 0, threads


def _extent_rules(signature: Signature) -> Iterator[_Found]:
    for i, extent in enumerate(signature.extents):
        subject = _named(signature, DimVar(extent.name))
        message = Message(subject, f"need {extent.low} to {extent.high}", Detail.NUMBER)
        yield f"EXTENT_{extent.field}", Kind.EXTENT, i, message
    for i, condition in enumerate(signature.conditions):
        yield f"CONDITION_{i + 1}", Kind.CONDITION, i, _condition(signature, condition)


def _condition(signature: Signature, condition: Condition) -> Message:
    """`left relation right` in words, then why."""
    left, right, why = condition.left, condition.right, f" ({condition.message})"
    if condition.relation != "==":
        subject = _named(signature, left)
        return Message(subject, f"need {right} or more{why}", Detail.NUMBER)
    for a, b in ((left, right), (right, left)):
        divisor = _multiple_of(a, b)
        if divisor:
            need = f"need a multiple of {divisor}{why}"
            return Message(_named(signature, a), need, Detail.NUMBER)
    subject = f"{_named(signature, left)} and {_named(signature, right)}"
    return Message(subject, f"need the same number{why}", Detail.NUMBERS)


def _multiple_of(a: Dim, b: Dim) -> int:
    """k where `a == b` says that a is a multiple of k: b is k*(a//k); else 0."""
    for atom in dims.atoms(b):
        if not isinstance(atom, FloorDiv) or atom.a != a or not isinstance(atom.b, int):
            continue
        if dims.mul(atom, atom.b) == b:
            return atom.b
    return 0


def condition_sides(condition: Condition) -> tuple[Dim, Dim]:
    """The two sides, that first which the rule's message is about."""
    left, right = condition.left, condition.right
    if condition.relation == "==" and not _multiple_of(left, right) and _multiple_of(right, left):
        return right, left
    return left, right


def _named(signature: Signature, dim: Dim) -> str:
    """An extent by the first input that has it: "input 'x' dim 1 (T)"."""
    for tensor in signature.inputs:
        for axis, extent in enumerate(tensor.shape):
            if extent == dim:
                name = "" if isinstance(dim, int) else f" ({dim})"
                return f"{tensor.role} '{tensor.name}' dim {axis}{name}"
    return f"extent {dim}" if isinstance(dim, DimVar) else str(dim)


def _array_rules(signature: Signature) -> Iterator[_Found]:
    for kind, tensors in ((Kind.INPUT, signature.inputs), (Kind.OUTPUT, signature.results)):
        for i, tensor in enumerate(tensors):
            yield tensor.field, kind, i, _pointer(signature, kind.value, tensor)


def _pointer(signature: Signature, word: str, tensor: Tensor) -> Message:
    size = tensor.dtype.nbytes
    need = "need a pointer"
    need += ", not NULL" if _never_empty(signature, tensor) else ", not NULL where it has elements"
    need += f", aligned to {size} bytes" if size > 1 else ""
    return Message(f"{word} '{tensor.name}' ({tensor})", need, Detail.ADDRESS)


def _never_empty(signature: Signature, tensor: Tensor) -> bool:
    legal = {DimVar(e.name): (e.low, e.high) for e in signature.extents}
    low = dims.bounds(tensor.nelems, legal)[0]
    return low is not None and low > 0


def _weights_rules(weights: str) -> Iterator[_Found]:
    if weights == "embedded":
        return
    what = "the mapped weights file" if weights == "file" else "the block of weights"
    alignment = 4096 if weights == "file" else 64
    need = f"need a pointer to {what}, aligned to {alignment} bytes"
    yield "WEIGHTS", Kind.WEIGHTS, 0, Message("context.constants", need, Detail.ADDRESS)
    if weights == "file":
        need = "need the weights file of this model, got another"
        yield "WEIGHTS_FILE", Kind.WEIGHTS_FILE, 0, Message("context.constants", need)


def _workspace_rules(signature: Signature) -> Iterator[_Found]:
    need = f"need a pointer aligned to {signature.alignment} bytes, not NULL where it needs any"
    yield "WORKSPACE", Kind.WORKSPACE, 0, Message("workspace", need, Detail.ADDRESS)
    per_thread = "" if signature.thread_workspace == 0 else f"{signature.thread_workspace}"
    size = f"{signature.workspace}" + (f" + threads*({per_thread})" if per_thread else "")
    message = Message("context.workspace_bytes", f"fewer than {size} bytes", Detail.NEED)
    yield "WORKSPACE_SIZE", Kind.WORKSPACE_SIZE, 0, message
    need = "need memory of their own: outputs and workspace must not overlap each other or inputs"
    yield "OVERLAP", Kind.OVERLAP, 0, Message("arrays", need, Detail.AREAS)
