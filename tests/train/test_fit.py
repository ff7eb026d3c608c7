"""The fit loop: it learns, repeats itself bit for bit, and goes on after a break as if none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import train
from symgraph.codegen import program_store
from symgraph.data import Batches, Dataset
from symgraph.errors import FormatError, InputError, MissingDependencyError

TARGET = "llvm"


@pytest.fixture(autouse=True, scope="module")
def kept_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each network is compiled once and then found, as in a user's second run: what is tried here
    is the loop around it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program_store, "KEEP_FROM_SECONDS", 0.0)
        patch.setenv("SYMGRAPH_CACHE", str(tmp_path_factory.mktemp("programs")))
        yield


def network(noise: bool = False) -> tuple[sg.Symbol, sg.Symbol]:
    """(loss, logits) of a small classifier; batch norm and dropout keep state."""
    x, y = sg.var("x", ("N", 6)), sg.var("y", ("N",), "int32")
    h = sg.relu(sg.batch_norm(sg.linear(x, 11, name="fc1"), name="bn"))
    h = sg.dropout(h, 0.1, name="drop") if noise else h
    logits = sg.linear(h, 3, name="fc2")
    return sg.cross_entropy(logits, y), logits


def points(rows: int = 70, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    return {"x": x, "y": (x[:, :3]).argmax(1).astype(np.int32)}


def fit(epochs: int = 3, **changes: Any) -> train.Model:
    loss, logits = network(changes.pop("noise", False))
    settings: dict[str, Any] = {
        "outputs": logits,
        "metrics": ("accuracy",),
        "optimizer": train.Adam(1e-2),
        "batch_size": 16,
        "validation": points(33, 1),
        "progress": False,
        "target": TARGET,
        **changes,
    }
    return train.fit(loss, settings.pop("data", points()), epochs=epochs, **settings)


def figures(model: train.Model) -> list[dict[str, float]]:
    return [{k: v for k, v in e.items() if k != "seconds"} for e in model.history.epochs]


def assert_same(a: train.Model, b: train.Model) -> None:
    assert list(a.params) == list(b.params)
    for name in a.params:
        np.testing.assert_array_equal(a.params[name], b.params[name], err_msg=name)
    assert figures(a) == figures(b)
    assert a.history.steps == b.history.steps


def test_it_learns_and_measures() -> None:
    model = fit(20)
    first, last = model.history.epochs[0], model.history.epochs[-1]
    assert list(last) == [
        "epoch", "step", "loss", "accuracy", "validation_loss", "validation_accuracy",
        "learning_rate", "seconds",
    ]  # fmt: skip
    assert last["loss"] < 0.5 * first["loss"]
    assert last["accuracy"] > 0.9
    assert last["step"] == 20 * 5 == len(model.history.steps)
    data = points(33, 1)
    found = model.predict(data)
    assert found.shape == (33, 3)
    accuracy = np.mean(found.argmax(1) == data["y"])
    assert model.evaluate(data)["accuracy"] == pytest.approx(accuracy)
    assert last["validation_accuracy"] == pytest.approx(accuracy)


def test_an_epoch_counts_every_row_once() -> None:
    # 70 rows in batches of 16: the last batch has 6 and counts by its size.
    model = fit(1, optimizer=train.SGD(0.0), shuffle=False)
    data = points()
    losses = [s["loss"] for s in model.history.steps]
    assert model.history.epochs[0]["loss"] == pytest.approx(
        np.average(losses, weights=[16] * 4 + [6])
    )
    assert model.evaluate(data, batch_size=7) == pytest.approx(model.evaluate(data), rel=1e-5)


def test_the_whole_step_is_one_program_that_updates_in_place() -> None:
    loss, _ = network()
    params = sg.init(loss, 0)
    graph = train.build_step(loss, params, train.SGD(0.1, momentum=0.9))
    step = graph.compile(params, target=TARGET)
    arrays = dict(step.parameters)
    before = {name: a.copy() for name, a in arrays.items()}
    value = step(**points(16), learning_rate=0.1)
    assert value.shape == ()
    assert step.inputs == ("x", "y", "learning_rate")
    for name, array in step.parameters.items():
        assert array is arrays[name]
        assert not np.array_equal(array, before[name]), name
    assert {"bn_moving_mean", "fc1_weight", "fc1_weight.momentum"} <= set(arrays)


def test_the_same_seed_gives_the_same_bits() -> None:
    first = fit(threads=1, noise=True)
    assert_same(first, fit(threads=2, noise=True))
    other = fit(1, seed=1, noise=True)
    for name in ("fc1_weight", "drop_state"):
        assert not np.array_equal(other.params[name], first.params[name])


class StopAt(train.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, run: train.Run) -> None:
        if run.step == self.step:
            run.stop()


@pytest.mark.parametrize("optimizer", [train.Adam(1e-2), train.SGD(0.05, momentum=0.9)])
@pytest.mark.parametrize("step", [10, 13])
def test_resume_equals_no_break(tmp_path: Path, step: int, optimizer: train.Optimizer) -> None:
    """At the end of the second epoch (5 steps each) and in the middle of the third."""
    path = tmp_path / "run.ckpt"

    def callbacks(stop: int) -> list[train.Callback]:
        stopping = train.EarlyStopping(patience=9, restore_best=True)
        return [stopping, StopAt(stop), train.Checkpoint(path, None, every_steps=step)]

    whole = fit(4, noise=True, optimizer=optimizer, callbacks=callbacks(999))
    early = fit(4, noise=True, optimizer=optimizer, callbacks=callbacks(step))
    assert len(early.history.steps) == step
    resumed = fit(4, noise=True, optimizer=optimizer, resume=path, callbacks=callbacks(999))
    assert_same(whole, resumed)


def test_resume_refuses_another_training(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    fit(1, callbacks=[train.Checkpoint(path)])
    for change, message in (
        ({"seed": 5}, "seed must be 0 as in the checkpoint, got 5"),
        ({"batch_size": 8}, "batch_size must be 16 as in the checkpoint, got 8"),
        ({"optimizer": train.SGD(0.1)}, "optimizer must be 'Adam(learning_rate=0.01"),
        ({"callbacks": ()}, "the checkpoint has the callbacks ['Checkpoint'], this training []"),
    ):
        changes = {"callbacks": [train.Checkpoint(path)], **change}
        with pytest.raises(InputError) as error:
            fit(2, resume=path, **changes)
        assert message in str(error.value)
    with pytest.raises(InputError, match="params= .* or resume=, not both"):
        fit(2, resume=path, params={})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FormatError, match="truncated"):
        fit(2, resume=path, callbacks=[train.Checkpoint(path)])
    weights = train.save_parameters(tmp_path / "w", {"w": np.zeros(3)})
    with pytest.raises(FormatError, match="not a checkpoint of version 1"):
        fit(2, resume=weights)


def test_checkpoint_names_and_parameters(tmp_path: Path) -> None:
    model = fit(2, callbacks=[train.Checkpoint(tmp_path / "e{epoch}-s{step}")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e1-s5", "e2-s10"]
    loaded = train.load_parameters(tmp_path / "e2-s10")
    assert sorted(loaded) == sorted(model.params)
    np.testing.assert_array_equal(loaded["fc1_weight"], model.params["fc1_weight"])


def test_early_stopping_restores_the_best() -> None:
    kept: list[dict[str, Any]] = []
    stopping = train.EarlyStopping("validation_loss", patience=2, restore_best=True)
    model = fit(
        60,
        data=points(20),
        optimizer=train.Adam(0.1),
        callbacks=[lambda run: kept.append({k: a.copy() for k, a in run.params.items()}), stopping],
    )
    losses = model.history["validation_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 60
    assert stopping.best_epoch == best + 1
    for name, array in model.params.items():
        np.testing.assert_array_equal(array, kept[best][name])
    with pytest.raises(InputError, match="there is no figure 'validation_loss'; this training has"):
        fit(1, validation=None, callbacks=[train.EarlyStopping()])


def test_a_schedule_drives_the_rate() -> None:
    model = fit(2, optimizer=train.SGD(train.StepDecay(0.5, 5, 0.1)))
    assert [s["learning_rate"] for s in model.history.steps] == pytest.approx(
        [0.5] * 5 + [0.05] * 5
    )
    assert model.history["learning_rate"] == pytest.approx([0.5, 0.05])


def test_a_frozen_parameter_stays() -> None:
    x, y = sg.var("x", ("N", 6)), sg.var("y", ("N",), "int32")
    with sg.attribute_scope(lr_mult=0.0):
        h = sg.linear(x, 5, name="fixed")
    loss = sg.cross_entropy(sg.linear(h, 3, name="free"), y)
    model = train.fit(loss, points(), progress=False, target=TARGET)
    start = sg.init(loss, 0)
    np.testing.assert_array_equal(model.params["fixed_weight"], start["fixed_weight"])
    assert not np.array_equal(model.params["free_weight"], start["free_weight"])


def test_the_kinds_of_data() -> None:
    data = points()
    reference = fit(1)
    for other in (
        (data["x"], data["y"]),
        Dataset(data["x"], data["y"]),
        Batches(data, 16),
        {"x": data["x"].astype(np.float64), "y": data["y"].astype(np.int64)},
    ):
        assert_same(reference, fit(1, data=other))


def test_shapes_come_from_the_data_where_none_is_declared() -> None:
    x, y = sg.var("x"), sg.var("y", dtype="int32")
    logits = sg.linear(x, 3, name="fc")
    model = train.fit(
        sg.cross_entropy(logits, y), points(), outputs=logits, progress=False, target=TARGET
    )
    assert model.params["fc_weight"].shape == (3, 6)
    assert model.predict(points(7)["x"]).shape == (7, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"x": points()["x"]}}, "data: nothing for y: the inputs are x, y"),
        ({"data": {**points(), "z": np.zeros(70)}}, "data: 'z' too many: the inputs are x, y"),
        ({"data": (1, 2, 3)}, "data: got 3 arrays for 2 inputs (x, y)"),
        ({"params": {"nope": 1}}, "params has 'nope', but the model has no such parameter"),
        ({"params": {"fc2_bias": [1]}}, "params: 'fc2_bias' must have shape (3,), got (1,)"),
        ({"metrics": ("f1",)}, "metrics: unknown metric 'f1'; known are accuracy"),
        ({"metrics": ("accuracy",), "outputs": None}, "metrics: 'accuracy' by name needs outputs="),
        ({"epochs": -1}, "fit: epochs must be >= 0, got -1"),
        ({"callbacks": [3]}, "callbacks: need a Callback or a function, got int"),
    ],
)
def test_mistakes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        fit(**changes)
    assert message in str(error.value)


def test_names_hold_in_every_part() -> None:
    # Without the auxiliary head the second unnamed layer would be linear0 in the outputs alone.
    x, y = sg.var("x", ("N", 6)), sg.var("y", ("N",), "int32")
    head = sg.linear(x, 3)
    logits = sg.linear(x, 3)
    loss = sg.cross_entropy(logits, y) + sg.cross_entropy(head, y)
    model = train.fit(loss, points(), outputs=logits, progress=False, target=TARGET)
    data = points(9)
    expected = data["x"] @ model.params["linear1_weight"].T + model.params["linear1_bias"]
    np.testing.assert_allclose(model.predict(data), expected, rtol=1e-5, atol=1e-5)


def test_no_progress_bar_without_tqdm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'symgraph\[train\]'"):
        fit(1, progress=True)


def test_the_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    fit(2, progress=True)
    shown = capsys.readouterr().err
    assert "epoch 2/2" in shown and "5/5" in shown and "validation_accuracy" in shown


def test_outputs_may_have_parameters_that_the_loss_has_not() -> None:
    x, y = sg.var("x", ("N", 6)), sg.var("y", ("N",), "int32")
    logits = sg.linear(x, 3, name="fc")
    other = sg.linear(x, 2, name="untrained")
    model = train.fit(
        sg.cross_entropy(logits, y), points(), outputs=[logits, other], progress=False,
        target=TARGET,
    )  # fmt: skip
    np.testing.assert_array_equal(
        model.params["untrained_weight"], sg.init(other, 0)["untrained_weight"]
    )
    assert [a.shape for a in model.predict(points(4))] == [(4, 3), (4, 2)]
