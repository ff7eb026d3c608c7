"""The loop IR's invariants: each planted fault is found and named."""

from __future__ import annotations

import pytest

from symgraph.errors import VerifyError
from symgraph.kernel import dims, rewrite, verify
from symgraph.kernel.dims import DimVar, LoopVar
from symgraph.kernel.dtypes import float32, int32
from symgraph.kernel.ir import (
    Alloc,
    Buffer,
    For,
    If,
    IndexValue,
    Kernel,
    Load,
    Stmt,
    Store,
    Update,
    block,
    call,
    const,
    where,
)
from symgraph.kernel.verify import verify_kernel

X = Buffer("x", (5,), float32)
Y = Buffer("y", (5,), float32)
I = LoopVar("i")
ONE = const(1.0, float32)


def kernel(body: Stmt, outputs: tuple[Buffer, ...] = (Y,)) -> Kernel:
    return Kernel("k", (X,), outputs, (), body)


def loop(body: Stmt, kind: str = "parallel", extent=5) -> Stmt:
    return For(I, extent, kind, body)


def copy(at=I) -> Stmt:
    return Store(Y, (I,), Load(X, (at,)))


def test_a_good_kernel_passes() -> None:
    verify_kernel(kernel(loop(copy())), 2)


ACCUMULATOR = Buffer("acc", (), float32, "register")
FAULTS = {
    "K1 unknown buffer": ("K1", loop(Store(Y, (I,), Load(Buffer("z", (5,), float32), (I,)))), 1),
    "K1 used after its block": (
        "K1",
        block(Alloc(ACCUMULATOR, Store(ACCUMULATOR, (), ONE)), Store(ACCUMULATOR, (), ONE)),
        1,
    ),
    "K1 wrong rank": ("K1", loop(Store(Y, (I,), Load(X, (I, I)))), 1),
    "K2 variable outside its loop": ("K2", copy(), 1),
    "K2 variable defined twice": ("K2", loop(loop(copy())), 1),
    "K3 above": ("K3", loop(copy(I + 1)), 2),
    "K3 below": ("K3", loop(copy(I - 1)), 2),
    "K3 store": ("K3", loop(Store(Y, (I + 1,), ONE)), 2),
    "K4 race on a store": ("K4", loop(Store(Y, (0,), Load(X, (I,)))), 1),
    "K4 race on an update": ("K4", loop(Update(Y, (0,), "add", Load(X, (I,)))), 1),
    "K5 dtype": ("K5", loop(Store(Y, (I,), const(1, int32))), 1),
    "K6 open unroll": ("K6", loop(copy(), "unroll", DimVar("N")), 1),
    "K6 open vector": ("K6", loop(copy(), "vector", DimVar("N")), 1),
    "K6 unknown kind": ("K6", loop(copy(), "sideways"), 1),
    "K7 written input": ("K7", loop(Store(X, (I,), ONE)), 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_and_named(fault: str) -> None:
    rule, body, level = FAULTS[fault]
    with pytest.raises(VerifyError) as caught:
        verify_kernel(kernel(body), level)
    assert caught.value.rule == rule
    assert "kernel k(x: f32[5])" in str(caught.value)
    verify_kernel(kernel(body), 0)


def test_a_guarded_load_may_lie_outside() -> None:
    from symgraph.kernel.ir import IndexValue

    value = where(IndexValue(I) >= 1, Load(X, (I - 1,)), 0.0)
    verify_kernel(kernel(loop(Store(Y, (I,), value))), 2)


def test_a_private_buffer_does_not_race() -> None:
    body = block(Store(ACCUMULATOR, (), Load(X, (I,))), Store(Y, (I,), Load(ACCUMULATOR, ())))
    verify_kernel(kernel(loop(Alloc(ACCUMULATOR, body))), 2)


def test_a_shared_accumulator_races() -> None:
    body = block(Store(ACCUMULATOR, (), Load(X, (I,))), Store(Y, (I,), Load(ACCUMULATOR, ())))
    with pytest.raises(VerifyError, match="K4"):
        verify_kernel(kernel(Alloc(ACCUMULATOR, loop(body))))


def _ending_early(index: object) -> Stmt:
    """v < min(4, 5-4*i) inside i < 2: v + 4*i reaches 4."""
    v = LoopVar("v")
    limit = dims.minimum(4, 5 - 4 * I)
    place = {"exact": v + 4 * I, "beyond": v + 4 * I + 1, "half": 2 * I + (v + 1) // 2}[index]
    body = For(v, limit, "parallel", Store(Y, (v + 4 * I,), Load(X, (place,))))
    return loop(body, extent=2)


def test_a_loop_that_ends_early_keeps_its_index_inside() -> None:
    verify_kernel(kernel(_ending_early("exact")), 2)
    verify_kernel(kernel(_ending_early("half")), 2)
    with pytest.raises(VerifyError, match="K3"):
        verify_kernel(kernel(_ending_early("beyond")), 2)


def branch(limit: int, above: int) -> Stmt:
    """y[i] = x[i+3] where i < limit, else x[i-above]."""
    near = Store(Y, (I,), Load(X, (I + 3,)))
    far = Store(Y, (I,), Load(X, (I - above,)))
    return loop(If(call("lt", IndexValue(I), IndexValue(limit)), near, far))


def test_conditions_narrow_the_indices_below_them() -> None:
    verify_kernel(kernel(branch(2, 2)), 2)
    for limit, above in ((3, 2), (2, 3)):
        with pytest.raises(VerifyError, match="K3"):
            verify_kernel(kernel(branch(limit, above)), 2)


def test_conditions_inside_conditions_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fused chain of choices is as deep as it is long."""
    looked_at = 0
    plain = rewrite.operands

    def counted(expr):
        nonlocal looked_at
        looked_at += 1
        return plain(expr)

    monkeypatch.setattr(rewrite, "operands", counted)
    monkeypatch.setattr(verify, "operands", counted)
    value = Load(X, (I - 1,))
    for n in range(300):
        value = where(IndexValue(I, int32) > n, value, const(float(n), float32))
    verify_kernel(kernel(loop(Store(Y, (I,), value))), 2)
    assert looked_at < 12 * 300
