"""Densely connected networks: every layer reads all layers of its block before it."""

from __future__ import annotations

from ..ir.symbol import Symbol
from ..ops.activation import relu
from ..ops.average_pooling import avg_pool2d
from ..ops.contraction import linear
from ..ops.convolution import conv2d
from ..ops.join import concat
from ..ops.max_pooling import max_pool2d
from ..ops.normalization import batch_norm
from ..ops.pooling import global_avg_pool2d
from ..ops.shape import flatten
from .parts import conv_bn_relu, image

GROWTH, BOTTLENECK = 32, 4


def densenet121(x: Symbol | None = None, *, classes: int = 1000) -> Symbol:
    """Logits of four dense blocks of 6, 12, 24 and 16 layers.

    Shapes: x [N, 3, 224, 224] (declared when not given) -> logits [N, classes].
    Source: Huang et al. 2017, DenseNet-BC with growth 32 and compression 0.5.
    """
    h = conv_bn_relu(image(x), 64, 7, "stem", stride=2, padding=3)
    h = max_pool2d(h, 3, 2, 1, name="stem_pool")
    channels = 64
    for block, count in enumerate((6, 12, 24, 16), 1):
        if block > 1:
            channels //= 2
            h = _before(h, channels, 1, f"transition{block - 1}")
            h = avg_pool2d(h, 2, name=f"transition{block - 1}_pool")
        for layer in range(1, count + 1):
            name = f"block{block}_layer{layer}"
            new = _before(h, BOTTLENECK * GROWTH, 1, f"{name}_1")
            new = _before(new, GROWTH, 3, f"{name}_2")
            h = concat([h, new], axis=1, name=f"{name}_concat")
            channels += GROWTH
    h = relu(batch_norm(h, name="head_bn"), name="head_relu")
    return linear(flatten(global_avg_pool2d(h, name="pool")), classes, name="fc")


def _before(x: Symbol, channels: int, kernel: int, name: str) -> Symbol:
    """Batch norm and rectifier before the convolution."""
    h = relu(batch_norm(x, name=f"{name}_bn"), name=f"{name}_relu")
    y: Symbol = conv2d(
        h, channels, kernel_size=kernel, padding=kernel // 2, use_bias=False, name=f"{name}_conv"
    )
    return y
