"""Schedules: verified, equal to the naive kernel in the interpreter and on the device."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph.codegen.opencl import contraction as tiles
from symgraph.codegen.opencl.schedule import schedule
from symgraph.kernel.compute import call, compute, reduce
from symgraph.kernel.dims import DimVar
from symgraph.kernel.dtypes import DType, bfloat16, float16, float32, float64, int32
from symgraph.kernel.ir import Barrier, Buffer, For, Kernel
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.rewrite import statements
from symgraph.kernel.transform.contraction import match_contraction
from symgraph.kernel.verify import verify_kernel

from .support import REASON, assert_close, execute, interpret, kernel_of

N = DimVar("N")


class Facts:
    """What schedules ask of a device."""

    def __init__(self, is_cpu: bool, max_work_group: int = 1024, local: int = 48 << 10) -> None:
        self.is_cpu = is_cpu
        self.compute_units = 16
        self.max_work_group = max_work_group
        self.local_memory = local
        self.lanes = 8


GPU, CPU, SMALL_GPU = Facts(False), Facts(True), Facts(False, 64, 4 << 10)
DEVICES = pytest.mark.parametrize("facts", [GPU, CPU, SMALL_GPU], ids=["gpu", "cpu", "small"])


def matmul(m, n, k, dtype=float32, transposes=(False, False), batch=()) -> Kernel:
    ta, tb = transposes
    a = Buffer("a", (*batch, *((k, m) if ta else (m, k))), dtype)
    b = Buffer("b", (*batch, *((n, k) if tb else (k, n))), dtype)
    bias = Buffer("bias", (n,), dtype)

    def element(*index):
        lead, i, j = index[:-2], index[-2], index[-1]
        total = reduce(
            "sum",
            k,
            lambda r: (
                a[(*lead, *((r, i) if ta else (i, r)))] * b[(*lead, *((j, r) if tb else (r, j)))]
            ),
        )
        return call("max", total + bias[j], total * 0)

    return kernel_of([a, b, bias], compute((*batch, m, n), element))


def conv(n, c, h, o, k, stride) -> Kernel:
    x, w = Buffer("x", (n, c, h, h), float32), Buffer("w", (o, c, k, k), float32)
    out = (h - k) // stride + 1

    def element(b, f, i, j):
        return reduce(
            "sum",
            (c, k, k),
            lambda r, s, t: x[b, r, i * stride + s, j * stride + t] * w[f, r, s, t],
        )

    return kernel_of([x, w], compute((n, o, out, out), element))


def arrays_for(kernel: Kernel, env: dict[str, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    result = []
    for buffer in kernel.inputs:
        shape = [env[str(d)] if isinstance(d, DimVar) else d for d in buffer.shape]
        if buffer.dtype.is_integer:
            result.append(rng.integers(-9, 9, shape, buffer.dtype.name))
        else:
            result.append(rng.standard_normal(shape).astype(buffer.dtype.numpy))
    return result


def check(kernel: Kernel, facts: Facts, env: dict[str, int] | None = None) -> Kernel:
    """The scheduled kernel verifies and gives the naive kernel's numbers, in both ways to run."""
    env = env or {}
    scheduled = schedule(kernel, facts, 2)  # type: ignore[arg-type]
    verify_kernel(scheduled, 2)
    arrays = arrays_for(kernel, env)
    ways = [interpret] if REASON else [interpret, execute]
    expected = interpret(kernel, arrays, env)
    for way in ways:
        for a, b in zip(way(scheduled, arrays, env), expected, strict=True):
            assert_close(a, b, 64)
    return scheduled


@DEVICES
@pytest.mark.parametrize(
    "size", [(33, 17, 65), (64, 128, 16), (1, 70, 80), (70, 1, 80), (5, 300, 7)]
)
def test_matmul_of_sizes_that_no_tile_divides(facts: Facts, size: tuple[int, int, int]) -> None:
    scheduled = check(matmul(*size), facts)
    assert scheduled.body is not matmul(*size).body


@DEVICES
@pytest.mark.parametrize("transposes", [(False, True), (True, False), (True, True)], ids=str)
def test_matmul_transposed(facts: Facts, transposes: tuple[bool, bool]) -> None:
    check(matmul(35, 37, 19, transposes=transposes), facts)


@DEVICES
@pytest.mark.parametrize("n", [0, 1, 50])
def test_matmul_of_open_rows(facts: Facts, n: int) -> None:
    check(matmul(N, 33, 17), facts, {"N": n})


@DEVICES
@pytest.mark.parametrize("n", [0, 1, 50])
def test_matmul_of_open_depth(facts: Facts, n: int) -> None:
    check(matmul(21, 33, N), facts, {"N": n})


@DEVICES
@pytest.mark.parametrize("dtype", [float64, float16, bfloat16, int32], ids=str)
def test_matmul_of_other_types(facts: Facts, dtype: DType) -> None:
    check(matmul(20, 36, 18, dtype), facts)


@DEVICES
def test_batched_matmul(facts: Facts) -> None:
    check(matmul(18, 20, 33, batch=(2, 3)), facts)


@DEVICES
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_is_a_contraction(facts: Facts, stride: int) -> None:
    kernel = conv(2, 3, 11, 6, 3, stride)
    assert match_contraction(kernel) is not None
    check(kernel, facts)


def test_a_gpu_shares_blocks_and_a_cpu_does_not() -> None:
    gpu = list(statements(schedule(matmul(64, 64, 64), GPU, 2).body))  # type: ignore[arg-type]
    cpu = list(statements(schedule(matmul(64, 64, 64), CPU, 2).body))  # type: ignore[arg-type]
    assert any(isinstance(s, Barrier) for s in gpu)
    assert not any(isinstance(s, Barrier) for s in cpu)
    assert all(s.lanes <= 8 for s in cpu if isinstance(s, For))


def test_a_device_without_shared_memory_keeps_the_naive_kernel() -> None:
    kernel = matmul(64, 64, 64)
    assert schedule(kernel, Facts(False, 1024, 512), 2) is kernel  # type: ignore[arg-type]


def test_level_0_schedules_nothing() -> None:
    kernel = matmul(64, 64, 64)
    assert schedule(kernel, GPU, 0) is kernel  # type: ignore[arg-type]


def test_schedules_are_deterministic() -> None:
    texts = {kernel_text(schedule(matmul(33, 65, 17), GPU, 2)) for _ in range(2)}  # type: ignore[arg-type]
    assert len(texts) == 1


def test_small_results_use_small_tiles() -> None:
    c = match_contraction(matmul(20, 200, 64))
    assert c is not None
    assert tiles.tile_shape(c, GPU) == tiles.TileShape(16, 1, 4)  # type: ignore[arg-type]


def softmax(rows, columns, dtype=float32) -> Kernel:
    x = Buffer("x", (rows, columns), dtype)
    top = compute((rows,), lambda i: reduce("max", columns, lambda r: x[i, r]), name="top")
    e = compute((rows, columns), lambda i, j: call("exp", x[i, j] - top[i]), name="e")
    total = compute((rows,), lambda i: reduce("sum", columns, lambda r: e[i, r]), name="total")
    return kernel_of([x], compute((rows, columns), lambda i, j: e[i, j] / total[i], name="y"))


def sums(shape, kind="sum", dtype=float32) -> Kernel:
    """The reduction of all axes but the first."""
    x = Buffer("x", shape, dtype)
    total = compute(shape[:1], lambda i: reduce(kind, shape[1:], lambda *r: x[(i, *r)]))
    return kernel_of([x], total)


@pytest.mark.parametrize("facts", [GPU, SMALL_GPU], ids=["gpu", "small"])
@pytest.mark.parametrize("shape", [(5, 7, 40), (3, 1000), (1, 257), (2, 128)], ids=str)
@pytest.mark.parametrize("kind", ["sum", "max", "min"])
def test_long_rows_are_reduced_by_groups(facts: Facts, shape, kind: str) -> None:
    scheduled = check(sums(shape, kind), facts)
    assert any(isinstance(s, Barrier) for s in statements(scheduled.body))


@pytest.mark.parametrize("n", [0, 1, 300])
def test_open_rows_are_reduced_by_groups(n: int) -> None:
    check(sums((3, N)), GPU, {"N": n})
    check(sums((N, 300)), GPU, {"N": n})


@pytest.mark.parametrize("dtype", [float16, bfloat16, int32, float64], ids=str)
def test_groups_reduce_other_types(dtype: DType) -> None:
    check(sums((3, 130), "sum", dtype), GPU)


def test_everything_is_reduced_by_one_group() -> None:
    x = Buffer("x", (1000,), float32)
    total = compute((), lambda: reduce("sum", 1000, lambda r: x[r]) * 0.5)
    check(kernel_of([x], total), GPU)


@pytest.mark.parametrize("shape", [(5, 300), (N, 129), (1, 2000)], ids=str)
def test_softmax_keeps_its_row_in_shared_memory(shape) -> None:
    scheduled = check(softmax(*shape), GPU, {"N": 4})
    assert any(isinstance(s, Barrier) for s in statements(scheduled.body))


@pytest.mark.parametrize(
    "kernel",
    [softmax(5, N), softmax(5, 100_000), sums((5, 40)), sums((1 << 17, 200))],
    ids=["open", "too long for shared memory", "short", "many"],
)
def test_rows_that_do_not_fit_or_pay_stay(kernel: Kernel) -> None:
    assert schedule(kernel, GPU, 2) is kernel  # type: ignore[arg-type]


def test_a_barrier_in_part_of_a_group_is_refused() -> None:
    from symgraph.codegen.opencl.launches import plan_launches
    from symgraph.errors import InternalError
    from symgraph.kernel.dims import LoopVar
    from symgraph.kernel.ir import Store, block, const

    y, g, s, t = Buffer("y", (3, 8), float32), LoopVar("g"), LoopVar("s"), LoopVar("t")
    whole = For(t, 8, "local", Store(y, (g, t), const(1, float32)))
    part = For(s, 4, "local", block(Store(y, (g, s), const(1, float32)), Barrier()))
    kernel = Kernel("bad", (), (y,), (), For(g, 3, "grid", block(whole, part)))
    with pytest.raises(InternalError, match="barrier stands in a local loop of 4"):
        plan_launches(kernel, "k")
