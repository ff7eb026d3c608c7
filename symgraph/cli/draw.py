"""`symgraph draw`: a picture of a network."""

from __future__ import annotations

import argparse

from ..viz import draw as make_drawing
from .command import Command, add_model, given_shapes
from .model_argument import load_model


def configure(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "-o",
        "--out",
        default="model.svg",
        metavar="FILE",
        help="the picture; its suffix says which kind: .svg .html .dot .json, and .png .pdf where "
        "Graphviz is installed (default: model.svg)",
    )
    parser.add_argument("--parameters", action="store_true", help="draw weights and states too")
    parser.add_argument(
        "--rankdir", choices=("TB", "LR"), default="TB", help="top to bottom or left to right"
    )
    parser.add_argument("--no-shapes", action="store_true", help="no types on the edges")
    parser.add_argument("--heat", metavar="FIGURE", help="colour by a figure: flops or nbytes")


def run(arguments: argparse.Namespace) -> int:
    drawing = make_drawing(
        load_model(arguments.model),
        given=given_shapes(arguments.shape),
        parameters="show" if arguments.parameters else "hide",
        shapes=not arguments.no_shapes,
        rankdir=arguments.rankdir,
        heat=arguments.heat,
        title=arguments.model,
    )
    print(f"wrote {drawing.save(arguments.out)}")
    return 0


COMMAND = Command(
    "draw",
    "a picture of a network, as SVG, HTML, DOT or PNG",
    """\
Draws a network.  SVG and HTML need nothing installed.

  symgraph draw lenet5 -o lenet5.svg --shape x=64,1,28,28
  symgraph draw lenet5 -o lenet5.html --parameters
""",
    configure,
    run,
)
