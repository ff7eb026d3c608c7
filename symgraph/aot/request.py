"""What to export, and how: checked before anything is compiled."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..codegen.llvm.platform import find_platform
from ..codegen.llvm.versions import LEVELS
from ..compiler import with_updates
from ..errors import InputError, TargetError
from ..ir.graph import Graph
from ..ir.symbol import Expression, Group, Symbol, output_names
from ..kernel import dims
from ..options import Options, from_environment
from .budgets import Budgets, budgets_from
from .kinds import KINDS
from .names import identifier

WEIGHTS = ("embedded", "file", "pointer")


@dataclass(frozen=True)
class Request:
    """What to export, and how; see `symgraph.export` for the meaning of each field."""

    graph: Graph
    path: Path
    name: str
    params: Mapping[str, Any]
    platform: str
    cpus: tuple[str | None, ...]
    weights: str
    emit: tuple[str, ...]
    shapes: Mapping[str, Any]
    dtypes: Mapping[str, Any]
    ranges: Mapping[str, tuple[int, int]]
    specialise: Mapping[str, Sequence[int]]
    training: bool
    budgets: Budgets
    selftest: bool
    options: Options
    progress: Callable[[str], None] = lambda stage: None
    alone: bool = False
    """Nothing in the object shares work among threads."""

    def special_extents(self) -> list[dict[str, int]]:
        """Every combination of the sizes that get a version of their own."""
        names = list(self.specialise)
        combinations = itertools.product(*(self.specialise[name] for name in names))
        return [dict(zip(names, sizes, strict=True)) for sizes in combinations] if names else []


def chosen_cpus(platform: str, cpu: str | Sequence[str] | None) -> tuple[str | None, ...]:
    """The processors to make versions for.  Raises: TargetError."""
    given = (cpu,) if cpu is None or isinstance(cpu, str) else tuple(cpu)
    if len(given) < 2:
        return given
    wrong = [name for name in given if name not in LEVELS]
    if wrong or not platform.startswith("x86_64"):
        raise TargetError(
            f"export: one object can hold versions for {', '.join(LEVELS)} of x86_64 platforms "
            f"alone, got {', '.join(str(c) for c in given)} for {platform}"
        )
    return tuple(dict.fromkeys(given))


Outputs = Symbol | Group | Sequence[Symbol]


def requests(
    outputs: Outputs | Mapping[str, Outputs],
    path: Path,
    *,
    name: str | None,
    ranges: Mapping[str, tuple[int, int]] | None,
    specialise: Mapping[str, Sequence[int]] | None,
    updates: Mapping[str, Symbol | Mapping[str, Symbol]] | None,
    state: Mapping[str, str | Symbol] | None = None,
    **others: Any,
) -> dict[str, Request]:
    """The request for each entry by its name; "run" where there is one.

    What is said of extents and updates goes to the entries that have them.

    Raises: InputError, TargetError.
    """
    if not isinstance(outputs, Mapping):
        outputs, further = with_state(outputs, state or {}, "")
        plain = {n: s for n, s in (updates or {}).items() if isinstance(s, Symbol)}
        if len(plain) < len(updates or {}):
            raise InputError("export: updates by entry need several entries")
        single = request(
            outputs,
            path,
            name=name,
            ranges=ranges,
            specialise=specialise,
            updates={**plain, **further},
            **others,
        )
        return {"run": single}
    if not outputs:
        raise InputError("export: the mapping of entries is empty")
    start, found, unknown = (
        path.name if name is None else name,
        {},
        {*(updates or {}), *(state or {})},
    )
    wrong = [entry for entry in outputs if identifier(entry) != entry]
    if wrong:
        raise InputError(f"export: entry {wrong[0]!r} cannot be part of a C name")
    extents = {entry: _extents_of(_group(each)) for entry, each in outputs.items()}
    known = frozenset().union(*extents.values())
    for entry, each in outputs.items():
        names = _group(each).graph.names.values()
        kept = {n: s for n, s in (state or {}).items() if n in names}
        each, further = with_state(each, kept, entry)
        mine = (updates or {}).get(entry)
        own = (
            dict(mine)
            if isinstance(mine, Mapping)
            else {n: s for n, s in (updates or {}).items() if isinstance(s, Symbol) and n in names}
        )
        unknown -= {*own, *kept, *([entry] if isinstance(mine, Mapping) else [])}
        own |= further
        here = {k: v for k, v in (ranges or {}).items() if k in extents[entry] or k not in known}
        sizes = {k: v for k, v in (specialise or {}).items()
                 if k in extents[entry] or k not in known}  # fmt: skip
        found[entry] = request(
            each, path, name=f"{start}_{entry}", ranges=here, specialise=sizes, updates=own,
            **others,
        )  # fmt: skip
    if unknown:
        raise InputError(f"export: updates or state has {sorted(unknown)[0]!r}, which no entry has")
    return found


def with_state(
    outputs: Outputs, state: Mapping[str, str | Symbol], entry: str
) -> tuple[Outputs, dict[str, Symbol]]:
    """The outputs without those that are next values of state, and the state as updates.

    Raises: InputError for a name that is no output, or when no output is left.
    """
    if not state:
        return outputs, {}
    group = _group(outputs)
    symbols = [Symbol(value) for value in group.graph.outputs]
    names = dict(zip(output_names(group.graph), symbols, strict=True))
    updates: dict[str, Symbol] = {}
    for name, following in state.items():
        if isinstance(following, str) and following not in names:
            where = f"entry {entry} has" if entry else "there are"
            raise InputError(
                f"export: state {name!r}: its next value {following!r} is no output; {where} the "
                f"outputs {', '.join(names)}"
            )
        updates[name] = names[following] if isinstance(following, str) else following
    taken = {following for following in state.values() if isinstance(following, str)}
    left = [symbol for name, symbol in names.items() if name not in taken]
    if not left:
        raise InputError("export: state leaves no output: return something besides next values")
    return Group(left), updates


def _group(outputs: Outputs) -> Expression:
    return outputs if isinstance(outputs, Expression) else Group(list(outputs))


def _extents_of(outputs: Expression) -> frozenset[str]:
    """The names of the open extents of all variables."""
    return frozenset(
        extent.name
        for node in outputs.graph.variables
        for dim in node.types[0].shape or ()
        for extent in dims.dim_vars(dim)
    )


def request(
    outputs: Outputs,
    path: str | Path,
    *,
    params: Mapping[str, Any] | None,
    target: str,
    cpu: str | Sequence[str] | None,
    name: str | None,
    weights: str,
    emit: Sequence[str],
    shapes: Mapping[str, Any] | None,
    dtypes: Mapping[str, Any] | None,
    ranges: Mapping[str, tuple[int, int]] | None,
    specialise: Mapping[str, Sequence[int]] | None,
    training: bool,
    budgets: Mapping[str, int] | None,
    selftest: bool,
    updates: Mapping[str, Symbol] | None,
    options: Options | None,
    progress: Callable[[str], None] | None,
    changes: Mapping[str, Any],
) -> Request:
    """A checked request.  Raises: InputError, TargetError."""
    if weights not in WEIGHTS:
        raise InputError(f"export: weights must be one of {', '.join(WEIGHTS)}, got {weights!r}")
    kinds = tuple(dict.fromkeys(emit))
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        got = repr(unknown[0]) if unknown else "none"
        raise InputError(f"export: emit must be some of {', '.join(KINDS)}, got {got}")
    where = Path(path)
    if not where.name or str(path).endswith(("/", "\\")):
        raise InputError(f"export: path must end in the artefact's name, got {str(path)!r}")
    if "platform" in changes:
        given = changes["platform"]
        raise InputError(f"export: the platform is called target here: give target={given!r}")
    if target != "native":
        find_platform(target)
    if "whl" in kinds and weights != "embedded":
        raise InputError("export: a wheel carries its weights: it needs weights='embedded'")
    if {"so", "whl"} & set(kinds) and target not in ("native", "x86_64-linux", "aarch64-linux"):
        raise TargetError(f"export: no shared library can be linked for {target}; ship the object")
    chosen = (options if options is not None else from_environment()).with_(**changes)
    expression = _group(outputs)
    return Request(
        graph=with_updates(expression.graph, dict(updates or {})),
        path=where,
        name=where.name if name is None else name,
        params=dict(params or {}),
        platform=target,
        cpus=chosen_cpus(target, cpu),
        weights=weights,
        emit=kinds,
        shapes=dict(shapes or {}),
        dtypes=dict(dtypes or {}),
        ranges=dict(ranges or {}),
        specialise={name: tuple(sizes) for name, sizes in (specialise or {}).items()},
        training=training,
        budgets=budgets_from(budgets or {}),
        selftest=selftest,
        options=chosen.with_(target="llvm", platform=target),
        progress=progress if progress is not None else (lambda stage: None),
        # The number of threads of this process's environment says nothing about the object's.
        alone=chosen.threads == 1 and (options is not None or "threads" in changes),
    )
