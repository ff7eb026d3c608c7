"""What a training step keeps for its backward pass: bytes worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.models import KNOWN
from symgraph.train.step import build_step
from symgraph.train.task import Task


def training_step(output: Any, **options: Any):
    """One step of gradient descent on the mean square of what is given."""
    loss = sg.mean(sg.square(output))
    params = Task.of(loss, None, ()).initial(0, {}, {})
    return build_step(loss, params, sg.train.SGD()).compile(params, **options)


def aligned(*shape: int, nbytes: int = 4) -> int:
    return -(-int(np.prod(shape)) * nbytes // 64) * 64


def chain(layers: int, shape: tuple[int, ...] = (17, 5)) -> int:
    h = sg.var("x", shape)
    for n in range(layers):
        h = sg.tanh(sg.linear(h, shape[1], name=f"fc{n}"))
    return training_step(h, target="interp").memory.nbytes


def test_a_layer_of_a_chain_keeps_its_result_alone() -> None:
    """1 - y*y is made of y where it is read, as y waits for the weights' gradient anyway."""
    assert chain(21) - chain(20) == aligned(17, 5)


def normalised(layers: int, batch: int, **options: Any):
    h = sg.var("x", (batch, 3, 11, 7))
    for n in range(layers):
        h = sg.conv2d(h, 3, kernel_size=1, use_bias=False, name=f"conv{n}")
        h = sg.relu(sg.batch_norm(h, name=f"bn{n}"))
    return training_step(h, **options)


@pytest.mark.parametrize("batch", [2, 5])
def test_a_normalised_layer_keeps_two_values_and_a_mask(batch: int) -> None:
    """Its normalised values and its result, which are read as they are; gradients and what they
    are multiplied with are one value and no more."""
    more = normalised(9, batch, target="interp").memory.nbytes
    less = normalised(8, batch, target="interp").memory.nbytes
    value = aligned(batch, 3, 11, 7)
    small = 4 * 64  # deviations and the like, for each channel
    assert more - less <= 2 * value + aligned(batch, 3, 11, 7, nbytes=1) + small


def test_products_with_a_stored_gradient_are_not_stored_besides() -> None:
    """Of what a convolution's gradient makes, the one value that others follow from is kept."""
    f = normalised(3, 4, target="interp")
    value = 4 * 3 * 11 * 7 * 4
    wide = [[b for b in s.writes if b.type.nbytes == value] for s in f.program.steps]
    behind = wide[len(wide) // 2 :]
    assert max(len(found) for found in behind) == 1


def test_a_mask_is_kept_rather_than_the_wider_value_it_follows_from() -> None:
    """A rectifier's result dies with its pooling; the gradient reads a byte for each element, and
    what only looks at a shape keeps nothing alive."""
    x = sg.var("x", (2, 3, 18, 14))
    h = sg.max_pool2d(sg.relu(sg.conv2d(x, 5, kernel_size=3, name="conv")), 2)
    f = training_step(sg.max_pool2d(sg.relu(sg.conv2d(h, 7, kernel_size=3)), 2), target="interp")
    wide = 2 * 5 * 16 * 12
    (first,) = [s for s in f.program.steps if any(b.type.nbytes == 4 * wide for b in s.writes)][:1]
    assert {b.type.nbytes for b in first.writes} >= {wide, 4 * wide}
    (value,) = [b.root for b in first.writes if b.type.nbytes == 4 * wide]
    readers = [n for n, s in enumerate(f.program.steps) if any(b.root is value for b in s.reads)]
    assert readers == [1]


def test_branches_of_many_parameters_are_cut_rather_than_taken_apart() -> None:
    """Two normalised branches with momentum read and write more buffers than a kernel takes."""
    x = sg.var("x", (4, 6, 9, 11))
    h = sg.conv2d(x, 6, kernel_size=1, use_bias=False, name="conv")
    a = sg.batch_norm(sg.conv2d(h, 6, kernel_size=3, padding=1, use_bias=False), name="a")
    b = sg.batch_norm(sg.conv2d(h, 6, kernel_size=1, use_bias=False), name="b")
    loss = sg.mean(sg.square(sg.relu(a + b)))
    params = Task.of(loss, None, ()).initial(0, {}, {})
    step = build_step(loss, params, sg.train.SGD(momentum=0.9))
    f = step.compile(params, target="interp")
    wide = 4 * 6 * 9 * 11 * 4
    alone = [
        s.label
        for s in f.program.steps
        if getattr(getattr(s.node, "op", None), "name", "") in ("sum", "multiply", "subtract")
        and any(b.type.nbytes >= wide for b in s.reads)
    ]
    assert alone == []


@pytest.mark.parametrize(
    ("name", "most"), [("lenet5", 1_556_480), ("lstm", 2_588_672), ("resnet18", 319_555_072)]
)
def test_training_steps_need_no_more_than_was_reached(name: str, most: int) -> None:
    """With momentum, batch 16; MXNet plans 2,392,064 for the first, 394,264,576 for the last."""
    net = KNOWN[name]()
    data = [s for s in net.variables if s not in (*net.parameters, *net.auxiliaries)]
    shapes = {s.name: (16, *s.shape[1:]) for s in data} | {"label": (16,)}
    loss = sg.cross_entropy(net, sg.var("label", ("N",), "int32"))
    params = Task.of(loss, None, ()).initial(0, {}, shapes)
    step = build_step(loss, params, sg.train.SGD(momentum=0.9))
    f = step.compile(params, shapes=shapes, target="interp")
    assert f.memory.nbytes <= most
    assert f.memory.proved
