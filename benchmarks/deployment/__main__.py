"""See the package's documentation."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NETWORKS = {"lenet5": (1, 1, 28, 28), "resnet50": (1, 3, 224, 224)}
HERE = Path(__file__).parent
LIBRARIES = {
    "onnxruntime": ("libonnxruntime.so",),
    "openvino": (
        "libopenvino.so", "libopenvino_c.so", "libopenvino_intel_cpu_plugin.so",
        "libopenvino_ir_frontend.so", "libtbb.so",
    ),
}  # fmt: skip
"""The least that each peer loads for the CPU; OpenVINO with its own format of models."""


def prepare(folder: Path, peers: str) -> None:
    """Programs, models and a list of what each program needs."""
    folder.mkdir(parents=True, exist_ok=True)
    found = _libraries(peers)
    plan: list[dict[str, Any]] = []
    for name, shape in NETWORKS.items():
        elements = _prepare_symgraph(folder, name, shape)
        extents = ",".join(map(str, shape))
        plan.append({"network": name, "engine": "symgraph", "command": [f"./{name}-symgraph"],
                     "files": [f"{name}-symgraph"]})  # fmt: skip
        for engine, libraries in found.items():
            model = f"{name}.onnx" if engine == "onnxruntime" else f"{name}.xml"
            files = [model, *([f"{name}.bin"] if engine == "openvino" else []), *libraries]
            if engine == "openvino":
                _to_openvino(folder, name, shape, peers)
            program = folder / f"{name}-{engine}"
            defines = [f"-DSHAPE={extents}", f"-DRANK={len(shape)}", f"-DELEMENTS={elements}",
                       f'-DMODEL="{model}"', f'-DLIBRARY="{libraries[0]}"']  # fmt: skip
            if engine == "openvino":
                defines[-1] = f'-DLIBRARY="{libraries[1]}"'
            subprocess.run(["cc", "-O2", *defines, str(HERE / f"{engine}.c"), "-ldl", "-o",
                            str(program)], check=True)  # fmt: skip
            plan.append({"network": name, "engine": engine, "command": [f"./{program.name}"],
                         "files": [program.name, *files]})  # fmt: skip
    (folder / "plan.json").write_text(json.dumps(plan, indent=1))


def _prepare_symgraph(folder: Path, name: str, shape: Sequence[int]) -> int:
    import math

    import symgraph as sg
    from symgraph.onnx import export_onnx

    network = sg.models.KNOWN[name]()
    shapes = {"x": tuple(shape)}
    params = sg.init(network, seed=0, shapes=shapes)
    export_onnx(network, folder / f"{name}.onnx", params=params, shapes=shapes)
    artifact = sg.export(network, folder / name, params=params, shapes=shapes, target="native")
    defines = [f"-DHEADER=\"{name}.h\"", f"-DNAME={name}", f"-DUPPER={name.upper()}",
               f"-DOUT={artifact.signature.results[0].field}",
               f"-DOUT_UPPER={artifact.signature.results[0].field.upper()}"]  # fmt: skip
    subprocess.run(
        ["cc", "-O2", *defines, "-I", str(folder), str(HERE / "symgraph.c"),
         str(folder / f"{name}.o"), "-s", "-o", str(folder / f"{name}-symgraph")], check=True,
    )  # fmt: skip
    return math.prod(shape)


def _libraries(peers: str) -> dict[str, list[str]]:
    """The shared libraries of the peers that are installed there."""
    found = {}
    for engine, names in LIBRARIES.items():
        code = f"import {engine}, os; print(os.path.dirname({engine}.__file__))"
        done = subprocess.run([peers, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"without {engine}: {peers} cannot import it", file=sys.stderr)
            continue
        files = sorted(Path(done.stdout.strip()).rglob("*.so*"))
        found[engine] = [
            str(next(f for f in files if f.name.startswith(name) and not f.is_symlink()))
            for name in names
        ]
    return found


def _to_openvino(folder: Path, name: str, shape: Sequence[int], peers: str) -> None:
    code = (
        "import openvino as ov, sys\nm = ov.Core().read_model(sys.argv[1])\n"
        f"m.reshape({list(shape)})\nov.save_model(m, sys.argv[2], compress_to_fp16=False)"
    )
    arguments = [str(folder / f"{name}.onnx"), str(folder / f"{name}.xml")]
    subprocess.run([peers, "-c", code, *arguments], check=True)


def measure(folder: Path, rounds: int) -> None:
    """The table, in Markdown."""
    plan = json.loads((folder / "plan.json").read_text())
    least = [float("inf")] * len(plan)
    for _ in range(rounds):
        for n, row in enumerate(plan):
            started = time.perf_counter()
            done = subprocess.run(row["command"], cwd=folder, capture_output=True, check=False)
            least[n] = min(least[n], time.perf_counter() - started)
            if done.returncode:
                sys.exit(f"{row['command']}: {done.stderr.decode()}")
            row["output"] = [float(v) for v in done.stdout.split()]
    print("| network | engine | files | bytes | start to first result, ms | difference |")
    print("|---|---|---|---|---|---|")
    for row, seconds in zip(plan, least, strict=True):
        nbytes = sum(os.stat(folder / file).st_size for file in row["files"])
        truth = next(r["output"] for r in plan if r["network"] == row["network"])
        gap = max(abs(a - b) for a, b in zip(row["output"], truth, strict=True))
        relative = gap / max(map(abs, truth))
        print(f"| {row['network']} | {row['engine']} | {len(row['files'])} | {nbytes:,} | "
              f"{seconds * 1e3:.2f} | {relative:.0e} |")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("prepare", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peers", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    if given.what == "prepare":
        prepare(given.folder, given.peers)
    else:
        measure(given.folder, given.rounds)


if __name__ == "__main__":
    main()
