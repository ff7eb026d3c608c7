"""Several entries in one object: one set of weights, one workspace that is enough for each."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm.machine import machine
from symgraph.errors import FormatError, InputError, MissingDependencyError, TargetError

from .c_program import build, needs_cc, needs_nm
from .models import batch


def parts() -> tuple[dict[str, sg.Symbol], dict[str, np.ndarray]]:
    """An encoder and a decoder tied by one matrix; only the first has an open second extent."""
    x, tied = sg.var("x", ("N", "T", 37)), sg.var("tied", (29, 37))
    shared = {"weight": tied, "use_bias": False}
    code = sg.linear(sg.relu(sg.linear(sg.mean(x, axis=1), 29, **shared)), 37, name="enc")
    z = sg.var("z", ("N", 37))
    text = sg.softmax(sg.linear(sg.tanh(sg.linear(z, 29, **shared)), 11, name="dec"))
    random = np.random.default_rng(3)
    shapes = {"tied": (29, 37), "enc_weight": (37, 29), "dec_weight": (11, 29)}
    params = {name: random.normal(size=s) for name, s in shapes.items()}
    params |= {"enc_bias": random.normal(size=37), "dec_bias": random.normal(size=11)}
    return {"encode": code, "decode": text}, {k: v.astype("f4") for k, v in params.items()}


def inputs(n: int) -> dict[str, np.ndarray]:
    return {"encode": batch(n, (5, 37)), "decode": batch(n, (37,))}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    entries, params = parts()
    folder = tmp_path_factory.mktemp("entries")
    artifact = sg.export(
        entries, folder / "net", params=params, target="native", emit=("o", "h", "json", "a")
    )
    return artifact, entries, params


@pytest.mark.parametrize("weights", ["embedded", "file", "pointer"])
@pytest.mark.parametrize("threads", [1, 2])
def test_each_entry_gives_the_bits_of_its_own_compile(weights, threads, tmp_path):
    entries, params = parts()
    artifact = sg.export(entries, tmp_path / "net", params=params, target="native",
                         weights=weights, selftest=weights == "embedded")  # fmt: skip
    given = params if weights == "pointer" else None
    loaded = sg.aot.load_entries(artifact.files["o"], weights=given, threads=threads)
    assert list(loaded) == ["encode", "decode"]
    for name, y in entries.items():
        alone = sg.compile(y, params=params, threads=threads)
        for n in (3, 1, 0):
            x = inputs(n)[name]
            assert loaded[name](x).tobytes() == loaded[name](x).tobytes() == alone(x).tobytes()
        one = sg.load(artifact.files["o"], weights=given, threads=threads, entry=name)
        assert one(inputs(2)[name]).tobytes() == alone(inputs(2)[name]).tobytes()
        assert loaded[name].memory_report(N=3).planned == alone.memory_report(N=3).planned


def test_weights_are_carried_once(made, tmp_path):
    artifact, entries, params = made
    names = [w.name for w in artifact.signature.weights]
    assert sorted(names) == sorted(params)
    one = sg.export(entries["encode"], tmp_path / "one", params=params, target="native")
    more = sum(-(-params[name].nbytes // 64) * 64 for name in ("dec_weight", "dec_bias"))
    room = one.signature.weights_nbytes + more
    assert room <= artifact.signature.weights_nbytes < room + params["tied"].nbytes


@pytest.mark.skipif(not machine(None).triple.startswith("x86_64"), reason="needs x86-64")
def test_levels_and_sizes_in_every_entry(tmp_path):
    entries, params = parts()
    cpus = ("x86-64", "x86-64-v3")
    artifact = sg.export(
        entries, tmp_path / "net", params=params, cpu=cpus, specialise={"N": (1,), "T": (5,)}
    )
    for cpu in cpus:
        loaded = sg.aot.load_entries(artifact.files["o"], cpu=cpu, threads=1)
        for name, y in entries.items():
            x = inputs(1)[name]
            own = sg.compile(
                y,
                params=params,
                cpu=cpu,
                threads=1,
                shapes=dict.fromkeys(
                    [n for n in ("x", "z") if n == {"encode": "x", "decode": "z"}[name]], x.shape
                ),
            )
            assert loaded[name](x).tobytes() == own(x).tobytes()


MAIN = r"""
#include "net.h"
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    int64_t N = 3, T = 5;
    static float x[3 * 5 * 37], code[3 * 37], text[3 * 11];
    FILE *file = fopen("x.bin", "rb");
    if (file == NULL || fread(x, sizeof x, 1, file) != 1)
        return 10;
    size_t bytes = net_workspace_bytes(N, T);
    if (bytes < net_encode_workspace_bytes(N, T) || bytes < net_decode_workspace_bytes(N))
        return 11;
    if (bytes > net_encode_workspace_bytes(N, T) && bytes > net_decode_workspace_bytes(N))
        return 12;
    void *workspace = aligned_alloc(NET_WORKSPACE_ALIGNMENT, (bytes + 127) / 64 * 64);
    sg_context context = SG_CONTEXT(bytes);
    net_encode_inputs first = {.x = x, .N = N, .T = T};
    net_encode_outputs one = {.@CODE@ = code};
    int32_t status = net_encode_run(&first, &one, workspace, &context);
    if (status != NET_ENCODE_OK) {
        puts(net_encode_strerror(status));
        return 13;
    }
    net_decode_inputs second = {.z = code, .N = N};
    net_decode_outputs two = {.@TEXT@ = text};
    status = net_decode_run(&second, &two, workspace, &context);
    if (status != NET_DECODE_OK) {
        puts(net_decode_strerror(status));
        return 14;
    }
    file = fopen("y.bin", "wb");
    return file == NULL || fwrite(text, sizeof text, 1, file) != 1 || fclose(file);
}
"""


@needs_cc
@pytest.mark.parametrize("library", ["o", "a"])
def test_a_c_program_calls_both_with_one_workspace(library, made):
    artifact, entries, params = made
    fields = {name: s.results[0].field for name, s in artifact.signatures.items()}
    text = MAIN.replace("@CODE@", fields["encode"]).replace("@TEXT@", fields["decode"])
    x = inputs(3)["encode"]
    (artifact.folder / "x.bin").write_bytes(x.tobytes())
    program = build(artifact, text, library=library)
    done = subprocess.run([str(program)], cwd=artifact.folder, capture_output=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout)
    code = sg.compile(entries["encode"], params=params, threads=1)(x)
    want = sg.compile(entries["decode"], params=params, threads=1)(code)
    assert (artifact.folder / "y.bin").read_bytes() == want.tobytes()


@needs_nm
def test_nothing_is_undefined(made):
    artifact, _, _ = made
    found = subprocess.run(
        ["nm", "-g", str(artifact.files["o"])], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert not [line for line in found if " U " in line]
    names = {line.split()[-1] for line in found}
    assert {"net_encode_run", "net_decode_run", "net_encode_strerror"} <= names


def test_inspection_names_every_entry(made):
    artifact, _, _ = made
    text = str(sg.aot.inspect(artifact.files["o"]))
    assert "entry      encode" in text
    assert "entry      decode" in text
    assert "input      z: float32[N,37]" in text
    assert artifact.description["entries"]["decode"]["symbols"]["run"] == "net_decode_run"


def test_a_wheel_has_a_function_for_each(tmp_path):
    entries, params = parts()
    try:
        artifact = sg.export(
            entries, tmp_path / "net", params=params, target="native", emit=("whl",)
        )
    except (MissingDependencyError, TargetError) as error:
        pytest.skip(str(error))
    with zipfile.ZipFile(artifact.files["whl"]) as archive:
        archive.extractall(tmp_path / "site")
    x = inputs(2)["encode"]
    np.save(tmp_path / "x.npy", x)
    script = (
        "import net, numpy; x = numpy.load('x.npy'); y = net.decode(net.encode(x=x)); "
        "print(net.__all__); numpy.save('y.npy', y)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "'encode', 'decode'" in done.stdout
    code = sg.compile(entries["encode"], params=params, threads=1)(x)
    want = sg.compile(entries["decode"], params=params, threads=1)(code)
    got = np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("target", ["aarch64-linux", "wasm32", "armv7-linux"])
def test_other_machines(target, tmp_path):
    entries, params = parts()
    artifact = sg.export(entries, tmp_path / "net", params=params, target=target, selftest=True)
    assert "entries" in sg.aot.inspect(artifact.files["o"]).description


def test_mistakes(made, tmp_path):
    artifact, entries, params = made
    with pytest.raises(InputError, match="has the entries encode, decode; choose one with entry="):
        sg.load(artifact.files["o"])
    with pytest.raises(InputError, match="there is no 'both'"):
        sg.load(artifact.files["o"], entry="both")
    with pytest.raises(InputError, match="the mapping of entries is empty"):
        sg.export({}, tmp_path / "net")
    with pytest.raises(InputError, match="entry 'a b' cannot be part of a C name"):
        sg.export({"a b": entries["encode"]}, tmp_path / "net", params=params)
    with pytest.raises(InputError, match="updates or state has 'q', which no entry has"):
        sg.export(entries, tmp_path / "net", params=params, updates={"q": entries["encode"]})
    with pytest.raises(TargetError, match="there is no open extent 'K' to limit"):
        sg.export(entries, tmp_path / "net", params=params, ranges={"K": (1, 2)})
    data = bytearray(artifact.files["o"].read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.o").write_bytes(data)
    with pytest.raises(FormatError):
        sg.aot.load_entries(tmp_path / "bad.o")
