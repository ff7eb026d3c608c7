"""Inception v3: branches of factorised convolutions, joined along channels."""

from __future__ import annotations

from ..ir.symbol import Symbol
from ..ops.average_pooling import avg_pool2d
from ..ops.contraction import linear
from ..ops.join import concat
from ..ops.max_pooling import max_pool2d
from ..ops.pooling import global_avg_pool2d
from ..ops.random import dropout
from ..ops.shape import flatten
from .parts import conv_bn_relu, image


def inception_v3(x: Symbol | None = None, *, classes: int = 1000) -> Symbol:
    """Logits of eleven mixed blocks, without the auxiliary head.

    Shapes: x [N, 3, 299, 299] (declared when not given) -> logits [N, classes].
    Source: Szegedy et al. 2016, table 1 in the form of the published weights.
    """
    h = _conv(image(x, 299), 32, 3, "stem1", stride=2)
    h = _conv(h, 32, 3, "stem2")
    h = _conv(h, 64, 3, "stem3", padding=1)
    h = max_pool2d(h, 3, 2, name="stem_pool1")
    h = _conv(h, 80, 1, "stem4")
    h = _conv(h, 192, 3, "stem5")
    h = max_pool2d(h, 3, 2, name="stem_pool2")
    for number, pool in enumerate((32, 64, 64), 1):
        h = _mixed_a(h, pool, f"mixed{number}")
    h = _reduce_a(h, "mixed4")
    for number, width in enumerate((128, 160, 160, 192), 5):
        h = _mixed_b(h, width, f"mixed{number}")
    h = _reduce_b(h, "mixed9")
    for number in (10, 11):
        h = _mixed_c(h, f"mixed{number}")
    h = dropout(flatten(global_avg_pool2d(h, name="pool")), 0.5, name="drop")
    return linear(h, classes, name="fc")


def _conv(
    x: Symbol,
    channels: int,
    kernel: int | tuple[int, int],
    name: str,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
) -> Symbol:
    return conv_bn_relu(x, channels, kernel, name, stride=stride, padding=padding, eps=1e-3)


def _pooled(x: Symbol, channels: int, name: str) -> Symbol:
    return _conv(avg_pool2d(x, 3, 1, 1, name=f"{name}_avg"), channels, 1, f"{name}_pool")


def _mixed_a(x: Symbol, pool: int, name: str) -> Symbol:
    """35 x 35: 1x1, 5x5, two 3x3."""
    five = _conv(_conv(x, 48, 1, f"{name}_5x5a"), 64, 5, f"{name}_5x5b", padding=2)
    three = _conv(_conv(x, 64, 1, f"{name}_3x3a"), 96, 3, f"{name}_3x3b", padding=1)
    three = _conv(three, 96, 3, f"{name}_3x3c", padding=1)
    one = _conv(x, 64, 1, f"{name}_1x1")
    return concat([one, five, three, _pooled(x, pool, name)], axis=1, name=f"{name}_concat")


def _reduce_a(x: Symbol, name: str) -> Symbol:
    """35 x 35 to 17 x 17."""
    one = _conv(x, 384, 3, f"{name}_3x3", stride=2)
    two = _conv(_conv(x, 64, 1, f"{name}_twice_a"), 96, 3, f"{name}_twice_b", padding=1)
    two = _conv(two, 96, 3, f"{name}_twice_c", stride=2)
    return concat([one, two, max_pool2d(x, 3, 2, name=f"{name}_pool")], 1, name=f"{name}_concat")


def _mixed_b(x: Symbol, width: int, name: str) -> Symbol:
    """17 x 17: 7x7 as 1x7 and 7x1."""
    row: tuple[tuple[int, int], tuple[int, int]] = ((1, 7), (0, 3))
    column = ((7, 1), (3, 0))
    short, long = _conv(x, width, 1, f"{name}_7x7a"), _conv(x, width, 1, f"{name}_twice_a")
    for part, channels, (kernel, padding) in (("b", width, row), ("c", 192, column)):
        short = _conv(short, channels, kernel, f"{name}_7x7{part}", padding=padding)
    plan = (("b", width, column), ("c", width, row), ("d", width, column), ("e", 192, row))
    for part, channels, (kernel, padding) in plan:
        long = _conv(long, channels, kernel, f"{name}_twice_{part}", padding=padding)
    one = _conv(x, 192, 1, f"{name}_1x1")
    return concat([one, short, long, _pooled(x, 192, name)], axis=1, name=f"{name}_concat")


def _reduce_b(x: Symbol, name: str) -> Symbol:
    """17 x 17 to 8 x 8."""
    three = _conv(_conv(x, 192, 1, f"{name}_3x3a"), 320, 3, f"{name}_3x3b", stride=2)
    seven = _conv(_conv(x, 192, 1, f"{name}_7x7a"), 192, (1, 7), f"{name}_7x7b", padding=(0, 3))
    seven = _conv(seven, 192, (7, 1), f"{name}_7x7c", padding=(3, 0))
    seven = _conv(seven, 192, 3, f"{name}_7x7d", stride=2)
    pool = max_pool2d(x, 3, 2, name=f"{name}_pool")
    return concat([three, seven, pool], axis=1, name=f"{name}_concat")


def _mixed_c(x: Symbol, name: str) -> Symbol:
    """8 x 8: 3x3 as 1x3 beside 3x1."""

    def both(h: Symbol, part: str) -> list[Symbol]:
        return [
            _conv(h, 384, (1, 3), f"{name}_{part}_row", padding=(0, 1)),
            _conv(h, 384, (3, 1), f"{name}_{part}_column", padding=(1, 0)),
        ]

    one = _conv(x, 320, 1, f"{name}_1x1")
    three = both(_conv(x, 384, 1, f"{name}_3x3a"), "3x3")
    twice = _conv(_conv(x, 448, 1, f"{name}_twice_a"), 384, 3, f"{name}_twice_b", padding=1)
    parts = [one, *three, *both(twice, "twice"), _pooled(x, 192, name)]
    return concat(parts, axis=1, name=f"{name}_concat")
