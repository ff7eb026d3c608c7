"""`symgraph inspect`: what an artefact says about itself, without running it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..aot import inspect
from .command import Command


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="an object, library, or program holding one")
    parser.add_argument("--json", action="store_true", help="the whole description as JSON")


def run(arguments: argparse.Namespace) -> int:
    found = inspect(Path(arguments.file))
    print(json.dumps(dict(found.description), indent=1) if arguments.json else found)
    return 0 if found.is_intact is not False else 1


COMMAND = Command(
    "inspect",
    "what an object file says about itself",
    """\
Reads the description inside an object file, library or program, of any architecture, without
loading its code.  The exit status is 1 for an object that was changed since it was made.

  symgraph inspect build/lenet5.o
  symgraph inspect build/lenet5.o --json
""",
    configure,
    run,
)
