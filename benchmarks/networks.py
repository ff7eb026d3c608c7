"""The networks that are measured, with their inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import symgraph as sg
from symgraph import models

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """A name, a function that declares it, and the shapes of its inputs.

    `peers` writes the model that peers get, where the plain export would not use an operator that
    they have for it; whole numbers below `tokens` are drawn for inputs of a network over tokens.
    """

    name: str
    build: Callable[[], sg.Symbol]
    shapes: dict[str, tuple[int, ...]]
    peers: Callable[[Arrays, Path], None] | None = None
    tokens: int = 0

    def inputs(self, rng: np.random.Generator) -> Arrays:
        """Random float32 arrays in [-1, 1), or random tokens."""
        if self.tokens:
            return {
                n: rng.integers(0, self.tokens, s).astype(np.int32) for n, s in self.shapes.items()
            }
        return {n: rng.uniform(-1, 1, s).astype(np.float32) for n, s in self.shapes.items()}


def _mlp(*sizes: int) -> Callable[[], sg.Symbol]:
    def build() -> sg.Symbol:
        x = sg.var("x", ("N", sizes[0]))
        for number, units in enumerate(sizes[1:-1]):
            x = sg.relu(sg.linear(x, units, name=f"fc{number}"))
        return sg.linear(x, sizes[-1], name="head")

    return build


LENGTH, FEATURES, UNITS, LAYERS = 32, 256, 256, 2


def _lstm() -> sg.Symbol:
    return models.lstm(length=LENGTH, features=FEATURES, units=UNITS, layers=LAYERS)


def lstm_for_peers(params: Arrays, path: Path) -> None:
    """The network with ONNX's own operator, whose gates are input, output, forget, new."""
    import onnx
    from onnx import helper, numpy_helper

    def given(name: str, array: Any) -> str:
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def gates(array: Any) -> Any:
        i, f, g, o = np.split(array, 4)
        return np.concatenate([i, o, f, g])[None]

    tensors: list[Any] = []
    nodes = [helper.make_node("Transpose", ["x"], ["h0"], perm=[1, 0, 2])]
    for layer in range(LAYERS):
        prefix = "lstm" if layer == 0 else f"lstm{layer + 1}"
        bias = gates(params[f"{prefix}_bias"])
        names = [
            given(f"w{layer}", gates(params[f"{prefix}_input_weight"])),
            given(f"r{layer}", gates(params[f"{prefix}_hidden_weight"])),
            given(f"b{layer}", np.concatenate([bias, np.zeros_like(bias)], axis=1)),
        ]
        outputs = [f"y{layer}", f"last{layer}"]
        nodes.append(helper.make_node("LSTM", [f"h{layer}", *names], outputs, hidden_size=UNITS))
        axis = given(f"axis{layer}", np.array([1], np.int64))
        nodes.append(helper.make_node("Squeeze", [f"y{layer}", axis], [f"h{layer + 1}"]))
    first = given("first", np.array([0], np.int64))
    nodes.append(helper.make_node("Squeeze", [f"last{LAYERS - 1}", first], ["state"]))
    head = [given("fw", params["fc_weight"]), given("fb", params["fc_bias"])]
    nodes.append(helper.make_node("Gemm", ["state", *head], ["out"], transB=1))
    element = onnx.TensorProto.FLOAT
    ins = [helper.make_tensor_value_info("x", element, ["N", LENGTH, FEATURES])]
    outs = [helper.make_tensor_value_info("out", element, ["N", 10])]
    graph = helper.make_graph(nodes, "lstm", ins, outs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


def _image(name: str, build: Callable[[], sg.Symbol], batch: int = 1, size: int = 224) -> Network:
    return Network(f"{name}/{batch}", build, {"x": (batch, 3, size, size)})


_BIG = _mlp(784, 2048, 4096, 4096, 1024, 10)
_LSTM = partial(Network, build=_lstm, peers=lstm_for_peers)

NETWORKS: tuple[Network, ...] = (
    Network("mlp-small/1", _mlp(64, 64, 32, 10), {"x": (1, 64)}),
    Network("lenet5/1", models.lenet5, {"x": (1, 1, 28, 28)}),
    Network("lenet5/64", models.lenet5, {"x": (64, 1, 28, 28)}),
    _image("resnet18", models.resnet18),
    _image("resnet50", models.resnet50),
    _image("mobilenet_v2", models.mobilenet_v2),
    _image("densenet121", models.densenet121),
    _image("inception_v3", models.inception_v3, size=299),
    _image("unet", models.unet, size=256),
    _image("alexnet", models.alexnet_2012, size=227),
    _image("alexnet", models.alexnet_2012, 16, 227),
    _image("vgg16", models.vgg16),
    Network("mlp/1", _BIG, {"x": (1, 784)}),
    Network("mlp/1024", _BIG, {"x": (1024, 784)}),
    _LSTM("lstm/1", shapes={"x": (1, LENGTH, FEATURES)}),
    _LSTM("lstm/64", shapes={"x": (64, LENGTH, FEATURES)}),
    Network("bert/1", models.bert_encoder, {"tokens": (1, 128)}, tokens=30000),
)
