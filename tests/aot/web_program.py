"""Objects for WebAssembly: linked, and run in Node."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg

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


def webassembly(
    y: sg.Symbol, params: Mapping[str, Any], folder: Path, **options: Any
) -> Callable[[np.ndarray, tuple[int, ...]], np.ndarray]:
    """A network of one input `x` as a function of it and of its result's shape."""
    for tool in ("node", "wasm-ld"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    artifact = sg.export(y, folder / "net", params=params, target="wasm32", **options)
    wasm, script = folder / "net.wasm", folder / "main.js"
    _done(
        ["wasm-ld", "--no-entry", "--export=net_run", "--export=__heap_base", "--import-memory",
         str(artifact.files["o"]), "-o", str(wasm)]
    )  # fmt: skip
    script.write_text(NODE)

    def program(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        given, made = folder / "x.bin", folder / "y.bin"
        given.write_bytes(x.tobytes())
        _done(["node", str(script), str(wasm), str(len(x)), str(given), str(made),
               str(int(np.prod(shape)))])  # fmt: skip
        return np.frombuffer(made.read_bytes(), np.float32).reshape(shape)

    return program


def _done(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
