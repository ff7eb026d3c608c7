"""Progress is told on a terminal, after a while, and leaves no trace."""

from __future__ import annotations

import io
import os
import pty
import time

import numpy as np
import pytest

import symgraph as sg
from symgraph import progress
from symgraph.passes.manager import Pass
from symgraph.progress import CLEAR, Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def wait_for(stream: Terminal, text: str) -> None:
    deadline = time.monotonic() + 20
    while text not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert text in stream.getvalue()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(progress, "REPAINT_SECONDS", 0.01)


@pytest.mark.usefixtures("hasty")
def test_long_work_tells_its_stages_and_clears_the_line() -> None:
    stream = Terminal()
    with Progress("compiling net", stream) as shown:
        for stage in ("lower", "schedule conv1"):
            shown.at(stage)
            wait_for(stream, f"{CLEAR}compiling net: {stage} (0 s)")
    assert stream.getvalue().endswith(CLEAR)
    assert "\n" not in stream.getvalue()


def test_short_work_says_nothing() -> None:
    stream = Terminal()
    with Progress("compiling net", stream) as shown:
        shown.at("lower")
    assert stream.getvalue() == ""


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("stream", [io.StringIO(), None], ids=["file", "stderr of the tests"])
def test_nothing_is_written_where_nobody_looks(
    stream: io.StringIO | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("compiling net", stream):
        time.sleep(0.05)
    assert (stream.getvalue() if stream else "") + capsys.readouterr().err == ""


@pytest.mark.usefixtures("hasty")
def test_a_terminal_that_goes_away_does_not_stop_the_work() -> None:
    stream = Terminal()
    with Progress("compiling net", stream):
        wait_for(stream, "compiling")
        stream.close()
    closed = Terminal()
    closed.close()
    with Progress("compiling net", closed):
        pass


class Slow(Pass):
    """Waits until the line has been painted."""

    name = "slow"

    def __init__(self, stream: Terminal) -> None:
        self.stream = stream

    def run(self, graph: sg.ir.graph.Graph) -> sg.ir.graph.Graph:
        wait_for(self.stream, "symgraph: compiling slow_net: passes")
        return graph


@pytest.mark.usefixtures("hasty")
def test_a_long_compilation_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    run = sg.compile(sg.exp(sg.var("x", (3,))), name="slow_net", passes=[Slow(stream)])
    assert stream.getvalue().endswith(CLEAR)
    np.testing.assert_allclose(run(np.zeros(3, np.float32)), 1)


@pytest.mark.usefixtures("hasty")
def test_a_mistake_clears_the_line_too() -> None:
    stream = Terminal()

    def fails() -> None:
        with Progress("compiling", stream) as shown:
            shown.at("lower")
            wait_for(stream, "lower")
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert stream.getvalue().endswith(CLEAR)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo terminal")
@pytest.mark.usefixtures("hasty")
def test_a_real_terminal() -> None:
    outer, inner = pty.openpty()
    try:
        with os.fdopen(inner, "w") as stream, Progress("compiling", stream) as shown:
            shown.at("lower")
            text = b""
            while b"compiling: lower" not in text:
                text += os.read(outer, 4096)
    finally:
        os.close(outer)
