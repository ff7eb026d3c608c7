"""Small graphs with the arena that a careful human would give them, in exact bytes.

Outputs are written once and lie outside the arena; every buffer takes whole multiples of 64 bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg

ROWS, COLUMNS, INNER = 17, 33, 20


def bytes_of(*shape: int, item: int = 4) -> int:
    """What a buffer takes."""
    return -(-int(np.prod(shape)) * item // 64) * 64


T = bytes_of(ROWS, COLUMNS)


class Net:
    """Products and convolutions with weights of their own."""

    def __init__(self) -> None:
        self.count = 0

    def product(self, x: Any, columns: int, dtype: str = "float32") -> Any:
        self.count += 1
        return sg.matmul(x, sg.var(f"w{self.count}", (x.shape[-1], columns), dtype))

    def conv(self, x: Any, channels: int, size: int = 1) -> Any:
        self.count += 1
        return sg.conv2d(x, channels, kernel_size=size, padding=size // 2, use_bias=False,
                         name=f"c{self.count}")  # fmt: skip


def x(*shape: int, dtype: str = "float32", name: str = "x") -> Any:
    return sg.var(name, shape, dtype)


def chain_of_relus(n: Net) -> Any:
    h = sg.tanh(n.product(sg.relu(sg.relu(n.product(x(ROWS, INNER), COLUMNS))), COLUMNS))
    return n.product(h, 5)


def softmax_over_its_input(n: Net) -> Any:
    return n.product(sg.softmax(n.product(x(ROWS, INNER), COLUMNS), axis=1), 5)


def layer_norm_over_its_input(n: Net) -> Any:
    return n.product(sg.layer_norm(n.product(x(ROWS, INNER), COLUMNS)), 5)


def rows_over_their_sums(n: Net) -> Any:
    h = n.product(x(ROWS, INNER), COLUMNS)
    return n.product(h / sg.sum(h, axis=1, keepdims=True), 5)


def read_twice_where_it_is_safe(n: Net) -> Any:
    h = n.product(x(ROWS, INNER), COLUMNS)
    return n.product(h * sg.sigmoid(h) + h, 5)


def read_twice_where_it_is_not(n: Net) -> Any:
    """The second product reads all of h while it is made; the sum then lies over either."""
    h = n.product(x(ROWS, COLUMNS), COLUMNS)
    return n.product(n.product(h, COLUMNS) + h, 5)


def residual_sums(n: Net) -> Any:
    h = n.product(x(ROWS, INNER), COLUMNS)
    for _ in range(3):
        h = h + n.product(sg.relu(n.product(h, COLUMNS)), COLUMNS)
    return n.product(h, 5)


def two_branches_and_their_sum(n: Net) -> Any:
    """The second branch adds the first one, which it overwrites."""
    given = x(ROWS, INNER)
    h = n.product(given, COLUMNS) + sg.tanh(n.product(given, COLUMNS))
    return n.product(sg.relu(h), 5)


def join_of_rows(n: Net) -> Any:
    a, b = x(13, INNER), x(ROWS, INNER, name="z")
    return n.product(sg.concat([n.product(a, COLUMNS), n.product(b, COLUMNS)], axis=0), 5)


def join_of_columns(n: Net) -> Any:
    given = x(ROWS, INNER)
    return n.product(sg.concat([n.product(given, COLUMNS), n.product(given, 20)], axis=1), 5)


def cut_rows(n: Net) -> Any:
    h = n.product(x(ROWS, INNER), COLUMNS)
    return n.product(h[2:9], 5), n.product(h[9:], 7)


def cut_columns(n: Net) -> Any:
    """The first of two products is the second buffer: outputs are written once."""
    h = n.product(x(ROWS, INNER), COLUMNS)
    return n.product(h[:, :11], 5) + n.product(h[:, 11:], 5)


def every_second_row(n: Net) -> Any:
    return n.product(n.product(x(ROWS, INNER), COLUMNS)[::2], 5)


def every_third_column(n: Net) -> Any:
    return n.product(n.product(x(ROWS, INNER), COLUMNS)[:, ::3], 5)


def border(n: Net) -> Any:
    return n.conv(n.conv(x(1, 4, 8, 11), 3), 5, 3)


def join_with_a_border(n: Net) -> Any:
    given = x(1, 4, 8, 11)
    return n.conv(sg.concat([n.conv(given, 3), n.conv(given, 5)], axis=1), 7, 3)


def joins_with_a_border(n: Net) -> Any:
    given = x(2, 4, 8, 11)
    return n.conv(sg.concat([n.conv(given, 3), n.conv(given, 5)], axis=1), 7, 3)


def dense_block(n: Net) -> Any:
    """A growing buffer, and 16 channels with a border."""
    h = n.conv(x(1, 3, 9, 9), 8)
    for _ in range(3):
        h = sg.concat([h, n.conv(sg.relu(n.conv(h, 16)), 4, 3)], axis=1)
    return n.conv(h, 5)


def other_shapes(n: Net) -> Any:
    h = sg.reshape(n.product(x(ROWS, INNER), COLUMNS), (17, 1, 3, 11))
    return n.product(sg.reshape(sg.squeeze(h, 1), (51, 11)), 5)


def transposed(n: Net) -> Any:
    return n.product(sg.transpose(n.product(x(ROWS, INNER), COLUMNS), (1, 0)), 5)


def mask(n: Net) -> Any:
    """The comparison is made again where it is read, so the mask takes nothing."""
    h = n.product(x(ROWS, INNER), COLUMNS)
    y = n.product(h, COLUMNS)
    return n.product(sg.where(h > 0, y, y * 2), 5)


def half_precision(n: Net) -> Any:
    h = n.product(x(ROWS, INNER, dtype="float16"), COLUMNS, "float16")
    return n.product(n.product(sg.relu(h), COLUMNS, "float16"), 5, "float16")


def other_dtypes(n: Net) -> Any:
    h = sg.cast(sg.cast(sg.relu(n.product(x(ROWS, INNER), COLUMNS)), "int32"), "float32")
    return n.product(h, 5)


def an_output_is_read_on(n: Net) -> Any:
    h = n.product(x(ROWS, INNER), COLUMNS)
    return h, n.product(n.product(h, COLUMNS), 5)


def nothing(n: Net) -> Any:
    return n.product(sg.relu(n.product(x(0, INNER), COLUMNS)), 5)


def one_number(n: Net) -> Any:
    total = sg.exp(sg.sum(x(ROWS, INNER)))
    return n.product(x(3, 4, name="v"), 5) * total


CASES = {
    chain_of_relus: 2 * T,
    softmax_over_its_input: T,
    layer_norm_over_its_input: T,
    rows_over_their_sums: T,
    read_twice_where_it_is_safe: T,
    read_twice_where_it_is_not: 2 * T,
    residual_sums: 2 * T,
    two_branches_and_their_sum: T,
    join_of_rows: bytes_of(13 + ROWS, COLUMNS),
    join_of_columns: bytes_of(ROWS, COLUMNS + 20),
    cut_rows: T,
    cut_columns: T + bytes_of(ROWS, 5),
    every_second_row: T,
    every_third_column: T,
    border: bytes_of(1, 3, 10, 13),
    join_with_a_border: bytes_of(1, 8, 10, 13),
    joins_with_a_border: bytes_of(2, 8, 10, 13),
    dense_block: bytes_of(1, 20, 9, 9) + bytes_of(1, 16, 11, 11),
    other_shapes: T,
    transposed: T,
    mask: 2 * T,
    half_precision: 2 * bytes_of(ROWS, COLUMNS, item=2),
    other_dtypes: T,
    an_output_is_read_on: T,
    nothing: 0,
    one_number: 64,
}


@pytest.mark.parametrize("target", ["interp", "llvm"])
@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_the_arena_is_what_a_human_would_take(build: Any, target: str) -> None:
    made = build(Net())
    group = sg.group(list(made) if isinstance(made, tuple) else [made])
    f = sg.compile(group, target=target, verify=2, algorithms="direct")
    plain = sg.compile(group, target="interp", level=0)
    rng = np.random.default_rng(0)
    types = {p.name: p.type for p in plain.program.inputs}
    given = {name: rng.uniform(-1, 1, type.shape).astype(type.dtype.numpy)
             for name, type in types.items()}  # fmt: skip
    for got, wanted in zip(_listed(f(**given)), _listed(plain(**given)), strict=True):
        tolerance = 2e-2 if got.dtype == np.float16 else 1e-4
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
    report = f.memory_report()
    assert report.planned == CASES[build]
    assert report.proved


def _listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, (tuple, list)) else [result]
