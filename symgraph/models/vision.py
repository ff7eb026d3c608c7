"""Classic convolutional networks, in the forms whose parameter counts are published."""

from __future__ import annotations

from collections.abc import Sequence

from ..ir.symbol import Symbol
from ..ops.activation import relu, relu6
from ..ops.contraction import linear
from ..ops.convolution import conv2d
from ..ops.local_response import local_response_norm
from ..ops.max_pooling import max_pool2d
from ..ops.normalization import batch_norm
from ..ops.pooling import adaptive_avg_pool2d, global_avg_pool2d
from ..ops.random import dropout
from ..ops.shape import flatten
from .parts import image


def alexnet(x: Symbol | None = None, *, classes: int = 1000) -> Symbol:
    """Logits of five convolutions and three fully connected layers.

    Shapes: x [N, 3, 224, 224] (declared when not given) -> logits [N, classes].
    Source: Krizhevsky 2014 (one column, without local response normalisation).
    """
    h = image(x)
    plan = ((64, 11, 4, 2, True), (192, 5, 1, 2, True), (384, 3, 1, 1, False),
            (256, 3, 1, 1, False), (256, 3, 1, 1, True))  # fmt: skip
    for number, (channels, kernel, stride, padding, pool) in enumerate(plan, 1):
        h = relu(
            conv2d(h, channels, kernel_size=kernel, stride=stride, padding=padding,
                   name=f"conv{number}"),
            name=f"relu{number}",
        )  # fmt: skip
        h = max_pool2d(h, 3, 2, name=f"pool{number}") if pool else h
    return _classifier(adaptive_avg_pool2d(h, 6, name="pool"), classes)


def alexnet_2012(x: Symbol | None = None, *, classes: int = 1000) -> Symbol:
    """Logits of the first AlexNet: two groups, local response normalisation.

    Shapes: x [N, 3, 227, 227] (declared when not given) -> logits [N, classes].
    Source: Krizhevsky et al. 2012; norm before pooling as in the paper's section 3.5.
    """
    h = image(x, 227)
    plan = ((96, 11, 4, 0, 1, True), (256, 5, 1, 2, 2, True), (384, 3, 1, 1, 1, False),
            (384, 3, 1, 1, 2, False), (256, 3, 1, 1, 2, False))  # fmt: skip
    for number, (channels, kernel, stride, padding, groups, norm) in enumerate(plan, 1):
        h = conv2d(h, channels, kernel_size=kernel, stride=stride, padding=padding, groups=groups,
                   name=f"conv{number}")  # fmt: skip
        h = relu(h, name=f"relu{number}")
        if norm:
            h = local_response_norm(h, 5, alpha=1e-4, beta=0.75, k=1.0, name=f"norm{number}")
        h = max_pool2d(h, 3, 2, name=f"pool{number}") if norm or number == 5 else h
    return _classifier(h, classes)


def vgg16(x: Symbol | None = None, *, classes: int = 1000) -> Symbol:
    """Logits of thirteen 3x3 convolutions and three fully connected layers.

    Shapes: x [N, 3, 224, 224] (declared when not given) -> logits [N, classes].
    Source: Simonyan and Zisserman 2015, configuration D.
    """
    h = image(x)
    for block, (channels, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for number in range(1, count + 1):
            name = f"{block}_{number}"
            h = conv2d(h, channels, kernel_size=3, padding=1, name=f"conv{name}")
            h = relu(h, name=f"relu{name}")
        h = max_pool2d(h, 2, name=f"pool{block}")
    return _classifier(adaptive_avg_pool2d(h, 7, name="pool"), classes)


def _classifier(h: Symbol, classes: int) -> Symbol:
    h = flatten(h, name="flatten")
    for number in (6, 7):
        h = relu(linear(h, 4096, name=f"fc{number}"), name=f"relu_fc{number}")
        h = dropout(h, 0.5, name=f"drop{number}")
    return linear(h, classes, name="fc8")


def _normalised(
    x: Symbol, channels: int, kernel: int, stride: int, name: str, groups: int = 1
) -> Symbol:
    """A convolution without bias, then batch norm."""
    h = conv2d(
        x, channels, kernel_size=kernel, stride=stride, padding=kernel // 2, groups=groups,
        use_bias=False, name=f"{name}_conv",
    )  # fmt: skip
    return batch_norm(h, name=f"{name}_bn")


def _resnet(x: Symbol | None, counts: Sequence[int], bottleneck: bool, classes: int) -> Symbol:
    h = relu(_normalised(image(x), 64, 7, 2, "stem"), name="stem_relu")
    h = max_pool2d(h, 3, 2, 1, name="stem_pool")
    incoming = 64
    for stage, count in enumerate(counts, 1):
        width = 64 << (stage - 1)
        outgoing = 4 * width if bottleneck else width
        for block in range(1, count + 1):
            name = f"stage{stage}_block{block}"
            stride = 2 if stage > 1 and block == 1 else 1
            short = h
            if stride != 1 or incoming != outgoing:
                short = _normalised(h, outgoing, 1, stride, f"{name}_short")
            body = _bottleneck if bottleneck else _basic
            h = relu(body(h, width, stride, name) + short, name=f"{name}_relu")
            incoming = outgoing
    return linear(flatten(global_avg_pool2d(h, name="pool")), classes, name="fc")


def _basic(x: Symbol, width: int, stride: int, name: str) -> Symbol:
    h = relu(_normalised(x, width, 3, stride, f"{name}_1"), name=f"{name}_1_relu")
    return _normalised(h, width, 3, 1, f"{name}_2")


def _bottleneck(x: Symbol, width: int, stride: int, name: str) -> Symbol:
    h = relu(_normalised(x, width, 1, 1, f"{name}_1"), name=f"{name}_1_relu")
    h = relu(_normalised(h, width, 3, stride, f"{name}_2"), name=f"{name}_2_relu")
    return _normalised(h, 4 * width, 1, 1, f"{name}_3")


def resnet18(x: Symbol | None = None, *, classes: int = 1000) -> Symbol:
    """Logits of a residual network of eighteen layers.

    Shapes: x [N, 3, 224, 224] (declared when not given) -> logits [N, classes].
    Source: He et al. 2016, basic blocks.
    """
    return _resnet(x, (2, 2, 2, 2), False, classes)


def resnet50(x: Symbol | None = None, *, classes: int = 1000) -> Symbol:
    """Logits of a residual network of fifty layers; the stride is in the 3x3 convolutions.

    Shapes: x [N, 3, 224, 224] (declared when not given) -> logits [N, classes].
    Source: He et al. 2016, bottleneck blocks.
    """
    return _resnet(x, (3, 4, 6, 3), True, classes)


def mobilenet_v2(x: Symbol | None = None, *, classes: int = 1000) -> Symbol:
    """Logits of inverted residuals with depthwise convolutions.

    Shapes: x [N, 3, 224, 224] (declared when not given) -> logits [N, classes].
    Source: Sandler et al. 2018, table 2.
    """
    h = relu6(_normalised(image(x), 32, 3, 2, "stem"), name="stem_relu")
    incoming, number = 32, 0
    plan = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
            (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
    for expansion, channels, count, first_stride in plan:
        for block in range(count):
            number += 1
            stride = first_stride if block == 0 else 1
            inner = _inverted(h, incoming, channels, expansion, stride, f"block{number}")
            h = h + inner if stride == 1 and incoming == channels else inner
            incoming = channels
    h = relu6(_normalised(h, 1280, 1, 1, "head"), name="head_relu")
    h = dropout(flatten(global_avg_pool2d(h, name="pool")), 0.2, name="drop")
    return linear(h, classes, name="fc")


def _inverted(
    x: Symbol, incoming: int, channels: int, expansion: int, stride: int, name: str
) -> Symbol:
    width, h = incoming * expansion, x
    if expansion != 1:
        h = relu6(_normalised(h, width, 1, 1, f"{name}_expand"), name=f"{name}_expand_relu")
    h = _normalised(h, width, 3, stride, f"{name}_depth", groups=width)
    return _normalised(relu6(h, name=f"{name}_depth_relu"), channels, 1, 1, f"{name}_project")
