"""Hand-made models for the tests of pictures, with the attributes that real graphs have."""

from __future__ import annotations

import random
from typing import Any

import networkx as nx


class Builder:
    """Adds nodes with edges that carry their sources' types."""

    def __init__(self) -> None:
        self.model: nx.DiGraph[str] = nx.DiGraph()
        self.line = 1

    def leaf(self, name: str, kind: str, type_: str, scope: str = "", nbytes: int = 0) -> str:
        key = f"{scope}/{name}" if scope else name
        self.model.add_node(
            key, label=name, kind=kind, op="", attributes="", scope=scope, type=type_,
            origin=f"train.py:{self.line}", flops=0, nbytes=nbytes,
        )  # fmt: skip
        self.line += 1
        return key

    def op(self, name: str, op: str, inputs: list[str], type_: str, **more: Any) -> str:
        scope = more.pop("scope", "")
        key = f"{scope}/{name}" if scope else name
        fields: dict[str, Any] = {
            "label": name, "kind": "operator", "op": op, "attributes": "", "scope": scope,
            "origin": f"train.py:{self.line}", "type": type_, "flops": 0, "nbytes": 0,
        }  # fmt: skip
        self.line += 1
        self.model.add_node(key, **{**fields, **more})
        for source in inputs:
            data = self.model.nodes[source]
            self.model.add_edge(
                source, key, label=data["type"], nbytes=data["nbytes"], style="solid"
            )
        return key


def lenet() -> nx.DiGraph[str]:
    b = Builder()
    h = b.leaf("x", "input", "f32[N,1,28,28]", nbytes=3136)
    channels, size = 1, 28
    for i, filters in ((1, 20), (2, 50)):
        w = b.leaf(f"conv{i}_weight", "parameter", f"f32[{filters},{channels},5,5]")
        v = b.leaf(f"conv{i}_bias", "parameter", f"f32[{filters}]")
        size -= 4
        kind = f"f32[N,{filters},{size},{size}]"
        nbytes = 4 * filters * size * size
        h = b.op(
            f"conv{i}", "conv2d", [h, w, v], kind, attributes="kernel=5 stride=1",
            flops=2 * 25 * channels * nbytes // 4, nbytes=nbytes,
        )  # fmt: skip
        h = b.op(f"relu{i}", "relu", [h], kind, nbytes=nbytes, group=f"conv{i}")
        size //= 2
        h = b.op(
            f"pool{i}", "max_pool2d", [h], f"f32[N,{filters},{size},{size}]",
            attributes="kernel=2 stride=2", nbytes=nbytes // 4,
        )  # fmt: skip
        channels = filters
    h = b.op("flatten0", "flatten", [h], "f32[N,800]", nbytes=3200)
    b.model[next(b.model.predecessors(h))][h]["style"] = "dashed"
    for i, (units, width) in ((1, (500, 800)), (2, (10, 500))):
        w = b.leaf(f"fc{i}_weight", "parameter", f"f32[{units},{width}]")
        v = b.leaf(f"fc{i}_bias", "parameter", f"f32[{units}]")
        h = b.op(
            f"fc{i}", "linear", [h, w, v], f"f32[N,{units}]", attributes=f"units={units}",
            flops=2 * units * width, nbytes=4 * units,
        )  # fmt: skip
        if i == 1:
            h = b.op("relu3", "relu", [h], "f32[N,500]", nbytes=2000)
    y = b.leaf("y", "input", "i32[N]")
    b.op("loss", "cross_entropy", [h, y], "f32[]", nbytes=4)
    return b.model


def _block(b: Builder, h: str, scope: str, channels: int, stride: int, size: int) -> str:
    kind = f"f32[N,{channels},{size},{size}]"

    def conv(source: str, name: str, kernel: int, step: int) -> str:
        w = b.leaf(f"{name}_weight", "parameter", f"f32[{channels},C,{kernel},{kernel}]", scope)
        out = b.op(
            name, "conv2d", [source, w], kind, scope=scope, flops=kernel * 1000,
            attributes=f"kernel={kernel} stride={step} padding={kernel // 2}",
        )  # fmt: skip
        gamma = b.leaf(f"{name}_bn_gamma", "parameter", f"f32[{channels}]", scope)
        beta = b.leaf(f"{name}_bn_beta", "parameter", f"f32[{channels}]", scope)
        mean = b.leaf(f"{name}_bn_moving_mean", "auxiliary", f"f32[{channels}]", scope)
        return b.op(f"{name}_bn", "batch_norm", [out, gamma, beta, mean], kind, scope=scope)

    main = conv(h, "conv1", 3, stride)
    main = b.op("relu1", "relu", [main], kind, scope=scope)
    main = conv(main, "conv2", 3, 1)
    shortcut = conv(h, "down", 1, stride) if stride > 1 else h
    total = b.op("sum", "add", [main, shortcut], kind, scope=scope)
    return b.op("relu2", "relu", [total], kind, scope=scope)


def residual(blocks: int = 3) -> nx.DiGraph[str]:
    b = Builder()
    h = b.leaf("image", "input", "f32[N,3,32,32]")
    w = b.leaf("stem_weight", "parameter", "f32[16,3,3,3]")
    h = b.op("stem", "conv2d", [h, w], "f32[N,16,32,32]", attributes="kernel=3 padding=1")
    channels, size = 16, 32
    for stage in range(2):
        for i in range(blocks):
            stride = 2 if stage > 0 and i == 0 else 1
            channels, size = channels * stride, size // stride
            h = _block(b, h, f"stage{stage + 1}/block{i + 1}", channels, stride, size)
    h = b.op("pool", "global_avg_pool2d", [h], f"f32[N,{channels}]", scope="head")
    w = b.leaf("fc_weight", "parameter", f"f32[10,{channels}]", "head")
    h = b.op("fc", "linear", [h, w], "f32[N,10]", scope="head")
    b.op("softmax", "softmax", [h], "f32[N,10]", scope="head", attributes="axis=-1")
    return b.model


def lstm(steps: int = 4) -> nx.DiGraph[str]:
    b = Builder()
    tokens = b.leaf("tokens", "input", f"i32[N,{steps}]")
    table = b.leaf("embedding_weight", "parameter", "f32[1000,64]")
    embedded = b.op("embedding", "embedding", [tokens, table], f"f32[N,{steps},64]")
    parts = b.op("split", "split", [embedded], "f32[N,64]", attributes=f"axis=1 parts={steps}")
    wx = b.leaf("lstm_weight_x", "parameter", "f32[256,64]")
    wh = b.leaf("lstm_weight_h", "parameter", "f32[256,64]")
    h, c = (b.leaf(name, "input", "f32[N,64]") for name in ("h0", "c0"))
    outputs = []
    for t in range(steps):
        s = f"lstm/step{t}"
        a = b.op("from_x", "linear", [parts, wx], "f32[N,256]", scope=s)
        r = b.op("from_h", "linear", [h, wh], "f32[N,256]", scope=s)
        z = b.op("gates", "add", [a, r], "f32[N,256]", scope=s)
        i, f, g, o = (
            b.op(name, op, [z], "f32[N,64]", scope=s)
            for name, op in (("i", "sigmoid"), ("f", "sigmoid"), ("g", "tanh"), ("o", "sigmoid"))
        )
        keep = b.op("keep", "multiply", [f, c], "f32[N,64]", scope=s)
        new = b.op("new", "multiply", [i, g], "f32[N,64]", scope=s)
        c = b.op("c", "add", [keep, new], "f32[N,64]", scope=s)
        squashed = b.op("tanh_c", "tanh", [c], "f32[N,64]", scope=s)
        h = b.op("h", "multiply", [o, squashed], "f32[N,64]", scope=s)
        outputs.append(h)
    joined = b.op("stack", "stack", outputs, f"f32[N,{steps},64]", attributes="axis=1")
    b.op("out", "softmax", [joined], f"f32[N,{steps},64]")
    return b.model


def mesh(n: int = 300, seed: int = 0) -> nx.DiGraph[str]:
    """A random graph with short and some long edges, in nested scopes."""
    rng = random.Random(seed)
    b = Builder()
    ops = ["conv2d", "relu", "batch_norm", "add", "concat", "max_pool2d", "softmax", "lstm", "what"]
    keys = [b.leaf("in", "input", "f32[N,8]")]
    for i in range(1, n):
        near = keys[-6:] if rng.random() < 0.9 else keys[-60:]
        inputs = rng.sample(near, min(len(near), rng.choice((1, 1, 1, 2))))
        op = rng.choice(ops)
        scope = f"part{i // 60}/unit{i // 15}"
        keys.append(b.op(f"{op}_{i}", op, inputs, f"f32[N,{i}]", scope=scope, flops=i))
    return b.model


def hostile() -> nx.DiGraph[int]:
    """Names, kinds and shapes of graph that break careless writers; nodes are not strings."""
    model: nx.DiGraph[int] = nx.DiGraph()
    model.add_node(0, label="<a&b>", kind="input", type='f32["]', scope="<s>&/\\N")
    model.add_node(1, label='quote" \\l back\\slash', op="a|b{c}", attributes="<br/> x=\x00 ]]>")
    model.add_node(2, label="", kind="opaque", op="host", scope="<s>&")
    model.add_node(3, label="ノード " + "long_name_" * 12, kind="output")
    model.add_node(4)
    model.add_edges_from([(0, 1), (1, 2), (2, 0), (2, 3), (3, 3), (0, 3)])
    model.edges[0, 1].update(label="<&\">'", style="dashed", nbytes=7)
    return model
