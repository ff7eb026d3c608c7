"""State as a struct of the caller's: a C program runs a recurrent network step by step."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import InputError, TargetError

from .c_program import build, needs_cc
from .models import batch

STEPS, SIZE, HIDDEN = 6, 5, 19


def weights() -> dict[str, sg.Symbol]:
    return {n: sg.var(f"{n}_weight", (HIDDEN, SIZE + HIDDEN)) for n in ("keep", "new")}


def cell(
    x: sg.Symbol, h: sg.Symbol, c: sg.Symbol, gates: dict[str, sg.Symbol]
) -> tuple[sg.Symbol, sg.Symbol]:
    """A recurrent cell with two arrays of state."""
    both = sg.concat([x, h], axis=-1)
    keep = sg.sigmoid(sg.linear(both, HIDDEN, weight=gates["keep"], use_bias=False))
    c = keep * c + (1.0 - keep) * sg.tanh(
        sg.linear(both, HIDDEN, weight=gates["new"], use_bias=False)
    )
    return sg.tanh(c), c


def step(dtype: str = "float32") -> tuple[list[sg.Symbol], dict[str, np.ndarray]]:
    x = sg.var("x", ("N", SIZE), dtype)
    h, c = sg.var("h", ("N", HIDDEN), dtype), sg.var("c", ("N", HIDDEN), dtype)
    h_next, c_next = cell(x, h, c, weights())
    y = sg.sum(h_next, axis=-1)
    random = np.random.default_rng(4)
    names = ("keep_weight", "new_weight")
    params = {n: random.normal(size=(HIDDEN, SIZE + HIDDEN)).astype("f4") for n in names}
    return [y, h_next, c_next], params


MAIN = r"""
#include "rnn.h"
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    int64_t N = 3;
    static float x[6 * 3 * 5], y[6 * 3];
    FILE *file = fopen("x.bin", "rb");
    if (file == NULL || fread(x, sizeof x, 1, file) != 1)
        return 10;
    size_t state_bytes = rnn_state_bytes(N), bytes = rnn_workspace_bytes(N);
    rnn_state state = rnn_state_place(aligned_alloc(64, state_bytes), N);
    void *workspace = aligned_alloc(64, bytes + 64);
    sg_context context = SG_CONTEXT(bytes);
    for (int round = 0; round < 2; round++) {
        rnn_reset(&state, N);
        for (int t = 0; t < 6; t++) {
            rnn_inputs in = {.x = x + t * 15, .N = N};
            rnn_outputs out = {.@Y@ = y + t * 3};
            int32_t code = rnn_step(&state, &in, &out, workspace, &context);
            if (code != RNN_OK) {
                puts(rnn_strerror(code));
                return 11;
            }
        }
    }
    file = fopen("y.bin", "wb");
    return file == NULL || fwrite(y, sizeof y, 1, file) != 1 || fclose(file);
}
"""


@needs_cc
def test_steps_in_c_are_the_whole_sequence(tmp_path):
    (y, h_next, c_next), params = step()
    state = {"h": h_next, "c": c_next}
    artifact = sg.export(y, tmp_path / "rnn", params=params, state=state, target="native",
                         strict=True)  # fmt: skip
    x = batch(3, (STEPS, SIZE))
    (tmp_path / "x.bin").write_bytes(np.ascontiguousarray(x.swapaxes(0, 1)).tobytes())
    program = build(artifact, MAIN.replace("@Y@", artifact.signature.results[0].field))
    done = subprocess.run([str(program)], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout)

    whole = sg.var("x", ("N", STEPS, SIZE))
    h = c = sg.zeros((3, HIDDEN))
    found, gates = [], weights()
    for t in range(STEPS):
        h, c = cell(whole[:, t], h, c, gates)
        found.append(sg.sum(h, axis=-1))
    want = sg.compile(sg.stack(found), params=params, shapes={"x": x.shape}, strict=True)(x)
    assert (tmp_path / "y.bin").read_bytes() == np.asarray(want).tobytes()


def test_next_values_by_the_names_of_outputs(tmp_path):
    (y, h_next, c_next), params = step()
    names = sg.group([y, h_next, c_next]).list_outputs()
    artifact = sg.export([y, h_next, c_next], tmp_path / "rnn", params=params, target="native",
                         state={"h": names[1], "c": names[2]})  # fmt: skip
    loaded = sg.load(artifact.files["o"], threads=1)
    assert loaded.outputs == (names[0],)
    expected = sg.compile(y, params=params, updates={"h": h_next, "c": c_next}, threads=1)
    mine = {n: np.zeros((3, HIDDEN), np.float32) for n in ("h", "c")}
    theirs = {n: a.copy() for n, a in mine.items()}
    for t in range(STEPS):
        x = batch(3, (SIZE,), t)
        assert loaded(x=x, **mine).tobytes() == expected(x=x, **theirs).tobytes()
    assert all(mine[n].tobytes() == theirs[n].tobytes() and mine[n].any() for n in mine)
    header = artifact.files["h"].read_text()
    for text in (
        "typedef struct rnn_state {",
        "rnn_reset(const rnn_state *state, int64_t N)",
        "rnn_step(const rnn_state *state, const rnn_inputs *inputs",
    ):
        assert text in header


def test_first_values_and_what_the_caller_sets(tmp_path):
    """Batch statistics begin at 0 and 1, trained parameters where the caller says."""
    x = sg.var("x", ("N", 4))
    y = sg.batch_norm(sg.linear(x, 3, name="fc"), name="bn")
    loss = sg.sum(y * y)
    params = sg.init(loss, seed=0)
    made = sg.train.build_step(loss, params, sg.train.Adam())
    artifact = sg.export(path=tmp_path / "step", target="native", **made.arguments(params))
    header = artifact.files["h"].read_text()
    reset = header[header.index("step_reset(") : header.index("step_step(")]
    assert "the caller sets fc_weight" in header
    assert "state->fc_weight[i]" not in reset
    for name, value in (("bn_moving_var", "1.0f"), ("bn_moving_mean", "0.0f")):
        assert f"state->{name}[i] = {value};" in reset


@needs_cc
def test_entries_share_the_state(tmp_path):
    """A whole sequence and a step, over the same arrays."""
    (y, h_next, c_next), params = step()
    whole, h, c = (
        sg.var("w", ("N", 2, SIZE)),
        sg.var("h", ("N", HIDDEN)),
        sg.var("c", ("N", HIDDEN)),
    )
    gates = weights()
    h1, c1 = cell(whole[:, 0], h, c, gates)
    h2, c2 = cell(whole[:, 1], h1, c1, gates)
    first = sg.group([sg.sum(h2, axis=-1), h2, c2])
    other = sg.group([y, h_next, c_next])
    with pytest.raises(InputError, match="its next value 'nothing' is no output"):
        sg.export(other, tmp_path / "net", params=params, state={"h": "nothing"})
    with pytest.raises(InputError, match="state leaves no output"):
        sg.export(h_next, tmp_path / "net", params=params,
                  state={"h": sg.group([h_next]).list_outputs()[0]})  # fmt: skip
    entries = {"prefill": sg.group([first[0]]), "step": sg.group([other[0]])}
    updates = {"prefill": {"h": h2, "c": c2}, "step": {"h": h_next, "c": c_next}}
    artifact = sg.export(entries, tmp_path / "net", params=params, updates=updates,
                         target="native", strict=True)  # fmt: skip
    header = artifact.files["h"].read_text()
    assert header.count("typedef struct net_state {") == 1
    for text in ("net_prefill_step(const net_state *state", "net_step_step(const net_state *state"):
        assert text in header
    program = '#include "net.h"\nint main(void) { return 0; }\n'
    assert build(artifact, program).exists()
    loaded = sg.aot.load_entries(artifact.files["o"], threads=1)
    a = {n: np.zeros((3, HIDDEN), np.float32) for n in ("h", "c")}
    b = {n: array.copy() for n, array in a.items()}
    x = batch(3, (2, SIZE))
    last = loaded["prefill"](w=x, **a)
    for t in range(2):
        one = loaded["step"](x=np.ascontiguousarray(x[:, t]), **b)
    assert last.tobytes() == one.tobytes()
    assert all(a[n].tobytes() == b[n].tobytes() for n in a)


def test_entries_must_agree_on_the_types_of_state(tmp_path):
    entries, updates = {}, {}
    for name, size in (("one", 3), ("two", 4)):
        x, total = sg.var("x", (size,)), sg.var("total", (size,))
        entries[name], updates[name] = sg.sum(x), {"total": total + x}
    with pytest.raises(TargetError, match="state 'total' is float32\\[3\\] in one entry"):
        sg.export(entries, tmp_path / "net", updates=updates)
