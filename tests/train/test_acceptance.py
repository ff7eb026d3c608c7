"""LeNet-5 on real digits: the accuracy that the project promises."""

from __future__ import annotations

from pathlib import Path

import pytest

import symgraph as sg
from symgraph import train

MNIST = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist"


@pytest.mark.slow
@pytest.mark.skipif(not MNIST.is_dir(), reason=f"the MNIST images are not at {MNIST}")
def test_lenet_learns_mnist_in_one_pass() -> None:
    """8,500 images once, in batches of 64; 1,500 held back.  With these settings seeds 0, 1 and 2
    give .973, .979 and .964."""
    data = sg.data.mnist(MNIST)
    logits = sg.models.lenet5()
    loss = sg.cross_entropy(logits, sg.var("y", ("N",), "int32"))
    model = train.fit(
        loss,
        data.train,
        outputs=logits,
        metrics=("accuracy",),
        optimizer=train.SGD(0.05, momentum=0.9, weight_decay=5e-4),
        batch_size=64,
        validation=data.test,
        seed=0,
        progress=False,
        target="llvm",
    )
    assert len(model.history.steps) == 133
    assert model.history["validation_accuracy"][0] >= 0.95
