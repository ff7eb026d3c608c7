"""`symgraph devices`: the targets, and the machines that they find."""

from __future__ import annotations

import argparse

from ..codegen.target import find_target, target_names
from .command import Command


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", metavar="TARGET", help="one target (default: all)")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 when the named target cannot be used here."""
    names = target_names() if arguments.target is None else (arguments.target,)
    usable = True
    for name in names:
        target = find_target(name)
        reason = target.available()
        usable = reason is None
        print(f"{name}: {'ready' if reason is None else f'cannot be used here: {reason}'}")
        describe = getattr(target, "describe_devices", None)
        if reason is None and describe is not None:
            for line in describe():
                print(f"  {line}")
    return 1 if arguments.target is not None and not usable else 0


COMMAND = Command(
    "devices",
    "the targets that can be used here, and their devices",
    """\
Lists the targets, whether each can be used on this machine, and the devices it finds.

  symgraph devices
  symgraph devices opencl
""",
    configure,
    run,
)
