"""A training step as an object: a C program trains LeNet with the bits of Python."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import symgraph as sg
from symgraph.models import KNOWN
from symgraph.train.step import build_step

from .c_program import build, needs_cc

BATCH, STEPS = 6, 5

MAIN = r"""
#include "step.h"
#include <stdio.h>
#include <stdlib.h>

static void *read_all(FILE *file, size_t elements, size_t size)
{
    void *data = malloc(elements * size + 1);
    if (data == NULL || fread(data, size, elements, file) != elements)
        abort();
    return data;
}

int main(int argc, char **argv)
{
    int64_t N = @BATCH@;
    FILE *file = fopen(argv[argc - 2], "rb"), *out = fopen(argv[argc - 1], "wb");
    if (file == NULL || out == NULL)
        return 10;
    step_inputs in = {0};
    step_outputs result = {0};
    float rate = 0.0005f, number, loss;
    in.N = N;
    in.learning_rate = &rate;
    (void)number;
@NUMBER@
    result.@LOSS@ = &loss;
@READ@
    size_t bytes = step_workspace_bytes(N);
    void *workspace = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    sg_context context = SG_CONTEXT(bytes);
    for (int i = 0; i < @STEPS@; i++) {
        number = (float)(i + 1);
        in.@X@ = read_all(file, step_@X@_elements(N), sizeof(float));
        in.@Y@ = read_all(file, step_@Y@_elements(N), sizeof(int32_t));
        int32_t code = step_run(&in, &result, workspace, &context);
        if (code != STEP_OK) {
            fprintf(stderr, "%s\n", step_strerror(code));
            return 11;
        }
        fwrite(&loss, sizeof loss, 1, out);
    }
@WRITE@
    return fclose(out);
}
"""


@needs_cc
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_c_trains_lenet_as_python_does(optimizer, tmp_path):
    logits = KNOWN["lenet5"]()
    y = sg.var("y", ("N",), "int32")
    loss = sg.cross_entropy(logits, y)
    params = sg.init(logits, seed=2)
    made = {"momentum": sg.train.SGD(momentum=0.9), "adam": sg.train.Adam()}[optimizer]
    step = build_step(loss, params, made)
    arguments = step.arguments(params)
    artifact = sg.export(path=tmp_path / "step", target="native", **arguments)

    function = step.compile({k: v.copy() for k, v in params.items()}, threads=1)
    random = np.random.default_rng(0)
    image = random.normal(size=(BATCH, 1, 28, 28)).astype(np.float32)
    batches = [(image, random.integers(0, 10, BATCH).astype(np.int32))] * STEPS
    want = []
    rate = np.float32(0.0005)
    for i, (image, label) in enumerate(batches):
        x_name = logits.graph.names[logits.graph.variables[0]]
        given = {x_name: image, "y": label, "learning_rate": rate, "step": np.float32(i + 1)}
        got = function(**{name: given[name] for name in function.inputs})
        want.append(np.float32(got))
    assert want[-1] < want[0]

    signature = artifact.signature
    updated = [t for t in signature.inputs if t.name in arguments["params"]]
    start = {**params, **step.state}
    data = b"".join(np.ascontiguousarray(start[t.name]).tobytes() for t in updated)
    data += b"".join(image.tobytes() + label.tobytes() for image, label in batches)
    (tmp_path / "data.bin").write_bytes(data)
    read = "".join(
        f"    in.{t.field} = read_all(file, step_{t.field}_elements(N), sizeof(float));\n"
        for t in updated
    )
    write = "".join(
        f"    fwrite(in.{t.field}, sizeof(float), step_{t.field}_elements(N), out);\n"
        for t in updated
    )
    field = {t.name: t.field for t in signature.inputs}
    text = MAIN.replace("@READ@", read).replace("@WRITE@", write)
    number = "    in.step = &number;" if "step" in function.inputs else ""
    text = (
        text.replace("@NUMBER@", number)
        .replace("@BATCH@", str(BATCH))
        .replace("@STEPS@", str(STEPS))
    )
    text = text.replace("@LOSS@", signature.results[0].field)
    text = text.replace("@X@", field[x_name]).replace("@Y@", field["y"])
    program = build(artifact, text)
    done = subprocess.run(
        [str(program), str(tmp_path / "data.bin"), str(tmp_path / "out.bin")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = np.frombuffer((tmp_path / "out.bin").read_bytes(), np.float32)
    assert out[:STEPS].tobytes() == np.array(want, np.float32).tobytes()
    trained = b"".join(function.parameters[t.name].tobytes() for t in updated)
    assert out[STEPS:].tobytes() == trained
