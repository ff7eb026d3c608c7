"""`symgraph onnx`: a network as a file that other tools read."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..onnx import export_onnx
from .arrays import parameters
from .command import Command, add_model, given_shapes
from .model_argument import load_model


def configure(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--params", metavar="FILE", help="trained parameters (default: initial values)"
    )
    parser.add_argument(
        "-o", "--out", metavar="FILE", help="where to write (default: the model's name with .onnx)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of initial values")


def run(arguments: argparse.Namespace) -> int:
    shapes = given_shapes(arguments.shape)
    model = load_model(arguments.model)
    params = parameters(model, arguments.params, shapes, arguments.seed)
    path = Path(arguments.out or Path(arguments.model.rpartition(":")[2]).stem + ".onnx")
    made = export_onnx(model, path, params=params, shapes=shapes)
    version = made.opset_import[0].version
    print(f"{path}  {len(made.graph.node)} nodes of opset {version}, {path.stat().st_size:,} bytes")
    return 0


COMMAND = Command(
    "onnx",
    "write a network as an ONNX model",
    """\
Writes the inference form of a network for other tools to read; open extents become named
dimensions.  Needs the package onnx: pip install symgraph[onnx].

  symgraph onnx lenet5
  symgraph onnx lenet5 --params lenet.safetensors --shape x=1,1,28,28 -o lenet.onnx
  symgraph onnx net.py:model
""",
    configure,
    run,
)
