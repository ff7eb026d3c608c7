"""Symbolic gradients against central differences in float64.

The outputs are folded into one number with fixed random weights.  For each input the derivative of
that number along random directions, and for single elements, is compared with
`(f(x + h*v) - f(x - h*v)) / (2*h)`.  Where the one-sided differences disagree, a kink lies within
the step: the step is made smaller twice, then the direction is left out and reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..autodiff import gradients
from ..codegen.executable import Executable
from ..compiler import compile
from ..errors import GradientError, InputError
from ..ir.symbol import Group, Symbol, constant, group, var
from ..kernel.dtypes import as_dtype
from ..ops import reduction
from ..ops.creation import FullLike

Array = np.ndarray[Any, np.dtype[Any]]
STEP = 1e-5


class GradientCheckError(AssertionError):
    """A symbolic gradient differs from the central difference; the text shows where."""


@dataclass(frozen=True)
class Comparison:
    """One derivative: symbolic, numeric, and whether a kink made it useless."""

    input: str
    along: str
    symbolic: float
    numeric: float
    kink: bool = False

    @property
    def error(self) -> float:
        """The difference relative to the larger of both and of 1."""
        scale = max(1.0, abs(self.symbolic), abs(self.numeric))
        return abs(self.symbolic - self.numeric) / scale


@dataclass(frozen=True)
class GradientReport:
    """Every derivative that was compared."""

    comparisons: tuple[Comparison, ...] = field(default=())

    @property
    def worst(self) -> float:
        """The greatest relative error outside kinks."""
        return max((c.error for c in self.comparisons if not c.kink), default=0.0)

    @property
    def kinks(self) -> int:
        return sum(1 for c in self.comparisons if c.kink)

    def __str__(self) -> str:
        lines = [f"{'input':<12} {'along':<18} {'symbolic':>16} {'numeric':>16} {'error':>10}"]
        for c in self.comparisons:
            note = "kink" if c.kink else f"{c.error:.2e}"
            lines.append(
                f"{c.input:<12} {c.along:<18} {c.symbolic:>16.9g} {c.numeric:>16.9g} {note:>10}"
            )
        return "\n".join(lines)


def check_gradients(
    function: Callable[..., Any] | Symbol | Group,
    inputs: Sequence[Any] | Mapping[str, Any],
    *,
    wrt: Sequence[str] | None = None,
    directions: int = 3,
    elements: int = 3,
    rtol: float = 1e-6,
    seed: int = 0,
    target: str = "interp",
    missing_is_zero: bool = False,
) -> GradientReport:
    """Compare symbolic gradients with central differences in float64.

    function   takes symbols and returns one or several; or the symbols themselves
    inputs     arrays in order, or by name; floats are converted to float64
    wrt        names of the inputs to differentiate by; by default every float
    missing_is_zero  an input that reaches no output through differentiable operators is compared
               with 0 instead of raising GradientError
    Raises: GradientCheckError with a table of every comparison.
    """
    case = _prepare(function, inputs, wrt, seed, target, missing_is_zero)
    rng = np.random.default_rng(seed + 1)
    found: list[Comparison] = []
    for name, gradient in case.gradients().items():
        for along, direction in _directions(case.arrays[name], directions, elements, rng):
            symbolic = float(np.sum(gradient * direction))
            found.append(_compare(case, name, along, direction, symbolic))
    report = GradientReport(tuple(found))
    _judge(report, rtol)
    return report


def _judge(report: GradientReport, rtol: float) -> None:
    bad = [c for c in report.comparisons if not c.kink and not c.error <= rtol]
    if bad:
        raise GradientCheckError(
            f"{len(bad)} of {len(report.comparisons)} derivatives differ by more than {rtol:g}\n"
            f"{report}"
        )
    if report.comparisons and report.kinks == len(report.comparisons):
        raise GradientCheckError(
            f"every direction meets a kink, so nothing was compared; choose other inputs\n{report}"
        )


@dataclass(frozen=True)
class _Case:
    """A compiled loss with its gradients, and the point where it is looked at."""

    arrays: dict[str, Array]
    wanted: tuple[str, ...]
    run_loss: Callable[..., Any]
    run_gradients: Callable[..., Any]

    def loss(self, name: str, array: Array) -> float:
        return float(self.run_loss(**{**self.arrays, name: array}))

    def gradients(self) -> dict[str, Array]:
        if not self.wanted:
            return {}
        results = self.run_gradients(**self.arrays)
        found = results if isinstance(results, tuple) else (results,)
        return dict(zip(self.wanted, found, strict=True))


def _prepare(
    function: Any,
    inputs: Any,
    wrt: Sequence[str] | None,
    seed: int,
    target: str,
    missing_is_zero: bool,
) -> _Case:
    outputs, arrays = _declare(function, inputs)
    variables = {s.name: s for s in outputs.variables}
    unused = [n for n in arrays if n not in variables]
    if unused and not missing_is_zero and wrt is not None and any(n in wrt for n in unused):
        raise InputError(f"check_gradients: {unused[0]!r} is not used by the outputs")
    arrays = {n: a for n, a in arrays.items() if n in variables}
    missing = [n for n in variables if n not in arrays]
    if missing:
        raise InputError(f"check_gradients: no array for {', '.join(missing)}")
    floats = [n for n, a in arrays.items() if as_dtype(a.dtype).is_float]
    wanted = tuple(floats if wrt is None else wrt)
    loss = _fold(outputs, arrays, seed)
    wanted = tuple(n for n in wanted if n in variables)
    if missing_is_zero:
        found = [_gradient_or_zero(loss, variables[n]) for n in wanted]
    else:
        found = list(gradients(loss, [variables[n] for n in wanted]))
    run_loss = _runner(compile(loss, target=target, training=True, name="loss"))
    if not found:
        return _Case(arrays, wanted, run_loss, lambda **given: ())
    run_gradients = _runner(compile(found, target=target, training=True, name="gradients"))
    return _Case(arrays, wanted, run_loss, run_gradients)


def _runner(executable: Executable) -> Callable[..., Any]:
    """A call that passes on only the arrays which are inputs."""
    names = set(executable.inputs)
    return lambda **given: executable(**{k: v for k, v in given.items() if k in names})


def _gradient_or_zero(loss: Symbol, variable: Symbol) -> Symbol:
    try:
        found: Symbol = gradients(loss, variable)
    except GradientError:
        return FullLike(0.0)(variable)  # type: ignore[no-any-return]
    return found


def _declare(function: Any, inputs: Any) -> tuple[Group, dict[str, Array]]:
    by_name = isinstance(inputs, Mapping)
    pairs = inputs.items() if by_name else ((f"x{n}", a) for n, a in enumerate(inputs))
    arrays = {name: _float64(np.asarray(value)) for name, value in pairs}
    if isinstance(function, (Symbol, Group)):
        if not by_name:
            raise InputError("check_gradients: give the inputs of a symbol by name")
        return group(function), arrays
    symbols = {name: var(name, a.shape, as_dtype(a.dtype)) for name, a in arrays.items()}
    result = function(**symbols) if by_name else function(*symbols.values())
    return group(*(result if isinstance(result, (tuple, list)) else (result,))), arrays


def _float64(array: Array) -> Array:
    return array.astype(np.float64) if as_dtype(array.dtype).is_float else array


def _fold(outputs: Group, arrays: Mapping[str, Array], seed: int) -> Symbol:
    """One number from all float outputs, each element with its own weight."""
    rng = np.random.default_rng(seed)
    inference = outputs.graph.infer({n: a.shape for n, a in arrays.items()})
    total: Symbol | None = None
    for symbol in outputs.symbols:
        type = inference.types[symbol.value]
        if type.dtype is not None and not type.dtype.is_float:
            continue
        assert type.shape is not None
        extents = [int(str(d)) for d in type.shape]
        weights = constant(rng.uniform(0.5, 1.5, extents), "float64")
        part: Symbol = reduction.sum(symbol * weights)
        total = part if total is None else total + part
    if total is None:
        raise InputError("check_gradients: no output is a float")
    return total


def _directions(
    array: Array, directions: int, elements: int, rng: np.random.Generator
) -> list[tuple[str, Array]]:
    result: list[tuple[str, Array]] = []
    if array.size == 0:
        return [("nothing", np.zeros(array.shape))]
    for number in range(directions):
        direction: Array = np.asarray(rng.standard_normal(array.shape))
        result.append((f"direction {number}", direction / np.sqrt(np.sum(direction**2))))
    count = min(elements, array.size)
    for position in sorted(rng.choice(array.size, count, replace=False).tolist()):
        single = np.zeros(array.shape)
        single.flat[position] = 1.0
        place = ", ".join(str(int(i)) for i in np.unravel_index(position, array.shape))
        result.append((f"[{place}]", single))
    return result


def _compare(case: _Case, name: str, along: str, direction: Array, symbolic: float) -> Comparison:
    x = case.arrays[name]
    middle = case.loss(name, x)
    numeric = 0.0
    for step in (STEP, STEP / 10, STEP / 100):
        up, down = case.loss(name, x + step * direction), case.loss(name, x - step * direction)
        numeric = (up - down) / (2 * step)
        jump = abs((up - middle) - (middle - down)) / step
        rounding = 1e-15 * max(abs(middle), 1.0) / step
        if jump <= 1e-3 * max(1.0, abs(numeric)) + 10 * rounding:
            return Comparison(name, along, symbolic, numeric)
    return Comparison(name, along, symbolic, numeric, kink=True)
