"""Operators that ONNX has a counterpart of, a family a file.

All others are written as their parts or from their index expressions (see `writer.py`), so that an
entry here is worth its lines where ONNX names the operator, or says it in far fewer nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..writer import Exporter
from . import (
    contractions,
    creation,
    elementwise,
    indexing,
    loops,
    normalizations,
    rearrangements,
    reductions,
    views,
    windows,
)

EXPORTERS: Mapping[str, Exporter] = {
    **elementwise.EXPORTERS,
    **contractions.EXPORTERS,
    **windows.EXPORTERS,
    **reductions.EXPORTERS,
    **normalizations.EXPORTERS,
    **views.EXPORTERS,
    **rearrangements.EXPORTERS,
    **indexing.EXPORTERS,
    **creation.EXPORTERS,
    **loops.EXPORTERS,
}
