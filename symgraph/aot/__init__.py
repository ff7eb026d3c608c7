"""Models as native objects that need nothing: export, load, inspect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ..codegen.executable import Executable
from ..garbage import seldom_collected
from ..ir.symbol import Group, Symbol
from ..options import Options
from .artifact import Artifact
from .budgets import BudgetError
from .inspection import Inspection, inspect_file

__all__ = ["Artifact", "BudgetError", "Inspection", "export", "inspect", "load", "load_entries"]


def export(
    outputs: Symbol | Group | Sequence[Symbol] | Mapping[str, Symbol | Group | Sequence[Symbol]],
    path: str | PathLike[str],
    *,
    params: Mapping[str, Any] | None = None,
    target: str = "x86_64-linux",
    cpu: str | Sequence[str] | None = None,
    name: str | None = None,
    weights: str = "embedded",
    emit: Sequence[str] = ("o", "h", "json"),
    shapes: Mapping[str, Any] | None = None,
    dtypes: Mapping[str, Any] | None = None,
    ranges: Mapping[str, tuple[int, int]] | None = None,
    specialise: Mapping[str, Sequence[int]] | None = None,
    training: bool = False,
    budgets: Mapping[str, int] | None = None,
    selftest: bool = False,
    updates: Mapping[str, Symbol | Mapping[str, Symbol]] | None = None,
    state: Mapping[str, str | Symbol] | None = None,
    progress: Callable[[str], None] | None = None,
    options: Options | None = None,
    **changes: Any,
) -> Artifact:
    """Compile symbols into an object file that needs no runtime, with its C header.

    outputs  what to compute; a mapping of names to such makes one object with several entries,
             NAME_encode_run and NAME_decode_run, that share their weights and may share a workspace
    path     folder and name of the files, without ending: "build/lenet"
    params   arrays for parameters by name, carried by the artefact; the rest become inputs
    target   "x86_64-linux", "aarch64-linux", ... or "native"
    cpu      one of the target's processors; several levels of x86-64 make one object that chooses
             when it runs: ("x86-64", "x86-64-v3", "x86-64-v4")
    name     what C names begin with; the last part of path when not given
    weights  "embedded" in the object, a "file" to be mapped, or the caller's "pointer"
    emit     which files: "o", "h", "json", "a" (static library), "so" (needs a linker), "hpp"
             (C++20), "pc" (pkg-config), "cmake", "whl" (a Python wheel that needs numpy alone),
             and the adapters "pthreads", "openmp", "tbb"
    ranges   legal values of open extents, both ends included: {"N": (1, 32)}
    budgets  what the artefact may need at most: "workspace", "text" and "stack" in bytes, "flops"
    specialise   sizes of open extents that get versions of their own, faster ones, behind the same
             function: {"N": (1, 32)}
    state    inputs that calls remember, with their next values (symbols, or names of outputs, which
             are then no outputs): the header has them as NAME_state, with NAME_reset and NAME_step
    progress called with the name of each stage when it begins
    selftest also NAME_selftest: a seeded case with a checksum after each operator
    updates  next values of variables by name, written over their arrays; with several entries
             also by entry: {"step": {"h": h_next}}
    threads  1 leaves out what shares work among threads: less code, less workspace
    training, shapes, dtypes, options and further keywords as for `compile`

    Raises: ShapeError, DTypeError, InputError, TargetError, BudgetError (with the largest
    contributors); nothing is written then.
    """
    # Importing symgraph must not need LLVM.
    from .export import export_artifact
    from .request import requests

    wanted = requests(
        outputs,
        Path(path),
        params=params,
        target=target,
        cpu=cpu,
        name=name,
        weights=weights,
        emit=emit,
        shapes=shapes,
        dtypes=dtypes,
        ranges=ranges,
        specialise=specialise,
        training=training,
        budgets=budgets,
        selftest=selftest,
        updates=updates,
        state=state,
        progress=progress,
        options=options,
        changes=changes,
    )
    with seldom_collected():
        return export_artifact(wanted, Path(path).name if name is None else name)


def load(
    path: str | PathLike[str],
    *,
    weights: str | PathLike[str] | Mapping[str, Any] | None = None,
    threads: int = 0,
    cpu: str | None = None,
    entry: str | None = None,
) -> Executable:
    """A shipped object as a callable, as `compile` returns it.

    path     a `.o`, `.so` or `.whl` that `export` wrote
    weights  for objects without embedded weights: the weights file (by default the one beside the
             object), or the arrays by name
    threads  how many to use; 0 is one for each core
    cpu      which of an object's versions to use; by default the best for this processor
    entry    which of an object's entries, where it has several

    Raises: InputError for an entry that is not there; FormatError for a file that is damaged, of
    another format version or for another machine; its code is then never run.
    """
    from .load import load_object

    return load_object(Path(path), weights, threads, cpu, entry)


def load_entries(
    path: str | PathLike[str],
    *,
    weights: str | PathLike[str] | Mapping[str, Any] | None = None,
    threads: int = 0,
    cpu: str | None = None,
) -> Mapping[str, Executable]:
    """Every entry of a shipped object by its name; they share code and weights.

    The arguments are those of `load`.
    """
    from .load import load_all

    return load_all(Path(path), weights, threads, cpu)


def inspect(path: str | PathLike[str]) -> Inspection:
    """What a shipped object says about itself; its code is not loaded.

    path   an object, static or shared library, or program, for any architecture

    Raises: FormatError for a file without a description, of another version, or damaged.
    """
    return inspect_file(Path(path))
