"""Whole graphs as models, and what cannot be one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import models
from symgraph.cli import main
from symgraph.errors import (
    DTypeError,
    FormatError,
    InputError,
    ShapeError,
    UnknownOperatorError,
)
from symgraph.ir.serialize import from_json
from symgraph.kernel.compute import where
from symgraph.onnx import export, export_onnx

from ..support.toys import Elementwise
from .support import assert_agree, checked, evaluated, kinds


def check(symbol: Any, tolerance: float = 1e-4, open: bool = False, **inputs: np.ndarray) -> Any:
    """The model of a symbol, which computes what the compiled symbol does."""
    shapes = {} if open else {name: a.shape for name, a in inputs.items()}
    params = sg.init(symbol, 0, shapes=shapes)
    model = export_onnx(symbol, params=params, shapes=shapes)
    expected = sg.compile(symbol, params=params, shapes=shapes, target="llvm", cache=None)(**inputs)
    several = expected if isinstance(expected, tuple) else (expected,)
    assert_agree(evaluated(model, inputs), several, tolerance)
    return model


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


def squeeze_and_excite() -> sg.Symbol:
    """A block of an EfficientNet."""
    x = sg.var("x", ("N", 6, "H", "W"))
    h = sg.conv2d(x, 6, kernel_size=5, padding=2, groups=6, use_bias=False, name="depthwise")
    h = sg.silu(sg.batch_norm(h, name="bn"))
    q = sg.silu(sg.conv2d(sg.mean(h, axis=(2, 3), keepdims=True), 2, kernel_size=1, name="s"))
    return h * sg.sigmoid(sg.conv2d(q, 6, kernel_size=1, name="e"))


@pytest.mark.parametrize(
    ("network", "inputs"),
    [
        (models.lenet5, {"x": (3, 1, 28, 28)}),
        (squeeze_and_excite, {"x": (2, 6, 9, 7)}),
        (lambda: models.unet(sg.var("x", ("N", 3, 16, 32)), classes=3, width=2),
         {"x": (1, 3, 16, 32)}),
        (models.lstm, {"x": (2, 28, 28)}),
        (lambda: models.lstm(length="T", features=5, units=7, layers=2), {"x": (2, 3, 5)}),
        (lambda: sg.gru(sg.var("x", ("N", "T", 5)), 7, reverse=True)[0], {"x": (2, 3, 5)}),
        (lambda: sg.rnn(sg.var("x", ("N", "T", 5)), 7)[0], {"x": (2, 3, 5)}),
        (lambda: models.bert_encoder(length=5, layers=1, width=8, heads=2, inner=9, vocabulary=13),
         {"tokens": (2, 5)}),
    ],
)  # fmt: skip
def test_networks(network: Any, inputs: dict[str, tuple[int, ...]]) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        n: rng.integers(0, 13, s).astype(np.int32) if n == "tokens" else numbers(*s)
        for n, s in inputs.items()
    }
    check(network(), **arrays)


def test_one_model_serves_every_extent() -> None:
    y = squeeze_and_excite()
    params = sg.init(y, 0)
    model, f = export_onnx(y, params=params), sg.compile(y, params=params, cache=None)
    extents = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert extents == ["N", 6, "H", "W"]
    for shape in ((1, 6, 5, 5), (3, 6, 8, 11)):
        a = numbers(*shape)
        assert_agree(evaluated(model, {"x": a}), (f(a),), 1e-4)


def test_extents_that_follow_from_others() -> None:
    x = sg.var("x", ("N", 6, "T"))
    y = sg.reshape(sg.concat([x, x], axis=2), (0, 3, -1))
    z = sg.broadcast_to(sg.sum(x, axis=(1, 2), keepdims=True), ("N", 2, "T"))
    for shape in ((2, 6, 5), (1, 6, 1)):
        check(sg.group(y, z, sg.roll(x, 3, axis=2)), open=True, x=numbers(*shape))


def test_an_extent_of_no_input_is_named() -> None:
    y = sg.broadcast_to(sg.var("x", (1, 3)), ("N", 3))
    with pytest.raises(UnknownOperatorError, match="the extent N is that of no input by itself"):
        export_onnx(y)


def test_a_loop_without_sequences_counts_its_steps() -> None:
    h = sg.var("h", (3,))
    last, rows = sg.scan(lambda h: (h * 2.0, sg.silu(h)), (), h, length=4, name="doubled")
    assert kinds(check(sg.group(last, rows), h=numbers(3))) == ["Expand", "Scan"]
    x = sg.var("x", ("T", 3))
    last, _ = sg.scan(lambda h: (h + 1.0, None), (), sg.sum(x, axis=0), length=sg.DimVar("T"))
    check(last, open=True, x=numbers(5, 3))


def test_states_and_sequences_of_a_loop_may_differ_in_type() -> None:
    x, n = sg.var("x", ("T", 3)), sg.var("n", (), "int32")
    last, rows = sg.scan(lambda x, n: (n + 1, x * 2.0), x, n)
    check(sg.group(last, rows), open=True, x=numbers(5, 3), n=np.array(7, np.int32))


def test_a_loop_uses_operators_without_a_counterpart_of_their_own() -> None:
    x, h = sg.var("x", ("T", 2, 5)), sg.var("h", (2, 5))
    last, _ = sg.scan(lambda x, h: (sg.cumsum(x, 1) * sg.one_hot(sg.argmax(h, 1), 5), None), x, h)
    check(last, open=True, x=numbers(4, 2, 5), h=numbers(2, 5))


@dataclass(frozen=True, slots=True)
class Shrink(Elementwise):
    """An operator that nobody registered: nearer to zero by a bound, or zero."""

    bound: float = 0.5
    name = "shrink"

    def element(self, x: Any) -> Any:
        return where(x > self.bound, x - self.bound, where(x < -self.bound, x + self.bound, 0.0))


def test_an_operator_of_ones_own() -> None:
    y = Shrink(0.2)(sg.var("x", ("N", 6)))
    model = check(y, open=True, x=numbers(3, 6))
    assert kinds(model) == ["Less", "Sub", "Less", "Add", "Where", "Where"]


def test_initialisers_have_the_type_of_their_variables() -> None:
    y = sg.linear(sg.var("x", (2, 3), "float64"), 4, name="fc")
    params = {"fc_weight": numbers(4, 3), "fc_bias": [1, 2, 3, 4]}
    model = checked(export_onnx(y, params=params))
    assert [(t.name, t.data_type) for t in model.graph.initializer] == [
        ("fc_weight", 11), ("fc_bias", 11)]  # fmt: skip


@pytest.mark.parametrize(
    ("params", "kind", "message"),
    [
        ({"fc_weight": np.zeros((4, 5))}, ShapeError, "x.shape[-1]: 5 != 3"),
        ({"fc_bias": np.zeros((4, 1))}, ShapeError, "bias must have 1 axes: 1 != 2"),
        ({"fc_bias": np.zeros(4, np.complex64)}, DTypeError, "fc_bias: the array given"),
        ({"weight": np.zeros((4, 3))}, InputError, "params has 'weight', but the graph has no "
         "such variable; it has x, fc_weight, fc_bias"),
    ],
)  # fmt: skip
def test_parameters_that_do_not_fit(params: Any, kind: Any, message: str, tmp_path: Path) -> None:
    x = sg.var("x", (2, 3))
    y = sg.linear(x, 4, weight=sg.parameter("fc_weight", init=sg.initializers.Constant(0.0)),
                  name="fc")  # fmt: skip
    with pytest.raises(kind, match=re.escape(message)):
        export_onnx(y, tmp_path / "net.onnx", params=params)
    assert not list(tmp_path.iterdir())


def test_what_only_training_reads_is_left_out() -> None:
    y = sg.linear(sg.dropout(sg.var("x", (2, 3)), 0.5), 4, name="fc")
    assert "state" in " ".join(sg.init(y))
    model = checked(export_onnx(y, params=sg.init(y)))
    assert [t.name for t in model.graph.initializer] == ["fc_weight", "fc_bias"]
    assert [i.name for i in checked(export_onnx(y)).graph.input] == ["x", "fc_weight", "fc_bias"]


def test_half_precision_goes_through_as_it_is() -> None:
    x = sg.var("x", ("N", 2, 7), "float16")
    y = sg.softmax(sg.gelu(sg.conv1d(x, 3, kernel_size=2, name="c")), axis=1)
    model = checked(export_onnx(y, params=sg.init(y)))
    assert "Cast" not in kinds(model)
    types = {i.data_type for i in model.graph.initializer}
    assert types == {10}  # FLOAT16


def test_a_type_that_an_operator_of_onnx_lacks_is_converted_on_the_way() -> None:
    x = sg.var("x", (3, 5), "bool")
    a = np.random.default_rng(0).random((3, 5)) < 0.5
    assert kinds(check(sg.max(x, axis=1), x=a)) == ["Cast", "ReduceMax", "Cast"]
    y = sg.var("y", (3, 5), "int16")
    b = np.arange(15, dtype=np.int16).reshape(3, 5) * 4000
    assert kinds(check(sg.sum(y, axis=1), y=b)) == ["Cast", "ReduceSum", "Cast"]  # wraps around


def test_what_onnx_leaves_open_is_as_it_is_here() -> None:
    x = sg.var("x", (6,))
    values = np.array([-1.5, 300.0, np.nan, 7.9, np.inf, -np.inf], np.float32)
    check(sg.group(sg.cast(x, "uint8"), sg.cast(x, "int32"), sg.cast(x, "int64")), x=values)
    i, j = sg.var("i", (6,), "int32"), sg.var("j", (6,), "int32")
    dividend = np.array([7, -7, 7, -7, 5, -(2**31)], np.int32)
    divisor = np.array([3, 3, -3, 0, 40, 1], np.int32)
    shifts = sg.bitwise_left_shift(i, j), sg.bitwise_right_shift(i, j)
    check(sg.group(i // j, i % j, *shifts), i=dividend, j=divisor)
    rows = sg.take(sg.var("w", (4, 3)), i, axis=0)
    check(rows, w=numbers(4, 3), i=np.array([0, 3, -1, -4, 9, -9], np.int32))


def test_attributes_keep_the_digits_of_float64() -> None:
    x = sg.var("x", (7,), "float64")
    a = np.linspace(-2, 2, 7)
    assert kinds(check(sg.leaky_relu(x, 0.25), 1e-14, x=a)) == ["LeakyRelu"]
    assert kinds(check(sg.leaky_relu(x, 0.3), 1e-14, x=a)) == ["Less", "Mul", "Where"]


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("extent", [7, 8, 9, 10])
def test_windows_in_ceil_mode(extent: int, include: bool) -> None:
    x = sg.var("x", (2, 3, extent, 11))
    more = {"kernel_size": (3, 2), "stride": (2, 3), "padding": 1, "ceil_mode": True}
    found = sg.group(sg.avg_pool2d(x, count_include_pad=include, **more),
                     sg.max_pool2d(x, **more))  # fmt: skip
    model = check(found, x=numbers(2, 3, extent, 11))
    assert "Gather" not in kinds(model)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_padding(mode: str) -> None:
    x = sg.var("x", ("N", 5, 7))
    model = check(sg.pad(x, ((0, 0), (2, 1), (0, 3)), mode), open=True, x=numbers(2, 5, 7))
    assert kinds(model) == ["Pad"]


@pytest.mark.parametrize("index", [np.s_[:, ::-1], np.s_[::-2, -2:0:-1], np.s_[1:, -3:-1],
                                   np.s_[5:2], np.s_[:, 3]])  # fmt: skip
def test_slices(index: Any) -> None:
    x = sg.var("x", ("N", 5))
    check(x[index], open=True, x=numbers(7, 5))


@dataclass(frozen=True)
class Tally(sg.HostOp):
    """Runs Python."""

    name = "tally"

    def infer_shape(self, u, x):
        return (x,)

    def forward(self, is_train, in_data, out_data):
        out_data[0][...] = np.cumsum(in_data[0])


def test_what_runs_python_is_named_with_its_place() -> None:
    y = sg.relu(Tally()(sg.var("x", (6,)), name="running"))
    line = r"test_export\.py:\d+"
    with pytest.raises(UnknownOperatorError, match=rf"running: operator 'tally' has no counterpart "
                       rf"in ONNX \(declared at {line}\); it runs Python code"):  # fmt: skip
        export_onnx(y)


def test_an_operator_that_nobody_registered_is_named() -> None:
    graph = from_json(Shrink()(sg.var("x", (6,)), name="shrunk").to_json())
    message = "shrunk: operator 'shrink' is not registered, .*import the module"
    with pytest.raises(UnknownOperatorError, match=message):
        export_onnx(sg.Group([sg.Symbol(v) for v in graph.outputs]), shapes={"x": (6,)})


def test_a_model_that_no_file_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(export, "_MOST_BYTES", 100)
    y = sg.linear(sg.var("x", (2, 30)), 4, name="fc")
    with pytest.raises(FormatError, match=r"an ONNX file holds at most 100.*save_as_external_data"):
        export_onnx(y, tmp_path / "net.onnx", params=sg.init(y))
    assert not list(tmp_path.iterdir())


def test_the_same_graph_gives_the_same_bytes() -> None:
    made = [export_onnx(models.lenet5()).SerializeToString() for _ in range(2)]
    assert made[0] == made[1]


def test_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["onnx", "lenet5", "--shape", "x=2,1,28,28"]) == 0
    path = tmp_path / "lenet5.onnx"
    size = path.stat().st_size
    assert capsys.readouterr().out == f"lenet5.onnx  11 nodes of opset 18, {size:,} bytes\n"
    import onnx

    a = numbers(2, 1, 28, 28)
    y = models.lenet5()
    f = sg.compile(
        y, params=sg.init(y, 0, shapes={"x": a.shape}), shapes={"x": a.shape}, cache=None
    )
    assert_agree(evaluated(onnx.load(path), {"x": a}), (f(a),), 1e-4)
