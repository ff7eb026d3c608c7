"""Where the fields of the header's structs lie, as macros for callers that are not C, each proved
by a static assertion for those that are.
"""

from __future__ import annotations

from collections.abc import Sequence

from .names import unique_identifiers
from .signature import Signature

CONTEXT_FIELDS = (
    ("size", 4), ("flags", 4), ("parallel_for", 0), ("pool", 0), ("threads", 8), ("constants", 0),
    ("workspace_bytes", 8),
)  # fmt: skip
"""Those of sg_context with their sizes; 0 is that of a pointer."""


def struct_layout(
    name: str, macro: str, fields: Sequence[tuple[str, int]], pointer_bytes: int
) -> str:
    """Macros for a struct's size and alignment and for the offset of each field.

    fields   name and size in bytes of each, in order; 0 is a pointer
    """
    offset, alignment, lines, asserts = 0, 1, [], []
    rows = list(fields) or [("unused", 8)]
    for (field, size), spelled in zip(rows, macro_names(rows), strict=True):
        nbytes = size or pointer_bytes
        offset = -(-offset // nbytes) * nbytes
        alignment = max(alignment, nbytes)
        lines.append(f"#define {macro}_{spelled}_OFFSET {offset}")
        asserts.append((f"offsetof({name}, {field}) == {macro}_{spelled}_OFFSET", field))
        offset += nbytes
    total = -(-offset // alignment) * alignment
    asserts.append((f"sizeof({name}) == {macro}_BYTES", "size"))
    asserts.append((f"SYMGRAPH_ALIGNOF({name}) == {macro}_ALIGNMENT", "alignment"))
    lines += [f"#define {macro}_BYTES {total}", f"#define {macro}_ALIGNMENT {alignment}"]
    checks = [
        f'SYMGRAPH_STATIC_ASSERT({condition}, "{name}: {what}");' for condition, what in asserts
    ]
    return "\n".join([*lines, *checks]) + "\n"


def macro_names(fields: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """The fields in capitals, told apart where they differ by these alone."""
    return unique_identifiers([field.upper() for field, _ in fields])


def interface_layout(signature: Signature, pointer_bytes: int) -> str:
    """The structs of one entry, and what elements of its arrays must be aligned to."""
    p, upper = signature.prefix, signature.prefix.upper()
    inputs = [(t.field, 0) for t in signature.inputs]
    inputs += [(e.field, 8) for e in signature.extents]
    outputs = [(t.field, 0) for t in signature.results]
    lines = ["/* Bytes to which the arrays must be aligned. */"]
    for kind, tensors, fields in (
        ("INPUTS", signature.inputs, inputs), ("OUTPUTS", signature.results, outputs),
    ):  # fmt: skip
        lines += [
            f"#define {upper}_{kind}_{spelled}_ALIGNMENT {tensor.dtype.nbytes}"
            for tensor, spelled in zip(tensors, macro_names(fields), strict=False)
        ]
    return "\n".join(
        [
            *lines,
            "/* Where the fields of the structs lie. */",
            struct_layout(f"{p}_inputs", f"{upper}_INPUTS", inputs, pointer_bytes),
            struct_layout(f"{p}_outputs", f"{upper}_OUTPUTS", outputs, pointer_bytes),
        ]
    )


def context_layout(pointer_bytes: int) -> str:
    """That of sg_context, once for all headers."""
    text = struct_layout("sg_context", "SG_CONTEXT", CONTEXT_FIELDS, pointer_bytes)
    return f"#ifndef SG_CONTEXT_BYTES\n{text}#endif\n"
