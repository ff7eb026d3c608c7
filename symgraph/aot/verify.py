"""A shipped object against the interpreter, over made-up inputs of several sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..compiler import compile
from ..errors import FormatError
from ..ir.program import Port
from ..ir.symbol import Group, Symbol
from ..kernel import dims
from ..kernel.dims import DimVar
from ..kernel.dtypes import as_dtype
from . import description as sealed
from .extents_text import decode_dim
from .files import read_whole
from .load import load_object

Array = np.ndarray[Any, np.dtype[Any]]
SIZES = (1, 2, 3, 8)


@dataclass(frozen=True)
class Difference:
    """How far one output lies from the interpreter's: absolute, and relative to its largest
    number."""

    extents: Mapping[str, int]
    output: str
    absolute: float
    relative: float


@dataclass(frozen=True)
class Report:
    """What `verify` found."""

    differences: tuple[Difference, ...]
    tolerance: float

    @property
    def is_right(self) -> bool:
        """Every output lies within the tolerance."""
        return all(d.relative <= self.tolerance for d in self.differences)

    def __str__(self) -> str:
        lines = []
        for d in self.differences:
            extents = ", ".join(f"{k}={v}" for k, v in d.extents.items()) or "fixed"
            verdict = "ok" if d.relative <= self.tolerance else "WRONG"
            lines.append(
                f"{verdict:<6}{d.output} ({extents}): largest difference {d.absolute:.3g}, "
                f"relative {d.relative:.3g}"
            )
        return "\n".join(lines)


def verify(
    outputs: Symbol | Group | Sequence[Symbol],
    path: Path,
    *,
    params: Mapping[str, Any],
    shapes: Mapping[str, Any] | None = None,
    seed: int = 0,
    tolerance: float = 1e-4,
) -> Report:
    """Run both.  Raises: FormatError when the object is of another model, or does not load."""
    kind = sealed.decode(read_whole(path), str(path))[1]["weights"]["kind"] if (
        path.suffix != ".whl") else "embedded"  # fmt: skip
    shipped = load_object(path, dict(params) if kind == "pointer" else None, 1)
    truth = compile(outputs, params=params, shapes=shapes, target="interp")
    if shipped.inputs != truth.inputs or shipped.outputs != truth.outputs:
        raise FormatError(
            f"{path}: takes {', '.join(shipped.inputs)} and gives {', '.join(shipped.outputs)}; "
            f"the network takes {', '.join(truth.inputs)} and gives {', '.join(truth.outputs)}"
        )
    ports = [p for p in truth.program.inputs if p.name in truth.inputs]
    found: list[Difference] = []
    for extents in _cases(path, truth.program.dims):
        generator = np.random.default_rng(seed)
        arrays = {p.name: made_up(p, extents, generator) for p in ports}
        got, want = (_tuple(f(**arrays)) for f in (shipped, truth))
        for name, a, b in zip(truth.outputs, got, want, strict=True):
            found.append(_difference(extents, name, a, b))
    return Report(tuple(found), tolerance)


def _cases(path: Path, extents: Sequence[DimVar]) -> list[dict[str, int]]:
    """Legal extents that differ from each other, so that swapped ones are seen.

    Raises: FormatError when no small ones are legal.
    """
    if not extents:
        return [{}]
    made = sealed.decode(read_whole(path), str(path))[1] if path.suffix != ".whl" else None
    found: list[dict[str, int]] = []
    for size in (*SIZES, *range(1, 129)):
        case = {v.name: size + i for i, v in enumerate(extents)}
        same = dict.fromkeys(case, size)
        legal = [c for c in (case, same) if made is None or _is_legal(made, c)]
        found += [c for c in legal[:1] if c not in found]
        if len(found) == len(SIZES):
            break
    if not found:
        raise FormatError(
            f"{path}: no extents up to 128 are legal for it; compile it with a narrower --dim, or "
            f"with --shape"
        )
    return found


def _is_legal(made: Mapping[str, Any], extents: Mapping[str, int]) -> bool:
    """Within the object's limits, and every condition holds."""
    env = {DimVar(name): value for name, value in extents.items()}
    for row in made["extents"]:
        if not row["low"] <= extents.get(row["name"], row["low"]) <= row["high"]:
            return False
    for row in made["conditions"]:
        left, right = (int(dims.evaluate(decode_dim(row[k]), env)) for k in ("left", "right"))
        if not (left == right if row["relation"] == "==" else left >= right):
            return False
    return True


def made_up(port: Port, extents: Mapping[str, int], generator: np.random.Generator) -> Array:
    """Numbers of about one; integers 0 or 1."""
    assert port.type.shape is not None
    env = {DimVar(name): value for name, value in extents.items()}
    shape = tuple(int(dims.evaluate(d, env)) for d in port.type.shape)
    dtype = as_dtype(port.type.dtype)
    if dtype.is_float:
        return generator.standard_normal(shape).astype(dtype.numpy)
    return generator.integers(0, 2, shape).astype(dtype.numpy)


def _tuple(value: Any) -> tuple[Array, ...]:
    return value if isinstance(value, tuple) else (value,)


def _difference(extents: Mapping[str, int], name: str, got: Array, want: Array) -> Difference:
    if got.size == 0:
        return Difference(extents, name, 0.0, 0.0)
    a, b = got.astype(np.float64), want.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gap = np.where(same, 0.0, np.abs(a - b))
    absolute = float(gap.max()) if not np.isnan(gap).any() else float("inf")
    largest = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
    return Difference(extents, name, absolute, absolute / largest if largest else absolute)
