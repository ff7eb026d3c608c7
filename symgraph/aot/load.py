"""Shipped objects in this process, behind the interface of a compiled executable.

A file is read, its description checked (format version, hash, architecture, processor), and only
then loaded as code.
"""

from __future__ import annotations

import ctypes
import io
import mmap
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..codegen.executable import Executable
from ..codegen.llvm import objects
from ..codegen.llvm.machine import machine as machine_named
from ..codegen.llvm.platform import X86_LEVELS, platform_of
from ..errors import FormatError, InputError
from . import description as sealed
from .archive import is_archive
from .describe import FORMAT
from .files import read_whole
from .header import ABI_VERSION
from .object_runner import ObjectRunner
from .pack import PACK, checked_parameters, packed
from .skeleton import skeleton
from .weights import check_weights_file

Array = np.ndarray[Any, np.dtype[Any]]
Weights = str | PathLike[str] | Mapping[str, Any] | None

_ISA = ctypes.CFUNCTYPE(ctypes.c_int32)


def load_object(
    path: Path,
    weights: Weights,
    threads: int,
    cpu: str | None = None,
    entry: str | None = None,
) -> Executable:
    """See `symgraph.load`."""
    found = load_all(path, weights, threads, cpu)
    if entry is None and len(found) == 1:
        return next(iter(found.values()))
    if entry not in found:
        got = "choose one with entry=" if entry is None else f"there is no {entry!r}"
        raise InputError(f"{path}: the object has the entries {', '.join(found)}; {got}")
    return found[entry]


def load_all(
    path: Path, weights: Weights, threads: int, cpu: str | None = None
) -> dict[str, Executable]:
    """See `symgraph.load_entries`."""
    data = read_whole(path)
    if path.suffix == ".whl":
        data = _library_of_wheel(data, path)
    if is_archive(data):
        raise FormatError(f"{path}: a static library cannot be loaded; load the object (.o)")
    found, made = sealed.decode(data, str(path))
    _check(made, data, str(path))
    is_packed = isinstance(weights, Mapping) and made["weights"]["kind"] != "embedded"
    given, held, constants = {}, None, 0
    if isinstance(weights, Mapping) and is_packed:
        given = checked_parameters(made, weights, str(path))
    else:
        held, constants = _weights(made, weights, path)
    rows = made.get("entries", {"run": made})
    every = {**rows, **({PACK: made[PACK]} if is_packed and PACK in made else {})}
    try:
        programs = {name: skeleton(row) for name, row in every.items()}
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: damaged description: {error!r}") from error
    level = _level(made, cpu, str(path))
    names = [(entry, what) for entry, row in every.items() for what in row["symbols"]]
    symbols = tuple(every[entry]["symbols"][what] for entry, what in names)
    library, found_at = _addresses(found.kind, data, symbols, path)
    places = dict(zip(names, found_at, strict=True))
    if is_packed:
        addresses = {what: places[PACK, what] for what in every.get(PACK, {}).get("symbols", ())}
        held, constants = packed(made, programs.get(PACK), addresses, given, threads, library)
    result = {}
    for entry, row in rows.items():
        addresses = {what: places[entry, what] for what in row["symbols"]}
        if level == 0 and "isa" in addresses:
            level = _ISA(addresses["isa"])()
        program = programs[entry]
        runner = ObjectRunner(program, row, addresses, constants, threads, level, (library, held))
        platform = f"{made['machine']['platform']} object"
        result[entry] = Executable(program, runner, "", {}, platform)
    return result


def _library_of_wheel(data: bytes, path: Path) -> bytes:
    """The shared library in a wheel.  Raises: FormatError for a damaged wheel, or another's."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/model.so"))
            return archive.read(name)
    except (zipfile.BadZipFile, StopIteration) as error:
        raise FormatError(f"{path}: not a wheel of a model, or damaged ({error})") from None


def _check(made: Mapping[str, Any], data: bytes, where: str) -> None:
    """Raises: FormatError unless this is an intact object for this machine and release."""
    if made.get("format") != FORMAT or made.get("abi") != ABI_VERSION:
        raise FormatError(
            f"{where}: interface version {made.get('abi')!r} cannot be called; this release calls "
            f"version {ABI_VERSION}: compile the model again"
        )
    host = machine_named(None)
    here, there = platform_of(host.triple), made["machine"]
    if there["platform"] != here.name:
        raise FormatError(
            f"{where}: made for {there['platform']}, this machine is {here.name}: export with "
            f"target={here.name!r}"
        )
    missing = sorted(set(there["features"]) - set(host.features))
    if missing:
        raise FormatError(
            f"{where}: made for the processor {there['cpu']}, this one lacks {', '.join(missing)}; "
            f"export with an older cpu="
        )
    if not sealed.is_intact(data, where):
        raise FormatError(
            f"{where}: damaged: its hash does not match (a library that was linked or stripped "
            f"elsewhere cannot be checked: load the object that export wrote)"
        )


def _level(made: Mapping[str, Any], cpu: str | None, where: str) -> int:
    """The level of x86-64 that was asked for, 0 for none.  Raises: InputError."""
    if cpu is None:
        return 0
    versions = made["machine"]["versions"]
    if len(versions) < 2 or cpu not in versions:
        raise InputError(f"{where}: there is no version for {cpu!r}, only: {', '.join(versions)}")
    missing = set(X86_LEVELS[cpu]) - set(machine_named(None).features)
    if missing:
        raise InputError(f"{where}: this processor has no {', '.join(sorted(missing))}")
    return list(X86_LEVELS).index(cpu) + 1


def _weights(made: Mapping[str, Any], given: Weights, path: Path) -> tuple[Any, int]:
    """What keeps the weights alive, and the address for the context."""
    row = made["weights"]
    if row["kind"] == "embedded":
        if given is not None:
            raise InputError(f"{path}: the weights are embedded; weights= cannot replace them")
        return None, 0
    if row["kind"] == "pointer":
        if not row["nbytes"]:
            return None, 0
        names = ", ".join(a["name"] for a in made.get(PACK, {}).get("inputs", ()))
        raise InputError(f"{path}: needs weights= with the arrays {names}")
    assert not isinstance(given, Mapping)
    file = path.with_suffix(".weights") if given is None else Path(given)
    return _mapped(file, bytes.fromhex(row["layout"]))


def _mapped(path: Path, layout: bytes) -> tuple[Any, int]:
    """A weights file mapped read-only, so that processes share its pages."""
    try:
        with path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: the weights cannot be read ({error})") from None
    view = np.frombuffer(pages, np.uint8)
    check_weights_file(memoryview(pages), layout, str(path))
    return view, view.ctypes.data


def _addresses(
    kind: str, data: bytes, symbols: Sequence[str], path: Path
) -> tuple[Any, tuple[int, ...]]:
    if kind == "object":
        loaded = objects.load(data, symbols)
        return loaded, loaded.addresses
    # The checked bytes are loaded, not whatever the path names by now.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_bytes(data)
        try:
            library = ctypes.CDLL(str(copy))
        except OSError as error:
            raise FormatError(f"{path}: cannot be loaded: {error}") from None
    found = [ctypes.cast(getattr(library, s), ctypes.c_void_p).value for s in symbols]
    return library, tuple(int(address or 0) for address in found)
