"""What an export leaves: the files, and what is known about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from ..kernel import dims
from ..kernel.dims import DimVar
from .extents_text import decode_dim
from .signature import Signature


@dataclass(frozen=True)
class Artifact:
    """`files` are the written files by kind ("o", "h", "json", ...), `signatures` the interface of
    each entry; an object with one entry calls it "run"."""

    name: str
    folder: Path
    files: Mapping[str, Path]
    description: Mapping[str, Any]
    signatures: Mapping[str, Signature]
    requests: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def signature(self) -> Signature:
        """The interface of the first entry."""
        return next(iter(self.signatures.values()))

    def write_weights(self, path: str | PathLike[str], params: Mapping[str, Any]) -> Path:
        """Write a weights file of other numbers for the same object; no code is made.

        path     the file, such as "build/net.weights"
        params   arrays for all parameters that were given to the export, by name, as declared:
                 they are packed, and scales folded into them, as the object reads them

        Raises: InputError when an array is missing, or when the object's weights are not in a file,
        or when the numbers would lie elsewhere: the export simplified what was zero or equal.
        """
        from .export import write_weights

        return write_weights(self, Path(path), params)

    @property
    def nbytes(self) -> int:
        """The size of all files."""
        return sum(path.stat().st_size for path in self.files.values())

    def __str__(self) -> str:
        """The closing table: files, bytes, workspace, operations, kernels, processor."""
        made = self.description
        rows = [(str(path), f"{path.stat().st_size:,} bytes") for path in self.files.values()]
        rows += [
            ("code", f"{made['object']['code_nbytes']:,} bytes"),
            ("weights", self._weights()),
            ("workspace", self._at_one(made["workspace"]["nbytes"], "bytes")),
            ("stack", _stack(made["stack"]["nbytes"])),
            ("operations", self._at_one(made["flops"], "a call")),
            ("kernels", f"{len(made['kernels'])}"),
            ("platform", made["machine"]["platform"]),
            ("instructions", ", ".join(made["machine"]["versions"])),
        ]
        width = max(len(left) for left, _ in rows)
        return "\n".join(f"{left:<{width}}  {right}" for left, right in rows)

    def _weights(self) -> str:
        """How many bytes, where, and how many of them only some versions read."""
        row = self.description["weights"]
        text = f"{row['nbytes']:,} bytes, {row['kind']}"
        other = row.get("other_forms", 0)
        # Biases that are padded differently are not worth a word.
        if other * 100 > row["nbytes"]:
            text += f"; {other:,} of them in a second form, for versions that read it otherwise"
        return text

    def _at_one(self, value: int | str | None, unit: str) -> str:
        """A number, or a formula with its value for the smallest extents that are no zero."""
        if value is None or isinstance(value, int):
            return "not known" if value is None else f"{value:,} {unit}"
        dim = decode_dim(value)
        low = {e.name: max(1, e.low) for e in self.signature.extents}
        number = int(dims.evaluate(dim, {DimVar(name): n for name, n in low.items()}))
        used = {variable.name for variable in dims.dim_vars(dim)}
        at = ", ".join(f"{name}={n}" for name, n in low.items() if name in used)
        return f"{number:,} {unit} at {at}: {value}"


def _stack(nbytes: int | None) -> str:
    return "not known" if nbytes is None else f"{nbytes:,} bytes at most"
