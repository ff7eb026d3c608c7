"""From symbols to the files of an artefact.

Everything is made in memory first and written together at the end, so that an error leaves nothing
behind.  The same input gives the same bytes.
"""

from __future__ import annotations

from ..codegen.llvm.platform import platform_of
from .artifact import Artifact
from .compiled import compile_versions, signature_for
from .files import write_all
from .parts import Parts
from .request import Request
from .weights import weights_block


def export_artifact(request: Request) -> Artifact:
    """Compile, then write every file or none."""
    versions = compile_versions(request)
    platform = platform_of(versions[0].machine.triple)
    block = weights_block([v.program for v in versions])
    signature = signature_for(request, versions, platform, block)
    made = Parts(request, versions, signature, platform, block)
    files = made.files()
    folder = request.path.parent
    paths = {kind: folder / name for kind, (name, _) in files.items()}
    write_all({folder / name: content for name, content in files.values()})
    return Artifact(request.path.name, folder, paths, made.full_description(), made.signature)
