"""`fit`: train a loss on data; every step is one compiled program."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import InputError, require
from ..ir.symbol import Symbol
from ..options import Options
from .callbacks import Callback, as_callback
from .checkpoint import Checkpoint, restore_checkpoint
from .clipping import Clip
from .feed import Data, as_batches, named_arrays
from .metrics import Metrics
from .model import Model
from .optimizers import Adam, Optimizer
from .run import Bar, Run
from .step import build_step
from .task import Task


def fit(
    loss: Symbol,
    data: Data,
    *,
    outputs: Any = None,
    metrics: Metrics = (),
    optimizer: Optimizer | None = None,
    epochs: int = 1,
    batch_size: int = 64,
    validation: Data | None = None,
    seed: int = 0,
    params: Mapping[str, Any] | None = None,
    clip: Clip | None = None,
    callbacks: Iterable[Any] = (),
    resume: str | os.PathLike[str] | None = None,
    progress: bool = True,
    shuffle: bool = True,
    drop_last: bool = False,
    target: str | None = None,
    threads: int | None = None,
    options: Options | None = None,
) -> Model:
    """Change the parameters of `loss` (its mean over a batch) to make it small.

    data        a dict of arrays, a Dataset, Batches, or a tuple of arrays in the inputs' order
    outputs     what `Model.predict` shall compute
    metrics     names ("accuracy", "top5", "mse", ...), metrics, or {name: scalar symbol}
    optimizer   Adam(1e-3) by default
    validation  data of the same kind, measured after each epoch in inference form
    seed        of initial values, of the order of the rows and of random operators
    params      arrays to start from by name; what is not given comes from the initialisers
    clip        ClipNorm or ClipValue
    callbacks   EarlyStopping, Checkpoint, other `Callback`s, or functions of the run
    resume      a checkpoint to go on from, with the same arguments; the result is that of a
                training without a break, bit for bit

    Raises: InputError, ShapeError, GradientError before the first step; MissingDependencyError
    when `progress` is True and tqdm is absent.
    """
    if epochs < 0:
        raise InputError(f"fit: epochs must be >= 0, got {epochs}")
    if params is not None and resume is not None:
        raise InputError("fit: give params= (weights to start from) or resume=, not both")
    chosen = Adam(1e-3) if optimizer is None else optimizer
    task = Task.of(loss, outputs, metrics)
    names = [s.node.label for s in task.everything.inputs]
    batches = as_batches(data, names, batch_size, shuffle=shuffle, seed=seed, drop_last=drop_last)
    changes: dict[str, Any] = {} if threads is None else {"threads": threads}
    shapes = task.input_shapes(batches.arrays)
    start = task.initial(seed, params, shapes)
    graph = build_step(task.loss, start, chosen, outputs=task.measured, clip=clip)
    executable = graph.compile(start, shapes=shapes, target=target, options=options, **changes)
    live = {name: executable.parameters[name] for name in start if name in executable.parameters}
    model = Model(
        task,
        {name: live.get(name, array) for name, array in start.items()},
        shapes=shapes,
        target=target,
        options=options,
        threads=threads,
    )
    same = {
        "seed": seed,
        "rows": batches.rows,
        "batch_size": batches.batch_size,
        "shuffle": batches.shuffle,
        "optimizer": repr(chosen),
        "clip": repr(clip),
    }
    run = Run(model, executable, batches, chosen.schedule, _ordered(callbacks), same)
    if resume is not None:
        restore_checkpoint(resume, run)
    held = None if validation is None else named_arrays(validation, names)
    run.train(epochs, held, batch_size, progress_bar(epochs) if progress else None)
    return model


def _ordered(items: Iterable[Any]) -> list[Callback]:
    """Checkpoints last, so that they hold what the other callbacks made of the epoch."""
    return sorted((as_callback(i) for i in items), key=lambda c: isinstance(c, Checkpoint))


def progress_bar(epochs: int) -> Any:
    """A maker of tqdm bars, one for each epoch.  Raises: MissingDependencyError."""
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise require("tqdm", "train", "a progress bar (fit(progress=False) does without)") from (
            error
        )

    def make(epoch: int, total: int, done: int) -> Bar:
        label = f"epoch {epoch + 1}/{epochs}"
        bar: Bar = tqdm(total=total, initial=done, desc=label, unit="batch", mininterval=0.2)
        return bar

    return make
