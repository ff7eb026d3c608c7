"""What happened in a training, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Figures = dict[str, float]


@dataclass
class History:
    """`epochs`: one dict for each epoch (epoch, step, loss, metrics, validation_*, learning_rate,
    seconds); `steps`: one for each step (step, loss, learning_rate)."""

    epochs: list[Figures] = field(default_factory=list)
    steps: list[Figures] = field(default_factory=list)

    def __getitem__(self, key: str) -> list[float]:
        """One figure over the epochs."""
        return [epoch[key] for epoch in self.epochs if key in epoch]

    def as_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "steps": self.steps}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> History:
        return History(
            [dict(figures) for figures in data["epochs"]],
            [dict(figures) for figures in data["steps"]],
        )

    def __str__(self) -> str:
        return "\n".join(epoch_text(figures) for figures in self.epochs)


def epoch_text(figures: Mapping[str, float]) -> str:
    """One line: epoch 3: loss 0.1234, accuracy 0.9876."""
    shown = {k: v for k, v in figures.items() if k not in ("epoch", "step")}
    values = ", ".join(f"{key} {value:.4g}" for key, value in shown.items())
    return f"epoch {int(figures['epoch'])}: {values}"
