"""Pictures: of graphs (SVG, DOT, HTML) and of memory plans; summaries as tables.

Everything is drawn from one model, a `networkx.DiGraph` with the attributes that
`symgraph.viz.view` lists. Owns layouts, colours and files; knows operators by their names only.
"""

from ..ir.arguments import explain_all
from .arena import ArenaChart, Block, draw_arena
from .drawing import Drawing
from .errors import DrawError
from .model import draw, draw_memory, to_networkx
from .summary import Summary, SummaryRow, summary

__all__ = [
    "ArenaChart",
    "Block",
    "DrawError",
    "Drawing",
    "Summary",
    "SummaryRow",
    "draw",
    "draw_arena",
    "draw_memory",
    "summary",
    "to_networkx",
]

explain_all(globals(), __all__)
