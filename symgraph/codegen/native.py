"""The engine that runs plain functions (`kernel.plain`) as machine code.

Owns only the choice: LLVM's, which is loaded when the first function is needed and not before.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..kernel.plain import PlainFunction, interpreted


@dataclass(frozen=True)
class NativeEngine:
    """Compiles plain functions for this processor; `folder` keeps the objects, if given."""

    folder: str | None = None

    def __call__(
        self, entry: PlainFunction, helpers: Sequence[PlainFunction]
    ) -> Callable[..., int]:
        """Raises: InternalError where the text is not that of plain functions."""
        module = importlib.import_module(f"{__package__}.llvm.plain_functions")
        try:
            found: Callable[..., Any] = module.native(entry, tuple(helpers), self.folder)
        except OSError:  # an installation of bytecode alone, whose functions have no text
            found = interpreted(entry, helpers)
        return found
