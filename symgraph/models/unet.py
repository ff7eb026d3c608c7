"""U-Net: a network from images to images of the same size."""

from __future__ import annotations

from ..ir.symbol import Symbol
from ..ops.convolution import conv2d
from ..ops.join import concat
from ..ops.max_pooling import max_pool2d
from ..ops.transposed_convolution import conv_transpose2d
from .parts import conv_bn_relu, image

DEPTH = 4


def unet(x: Symbol | None = None, *, classes: int = 1, width: int = 32) -> Symbol:
    """Logits of each pixel: four halvings, four doublings, with connections across.

    Shapes: x [N, 3, 256, 256] (declared when not given; sides are multiples of 16)
    -> logits [N, classes, 256, 256].
    Source: Ronneberger et al. 2015; padded convolutions and batch norm as in Buda et al. 2019.
    """
    h = image(x, 256)
    across: list[Symbol] = []
    for level in range(DEPTH):
        h = _twice(h, width << level, f"down{level + 1}")
        across.append(h)
        h = max_pool2d(h, 2, name=f"pool{level + 1}")
    h = _twice(h, width << DEPTH, "bottom")
    for level in reversed(range(DEPTH)):
        name, channels = f"up{level + 1}", width << level
        h = conv_transpose2d(h, channels, kernel_size=2, stride=2, name=f"{name}_grow")
        h = concat([h, across[level]], axis=1, name=f"{name}_concat")
        h = _twice(h, channels, name)
    logits: Symbol = conv2d(h, classes, kernel_size=1, name="head")
    return logits


def _twice(x: Symbol, channels: int, name: str) -> Symbol:
    h = conv_bn_relu(x, channels, 3, f"{name}_1", padding=1)
    return conv_bn_relu(h, channels, 3, f"{name}_2", padding=1)
