"""What a header says about several entries together: the workspace that is enough for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from .header import formula_function
from .names import unique_identifiers
from .signature import Extent, Signature


def entries_header(prefix: str, signatures: Sequence[Signature]) -> list[str]:
    """NAME_workspace_bytes, the maximum of the entries'; nothing where there is one entry."""
    if len(signatures) < 2:
        return []
    whole, most = common_workspace(prefix, signatures)
    threads = DimVar("threads")
    alone = dims.substitute(most, {threads: 1})
    further = {"threads": "threads_"}
    names = ", ".join(s.prefix for s in signatures)
    return [
        f"#ifndef {prefix.upper()}_ENTRIES_SYMGRAPH_H\n#define {prefix.upper()}_ENTRIES_SYMGRAPH_H",
        f"/* {prefix}: the entries {names} share their weights, and may share one workspace of\n"
        f"   this size, aligned to {whole.alignment} bytes. */",
        f"#define {prefix.upper()}_WORKSPACE_ALIGNMENT {whole.alignment}",
        formula_function(whole, f"{prefix}_workspace_bytes", "size_t", alone),
        formula_function(whole, f"{prefix}_workspace_bytes_threads", "size_t", most, further),
        f"#endif /* {prefix.upper()}_ENTRIES_SYMGRAPH_H */\n",
    ]


def common_workspace(prefix: str, signatures: Sequence[Signature]) -> tuple[Signature, Dim]:
    """A signature with the extents of all entries, and the largest of their workspaces as an
    expression of those and of `threads`."""
    threads = DimVar("threads")
    most: Dim = 0
    extents: dict[str, Extent] = {}
    for signature in signatures:
        own = dims.mul(signature.thread_workspace, threads)
        most = dims.maximum(most, dims.add(signature.workspace, own))
        for extent in signature.extents:
            extents.setdefault(extent.name, extent)
    fields = unique_identifiers(list(extents), fallback="n")
    rows = [replace(e, field=f) for e, f in zip(extents.values(), fields, strict=True)]
    return replace(signatures[0], prefix=prefix, extents=tuple(rows)), most
