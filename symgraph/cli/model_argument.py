"""The MODEL argument: from a word on the command line to symbols."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import FileError, FormatError, InputError, SymgraphError
from ..ir.origin import Origin, deriving
from ..ir.serialize import from_json
from ..ir.symbol import Expression, Group, Symbol
from ..models import KNOWN


def load_model(argument: str) -> Group:
    """The symbols that MODEL names.

    Raises: InputError, FileError, FormatError saying what was looked for and where.
    """
    if argument in KNOWN:
        # How the command was started must not be in what it writes.
        with deriving(Origin("", 0, f"network {argument}")):
            return Group([KNOWN[argument]()])
    if argument.endswith(".json"):
        return _from_file(Path(argument))
    if ":" in argument:
        return _from_function(argument)
    near = difflib.get_close_matches(argument, KNOWN, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(
        f"MODEL {argument!r} is no known network ({', '.join(KNOWN)}), no graph file (*.json) and "
        f"no function (module:function, file.py:function){hint}"
    )


def _from_file(path: Path) -> Group:
    if not path.is_file():
        raise FileError(f"{path}: there is no such graph file")
    try:
        graph = from_json(path.read_text(encoding="utf-8"))
    except (FormatError, UnicodeDecodeError) as error:
        raise FormatError(f"{path}: {error}") from error
    return Group([Symbol(value) for value in graph.outputs])


def _from_function(argument: str) -> Group:
    place, _, name = argument.rpartition(":")
    module = _module_of_file(Path(place)) if place.endswith(".py") else _module(place)
    function = getattr(module, name, None)
    if function is None:
        public = [n for n in vars(module) if not n.startswith("_") and callable(vars(module)[n])]
        raise InputError(
            f"MODEL {argument!r}: {place} has no {name!r}; it has {', '.join(public) or 'nothing'}"
        )
    with _named(argument):
        result = function() if callable(function) else function
    return _as_group(result, argument)


@contextmanager
def _named(argument: str) -> Iterator[None]:
    """An error of the user's own code in one line, with the place in their file."""
    try:
        yield
    except SymgraphError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise InputError(
            f"MODEL {argument!r}: its own code raised {type(error).__name__}: {error} "
            f"({Path(last.filename).name}:{last.lineno}); --debug shows all of it"
        ) from error


def _as_group(result: Any, argument: str) -> Group:
    if isinstance(result, Expression):
        return Group(result.symbols)
    if isinstance(result, (tuple, list)) and result and all(isinstance(s, Symbol) for s in result):
        return Group(list(result))
    raise InputError(
        f"MODEL {argument!r}: expected a symbol or a tuple of symbols, got {type(result).__name__}"
    )


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise FileError(f"{path}: there is no such file")
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with _named(str(path)):
            specification.loader.exec_module(module)  # and leave nothing beside the user's file
    finally:
        sys.dont_write_bytecode = writes
    return module


def _module(name: str) -> ModuleType:
    # The console script's path lacks the folder it is started in.
    sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        raise InputError(
            f"MODEL: there is no module {name!r} here or among the installed ones"
        ) from error
    finally:
        sys.path.remove("")
