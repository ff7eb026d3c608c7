"""Parameters packed into the weights by the object itself: in Python, and in C without Python."""

from __future__ import annotations

import hashlib
import subprocess

import numpy as np
import pytest

import symgraph as sg
from symgraph.errors import InputError

from .c_program import build, needs_cc
from .models import batch
from .test_share_weights import has
from .test_weights import network, numbers


def winograd() -> tuple[sg.Symbol, tuple[int, ...]]:
    """Batch norms folded into convolutions in Winograd's form, a learned number without axes, a
    table of the graph's own, and panels that do not divide."""
    x = sg.var("x", ("N", 16, 12, 10))
    scale = sg.var("scale", (), init=sg.initializers.Constant(1.0))
    h = sg.relu(sg.batch_norm(sg.conv2d(x, 32, kernel_size=3, use_bias=False, name="conv1"),
                              name="bn1"))  # fmt: skip
    h = sg.relu(sg.conv2d(h, 16, kernel_size=3, name="conv2")) * scale
    table = sg.constant(np.linspace(-1, 1, 48, dtype=np.float32).reshape(8, 6))
    return sg.linear(sg.flatten(h + table), 21, name="fc"), (16, 12, 10)


def recurrent() -> tuple[sg.Symbol, tuple[int, ...]]:
    """Weights read inside a loop."""
    x = sg.var("x", ("N", 5, 6))
    return sg.linear(sg.lstm(x, 9, name="lstm")[0][:, -1], 4, name="fc"), (5, 6)


MODELS = {"network": network, "winograd": winograd, "recurrent": recurrent}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("weights", ["pointer", "file"])
def test_other_numbers_give_the_bits_of_their_own_compile(model, weights, tmp_path):
    y, shape = MODELS[model]()
    artifact = sg.export(y, tmp_path / "net", params=numbers(y, 1), weights=weights,
                         target="native", algorithms="fast")  # fmt: skip
    x = batch(3, shape)
    for seed in (1, 2):
        params = numbers(y, seed)
        own = sg.export(y, tmp_path / f"own{seed}", params=params, weights="pointer",
                        target="native", algorithms="fast")  # fmt: skip
        loaded = sg.load(artifact.files["o"], weights=params, threads=1)
        expected = sg.load(own.files["o"], weights=params, threads=1)
        assert loaded(x).tobytes() == expected(x).tobytes()
        embedded = sg.compile(y, params=params, threads=1, algorithms="fast")(x)
        np.testing.assert_allclose(loaded(x), embedded, rtol=2e-4, atol=1e-5)


def test_zeros_and_ones_of_the_export_mean_nothing(tmp_path):
    """What the export could simplify away is there for other numbers."""
    y, shape = network()
    zeros = {name: np.zeros_like(array) for name, array in numbers(y, 1).items()}
    x, params = batch(2, shape), numbers(y, 2)
    found = []
    for given in (zeros, params):
        artifact = sg.export(y, tmp_path / "net", params=given, weights="pointer", target="native")
        found.append(artifact.description["weights"]["layout"])
        loaded = sg.load(artifact.files["o"], weights=params, threads=1)
        found.append(loaded(x).tobytes())
    assert found[:2] == found[2:]


def test_levels_and_entries_share_one_block(tmp_path):
    y, shape = network()
    z = sg.relu(y)
    cpus = tuple(c for c in ("x86-64", "x86-64-v3", "x86-64-v4") if has(c))
    artifact = sg.export({"plain": y, "positive": z}, tmp_path / "net", params=numbers(y, 1),
                         weights="pointer", cpu=cpus)  # fmt: skip
    x, params = batch(3, shape), numbers(y, 2)
    for cpu in cpus:
        for entry, symbol in (("plain", y), ("positive", z)):
            loaded = sg.load(artifact.files["o"], weights=params, threads=1, entry=entry,
                             cpu=cpu if len(cpus) > 1 else None)  # fmt: skip
            expected = sg.compile(symbol, params=params, threads=1, cpu=cpu)
            assert loaded(x).tobytes() == expected(x).tobytes()


def test_mistakes(tmp_path):
    y, _ = network()
    params = numbers(y, 1)
    artifact = sg.export(y, tmp_path / "net", params=params, weights="pointer", target="native")
    with pytest.raises(InputError, match=r"needs weights= with the arrays conv1_weight, bn1_gamma"):
        sg.load(artifact.files["o"])
    with pytest.raises(InputError, match="weights= lacks 'bn1_beta'"):
        sg.load(artifact.files["o"], weights={k: v for k, v in params.items() if k != "bn1_beta"})
    wrong = {**params, "fc_bias": np.zeros(20, np.float32)}
    with pytest.raises(InputError, match=r"'fc_bias' must be float32\[21\], got float32\[20\]"):
        sg.load(artifact.files["o"], weights=wrong)
    with pytest.raises(InputError, match="an entry 'pack' of its own"):
        sg.export({"pack": y}, tmp_path / "two", params=params, weights="pointer")
    assert not (tmp_path / "two.o").exists()


MAIN = r"""
#include "net.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *line(size_t bytes)
{
    return aligned_alloc(4096, (bytes + 8191) / 4096 * 4096);
}

static float *array(FILE *file, size_t elements)
{
    float *found = malloc(elements * sizeof(float) + 1);
    if (fread(found, sizeof(float), elements, file) != elements)
        exit(20);
    return found;
}

static void tell(int32_t code)
{
    printf("%s\n", net_pack_weights_error(code));
}

int main(int argc, char **argv)
{
    FILE *file = fopen(argv[1], "rb");
    net_pack_inputs p;
    (void)argc;
@READ@
    size_t space = net_pack_workspace_bytes();
    void *block = line(NET_PACKED_BYTES), *workspace = line(space);
    sg_context context = SG_CONTEXT(space);
    memset(block, 0xff, NET_PACKED_BYTES);

    tell(net_pack_weights(&p, NULL, NET_PACKED_BYTES, workspace, &context));
    tell(net_pack_weights(&p, (char *)block + 4, NET_PACKED_BYTES, workspace, &context));
    tell(net_pack_weights(&p, block, NET_PACKED_BYTES - 1, workspace, &context));
    const float *kept = p.@FIRST@;
    p.@FIRST@ = NULL;
    tell(net_pack_weights(&p, block, NET_PACKED_BYTES, workspace, &context));
    p.@FIRST@ = kept;
    context.workspace_bytes = space - 1;
    if (space > 0 && net_pack_weights(&p, block, NET_PACKED_BYTES, workspace, &context) == 0)
        return 11;
    context.workspace_bytes = space;
    int32_t code = net_pack_weights(&p, block, NET_PACKED_BYTES, workspace, &context);
    if (code) {
        fprintf(stderr, "%s\n", net_pack_weights_error(code));
        return 12;
    }
    file = fopen(argv[2], "wb");
    fwrite(block, 1, NET_PACKED_BYTES, file);
    fclose(file);

    printf("check %d", net_check_weights(block, NET_PACKED_BYTES));
    printf(" %d", net_check_weights(NULL, NET_PACKED_BYTES));
    printf(" %d", net_check_weights(block, NET_PACKED_BYTES - 1));
    ((unsigned char *)block)[NET_PACKED_BYTES - 70] ^= 1;
    printf(" %d", net_check_weights(block, NET_PACKED_BYTES));
    ((unsigned char *)block)[NET_PACKED_BYTES - 70] ^= 1;
    ((unsigned char *)block)[20] ^= 1;
    printf(" %d\n", net_check_weights(block, NET_PACKED_BYTES));
    ((unsigned char *)block)[20] ^= 1;

    float x[3 * @ELEMENTS@], y[3 * 21];
    for (int i = 0; i < 3 * @ELEMENTS@; i++)
        x[i] = (float)(i % 17 - 8) / 8;
    net_inputs in = {.x = x, .N = 3};
    net_outputs out = {.@OUT@ = y};
    context = (sg_context)SG_CONTEXT(net_workspace_bytes(3));
    context.constants = block;
    if (net_run(&in, &out, line(net_workspace_bytes(3)), &context))
        return 13;
    file = fopen(argv[3], "wb");
    fwrite(y, sizeof(float), 3 * 21, file);
    return fclose(file);
}
"""


@needs_cc
@pytest.mark.parametrize("weights", ["pointer", "file"])
@pytest.mark.parametrize("model", ["network", "winograd"])
def test_a_c_program_packs_and_runs(model, weights, tmp_path):
    y, shape = MODELS[model]()
    artifact = sg.export(y, tmp_path / "net", params=numbers(y, 1), weights=weights)
    inputs = artifact.description["pack"]["inputs"]
    read = "\n".join(
        f"    p.{row['field']} = array(file, net_pack_{row['field']}_elements());" for row in inputs
    )
    elements = int(np.prod(shape))
    text = MAIN.replace("@READ@", read).replace("@FIRST@", inputs[0]["field"])
    text = text.replace("@ELEMENTS@", str(elements))
    text = text.replace("@OUT@", artifact.signature.results[0].field)
    program = build(artifact, text)
    params = numbers(y, 2)
    names = [str(tmp_path / n) for n in ("params", "packed", "y")]
    (tmp_path / "params").write_bytes(b"".join(params[row["name"]].tobytes() for row in inputs))
    done = subprocess.run([str(program), *names], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
    alignment = 4096 if weights == "file" else 64
    pointer = f"weights: need a pointer aligned to {alignment} bytes, not NULL"
    first = inputs[0]["name"]
    *told, check = done.stdout.splitlines()
    assert told[:2] == [pointer, pointer]
    assert told[2].startswith("weights: need ") and told[2].endswith("(NET_PACKED_BYTES) or more")
    assert told[3].startswith(f"input '{first}' (float32") and "not NULL" in told[3]
    # Numbers that are not the export's are whole as a file, and not the export's as a block.
    assert check == ("check 0 1 2 4 3" if weights == "file" else "check 4 1 2 4 4")
    # The same bits as from Python.
    x = ((np.arange(3 * elements) % 17 - 8) / 8).astype(np.float32).reshape(3, *shape)
    loaded = sg.load(artifact.files["o"], weights=params, threads=1)
    assert (tmp_path / "y").read_bytes() == loaded(x).tobytes()
    if weights == "file":
        file = artifact.write_weights(tmp_path / "python.weights", params)
        assert (tmp_path / "packed").read_bytes() == file.read_bytes()
        again = sg.load(artifact.files["o"], weights=tmp_path / "packed", threads=1)
        assert again(x).tobytes() == loaded(x).tobytes()


def test_the_hash_is_sha_256(tmp_path):
    import ctypes

    from symgraph.codegen.llvm import objects

    y, _ = network()
    artifact = sg.export(y, tmp_path / "net", params=numbers(y, 1), weights="file", target="native")
    loaded = objects.load(artifact.files["o"].read_bytes(), ("net_hash",))
    function = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_uint64, ctypes.c_char_p)
    hashed = function(loaded.addresses[0])
    data = np.random.default_rng(0).integers(0, 256, 1000, np.uint8).tobytes()
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 127, 128, 1000):
        digest = ctypes.create_string_buffer(32)
        hashed(data[:size], size, digest)
        assert digest.raw == hashlib.sha256(data[:size]).digest(), size
