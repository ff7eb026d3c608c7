"""Optimisers: each says, in symbols, how a parameter and its state move for a gradient.

An optimiser builds graph, it holds no arrays: the step that `symgraph.train` compiles contains the
forward pass, the gradients and these formulas, and writes parameters and state over their arrays.
Formulas and defaults are those of torch.optim, so that its published settings carry over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import ClassVar

from ..errors import AttributeValueError
from ..ir.symbol import Symbol, as_symbol
from ..ops.base import make
from .schedules import Schedule, as_schedule

State = tuple[Symbol, ...]


@dataclass(frozen=True)
class Optimizer:
    """Base of the optimisers.

    `learning_rate` is a number or a schedule; `weight_decay` adds that multiple of the parameter
    to its gradient (AdamW: to the step itself).  Parameters whose name ends in one of `no_decay`
    are not decayed.  A parameter declared inside `attribute_scope(lr_mult=a, decay_mult=b)` has
    its learning rate and decay multiplied; `lr_mult=0` keeps it as it is.
    """

    learning_rate: float | Schedule = 1e-2
    weight_decay: float = 0.0
    no_decay: tuple[str, ...] = ()

    limits: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """Half-open ranges [low, high) of the fields of each optimiser."""

    def __post_init__(self) -> None:
        ranges = {"weight_decay": (0.0, math.inf), **self.limits}
        if not isinstance(self.learning_rate, Schedule):
            ranges["learning_rate"] = (0.0, math.inf)
        for key, (low, high) in ranges.items():
            value = getattr(self, key)
            if not low <= value < high:
                raise AttributeValueError(
                    f"{type(self).__name__}: {key} must lie in [{low:g}, {high:g}), got {value!r}"
                )
        if isinstance(self.no_decay, str):
            raise AttributeValueError(
                f"{type(self).__name__}: no_decay must be a tuple of endings of names, "
                f"got the string {self.no_decay!r}"
            )

    @property
    def schedule(self) -> Schedule:
        """The learning rate as a function of the iteration."""
        return as_schedule(self.learning_rate)

    @property
    def state(self) -> Mapping[str, float]:
        """The arrays kept for each parameter: name -> the value they start from."""
        return {}

    def for_parameter(self, name: str, decay_mult: float = 1.0) -> Optimizer:
        """The optimiser with the weight decay that this parameter gets."""
        spared = any(name.endswith(ending) for ending in self.no_decay)
        return replace(self, weight_decay=0.0 if spared else self.weight_decay * decay_mult)

    def update(
        self, param: Symbol, grad: Symbol, state: State, learning_rate: Symbol, step: Symbol
    ) -> tuple[Symbol, State]:
        """The next value of a parameter and of its state.

        Shapes: grad and each state as param; learning_rate and step [].   Dtypes: one float for
        all.   `step` counts from 1.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update")

    def decayed(self, param: Symbol, grad: Symbol) -> Symbol:
        """The gradient with the weight decay's part (the gradient of decay/2 |param|^2)."""
        return grad + self.weight_decay * param if self.weight_decay else grad

    def __str__(self) -> str:
        shown = ", ".join(
            f"{f.name}={getattr(self, f.name)!r}"
            for f in fields(self)
            if getattr(self, f.name) != f.default
        )
        return f"{type(self).__name__}({shown})"


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum (Polyak) or Nesterov's form of it.

    v' = momentum v + g;   p' = p - lr v',   Nesterov: p' = p - lr (g + momentum v').
    Source: Sutskever et al. 2013, in the form of torch.optim.SGD with dampening 0.
    """

    momentum: float = 0.0
    nesterov: bool = False
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {"momentum": (0.0, 1.0)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise AttributeValueError("SGD: nesterov=True needs a momentum above 0")

    @property
    def state(self) -> Mapping[str, float]:
        return {"momentum": 0.0} if self.momentum else {}

    def update(
        self, param: Symbol, grad: Symbol, state: State, learning_rate: Symbol, step: Symbol
    ) -> tuple[Symbol, State]:
        grad = self.decayed(param, grad)
        if not self.momentum:
            return param - learning_rate * grad, ()
        velocity = self.momentum * state[0] + grad
        move = grad + self.momentum * velocity if self.nesterov else velocity
        return param - learning_rate * move, (velocity,)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adaptive moments with bias correction.

    m' = b1 m + (1-b1) g;   v' = b2 v + (1-b2) g^2;
    p' = p - lr / (1-b1^t) m' / (sqrt(v' / (1-b2^t)) + epsilon).
    Source: Kingma and Ba 2015, algorithm 1.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        "beta1": (0.0, 1.0),
        "beta2": (0.0, 1.0),
        "epsilon": (0.0, math.inf),
    }

    @property
    def state(self) -> Mapping[str, float]:
        return {"mean": 0.0, "variance": 0.0}

    def update(
        self, param: Symbol, grad: Symbol, state: State, learning_rate: Symbol, step: Symbol
    ) -> tuple[Symbol, State]:
        return self._moved(param, self.decayed(param, grad), state, learning_rate, step)

    def _moved(
        self, param: Symbol, grad: Symbol, state: State, learning_rate: Symbol, step: Symbol
    ) -> tuple[Symbol, State]:
        mean = self.beta1 * state[0] + (1.0 - self.beta1) * grad
        variance = self.beta2 * state[1] + (1.0 - self.beta2) * (grad * grad)
        rate = learning_rate / _one_minus_power(self.beta1, step)
        correction = make("sqrt", _one_minus_power(self.beta2, step))
        denominator = make("sqrt", variance) / correction + self.epsilon
        return param - rate * mean / denominator, (mean, variance)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: p' = (1 - lr decay) p - Adam's step for the bare gradient.

    Source: Loshchilov and Hutter 2019.
    """

    weight_decay: float = 1e-2

    def update(
        self, param: Symbol, grad: Symbol, state: State, learning_rate: Symbol, step: Symbol
    ) -> tuple[Symbol, State]:
        shrunk = param - (learning_rate * self.weight_decay) * param if self.weight_decay else param
        return self._moved(shrunk, grad, state, learning_rate, step)


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """The gradient divided by a running root mean square of itself.

    s' = decay s + (1-decay) g^2;   p' = p - lr g / (sqrt(s') + epsilon).  With `centered` a running
    mean of g, squared, is taken off s'; with `momentum` the quotient feeds a velocity.
    Source: Tieleman and Hinton 2012; the centred form: Graves 2013.
    """

    decay: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0
    centered: bool = False
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        "decay": (0.0, 1.0),
        "epsilon": (0.0, math.inf),
        "momentum": (0.0, 1.0),
    }

    @property
    def state(self) -> Mapping[str, float]:
        names = ["square", *["mean"] * self.centered, *["momentum"] * bool(self.momentum)]
        return dict.fromkeys(names, 0.0)

    def update(
        self, param: Symbol, grad: Symbol, state: State, learning_rate: Symbol, step: Symbol
    ) -> tuple[Symbol, State]:
        old = dict(zip(self.state, state, strict=True))
        grad = self.decayed(param, grad)
        square = self.decay * old["square"] + (1.0 - self.decay) * (grad * grad)
        new = {"square": square}
        if self.centered:
            new["mean"] = self.decay * old["mean"] + (1.0 - self.decay) * grad
            square = square - new["mean"] * new["mean"]
        move = grad / (make("sqrt", square) + self.epsilon)
        if self.momentum:
            move = new["momentum"] = self.momentum * old["momentum"] + move
        return param - learning_rate * move, tuple(new.values())


@dataclass(frozen=True)
class AdaGrad(Optimizer):
    """The gradient divided by the root of the sum of all its squares so far.

    s' = s + g^2;   p' = p - lr / (1 + (t-1) rate_decay) g / (sqrt(s') + epsilon).
    Source: Duchi, Hazan and Singer 2011.
    """

    rate_decay: float = 0.0
    initial: float = 0.0
    epsilon: float = 1e-10
    limits: ClassVar[Mapping[str, tuple[float, float]]] = {
        "rate_decay": (0.0, math.inf),
        "initial": (0.0, math.inf),
        "epsilon": (0.0, math.inf),
    }

    @property
    def state(self) -> Mapping[str, float]:
        return {"square": self.initial}

    def update(
        self, param: Symbol, grad: Symbol, state: State, learning_rate: Symbol, step: Symbol
    ) -> tuple[Symbol, State]:
        grad = self.decayed(param, grad)
        square = state[0] + grad * grad
        rate = learning_rate
        if self.rate_decay:
            rate = learning_rate / (1.0 + self.rate_decay * (step - 1.0))
        return param - rate * grad / (make("sqrt", square) + self.epsilon), (square,)


def _one_minus_power(base: float, step: Symbol) -> Symbol:
    """1 - base^step.  As -expm1(step log base), which keeps all digits where base^step is near 1
    (0.999 in float32 is off by 1.3e-8, which is 1.3e-5 of 1 - 0.999)."""
    if base == 0.0:
        return as_symbol(1.0)
    return -make("expm1", math.log(base) * step)
