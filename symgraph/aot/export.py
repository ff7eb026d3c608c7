"""From symbols to the files of an artefact.

Everything is made in memory first and written together at the end, so that an error leaves nothing
behind.  The same input gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..codegen.llvm.platform import platform_of
from ..errors import InputError
from .artifact import Artifact
from .compiled import compile_entries, signature_for
from .entry_point import EntryPoint
from .files import write_all
from .names import identifier
from .pack_entry import pack_entry
from .parts import Parts
from .request import Request
from .share_weights import other_forms_nbytes
from .weights import layout_digest, refuse_too_large, weights_block, weights_file


def export_artifact(requests: Mapping[str, Request], name: str) -> Artifact:
    """Compile, then write every file or none.

    requests   what each entry is, by its name; a single one is called "run"
    name       what the symbols of the object begin with
    """
    first = next(iter(requests.values()))
    compiled = compile_entries(tuple(requests.values()))
    platform = platform_of(compiled[0][0].machine.triple)
    block = weights_block([version.program for versions in compiled for version in versions])
    refuse_too_large(len(block.data), first.weights, platform.name, platform.pointer_bits)
    prefix, starts = identifier(name, "model"), iter(block.starts)
    entries: dict[str, EntryPoint] = {}
    for (entry, request), versions in zip(requests.items(), compiled, strict=True):
        signature = signature_for(request, versions, platform, block)
        own = [next(starts) for _ in versions]
        entries[entry] = EntryPoint(request, versions, signature, platform, prefix, block, own)
    made = Parts(entries, prefix, pack_entry(entries, prefix, platform, block))
    files = made.files()
    folder = first.path.parent
    paths = {kind: folder / file for kind, (file, _) in files.items()}
    write_all({folder / file: content for file, content in files.values()})
    signatures = {name: entry.signature for name, entry in entries.items()}
    whole = made.full_description()
    if len(compiled) == 1:
        programs = [version.program for version in compiled[0]]
        whole["weights"] = {**whole["weights"], "other_forms": other_forms_nbytes(programs)}
    return Artifact(first.path.name, folder, paths, whole, signatures, dict(requests))


def write_weights(artifact: Artifact, path: Path, params: Mapping[str, Any]) -> Path:
    """See `Artifact.write_weights`."""
    kind = artifact.description["weights"]["kind"]
    if kind != "file":
        raise InputError(
            f"write_weights: the object was exported with weights={kind!r}, not 'file'"
        )
    requests = tuple(artifact.requests.values())
    needed = {name for request in requests for name in request.params}
    missing = sorted(needed - set(params))
    if missing:
        raise InputError(f"write_weights: params lacks {', '.join(missing)}")
    given = {name: params[name] for name in needed}
    compiled = compile_entries([replace(request, params=given) for request in requests])
    block = weights_block([version.program for versions in compiled for version in versions])
    signature = replace(artifact.signature, weights=block.arrays, weights_nbytes=len(block.data))
    if layout_digest(signature) != layout_digest(artifact.signature):
        raise InputError(
            f"write_weights: {path}: these numbers would lie elsewhere than the object reads them: "
            f"the export, or this call, simplified parameters that are zero, one or equal to each "
            f"other; export again with these numbers"
        )
    write_all({path: weights_file(signature, block)})
    return path
