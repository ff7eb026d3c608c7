"""Whole kernels: launches, scratch, guards, data-dependent indices, open extents."""

from __future__ import annotations

import numpy as np
import pytest

from symgraph.codegen.opencl.launches import plan_launches
from symgraph.kernel.compute import Compute, Tensor, call, compute, reduce, where
from symgraph.kernel.dims import DimVar, LoopVar
from symgraph.kernel.dtypes import bfloat16, bool_, float16, float32, float64, int32, int64, uint64
from symgraph.kernel.ir import Alloc, Buffer, Const, For, Kernel, Load, Store, Update, block
from symgraph.kernel.verify import verify_kernel

from .support import check, kernel_of, needs_device

N, M = DimVar("N"), DimVar("M")


def softmax(x: Tensor) -> Compute:
    rows, columns = x.shape
    top = compute((rows,), lambda i: reduce("max", columns, lambda r: x[i, r]), name="top")
    e = compute((rows, columns), lambda i, j: call("exp", x[i, j] - top[i]), name="e")
    total = compute((rows,), lambda i: reduce("sum", columns, lambda r: e[i, r]), name="total")
    return compute((rows, columns), lambda i, j: e[i, j] / total[i], name="y")


def centred(x: Tensor) -> Compute:
    """Every element minus the mean of all: stages without a shared outer loop."""
    (n,) = x.shape
    total = compute((), lambda: reduce("sum", n, lambda r: x[r]), name="total")
    doubled = compute((n,), lambda i: call("exp", x[i]) + call("tanh", x[i]), name="doubled")
    other = compute((), lambda: reduce("max", n, lambda r: doubled[r]), name="other")
    return compute((n,), lambda i: doubled[i] - total[()] * other[()], name="y")


def random(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


@needs_device
@pytest.mark.opencl
class TestNumbers:
    @pytest.mark.parametrize("shape", [(5, 7), (1, 1), (0, 3), (17, 600), (33, 0), (3, 2049)])
    def test_softmax_of_known_and_of_open_extents(self, shape: tuple[int, int]) -> None:
        x = Buffer("x", shape, float32)
        check(kernel_of([x], softmax(x)), [random(*shape)], ulps=16)
        x = Buffer("x", (N, M), float32)
        env = {"N": shape[0], "M": shape[1]}
        check(kernel_of([x], softmax(x)), [random(*shape)], env, ulps=16)

    @pytest.mark.parametrize("dtype", [float16, bfloat16, float64], ids=str)
    def test_softmax_in_scratch_of_other_types(self, dtype) -> None:
        x = Buffer("x", (N, M), dtype)
        array = random(5, 33).astype(dtype.numpy)
        check(kernel_of([x], softmax(x)), [array], {"N": 5, "M": 33}, ulps=16)

    @pytest.mark.parametrize("n", [0, 1, 17, 1000])
    def test_stages_without_a_shared_loop_become_launches(self, n: int) -> None:
        x = Buffer("x", (N,), float32)
        kernel = kernel_of([x], centred(x))
        assert len(plan_launches(kernel, "k").launches) > 1
        check(kernel, [random(n)], {"N": n}, ulps=64)

    def test_a_branch_that_is_not_taken_may_lie_outside(self) -> None:
        x = Buffer("x", (N, 5), float32)
        padded = compute(
            (N + 2, 9),
            lambda i, j: where((i >= 1) & (i < N + 1) & (j >= 2) & (j < 7), x[i - 1, j - 2], -1.5),
        )
        for n in (0, 1, 3):
            check(kernel_of([x], padded), [random(n, 5)], {"N": n}, ulps=0)

    @pytest.mark.parametrize("dtype", [int32, int64, uint64], ids=str)
    def test_an_index_from_data_is_clamped(self, dtype) -> None:
        table, rows = Buffer("table", (7, 3), float32), Buffer("rows", (N,), dtype)
        taken = compute((N, 3), lambda i, j: table[rows[i], j])
        high = int(dtype.highest)
        indices = np.array([0, 6, 7, 100, high, max(int(dtype.lowest), -high)], dtype.numpy)
        check(kernel_of([table, rows], taken), [random(7, 3), indices], {"N": 6}, ulps=0)

    def test_an_index_from_data_of_an_empty_axis(self) -> None:
        table, rows = Buffer("table", (N, 3), float32), Buffer("rows", (2,), int32)
        taken = compute((2, 3), lambda i, j: where(rows[i] < 0, table[rows[i], j], 2.0))
        check(kernel_of([table, rows], taken), [random(0, 3), np.array([1, 5], "int32")], {"N": 0})

    def test_index_values_are_64_bit(self) -> None:
        y = compute((70_000,), lambda i: i * i * 3 - N)
        check(kernel_of([], y), [], {"N": 5})

    def test_a_shared_value_is_written_once(self) -> None:
        x = Buffer("x", (9,), float32)

        def element(i):
            value = x[i]
            for _ in range(60):
                value = where(value > 0, value * 0.5, value + value)
            return value

        check(kernel_of([x], compute((9,), element)), [random(9)], ulps=0)

    def test_floor_division_of_negative_indices(self) -> None:
        y = compute((13, 5), lambda i, j: (i - 7) // 3 + (j - 4) % 3 + (j - 2) // (N - 5))
        check(kernel_of([], y), [], {"N": 8})

    def test_several_outputs_and_bool(self) -> None:
        x = Buffer("x", (N, 3), float32)
        positive = compute((N, 3), lambda i, j: x[i, j] > 0, name="p")
        count = compute((N,), lambda i: reduce("max", 3, lambda r: x[i, r] > 1), name="c")
        check(kernel_of([x], positive, count), [random(17, 3)], {"N": 17})

    def test_sums_keep_their_order_and_rounding(self) -> None:
        """Multiplications and additions are never contracted behind our back."""
        x = Buffer("x", (101,), float32)
        y = compute((101,), lambda i: x[i] * x[i] + x[i] * 3.0)
        check(kernel_of([x], y), [random(101)], ulps=0)
        total = compute((), lambda: reduce("sum", 101, lambda r: x[r]))
        check(kernel_of([x], total), [np.abs(random(101))], ulps=16)

    def test_a_scalar_and_no_input(self) -> None:
        check(kernel_of([], compute((), lambda: Const(2.5, float32))), [])

    def test_many_axes(self) -> None:
        x = Buffer("x", (2, 3, 1, 5, 7), float32)
        y = compute((7, 2, 5, 3), lambda a, b, c, d: x[b, d, 0, c, a])
        check(kernel_of([x], y), [random(2, 3, 1, 5, 7)], ulps=0)

    def test_a_serial_loop_at_the_top(self) -> None:
        check(running_sum(), [random(9, 4)], ulps=4)


def running_sum() -> Kernel:
    """y[t,i] = y[t-1,i] + x[t,i]: a serial loop around a parallel one."""
    x, y = Buffer("x", (9, 4), float32), Buffer("y", (9, 4), float32)
    t, i = LoopVar("t"), LoopVar("i")
    before = where(_index(t) > 0, Load(y, (t - 1, i)), 0.0)
    body = For(t, 9, "serial", For(i, 4, "parallel", Store(y, (t, i), before + Load(x, (t, i)))))
    return Kernel("scan", (x,), (y,), (), body)


def _index(var: LoopVar):
    from symgraph.kernel.ir import IndexValue

    return IndexValue(var)


class TestLaunches:
    def test_one_nest_is_one_launch_of_all_its_loops(self) -> None:
        x = Buffer("x", (N, 5), float32)
        plan = plan_launches(kernel_of([x], compute((N, 5), lambda i, j: x[i, j])), "k0_copy")
        (launch,) = plan.launches
        assert [a.extent for a in launch.axes] == [N, 5]
        assert launch.name == "k0_copy"
        assert launch.dims == (N,)
        assert (launch.group, launch.tensors, launch.slices) == (0, (), ())

    def test_scratch_of_open_size_is_sliced(self) -> None:
        x = Buffer("x", (N, M), float32)
        (launch,) = plan_launches(kernel_of([x], softmax(x)), "k").launches
        assert [b.shape for b in launch.slices] == [(M,)]
        assert str(launch.slice_bytes) == "16*((M+3)//4)"

    def test_small_constant_scratch_is_private(self) -> None:
        x = Buffer("x", (N, 12), float32)
        (launch,) = plan_launches(kernel_of([x], softmax(x)), "k").launches
        assert launch.slices == ()

    def test_what_several_launches_use_is_one_tensor(self) -> None:
        x = Buffer("x", (N,), float32)
        plan = plan_launches(kernel_of([x], centred(x)), "k")
        assert {b.name.rstrip("0123456789") for b in plan.tensors} >= {"doubled", "other"}
        assert [x.name for x in plan.launches][:2] == ["k", "k_1"]
        assert all(not x.slices for x in plan.launches)

    def test_neighbouring_serial_statements_share_a_work_item(self) -> None:
        x, y = Buffer("x", (5,), float32), Buffer("y", (), float32)
        acc, r = Buffer("acc", (), float32, "register"), LoopVar("r")
        body = Alloc(
            acc,
            block(
                Store(acc, (), Const(0.0, float32)),
                For(r, 5, "serial", Update(acc, (), "add", Load(x, (r,)))),
                Store(y, (), Load(acc, ())),
            ),
        )
        kernel = Kernel("total", (x,), (y,), (), body)
        verify_kernel(kernel, 2)
        plan = plan_launches(kernel, "k")
        assert len(plan.launches) == 1
        assert plan.tensors == ()

    def test_bool_and_type_of_scratch(self) -> None:
        x = Buffer("x", (N, M), bool_)
        (launch,) = plan_launches(
            kernel_of([x], compute((N, M), lambda i, j: ~x[i, j])), "k"
        ).launches
        assert launch.buffers[0] is x
