"""The error of `symgraph.viz`: a picture cannot be made, and what would help."""

from __future__ import annotations

from ..errors import UserError

__all__ = ["DrawError"]


class DrawError(UserError, ValueError):
    """A model cannot be drawn as asked, or a file cannot be written."""
