"""Checkpoints: everything a training needs to go on as if it had never stopped.

One safetensors file: "model/..." parameters and auxiliary state (the keys of random operators
included), "state/..." of the optimiser, "callback<i>/..." arrays of callbacks; its metadata holds
the position, the running sums of the epoch, the history and what must be the same to go on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AttributeValueError, FormatError, InputError
from .callbacks import Callback
from .history import History
from .tensor_file import read_tensors, write_tensors

if TYPE_CHECKING:
    from .run import Run

Array = np.ndarray[Any, np.dtype[Any]]
FORMAT = "symgraph.checkpoint"
VERSION = "1"


@dataclass
class Checkpoint(Callback):
    """Save the whole training after every `every_epochs` epochs and `every_steps` steps.

    `path` may hold {epoch} and {step}, which gives a file for each; else one file is replaced.
    """

    path: str | os.PathLike[str]
    every_epochs: int | None = 1
    every_steps: int | None = None

    def __post_init__(self) -> None:
        for name in ("every_epochs", "every_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise AttributeValueError(f"Checkpoint: {name} must be at least 1, got {value!r}")

    def on_step(self, run: Run) -> None:
        if self.every_steps is not None and run.step % self.every_steps == 0:
            self._save(run)

    def on_epoch(self, run: Run) -> None:
        if self.every_epochs is not None and run.epoch % self.every_epochs == 0:
            self._save(run)

    def _save(self, run: Run) -> None:
        name = str(self.path).replace("{epoch}", str(run.epoch)).replace("{step}", str(run.step))
        save_checkpoint(name, run)


def save_checkpoint(path: str | os.PathLike[str], run: Run) -> Path:
    """Write the state of a training, whole or not at all."""
    arrays = {f"model/{name}": array for name, array in run.params.items()}
    arrays |= {f"state/{name}": array for name, array in run.state.items()}
    kept = [callback.state() for callback in run.callbacks]
    for number, (_, more) in enumerate(kept):
        arrays |= {f"callback{number}/{name}": array for name, array in more.items()}
    data = {
        "position": {"epoch": run.epoch, "batch": run.batch, "step": run.step, "rows": run.rows},
        "totals": run.totals,
        "same": run.same,
        "history": run.history.as_dict(),
        "callbacks": [[type(c).__name__, d] for c, (d, _) in zip(run.callbacks, kept, strict=True)],
    }
    return write_tensors(
        path, arrays, {"format": FORMAT, "version": VERSION, "training": json.dumps(data)}
    )


def restore_checkpoint(path: str | os.PathLike[str], run: Run) -> None:
    """Put a training where a checkpoint was saved.

    Raises: FileNotFoundError; FormatError for another kind of file or a damaged one; InputError
    when the training is set up differently.
    """
    arrays, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise FormatError(
            f"{path}: not a checkpoint of version {VERSION} (format "
            f"{metadata.get('format')!r}, version {metadata.get('version')!r}); a file of "
            f"parameters alone is given as params="
        )
    try:
        data = json.loads(metadata["training"])
        position, totals = data["position"], data["totals"]
        history, callbacks = History.from_dict(data["history"]), data["callbacks"]
        _check_same(path, data["same"], run.same)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise FormatError(f"{path}: damaged checkpoint: {error!r}") from error
    _copy(path, arrays, "model/", run.params)
    _copy(path, arrays, "state/", run.state)
    run.epoch, run.batch = position["epoch"], position["batch"]
    run.step, run.rows = position["step"], position["rows"]
    run.totals, run.history = dict(totals), history
    _restore_callbacks(path, callbacks, arrays, run)


def _check_same(
    path: str | os.PathLike[str], saved: Mapping[str, Any], now: Mapping[str, Any]
) -> None:
    for key in now:
        if saved.get(key) != now[key]:
            raise InputError(
                f"{path}: to resume bit for bit, {key} must be {saved.get(key)!r} as in the "
                f"checkpoint, got {now[key]!r}; to start anew from its weights give "
                f"params=sg.train.load_parameters(path)"
            )


def _copy(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Array],
    head: str,
    targets: Mapping[str, Array],
) -> None:
    saved = {name[len(head) :]: a for name, a in arrays.items() if name.startswith(head)}
    for name in sorted({*saved, *targets}):
        have = f"{saved[name].dtype}{list(saved[name].shape)}" if name in saved else "nothing"
        target = targets.get(name)
        need = "nothing" if target is None else f"{target.dtype}{list(target.shape)}"
        if have != need:
            raise FormatError(f"{path}: {head}{name}: the training needs {need}, it holds {have}")
    for name, target in targets.items():
        target[...] = saved[name]


def _restore_callbacks(
    path: str | os.PathLike[str], saved: Any, arrays: Mapping[str, Array], run: Run
) -> None:
    kinds = [kind for kind, _ in saved]
    have = [type(c).__name__ for c in run.callbacks]
    if kinds != have:
        raise InputError(f"{path}: the checkpoint has the callbacks {kinds}, this training {have}")
    for number, (callback, (_, data)) in enumerate(zip(run.callbacks, saved, strict=True)):
        head = f"callback{number}/"
        own = {name[len(head) :]: a for name, a in arrays.items() if name.startswith(head)}
        callback.restore(data, own)
