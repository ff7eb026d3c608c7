"""A shared library from one object, where a linker is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from ..errors import MissingDependencyError, TargetError
from .object_file import read_object

_LINKERS = {
    "x86_64": ("ld", "ld.lld", "x86_64-linux-gnu-ld"),
    "aarch64": ("aarch64-linux-gnu-ld", "ld.lld"),
}
_EMULATIONS = {"x86_64": "elf_x86_64", "aarch64": "aarch64linux"}


def link_shared(body: bytes, name: str) -> bytes:
    """The bytes of a `.so` that needs no other library.

    Raises: MissingDependencyError when no linker for the architecture is installed.
    """
    architecture = read_object(body).architecture
    if architecture not in _LINKERS:
        raise TargetError(f"export: no shared library can be linked for {architecture}")
    candidates = _LINKERS[architecture]
    linker = next((path for path in map(shutil.which, candidates) if path), None)
    if linker is None:
        raise MissingDependencyError(
            f"export: a shared library needs a linker ({' or '.join(candidates)}), and none is "
            f'installed; leave "so" out of emit: the object itself needs no linker'
        )
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "in.o", Path(folder) / "out.so"
        source.write_bytes(body)
        command = [linker, "-m", _EMULATIONS[architecture], "-shared", "--build-id=none",
                   "-z", "noexecstack", "-soname", f"{name}.so",
                   "-o", str(result), str(source)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TargetError(f"export: the linker failed: {done.stderr.strip()}")
        return result.read_bytes()
