"""What a long command is doing, on standard error."""

from __future__ import annotations

import sys
import time


class Progress:
    """One line when it starts, one for each stage that begins after a while, one at the end."""

    PATIENCE = 2.0
    """Seconds: a short compile says nothing in between."""

    def __init__(self, what: str) -> None:
        self.started = time.monotonic()
        print(f"{what} ...", file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def stage(self, name: str) -> None:
        """Say that a stage begins."""
        if self.seconds >= self.PATIENCE:
            print(f"  [{self.seconds:.0f} s] {name}", file=sys.stderr, flush=True)

    def done(self) -> None:
        print(f"done in {self.seconds:.1f} s", file=sys.stderr)
