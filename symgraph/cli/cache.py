"""`symgraph cache`: what compiled programs take on disk, and how to remove them."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..files import files_below, shrink_folder
from ..options import from_environment
from .command import Command


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clear", action="store_true", help="remove everything in it")


def run(arguments: argparse.Namespace) -> int:
    options = from_environment()
    if options.cache is None:
        print("no cache: SYMGRAPH_CACHE is empty")
        return 0
    if arguments.clear:
        shrink_folder(options.cache, -1)
    print(f"{options.cache}: at most {_megabytes(options.cache_bytes)}")
    for kind, suffix in (("programs", ".program"), ("objects", ".o")):
        sizes = [p.stat().st_size for p in files_below(Path(options.cache)) if p.suffix == suffix]
        print(f"  {len(sizes)} {kind}, {_megabytes(sum(sizes))}")
    return 0


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.1f} MB"


COMMAND = Command(
    "cache",
    "what compiled programs take on disk; --clear removes them",
    """\
Compiled programs are kept on disk, so that the same network with the same weights starts at once.
The folder is SYMGRAPH_CACHE (empty: none is kept), its size SYMGRAPH_CACHE_BYTES.

  symgraph cache
  symgraph cache --clear
""",
    configure,
    run,
)
