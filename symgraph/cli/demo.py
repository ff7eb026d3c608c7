"""`symgraph demo`: the whole story on real digits."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import train as training
from ..aot import export
from ..aot import load as load_object
from ..data import Splits, digits, mnist
from ..errors import FileError
from ..files import write_atomic
from ..ir.symbol import Symbol, var
from ..models import lenet5
from ..ops.base import make
from ..viz import draw
from .command import Command, add_target, compile_options

Array = np.ndarray[Any, np.dtype[Any]]
BATCH = 64


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="a folder with MNIST's files (default: the digits that come with scikit-learn)",
    )
    parser.add_argument(
        "--out", default="symgraph-demo", metavar="DIR", help="folder for the files it writes"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--epochs", type=int, metavar="N", help="passes over the training data")
    add_target(parser)


@dataclass
class Story:
    """Numbered headings with the time that has passed, and the files that were written."""

    started: float
    chapter: int = 0

    def tell(self, heading: str) -> None:
        self.chapter += 1
        seconds = time.perf_counter() - self.started
        print(f"\n{self.chapter}. {heading}  [{seconds:.1f} s]", flush=True)


def run(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    options = compile_options(arguments)
    story = Story(time.perf_counter())

    story.tell("Declare LeNet-5, and infer every shape")
    logits = lenet5()
    labels = var("y", ("N",), "int32")
    loss = make("cross_entropy", logits, labels)
    print(logits.infer_shape(x=(64, 1, 28, 28)))

    story.tell("Train it on real digits")
    data, passes = load_digits(arguments.data)
    print(f"{len(data.train)} images to train on, {len(data.test)} held back")
    epochs = passes if arguments.epochs is None else arguments.epochs
    steps = -(-len(data.train) // BATCH)
    model = training.fit(
        loss,
        data.train,
        outputs=logits,
        metrics=("accuracy",),
        optimizer=training.Adam(training.CosineDecay(2e-3, max(1, epochs * steps))),
        epochs=epochs,
        batch_size=BATCH,
        validation=data.test,
        seed=arguments.seed,
        callbacks=[lambda run: print(training.epoch_text(run.history.epochs[-1]), flush=True)],
        progress=sys.stderr.isatty(),
        **options,
    )

    story.tell("Compile it ahead of time to an object file that needs nothing")
    classify, written = ship(logits, model.params, folder, arguments.threads or 0)

    story.tell("Run the shipped object on the images that were held back")
    found = classify(data.test.x).argmax(1)
    print(f"accuracy {np.mean(found == data.test.y):.4f} on {len(data.test)} images")
    for rows in (1, 64):
        per_image = inference_time(classify, data.test.x[:rows]) / rows * 1e6
        print(f"{per_image:.1f} microseconds an image at batch {rows}")

    story.tell("Draw it")
    written.append(draw(logits, given={"x": (64, 1, 28, 28)}).save(folder / "lenet.svg"))

    story.tell("Files")
    for path in written:
        print(f"{path}  {path.stat().st_size} bytes")
    return 0


def load_digits(folder: str | None) -> tuple[Splits, int]:
    """The data, and how many passes over it teach LeNet-5 enough."""
    if folder is None:
        return digits(size=28), 6
    if not Path(folder).is_dir():
        raise FileError(f"--data {folder}: there is no such folder")
    return mnist(folder), 1


def ship(
    logits: Symbol, params: dict[str, Array], folder: Path, threads: int
) -> tuple[Callable[[Array], Array], list[Path]]:
    """The object file for this machine: a function that runs it, and what was written."""
    started = time.perf_counter()
    artefact = export(logits, folder / "lenet", params=params, target="native")
    print(f"{artefact}\nmade in {time.perf_counter() - started:.3f} s")
    shipped = load_object(artefact.files["o"], threads=threads)
    files = [
        *artefact.files.values(),
        training.save_parameters(folder / "lenet.safetensors", params),
        write_atomic(folder / "lenet.graph.json", logits.to_json(indent=1)),
    ]
    return lambda x: np.asarray(shipped(x=x)), files


def inference_time(classify: Callable[[Array], Array], x: Array) -> float:
    """The median time of a call in seconds."""
    classify(x)
    times: list[float] = []
    stop = time.perf_counter() + 1.0
    while len(times) < 5 or (time.perf_counter() < stop and len(times) < 500):
        started = time.perf_counter()
        classify(x)
        times.append(time.perf_counter() - started)
    return float(np.median(times))


COMMAND = Command(
    "demo",
    "the whole story: declare, infer, train, ship, run and draw LeNet-5 on real digits",
    """\
Declares LeNet-5, prints its inferred shapes, trains it on real digits, compiles it to an
object file with a C header, runs that object on images that were held back, and draws the graph.
Downloads nothing; takes less than a minute.

  symgraph demo
  symgraph demo --data MNIST_FOLDER --out build/demo
""",
    configure,
    run,
)
