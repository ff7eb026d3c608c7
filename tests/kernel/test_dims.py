"""Integer expressions: canonical forms, evaluation, bounds, simplification."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from symgraph.kernel import dims
from symgraph.kernel.dims import DimVar, LoopVar
from symgraph.kernel.ir import IndexValue
from symgraph.kernel.printer import Printer

N, M = DimVar("N"), DimVar("M")
I, J = LoopVar("i"), LoopVar("j")


def test_equal_expressions_have_equal_forms() -> None:
    assert (N - 1) // 2 + 1 == (N + 1) // 2
    assert N * (M + 1) - N == N * M
    assert N + 1 - 1 is N
    assert (N - N) == 0
    assert hash(N * 2 + 1) == hash(1 + N + N)


def test_exact_division() -> None:
    assert (N * 784) // N == 784
    assert (N * 28 * 28) // 28 == N * 28
    assert (2 * N + 4) // 2 == N + 2
    assert (4 * N + 7) // 4 == N + 1
    assert (4 * N + 7) % 4 == 3
    assert ((N + 1) * 6) // (N + 1) == 6
    assert dims.exact_quotient(N * 3 + 1, 3) is None


def test_simplify_uses_loop_ranges() -> None:
    ranges = {I: (0, 9), J: (0, 7)}
    assert dims.simplify((I * 8 + J) // 8, ranges) is I
    assert dims.simplify((I * 8 + J) % 8, ranges) is J
    assert dims.simplify(dims.minimum(J, 8), ranges) is J
    assert dims.simplify((I * 8 + J + 1) // 8, ranges) != I


def test_simplify_divides_blocks_by_larger_blocks() -> None:
    ranges = {I: (0, 15), J: (0, 7)}
    assert dims.simplify((I * 8 + J) // 32, ranges) == I // 4
    assert dims.simplify((I * 8 + J) % 32, ranges) == I % 4 * 8 + J
    assert dims.simplify((I * 8 + J) // 20, ranges) == (I * 8 + J) // 20
    assert dims.simplify((I * 8 + J + 1) // 32, ranges) != I // 4
    for i in range(16):
        for j in range(8):
            env = {I: i, J: j}
            for b in (16, 24, 32, 40):
                for make in (dims.floordiv, dims.mod):
                    exact = make(i * 8 + j + 3, b)
                    got = dims.simplify(make(I * 8 + J + 3, b), ranges)
                    assert dims.substitute(got, env) == exact


def test_extrema_are_decided_when_the_sign_is_known() -> None:
    assert dims.minimum(N + 1, N) is N
    assert dims.maximum(N, 0) is N
    assert str(dims.maximum(N, M)) == "max(M, N)"


def test_bounds() -> None:
    assert dims.bounds((N - 1) // 2 + 1) == (0, None)
    assert dims.bounds(I * 3 - J, {I: (0, 4), J: (1, 2)}) == (-2, 11)
    assert dims.bounds(N % 7) == (0, 6)


def test_coefficient() -> None:
    assert dims.coefficient(3 * I * N + J, I) == 3 * N
    assert dims.coefficient(I // 2, I) is None
    assert dims.coefficient(J, I) == 0


def test_align() -> None:
    assert dims.align(65, 64) == 128
    assert dims.evaluate(dims.align(N * 4, 64), {N: 17}) == 128


def test_division_by_zero_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        dims.floordiv(7, 0)


leaves = st.one_of(st.integers(-9, 9), st.sampled_from([N, M, I, J]))
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.tuples(st.just("+"), inner, inner),
        st.tuples(st.just("-"), inner, inner),
        st.tuples(st.just("*"), inner, inner),
        st.tuples(st.just("//"), inner, st.integers(1, 9)),
        st.tuples(st.just("%"), inner, st.integers(1, 9)),
        st.tuples(st.just("min"), inner, inner),
        st.tuples(st.just("max"), inner, inner),
    ),
    max_leaves=12,
)
OPERATIONS = {
    "+": (dims.add, lambda a, b: a + b),
    "-": (lambda a, b: dims.add(a, dims.mul(b, -1)), lambda a, b: a - b),
    "*": (dims.mul, lambda a, b: a * b),
    "//": (dims.floordiv, lambda a, b: a // b),
    "%": (dims.mod, lambda a, b: a % b),
    "min": (dims.minimum, min),
    "max": (dims.maximum, max),
}


def _symbolic(tree):
    if not isinstance(tree, tuple):
        return tree
    return OPERATIONS[tree[0]][0](_symbolic(tree[1]), _symbolic(tree[2]))


def _number(tree, env):
    if not isinstance(tree, tuple):
        return env.get(tree, tree)
    return OPERATIONS[tree[0]][1](_number(tree[1], env), _number(tree[2], env))


values = st.fixed_dictionaries(
    {N: st.integers(0, 20), M: st.integers(0, 20), I: st.integers(0, 9), J: st.integers(0, 7)}
)
RANGES = {I: (0, 9), J: (0, 7)}


@settings(max_examples=300, deadline=None, derandomize=True)
@given(expressions, values)
def test_every_form_has_the_value_of_what_was_written(tree, env) -> None:
    symbolic, expected = _symbolic(tree), _number(tree, env)
    assert dims.evaluate(symbolic, env) == expected
    assert dims.evaluate(dims.simplify(symbolic, RANGES), env) == expected
    assert dims.substitute(symbolic, env) == expected
    low, high = dims.bounds(symbolic, RANGES)
    assert (low is None or low <= expected) and (high is None or expected <= high)


def test_both_printers_write_python_that_means_the_same() -> None:
    n, m = DimVar("n"), DimVar("m")
    forms = [
        dims.mul(dims.floordiv(n, 3), 2),
        dims.floordiv(dims.mul(n, 2), 3),
        dims.mod(dims.floordiv(n, 3), 2),
        dims.floordiv(dims.mod(n, 5), 2),
        dims.add(dims.mul(dims.mod(n, 5), dims.floordiv(m, 2)), -7),
        dims.add(dims.mul(dims.maximum(n, m), -3), dims.minimum(dims.floordiv(n, 2), m)),
    ]
    for form in forms:
        for text in (str(form), Printer().dim(form)):
            for env in ({"n": 17, "m": 4}, {"n": 8, "m": 11}):
                want = dims.evaluate(form, {DimVar(k): v for k, v in env.items()})
                assert eval(text, {}, {**env, "min": min, "max": max}) == want, text


def test_arithmetic_with_an_index_that_is_computed_with() -> None:
    index = IndexValue(I)
    for got, want in (
        (N - index, N - I),
        (N + index, N + I),
        (N * index, N * I),
        (N // index, dims.floordiv(N, I)),
        (N % index, dims.mod(N, I)),
        (7 - index, 7 - I),
        (7 // index, dims.floordiv(7, I)),
        (7 % index, dims.mod(7, I)),
    ):
        assert isinstance(got, IndexValue) and got.dim == want
