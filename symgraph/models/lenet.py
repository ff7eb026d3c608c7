"""LeNet-5 in the form that frameworks have used as their first example since Caffe."""

from __future__ import annotations

from ..ir.symbol import Symbol, var
from ..ops.activation import relu
from ..ops.contraction import linear
from ..ops.convolution import conv2d
from ..ops.max_pooling import max_pool2d
from ..ops.shape import flatten


def lenet5(x: Symbol | None = None, *, classes: int = 10) -> Symbol:
    """Logits: 20 filters 5x5, pool 2, 50 filters 5x5, pool 2, 500 units, `classes` units.

    Shapes: x [N, 1, 28, 28] (declared when not given) -> logits [N, classes].
    Source: LeCun et al. 1998, with rectifiers and the widths of Caffe's lenet.prototxt.
    """
    h = var("x", ("N", 1, 28, 28)) if x is None else x
    h = max_pool2d(relu(conv2d(h, 20, kernel_size=5, name="conv1"), name="relu1"), 2, name="pool1")
    h = max_pool2d(relu(conv2d(h, 50, kernel_size=5, name="conv2"), name="relu2"), 2, name="pool2")
    h = relu(linear(flatten(h, name="flatten"), 500, name="fc1"), name="relu3")
    return linear(h, classes, name="fc2")
