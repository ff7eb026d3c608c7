"""Objects for other processors, really run: under qemu where a cross compiler is, and in Node."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

import symgraph as sg

from .c_program import FLAGS, build, main_text, run
from .models import batch, convolution, perceptron

PROCESSORS = {
    "aarch64-linux": ("aarch64-linux-gnu-gcc", "qemu-aarch64"),
    "riscv64-linux": ("riscv64-linux-gnu-gcc", "qemu-riscv64"),
    "armv7-linux": ("arm-linux-gnueabihf-gcc", "qemu-arm"),
}
SHAPES = {perceptron: (7,), convolution: (2, 17, 13)}


@pytest.mark.parametrize("model", [perceptron, convolution])
@pytest.mark.parametrize("platform", PROCESSORS)
def test_a_c_program_on_another_processor(platform, model, tmp_path):
    compiler, emulator = PROCESSORS[platform]
    for tool in (compiler, emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    y, params = model()
    artifact = sg.export(y, tmp_path / "net", params=params, target=platform)
    undefined = subprocess.run(
        ["nm", "-u", str(artifact.files["o"])], capture_output=True, text=True, check=False
    )
    assert undefined.stdout.strip() == ""
    program = build(artifact, main_text(artifact), compiler=compiler, flags=(*FLAGS, "-static"))
    expected = sg.compile(y, params=params, threads=1)
    for n in (1, 3, 0):
        x = batch(n, SHAPES[model])
        want = expected(x=x)
        got = run(program, x, want.shape, emulator)
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


NODE = r"""
const fs = require("fs");
const [wasm, n, input, output, outElements] = process.argv.slice(2);
const memory = new WebAssembly.Memory({ initial: 32 });
WebAssembly.instantiate(fs.readFileSync(wasm), { env: { memory } }).then(({ instance }) => {
  const e = instance.exports, N = Number(n);
  const view = new DataView(memory.buffer);
  const base = e.__heap_base.value;
  let next = base;
  const take = (bytes) => { const at = next; next = (next + bytes + 63) & ~63; return at; };
  next = (next + 63) & ~63;
  const data = fs.readFileSync(input);
  const x = take(data.length), y = take(Number(outElements) * 4), workspace = take(1 << 20);
  new Uint8Array(memory.buffer, x, data.length).set(data);
  const ins = take(16), outs = take(8), context = take(40);
  view.setUint32(ins, x, true);
  view.setBigInt64(ins + 8, BigInt(N), true);
  view.setUint32(outs, y, true);
  view.setUint32(context, 40, true);
  view.setBigInt64(context + 16, 1n, true);
  view.setBigUint64(context + 32, BigInt(1 << 20), true);
  const code = e.net_run(ins, outs, workspace, context);
  if (code !== 0) { console.error("code " + code); process.exit(12); }
  fs.writeFileSync(output, new Uint8Array(memory.buffer, y, Number(outElements) * 4));
});
"""


@pytest.mark.parametrize("cpu", ["generic", "mvp"])
@pytest.mark.parametrize("model", [perceptron, convolution])
def test_webassembly_in_node(model, cpu, tmp_path):
    for tool in ("node", "wasm-ld"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    y, params = model()
    artifact = sg.export(y, tmp_path / "net", params=params, target="wasm32", cpu=cpu)
    wasm = tmp_path / "net.wasm"
    linked = subprocess.run(
        ["wasm-ld", "--no-entry", "--export=net_run", "--export=__heap_base", "--import-memory",
         str(artifact.files["o"]), "-o", str(wasm)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert linked.returncode == 0, linked.stderr
    (tmp_path / "main.js").write_text(NODE)
    expected = sg.compile(y, params=params, threads=1)
    for n in (1, 3):
        x = batch(n, SHAPES[model])
        want = expected(x=x)
        (tmp_path / "x.bin").write_bytes(x.tobytes())
        done = subprocess.run(
            ["node", str(tmp_path / "main.js"), str(wasm), str(n), str(tmp_path / "x.bin"),
             str(tmp_path / "y.bin"), str(want.size)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        got = np.frombuffer((tmp_path / "y.bin").read_bytes(), np.float32).reshape(want.shape)
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)
