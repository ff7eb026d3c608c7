"""Expressions in C agree with their evaluation, and text is read back."""

from __future__ import annotations

import itertools
import subprocess

import pytest

from symgraph.aot.extents_text import decode_dim, encode_dim
from symgraph.aot.formula import HELPERS, c_text, greatest_extent, magnitude
from symgraph.errors import FormatError
from symgraph.kernel import dims
from symgraph.kernel.dims import DimVar

from .c_program import CC, needs_cc

N, T = DimVar("N"), DimVar("T")
EXPRESSIONS = [
    0,
    7,
    2**40,
    N,
    3 * N * T - 5 * T + 2**33,
    dims.align(12 * N + 4, 64),
    dims.floordiv(N - 3, 2),
    dims.mod(N - 5, 4),
    dims.maximum(dims.align(20 * N, 64), dims.align(7 * T * N, 64)),
    dims.minimum(N * 3, T + 4) * (N + 1),
    dims.floordiv(N * T, T + 1) - dims.mod(T, N + 2) * 2,
    dims.floordiv(dims.floordiv(N - 1, 2) - 2, 3),
    -N - 1,
]
POINTS = list(itertools.product((0, 1, 2, 5, 16, 33), (0, 1, 7, 1000)))


@needs_cc
def test_c_has_the_same_values(tmp_path):
    lines = ["#include <stdint.h>", "#include <stdio.h>", "#define SYMGRAPH_CONSTEXPR", HELPERS]
    lines.append("int main(void) {")
    for n, t in POINTS:
        lines.append(f"  {{ int64_t N = {n}, T = {t}; (void)N; (void)T;")
        for expression in EXPRESSIONS:
            text = c_text(expression, {"N": "N", "T": "T"})
            lines.append(f'    printf("%lld\\n", (long long)({text}));')
        lines.append("  }")
    lines.append("}")
    source = tmp_path / "formula.c"
    source.write_text("\n".join(lines))
    flags = ["-std=c11", "-Wall", "-Werror", "-fsanitize=undefined"]
    if subprocess.run(
        [CC or "cc", *flags, str(source), "-o", str(tmp_path / "run")],
        capture_output=True, check=False,
    ).returncode:  # fmt: skip
        flags.pop()
        subprocess.run([CC or "cc", *flags, str(source), "-o", str(tmp_path / "run")], check=True)
    out = subprocess.run([str(tmp_path / "run")], capture_output=True, text=True, check=True)
    expected = [int(dims.evaluate(e, {N: n, T: t})) for (n, t) in POINTS for e in EXPRESSIONS]
    assert [int(line) for line in out.stdout.split()] == expected
    assert out.stderr == ""


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=str)
def test_text_is_read_back(expression):
    assert decode_dim(encode_dim(expression)) == expression


@pytest.mark.parametrize("text", ["", "N+", "N**2", "f(N)", "__import__('os')", "1.5", None, True])
def test_other_text_is_refused(text):
    with pytest.raises(FormatError, match="no integer expression"):
        decode_dim(text)


def test_magnitude_bounds_every_value():
    for expression in EXPRESSIONS:
        for n, t in POINTS:
            value = int(dims.evaluate(expression, {N: n, T: t}))
            assert abs(value) <= magnitude(expression, max(n, t))


def test_the_greatest_extent_keeps_sizes_in_range():
    assert greatest_extent([8 * N], 63) == 2**60 - 1
    limit = greatest_extent([4 * N * T + 100], 31)
    assert 4 * limit * limit + 100 < 2**31 <= 4 * (2 * limit + 1) ** 2 + 100
    assert greatest_extent([4 * N * T], 63, {"T": 16}) == 2**57 - 1
    assert greatest_extent([5], 63) == 2**63 - 1
