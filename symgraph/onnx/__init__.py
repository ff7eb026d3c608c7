"""Exchange with ONNX; needs the package `onnx` (extra `onnx`), which is imported at first use."""

from __future__ import annotations

from ..ir.arguments import explain_all
from .export import export_onnx
from .table import operator_table

__all__ = ["export_onnx", "operator_table"]

explain_all(globals(), __all__)
