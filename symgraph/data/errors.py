"""The error of `symgraph.data`: it names the file or array, what was expected and what came."""

from __future__ import annotations

from ..errors import UserError

__all__ = ["DataError"]


class DataError(UserError, ValueError):
    """A file or an array is not what its format or its neighbours promise."""
