"""Inference with parts of what is true: nothing it says may contradict the whole truth.

Every sample of every operator is declared with some of its extents, or whole shapes, forgotten, of
inputs and of outputs.  What is inferred from the rest must be what was forgotten, or stay open.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import pytest

import symgraph as sg
from symgraph.ir.registry import registry
from symgraph.ir.sample import Sample
from symgraph.testing.samples import declare, sample_arrays, sample_text

from ..support.operators import package_operators

GUESSED = ("prelu",)
"""Of a weight with one axis of unknown extent prelu says that it is the channels', not 1."""
OPERATORS = [name for name in package_operators() if name not in GUESSED]


@dataclass(frozen=True, slots=True)
class SameShape(sg.Op):
    """Its inputs have one shape."""

    name = "same_shape_of_two"

    def infer_shape(self, u: Any, x: Any, y: Any) -> tuple[Any, ...]:
        u.same_shape(x, y, "x and y must have one shape")
        return (x,)


def _forget(generator: random.Random, shape: tuple[int, ...], share: float) -> Any:
    if generator.random() < 0.1:
        return None
    return tuple(None if generator.random() < share else d for d in shape)


def _contradicts(inferred: Any, true: tuple[int, ...]) -> bool:
    if inferred is None:
        return False
    pairs = list(zip(inferred, true, strict=False))
    return len(inferred) != len(true) or any(isinstance(a, int) and a != b for a, b in pairs)


def _check(sample: Sample, generator: random.Random) -> int:
    """The number of extents that were forgotten and inferred."""
    arrays = sample_arrays(sample)
    _, results = declare(sample.op, arrays)
    types = [results[0].graph.infer().types[r.value] for r in results]
    true = [a.shape for a in arrays] + [t.shape for t in types]
    dtypes = [str(a.dtype) for a in arrays] + [str(t.dtype) for t in types]
    share = generator.choice((0.2, 0.5, 0.8))
    told = [_forget(generator, shape, share) for shape in true]
    variables = [sg.var(f"v{n}", *type) for n, type in enumerate(zip(told, dtypes, strict=True))]
    outputs = sample.op(*variables[: len(arrays)])
    outputs = [outputs] if isinstance(outputs, sg.Symbol) else list(outputs)
    ties = zip(outputs, variables[len(arrays) :], strict=True)
    shapes = sg.group(*[SameShape()(a, b) for a, b in ties]).infer_shape()
    learnt = 0
    for number, (before, shape) in enumerate(zip(told, true, strict=True)):
        after = shapes[f"v{number}"]
        assert not _contradicts(after, shape), (
            f"{sample_text(sample)}: of {true} told {told}, inferred {after} for {shape}"
        )
        known = 0 if before is None else sum(isinstance(d, int) for d in before)
        learnt += sum(isinstance(d, int) for d in after or ()) - known
    return learnt


@pytest.mark.parametrize("name", OPERATORS)
def test_what_is_inferred_is_true(name: str) -> None:
    generator = random.Random(7)
    for sample in registry.get(name).samples[:30]:
        _check(sample, generator)


def test_something_is_inferred() -> None:
    generator = random.Random(5)
    samples = registry.get("conv2d").samples[:10]
    assert sum(_check(s, generator) for s in samples for _ in range(5)) > 100


@dataclass(frozen=True, slots=True)
class Restless(sg.Op):
    """An extent that is another one at each visit."""

    name = "restless"

    def infer_shape(self, u: Any, x: Any) -> tuple[Any, ...]:
        from symgraph.kernel.dims import Unknown

        return ((Unknown(),),)


def test_an_operator_that_never_stops_to_learn_is_named() -> None:
    y = Restless()(sg.var("x", (3,)), name="new")
    with pytest.raises(sg.errors.ShapeError, match=r"restless new: states something new .*fresh"):
        (-y).infer_shape()
