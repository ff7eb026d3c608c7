"""What is joined along an inner axis is written into its part of the join, on every target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.target import find_target, target_names
from symgraph.errors import MemoryPlanError
from symgraph.ir.program import KernelStep, map_leaves
from symgraph.ir.verify_program import check_plan
from symgraph.kernel.transform.embed import Window

TARGETS = [n for n in target_names() if find_target(n).available() is None]


def random(*shape: int, dtype: str = "float32", seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


def given_for(symbol: Any, **shapes: tuple[int, ...]) -> dict[str, Any]:
    found = symbol.infer_shape(**shapes).variables
    return {n: random(*s, seed=i) for i, (n, s) in enumerate(sorted(found.items()))}


def conv(h: Any, channels: int, name: str, size: int = 1) -> Any:
    return sg.conv2d(h, channels, kernel_size=size, padding=size // 2, use_bias=False, name=name)


def branches(x: Any) -> Any:
    """Three branches of 5, 3 and 17 channels, read by a convolution and a pooling."""
    h = sg.concat([conv(x, 5, "a"), sg.relu(conv(x, 3, "b", 3)), conv(x, 17, "c")], axis=1)
    return conv(h, 7, "after"), sg.max_pool2d(h, 2)


def windows(program: Any) -> list[KernelStep]:
    return [s for s in program.steps if getattr(s, "windows", ())]


def runs_as_without(outputs: Any, target: str, shapes: dict[str, Any], **options: Any) -> Any:
    """The program compiled with joins as memory; its results are those of level 0."""
    group = sg.group(list(outputs))
    given = given_for(group, **shapes)
    f = sg.compile(group, target=target, verify=2, **options)
    plain = sg.compile(group, target="interp", level=0)
    for a, b in zip(f(**given), plain(**given), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(1.0, np.abs(b).max()))
    return f


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_branches_write_into_the_join(target: str, batch: int) -> None:
    shapes = {"x": (batch, 6, 11, 7)}
    f = runs_as_without(branches(sg.var("x", shapes["x"])), target, shapes, algorithms="direct")
    if batch > 1:
        assert len(windows(f.program)) >= 3
        assert not any("copy" in s.label for s in f.program.steps)


@pytest.mark.parametrize("target", TARGETS)
def test_one_program_joins_at_every_batch(target: str) -> None:
    x = sg.var("x", ("N", 6, 11, 7))
    group = sg.group(list(branches(x)))
    f = sg.compile(group, target=target, verify=2, algorithms="direct")
    assert windows(f.program)
    for batch in (0, 1, 3):
        given = given_for(group, x=(batch, 6, 11, 7))
        fixed = sg.compile(group, target="interp", level=0, shapes={"x": (batch, 6, 11, 7)})
        for a, b in zip(f(**given), fixed(**given), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def dense_block(layers: int, batch: int, size: int = 9) -> Any:
    """Every layer adds 4 channels to all that was before it, as in DenseNet."""
    h = conv(sg.var("x", (batch, 3, size, size)), 8, "first")
    for n in range(layers):
        new = conv(sg.relu(conv(h, 16, f"n{n}")), 4, f"w{n}", 3)
        h = sg.concat([h, new], axis=1)
    return conv(h, 5, "last") + conv(h, 5, "beside", 3)


@pytest.mark.parametrize("target", TARGETS)
def test_a_dense_block_grows_in_one_buffer(target: str) -> None:
    shapes = {"x": (3, 3, 9, 9)}
    f = runs_as_without([dense_block(4, 3)], target, shapes, algorithms="direct")
    seen = [p for s in windows(f.program) for p in zip(s.arguments, s.windows, strict=True)]
    roots = {b.root for b, window in seen if window}
    if target != "llvm":  # channels that blocks of a layout do not divide are brought into one
        assert len(roots) == 1
    assert not any("copy" in s.label for s in f.program.steps)


def test_a_batch_needs_its_multiple_of_one_image() -> None:
    """Strided parts cost no more than parts that lie together."""

    def planned(batch: int) -> int:
        f = sg.compile(dense_block(6, batch, 16), target="interp", algorithms="direct")
        return f.memory.nbytes

    assert planned(4) <= 4 * planned(1) * 1.1


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_joins_along_the_last_axis_of_other_dtypes(target: str, dtype: str) -> None:
    x, w, v = (sg.var(n, s, dtype) for n, s in (("x", (5, 3)), ("w", (3, 2)), ("v", (3, 4))))
    h = sg.concat([sg.matmul(x, w), sg.matmul(x, v), sg.matmul(x, w) * 0], axis=1)
    y = sg.matmul(h, sg.var("u", (8, 7), dtype))
    f = sg.compile(y, target=target, verify=2)
    given = {n: (10 * random(*s)).astype(dtype)
             for n, s in (("x", (5, 3)), ("w", (3, 2)), ("v", (3, 4)), ("u", (8, 7)))}  # fmt: skip
    a = given["x"] @ given["w"]
    wanted = np.concatenate([a, given["x"] @ given["v"], a * 0], axis=1) @ given["u"]
    np.testing.assert_allclose(f(**given), wanted, rtol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_a_part_that_is_read_elsewhere_or_given_is_right(target: str) -> None:
    """A part with another reader, one that is a result, one that is an input, one joined twice."""
    x = sg.var("x", (2, 3, 8, 5))
    a, b, c = conv(x, 5, "a", 3), conv(x, 4, "b", 3), conv(x, 6, "c", 3)
    one = sg.concat([a, b, x], axis=1)
    two = sg.concat([a, c, sg.flatten(b).reshape((2, 4, 8, 5))], axis=1)
    outputs = [conv(one, 3, "d"), conv(two, 2, "e"), conv(a, 3, "f"), c, sg.sum(b, axis=(2, 3))]
    runs_as_without(outputs, target, {"x": (2, 3, 8, 5)}, algorithms="direct")


def test_a_window_that_leaves_its_array_or_meets_another_is_found() -> None:
    shapes = {"x": (2, 6, 11, 7)}
    f = runs_as_without(branches(sg.var("x", shapes["x"])), "interp", shapes, algorithms="direct")
    program = f.program
    check_plan(program, {})

    def moved(by: int) -> Any:
        first = windows(program)[0]

        def change(step: Any) -> Any:
            if step is not first:
                return step
            seen = tuple(
                tuple(Window(w.axis, w.start + by, w.extent) for w in one) for one in step.windows
            )
            return type(step)(**{**{n: getattr(step, n) for n in step.__slots__}, "windows": seen})

        return program.with_(steps=map_leaves(program.steps, change))

    with pytest.raises(MemoryPlanError, match=r"\[P1\] the slice"):
        check_plan(moved(100), {})
    with pytest.raises(MemoryPlanError, match=r"\[P4\]"):
        check_plan(moved(1), {})
