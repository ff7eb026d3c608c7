"""`symgraph compile --entry`, `--state`: several functions in one object, and their state."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import InputError
from ..ir.symbol import Group
from ..models import KNOWN
from .arrays import parameters
from .model_argument import load_model


def add_entries(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--entry",
        action="append",
        default=[],
        metavar="NAME=FUNCTION",
        help="several functions in one object, which share weights and workspace: FUNCTION is one "
        "of MODEL, then a file or a module (net.py), or a model of its own (file.py:function); "
        "NAME is part of the C names",
    )
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        metavar="INPUT=OUTPUT",
        help="an input that calls remember, and the output that is its next value: then the header "
        "has a struct of them, with NAME_reset and NAME_step",
    )


def given_entries(model: str, items: Sequence[str]) -> dict[str, Group]:
    """`["encode=code"]` as `{"encode": symbols}`; none given: none.  Raises: InputError."""
    found: dict[str, Group] = {}
    for item in items:
        name, _, function = item.partition("=")
        if not name or not function:
            raise InputError(f"--entry: need NAME=FUNCTION such as encode=encode, got {item!r}")
        if name in found:
            raise InputError(f"--entry: there are two entries {name!r}")
        is_whole = ":" in function or function.endswith(".json") or function in KNOWN
        if not is_whole and ":" in model:
            raise InputError(
                f"--entry {item}: MODEL {model!r} is one function; give its file or module alone"
            )
        found[name] = load_model(function if is_whole else f"{model}:{function}")
    return found


def given_state(items: Sequence[str]) -> dict[str, str]:
    """`["h=h_next"]` as `{"h": "h_next"}`.  Raises: InputError."""
    found = {}
    for item in items:
        name, _, following = item.partition("=")
        if not name or not following:
            raise InputError(f"--state: need INPUT=OUTPUT such as h=h_next, got {item!r}")
        found[name] = following
    return found


def entries_arguments(
    entries: Mapping[str, Group], arguments: argparse.Namespace, shapes: Mapping[str, Any]
) -> dict[str, Any]:
    """The entries as keywords of `export`; a parameter of several entries has one array.

    Raises: InputError for a shape of a variable that no entry has, or of parameters that differ.
    """
    unknown = set(shapes)
    params: dict[str, Any] = {}
    for name, group in entries.items():
        own = {n: s for n, s in shapes.items() if n in group.graph.names.values()}
        unknown -= set(own)
        for key, array in parameters(group, arguments.params, own, arguments.seed).items():
            other = params.setdefault(key, array)
            if other.shape != array.shape:
                raise InputError(
                    f"--entry {name}: parameter {key!r} is {list(array.shape)} there and "
                    f"{list(other.shape)} in another entry: give them different names"
                )
    if unknown:
        raise InputError(f"--shape: no entry has a variable {sorted(unknown)[0]!r}")
    state = given_state(arguments.state)
    return {"outputs": dict(entries), "params": params, "shapes": shapes, "state": state}
