"""What a long compilation is doing: one line on a terminal, which goes away when it is done."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TextIO

PATIENCE_SECONDS = 2.0
"""Shorter work says nothing."""

REPAINT_SECONDS = 0.25
CLEAR = "\r\x1b[K"


class Progress:
    """With it, `at(stage)` tells what is under way; nothing is written where nobody looks.

    with Progress("compiling resnet50") as progress:
        progress.at("schedule")            compiling resnet50: schedule (3 s)
    """

    def __init__(self, what: str, stream: TextIO | None = None) -> None:
        self.what = what
        self.stage = ""
        self._stream = sys.stderr if stream is None else stream
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def at(self, stage: str) -> None:
        """This stage begins."""
        self.stage = stage

    def __enter__(self) -> Progress:
        if _is_terminal(self._stream):
            self._thread = threading.Thread(target=self._paint, daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _paint(self) -> None:
        start = time.monotonic()
        wait, painted = PATIENCE_SECONDS, False
        try:
            while not self._over.wait(wait):
                seconds = time.monotonic() - start
                self._stream.write(f"{CLEAR}{self.what}: {self.stage} ({seconds:.0f} s)")
                self._stream.flush()
                wait, painted = REPAINT_SECONDS, True
            if painted:
                self._stream.write(CLEAR)
                self._stream.flush()
        except (OSError, ValueError):
            return  # the terminal has gone: the work goes on


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # a stream that was closed
        return False
