"""What MXNet's own planner allocates for a network, run by a Python that has MXNet 1.x.

    PYTHON mxnet_networks.py NAME BATCH [--training]

Prints the bytes for one image or sequence: MXNet tells whole mebibytes for the bound graph
(`Executor.debug_str`), so a batch is bound and its total divided.  Arguments, parameters, their
gradients and the workspaces of operators are not counted by it.  Vision networks come from MXNet's
own model zoo; U-Net, the LSTM, LeNet and BERT are declared here as in `symgraph.models`.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import mxnet as mx
from mxnet.gluon.model_zoo import vision

S = mx.sym
ZOO = {
    "alexnet": (vision.alexnet, 224),
    "vgg16": (vision.vgg16, 224),
    "resnet18": (vision.resnet18_v1, 224),
    "resnet50": (vision.resnet50_v1, 224),
    "mobilenet_v2": (vision.mobilenet_v2_1_0, 224),
    "densenet121": (vision.densenet121, 224),
    "inception_v3": (vision.inception_v3, 299),
}


def lenet5(x: Any) -> Any:
    for filters in (20, 50):
        x = S.Activation(S.Convolution(x, kernel=(5, 5), num_filter=filters), act_type="relu")
        x = S.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
    x = S.Activation(S.FullyConnected(S.flatten(x), num_hidden=500), act_type="relu")
    return S.FullyConnected(x, num_hidden=10)


def unet(x: Any) -> Any:
    def twice(h: Any, channels: int) -> Any:
        for _ in range(2):
            h = S.Convolution(h, kernel=(3, 3), pad=(1, 1), num_filter=channels)
            h = S.Activation(S.BatchNorm(h), act_type="relu")
        return h

    across = []
    for level in range(4):
        x = twice(x, 32 << level)
        across.append(x)
        x = S.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
    x = twice(x, 32 << 4)
    for level in reversed(range(4)):
        x = S.Deconvolution(x, kernel=(2, 2), stride=(2, 2), num_filter=32 << level, no_bias=False)
        x = twice(S.concat(x, across[level], dim=1), 32 << level)
    return S.Convolution(x, kernel=(1, 1), num_filter=1)


def lstm(x: Any) -> Any:
    stack = mx.rnn.SequentialRNNCell()
    for layer in range(2):
        stack.add(mx.rnn.LSTMCell(256, prefix=f"l{layer}_"))
    outputs, _ = stack.unroll(32, x, layout="NTC", merge_outputs=False)
    return S.FullyConnected(outputs[-1], num_hidden=10)


def bert(tokens: Any, width: int = 768, heads: int = 12, length: int = 128) -> Any:
    def dense(h: Any, units: int) -> Any:
        return S.FullyConnected(h, num_hidden=units, flatten=False)

    def apart(h: Any) -> Any:
        h = S.reshape(h, shape=(0, 0, heads, -1))
        return S.reshape(S.transpose(h, axes=(0, 2, 1, 3)), shape=(-3, 0, 0))

    h = S.Embedding(tokens, input_dim=30522, output_dim=width)
    h = S.broadcast_add(h, S.var("positions", shape=(1, length, width)))
    h = S.LayerNorm(h)
    for _ in range(12):
        q, k, v = (apart(dense(h, width)) for _ in range(3))
        weights = S.softmax(S.batch_dot(q * 0.125, k, transpose_b=True), axis=-1)
        mixed = S.reshape(S.batch_dot(weights, v), shape=(-4, -1, heads, 0, 0))
        mixed = S.reshape(S.transpose(mixed, axes=(0, 2, 1, 3)), shape=(0, 0, -3))
        h = S.LayerNorm(h + dense(mixed, width))
        inner = S.LeakyReLU(dense(h, 4 * width), act_type="gelu")
        h = S.LayerNorm(h + dense(inner, width))
    return h


OWN = {
    "lenet5": (lenet5, (1, 28, 28)),
    "unet": (unet, (3, 256, 256)),
    "lstm": (lstm, (32, 256)),
    "bert": (bert, (128,)),
}


def planned(name: str, batch: int, training: bool) -> float:
    """Bytes per sample of the bound graph."""
    data = S.var("data")
    if name in ZOO:
        function, size = ZOO[name]
        symbol, shape = function()(data), (3, size, size)
    else:
        build, shape = OWN[name]
        symbol = build(data)
    shapes = {"data": (batch, *shape)}
    if name == "lstm":
        starts = [a for a in symbol.list_arguments() if "begin_state" in a]
        shapes |= dict.fromkeys(starts, (batch, 256))
    if training:
        symbol = S.SoftmaxOutput(symbol, name="softmax")
    grad = "write" if training else "null"
    text = symbol.simple_bind(mx.cpu(), grad_req=grad, **shapes).debug_str()
    found = re.search(r"Total (\d+) MB allocated", text)
    assert found is not None, text[-500:]
    return int(found.group(1)) * 2**20 / batch


if __name__ == "__main__":
    print(planned(sys.argv[1], int(sys.argv[2]), "--training" in sys.argv))
