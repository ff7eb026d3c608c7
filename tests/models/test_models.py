"""Known networks: published parameter counts, shapes, and numbers against plain numpy."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import models

Array = np.ndarray[Any, np.dtype[Any]]
# As printed by the frameworks that publish these networks (torchvision; BERT base less its pooler,
# its second segment and 384 of its 512 positions).
COUNTS = {
    "lenet5": 431_080,
    "mlp": 784 * 128 + 128 + 128 * 64 + 64 + 640 + 10,
    "alexnet": 61_100_840,
    "alexnet_2012": 60_965_224,
    "vgg16": 138_357_544,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "mobilenet_v2": 3_504_872,
    "densenet121": 7_978_856,
    "inception_v3": 23_834_568,
    "unet": 7_763_041,
    "lstm": 512 * 28 + 512 * 128 + 512 + 1290,
    "bert_encoder": 109_482_240 - (768 * 768 + 768) - 768 - 384 * 768,
}


def parameter_count(logits: sg.Symbol) -> int:
    shapes, names = logits.infer_shape(), logits.graph.names
    return sum(math.prod(shapes[names[p.node]]) for p in logits.parameters)


def test_the_table_lists_every_network_with_its_count() -> None:
    rows = re.findall(r"^\| (\w+) +\| (\S.*?) +\| +([\d,]+) \|", models.__doc__ or "", re.M)
    assert {name: int(count.replace(",", "")) for name, _, count in rows} == COUNTS
    assert list(models.KNOWN) == [name for name, _, _ in rows]


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_and_shapes(name: str) -> None:
    logits = models.KNOWN[name]()
    assert parameter_count(logits) == COUNTS[name]
    inference = logits.infer_shape()
    assert inference.complete, inference.unknown
    last = {
        "bert_encoder": "(N, 128, 768)",
        "unet": "(N, 1, 256, 256)",
        "lenet5": "(N, 10)",
        "mlp": "(N, 10)",
    }
    expected = last.get(name, "(N, 10)" if name == "lstm" else "(N, 1000)")
    assert str(inference.outputs[0]) == expected


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "mobilenet_v2", "lstm"])
def test_every_parameter_has_a_gradient(name: str) -> None:
    logits = models.KNOWN[name]()
    loss = sg.cross_entropy(logits, sg.var("y", ("N",), "int32"))
    assert len(sg.gradients(loss, logits.parameters)) == len(logits.parameters)


def convolve(x: Array, w: Array, b: Array) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.einsum("ncyxij,kcij->nkyx", windows, w) + b[:, None, None]


def pool(x: Array) -> Array:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def test_lenet_against_numpy() -> None:
    logits = models.lenet5()
    params = sg.init(logits, 3)
    x = np.random.default_rng(0).uniform(size=(3, 1, 28, 28)).astype(np.float32)
    found = sg.compile(logits, params=params, target="llvm")(x=x)
    p = {name: a.astype(np.float64) for name, a in params.items()}
    h: Array = x.astype(np.float64)
    for layer in ("conv1", "conv2"):
        h = pool(np.maximum(convolve(h, p[f"{layer}_weight"], p[f"{layer}_bias"]), 0))
    h = np.maximum(h.reshape(3, -1) @ p["fc1_weight"].T + p["fc1_bias"], 0)
    expected = h @ p["fc2_weight"].T + p["fc2_bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def test_lstm_against_numpy() -> None:
    logits = models.lstm(length=3, features=5, units=4, classes=2)
    params = sg.init(logits, 3)
    x = np.random.default_rng(0).normal(size=(7, 3, 5)).astype(np.float32)
    found = sg.compile(logits, params=params, target="llvm")(x=x)
    p = {name: a.astype(np.float64) for name, a in params.items()}
    hidden, cell = np.zeros((7, 4)), np.zeros((7, 4))
    for step in range(3):
        gates = x[:, step] @ p["lstm_input_weight"].T + p["lstm_bias"]
        i, f, g, o = np.split(gates + hidden @ p["lstm_hidden_weight"].T, 4, axis=1)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
    expected = hidden @ p["fc_weight"].T + p["fc_bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def normalise(x: Array, gamma: Array, beta: Array) -> Array:
    deviation = np.sqrt(x.var(-1, keepdims=True) + 1e-12)
    return (x - x.mean(-1, keepdims=True)) / deviation * gamma + beta


def gelu(x: Array) -> Array:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def test_bert_against_numpy() -> None:
    hidden = models.bert_encoder(length=5, layers=1, width=6, heads=2, inner=11, vocabulary=13)
    params = sg.init(hidden, 3)
    tokens = np.random.default_rng(0).integers(0, 13, (3, 5)).astype(np.int32)
    found = sg.compile(hidden, params=params, target="llvm")(tokens=tokens)
    p = {name: a.astype(np.float64) for name, a in params.items()}

    def layer(x: Array, name: str) -> Array:
        return x @ p[f"layer0_{name}_weight"].T + p[f"layer0_{name}_bias"]

    def norm(x: Array, name: str) -> Array:
        return normalise(x, p[f"{name}_gamma"], p[f"{name}_beta"])

    def heads(x: Array) -> Array:
        return x.reshape(3, 5, 2, 3).transpose(0, 2, 1, 3)

    h = p["vocabulary_weight"][tokens] + p["position_weight"] + p["segment_weight"]
    h = norm(h, "embedding_norm")
    q, k, v = (heads(layer(h, what)) for what in ("query", "key", "value"))
    scores = np.exp(q @ k.transpose(0, 1, 3, 2) / math.sqrt(3))
    mixed = (scores / scores.sum(-1, keepdims=True)) @ v
    joined = mixed.transpose(0, 2, 1, 3).reshape(3, 5, 6)
    h = norm(h + layer(joined, "output"), "layer0_attention_norm")
    h = norm(h + layer(gelu(layer(h, "inner")), "outer"), "layer0_norm")
    np.testing.assert_allclose(found, h, rtol=2e-4, atol=2e-5)


def test_networks_take_an_input_and_sizes() -> None:
    x = sg.var("image", (2, 3, 64, 64))
    logits = models.resnet18(x, classes=7)
    assert logits.infer_shape().outputs == ((2, 7),)
    small = models.mlp(sg.var("x", ("N", 5)), hidden=(3,), classes=2, activation=sg.tanh)
    assert small.list_variables() == ("x", "fc1_weight", "fc1_bias", "fc2_weight", "fc2_bias")
