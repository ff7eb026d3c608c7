"""The `symgraph` command.  One file is one command; `COMMANDS` lists them."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import UserError
from ..files import plain_text
from . import (
    cache,
    compile,
    demo,
    devices,
    draw,
    inspect,
    memory,
    onnx,
    run,
    summary,
    test,
    time,
    train,
    verify,
)
from .command import Command

COMMANDS: tuple[Command, ...] = (
    demo.COMMAND,
    summary.COMMAND,
    draw.COMMAND,
    memory.COMMAND,
    run.COMMAND,
    compile.COMMAND,
    onnx.COMMAND,
    inspect.COMMAND,
    verify.COMMAND,
    train.COMMAND,
    test.COMMAND,
    time.COMMAND,
    devices.COMMAND,
    cache.COMMAND,
)

DESCRIPTION = """\
symgraph compiles symbolic operator graphs for CPUs and GPUs.

New here?  `symgraph demo` tells the whole story on real digits in under a minute.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 1 for a negative answer, 2 for a mistake of the
    caller, 130 when interrupted."""
    parsed, unknown = make_parser().parse_known_args(arguments)
    command: Command = parsed.command
    if unknown:  # said by the command, whose options the usage then shows
        parsed.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        return command.run(parsed)
    except UserError as error:
        if parsed.debug:
            raise
        print(f"symgraph {command.name}: error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, less) has gone; Python would complain once more when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if parsed.debug:
            raise
        print(f"symgraph {command.name}: error: {plain_text(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if parsed.debug:
            raise
        print(f"symgraph {command.name}: interrupted", file=sys.stderr)
        return 130


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="symgraph",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for command in COMMANDS:
        own = commands.add_parser(
            command.name,
            help=command.help,
            description=command.text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.configure(own)
        own.add_argument("--debug", action="store_true", help="show the traceback of an error")
        own.set_defaults(command=command, parser=own)
    return parser
