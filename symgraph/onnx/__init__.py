"""Exchange with ONNX; needs the package `onnx` (extra `onnx`)."""

from __future__ import annotations

from . import loop_exporter, more_exporters
from .export import export_onnx

__all__ = ["export_onnx"]
