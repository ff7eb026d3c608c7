"""A Python wheel around a shared library: numpy is all it needs."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import io
import zipfile
from collections.abc import Mapping

from ..errors import TargetError

TAGS = {
    "x86_64-linux": "manylinux2014_x86_64",
    "aarch64-linux": "manylinux2014_aarch64",
}
"""The libraries need nothing of the system, so the oldest common tag is right."""

_DATE = (1980, 1, 1, 0, 0, 0)


def wheel_name(package: str, platform: str) -> str:
    """The file's name.  Raises: TargetError for a platform without shared libraries."""
    if platform not in TAGS:
        raise TargetError(f"export: no wheel can be made for {platform}, only: {', '.join(TAGS)}")
    return f"{package}-1-py3-none-{TAGS[platform]}.whl"


def wheel(
    package: str, platform: str, library: bytes, description: str, stub: str, model_hash: str
) -> bytes:
    """The bytes of the wheel; the same input gives the same bytes."""
    source = importlib.resources.files(__package__) / "python" / "model.py.txt"
    info = f"{package}-1.dist-info"
    tag = wheel_name(package, platform).split("-", 2)[2].removesuffix(".whl")
    files = {
        f"{package}/__init__.py": source.read_text("utf-8").replace("@NAME@", package).encode(),
        f"{package}/__init__.pyi": stub.encode(),
        f"{package}/py.typed": b"",
        f"{package}/model.so": library,
        f"{package}/model.json": description.encode(),
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n"
            f"Summary: compiled model, hash {model_hash[:16]}\nRequires-Dist: numpy\n"
            f"Requires-Python: >=3.8\n"
        ).encode(),
        f"{info}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: symgraph\nRoot-Is-Purelib: false\nTag: {tag}\n"
        ).encode(),
    }
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def _record(files: Mapping[str, bytes], own: str) -> bytes:
    rows = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}\n")
    return ("".join(rows) + f"{own},,\n").encode()
