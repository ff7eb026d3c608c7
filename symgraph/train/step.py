"""One training step as a graph: forward, gradients, clipping and update, compiled as one program.

The step's inputs are the batch, the learning rate and the step's number; parameters, auxiliary
state and optimiser state are arrays that the program reads and writes in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..autodiff import gradients
from ..codegen.executable import Executable
from ..compiler import compile
from ..errors import AttributeValueError, DTypeError, GradientError, InputError
from ..ir.symbol import Group, Symbol, var
from ..kernel.dims import dim_text
from ..kernel.dtypes import DType, as_dtype
from ..ops.base import make
from ..options import Options
from .clipping import Clip
from .names import pin_names
from .optimizers import Optimizer

Array = np.ndarray[Any, np.dtype[Any]]
RATE = "learning_rate"
STEP = "step"


@dataclass(frozen=True)
class StepGraph:
    """A training step in symbols: what it returns, what it updates, the state it starts from."""

    loss: Symbol
    outputs: tuple[Symbol, ...]
    updates: Mapping[str, Symbol]
    state: Mapping[str, Array]

    def compile(
        self,
        params: Mapping[str, Array],
        *,
        shapes: Mapping[str, Any] | None = None,
        target: str | None = None,
        name: str = "training_step",
        options: Options | None = None,
        **changes: Any,
    ) -> Executable:
        """The step as a callable `(batch..., learning_rate=, step=) -> (loss, outputs...)`; its
        `parameters` are the arrays that it updates."""
        return compile(
            **self.arguments(params, shapes),
            target=target,
            name=name,
            options=options,
            **changes,
        )

    def arguments(
        self, params: Mapping[str, Array], shapes: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The step as keywords of `symgraph.compile` and of `symgraph.export`."""
        outputs = Group([self.loss, *self.outputs])
        read = set(Group([*outputs, *self.updates.values()]).list_variables())
        arrays = {n: a for n, a in {**params, **self.state}.items() if n in read}
        given = {n: shape for n, shape in (shapes or {}).items() if n in read}
        return {
            "outputs": outputs,
            "params": arrays,
            "training": True,
            "updates": self.updates,
            "shapes": {**given, **{name: array.shape for name, array in arrays.items()}},
        }


def build_step(
    loss: Symbol,
    params: Mapping[str, Array],
    optimizer: Optimizer,
    *,
    outputs: Sequence[Symbol] = (),
    clip: Clip | None = None,
) -> StepGraph:
    """The step that lowers `loss` by changing its parameters.

    `params` gives their shapes and dtypes; a parameter declared with `lr_mult=0` is not changed.
    Raises: InputError when an array is missing; GradientError when the loss is no scalar, or has
    no parameter to train.
    """
    check_loss(loss)
    loss, *outputs = pin_names([loss, *outputs])
    trained = trained_parameters(loss)
    names = {s: _name(s) for s in trained}
    missing = [name for name in names.values() if name not in params]
    if missing:
        raise InputError(f"training: params has no array for {', '.join(missing)}")
    found = list(gradients(loss, trained))
    if clip is not None:
        found = clip.apply(found)
    rate_type = _widest([as_dtype(params[name].dtype) for name in names.values()])
    rate, number = var(RATE, (), rate_type), var(STEP, (), rate_type)
    updates: dict[str, Symbol] = {}
    state: dict[str, Array] = {}
    for symbol, gradient in zip(trained, found, strict=True):
        name, array = names[symbol], params[names[symbol]]
        slots = _state_variables(optimizer, name, array)
        dtype = as_dtype(array.dtype)
        new, new_slots = optimizer.for_parameter(name, _mult(symbol, "decay_mult")).update(
            symbol,
            gradient,
            tuple(slot for slot, _ in slots.values()),
            _scaled(_as_type(rate, dtype), _mult(symbol, "lr_mult")),
            _as_type(number, dtype),
        )
        updates[name] = new
        updates.update(zip(slots, new_slots, strict=True))
        state.update({key: initial for key, (_, initial) in slots.items()})
    return StepGraph(loss, tuple(outputs), updates, state)


def check_loss(loss: Symbol) -> None:
    """Raises: GradientError when the loss is not one number, as far as is known."""
    if loss.shape is not None and loss.shape != ():
        raise GradientError(
            f"a loss must be one number, but {loss.node.label} has shape {dim_text(loss.shape)} "
            f"(declared at {loss.node.origin}); take its mean: sg.mean(loss)"
        )


def trained_parameters(loss: Symbol) -> tuple[Symbol, ...]:
    """The parameters of the loss that are not held fixed.  Raises: GradientError for none."""
    found = tuple(s for s in loss.parameters if _mult(s, "lr_mult") != 0.0)
    if not found:
        raise GradientError(
            f"the loss {loss.node.label} has no parameter to train; its variables are "
            f"{', '.join(loss.list_variables()) or 'none'} (a variable is a parameter when it has "
            f"an initialiser)"
        )
    reserved = {RATE, STEP} & set(loss.list_variables())
    if reserved:
        raise InputError(
            f"training: the name {sorted(reserved)[0]!r} belongs to an input of the training "
            f"step; give the variable of the loss another name"
        )
    return found


def _name(symbol: Symbol) -> str:
    name = symbol.node.name
    assert name is not None, "names are pinned"
    return name


def _state_variables(
    optimizer: Optimizer, name: str, array: Array
) -> dict[str, tuple[Symbol, Array]]:
    """For each state of a parameter: its name -> (variable, first value)."""
    return {
        f"{name}.{key}": (
            var(f"{name}.{key}", array.shape, array.dtype, auxiliary=True),
            np.full(array.shape, initial, array.dtype),
        )
        for key, initial in optimizer.state.items()
    }


def _mult(symbol: Symbol, key: str) -> float:
    value = dict(symbol.node.attributes).get(key, 1.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise AttributeValueError(
            f"{_name(symbol)}: {key} must be a number >= 0, got {value!r} (declared at "
            f"{symbol.node.origin})"
        )
    return float(value)


def _scaled(rate: Symbol, factor: float) -> Symbol:
    return rate if factor == 1.0 else rate * factor


def _widest(dtypes: Sequence[DType]) -> DType:
    wrong = [d for d in dtypes if not d.is_float]
    if wrong:
        raise DTypeError(f"training: a parameter has dtype {wrong[0]}, only floats can be trained")
    return max(dtypes, key=lambda d: d.nbytes)


def _as_type(symbol: Symbol, dtype: DType) -> Symbol:
    return symbol if symbol.dtype == dtype else make("cast", symbol, dtype=dtype.name)
