"""Kernels without some of what they write."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph.codegen.interp.evaluate import Evaluator
from symgraph.kernel.dims import LoopVar
from symgraph.kernel.dtypes import as_dtype
from symgraph.kernel.ir import (
    Alloc,
    Block,
    Buffer,
    For,
    If,
    IndexValue,
    Kernel,
    Store,
    Update,
    call,
)
from symgraph.kernel.transform.drop_outputs import drop_outputs
from symgraph.kernel.verify import verify_kernel


def kernel(dtype: str = "float32", extent: int = 5) -> tuple[Kernel, dict[str, Buffer]]:
    """m = x + old (private); y = x * x; next = m; last = next, through the output."""
    kind = as_dtype(dtype)
    names = ("x", "old", "y", "next", "last")
    b = {n: Buffer(n, (extent,), kind) for n in names}
    m = Buffer("m", (extent,), kind, "local")
    i, j, k, n = (LoopVar(v) for v in "ijkn")
    x = b["x"]
    first = Block((Store(m, (i,), x[i] + b["old"][i]), Store(b["y"], (i,), x[i] * x[i])))
    some = If(call("lt", IndexValue(j), IndexValue(3)), Store(b["next"], (j,), m[j]),
              Store(b["next"], (j,), m[j] + m[j]))  # fmt: skip
    body = Alloc(m, Block((
        For(i, extent, "parallel", first),
        For(j, extent, "parallel", some),
        For(k, extent, "serial", Store(b["last"], (k,), b["next"][k])),
        For(n, extent, "serial", Update(b["last"], (n,), "add", x[n])),
    )))  # fmt: skip
    outputs = (b["y"], b["next"], b["last"])
    return Kernel("k", (b["x"], b["old"]), outputs, (), body), b


def run(k: Kernel, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    given = {p: arrays[p.name].copy() for p in k.params}
    Evaluator(k, given, {}).run()
    return {b.name: given[b] for b in k.outputs}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
@pytest.mark.parametrize("extent", [0, 1, 5])
def test_what_stays_is_the_same(dtype: str, extent: int) -> None:
    whole, b = kernel(dtype, extent)
    rng = np.random.default_rng(0)
    arrays = {n: rng.integers(-9, 9, (extent,)).astype(dtype) for n in b}
    wanted = run(whole, arrays)
    for dropped in (["last"], ["y"], ["next", "last"], ["y", "last"]):
        narrow = drop_outputs(whole, [b[n] for n in dropped])
        verify_kernel(narrow, 2)
        assert [o.name for o in narrow.outputs] == [n for n in wanted if n not in dropped]
        for name, value in run(narrow, arrays).items():
            np.testing.assert_array_equal(value, wanted[name])


def test_what_served_only_that_goes_too() -> None:
    whole, b = kernel()
    narrow = drop_outputs(whole, [b["next"], b["last"]])
    assert [p.name for p in narrow.params] == ["x", "y"]
    assert isinstance(narrow.body, For), "neither the private buffer nor the other loops are left"


def test_an_output_that_is_read_stays() -> None:
    whole, b = kernel()
    assert drop_outputs(whole, [b["next"]]).outputs == whole.outputs


def test_inputs_keep_their_packings() -> None:
    whole, b = kernel()
    packed = Kernel(whole.name, (b["old"], b["x"]), whole.outputs, (), whole.body,
                    packings=((1, "x"), (0, "old")))  # type: ignore[arg-type]  # fmt: skip
    narrow = drop_outputs(packed, [b["next"], b["last"]])
    assert narrow.inputs == (b["x"],) and narrow.packings == ((0, "x"),)
