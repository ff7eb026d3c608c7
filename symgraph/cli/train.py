"""`symgraph train`: train a network on data."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

from .. import train as training
from ..ir.symbol import Symbol
from .command import Command, add_model, add_target, compile_options
from .data_argument import DATA_HELP, Arrays, load_data
from .model_argument import load_model
from .objective import add_objective, objective
from .optimizer_argument import add_optimizer, make_clip, make_optimizer


def configure(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--data", required=True, help=DATA_HELP)
    add_objective(parser)
    parser.add_argument("--epochs", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="default: 64")
    parser.add_argument(
        "--learning-rate", type=float, metavar="RATE", help="default: the optimizer's own"
    )
    add_optimizer(parser)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--save", metavar="FILE", help="write the trained parameters here")
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="save the whole training here after every epoch"
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--resume", metavar="FILE", help="go on from a checkpoint")
    start.add_argument("--weights", metavar="FILE", help="start from these parameters")
    parser.add_argument(
        "--allow-mismatch",
        action="append",
        default=[],
        metavar="NAME",
        help="a parameter of --weights whose shape may differ; it is learned from scratch",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    add_target(parser)


def run(arguments: argparse.Namespace) -> int:
    model = load_model(arguments.model)
    loss, outputs, metrics = objective(model, arguments.loss, arguments.metrics)
    train_part, test_part = load_data(arguments.data)
    rows = len(next(iter(train_part.values())))
    print(f"training on {rows} samples, {len(next(iter(test_part.values())))} held back")
    callbacks: list[Any] = [lambda run: print(training.epoch_text(run.history.epochs[-1]))]
    stop = _StopOnInterrupt(arguments.checkpoint)
    callbacks.append(stop)
    if arguments.checkpoint:
        callbacks.append(training.Checkpoint(arguments.checkpoint))
    with stop:
        fitted = training.fit(
            loss,
            train_part,
            outputs=outputs,
            metrics=metrics,
            optimizer=make_optimizer(arguments, arguments.learning_rate),
            epochs=arguments.epochs,
            batch_size=arguments.batch_size,
            validation=test_part,
            seed=arguments.seed,
            params=_weights(loss, train_part, arguments),
            clip=make_clip(arguments),
            callbacks=callbacks,
            resume=arguments.resume,
            progress=not arguments.quiet and sys.stderr.isatty(),
            **compile_options(arguments),
        )
    if stop.requested:
        where = f"; go on with --resume {arguments.checkpoint}" if arguments.checkpoint else ""
        print(f"stopped after step {len(fitted.history.steps)}{where}")
    if arguments.save:
        print(f"wrote {fitted.save(arguments.save)}")
    return 130 if stop.requested else 0


def _weights(loss: Symbol, data: Arrays, arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Parameters to start from.  What differs in shape must be allowed; the rest is reported."""
    if not arguments.weights:
        return None
    given = training.load_parameters(arguments.weights)
    known = training.Model.of(loss, seed=arguments.seed, data=data).params
    report = training.fill_parameters(known, given, arguments.weights, arguments.allow_mismatch)
    print(f"{arguments.weights}: {report}")
    return known


class _StopOnInterrupt(training.Callback):
    """Ctrl-C ends the training after the present step, with a checkpoint where one is kept."""

    def __init__(self, checkpoint: str | None) -> None:
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.requested = False

    def __enter__(self) -> None:
        self._old = signal.signal(signal.SIGINT, self._request)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._old)

    def _request(self, number: int, frame: object) -> None:
        if self.requested:  # a second time: at once
            raise KeyboardInterrupt
        self.requested = True

    def on_step(self, run: training.Run) -> None:
        if self.requested:
            run.stop()

    def on_end(self, run: training.Run) -> None:
        if self.requested and self.checkpoint is not None:
            training.save_checkpoint(self.checkpoint, run)


COMMAND = Command(
    "train",
    "train a network on data",
    """\
Trains a network; every step, update included, is one compiled program.  The network's first output
is taken as the loss when it is a single number; else --loss compares it to the labels y.

  symgraph train lenet5 --data digits --epochs 5 --save lenet.safetensors
  symgraph train net.py:model --data MNIST_FOLDER --optimizer sgd --learning-rate 0.05 \\
      --momentum 0.9 --checkpoint run.ckpt
  symgraph train net.py:model --data MNIST_FOLDER ... --resume run.ckpt --epochs 10

Ctrl-C ends the training after the present step and writes the checkpoint.
""",
    configure,
    run,
)
