"""What several networks are made of."""

from __future__ import annotations

from typing import Any

from ..ir.symbol import Symbol, var
from ..ops.activation import relu
from ..ops.convolution import conv2d
from ..ops.normalization import batch_norm


def image(x: Symbol | None, size: int = 224, channels: int = 3) -> Symbol:
    """The input image, declared when it is not given."""
    return var("x", ("N", channels, size, size)) if x is None else x


def conv_bn_relu(
    x: Symbol,
    channels: int,
    kernel: int | tuple[int, int],
    name: str,
    *,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    eps: float = 1e-5,
) -> Symbol:
    """Convolution without bias, batch norm, rectifier."""
    attributes: dict[str, Any] = {"kernel_size": kernel, "stride": stride, "padding": padding}
    h = conv2d(x, channels, **attributes, use_bias=False, name=f"{name}_conv")
    return relu(batch_norm(h, eps=eps, name=f"{name}_bn"), name=f"{name}_relu")
