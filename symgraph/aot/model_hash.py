"""A hash of what a model computes: its graph and its numbers, not where it was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..ir.graph import Graph
from ..ir.serialize import to_data

Array = np.ndarray[Any, np.dtype[Any]]


def model_hash(graph: Graph, arrays: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, over operators, attributes, connections, types and arrays."""
    data = to_data(graph)
    for node in data["nodes"]:
        node.pop("origin", None)
        node.pop("order", None)
    data["settings"] = {key: repr(value) for key, value in sorted(settings.items())}
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"\0{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
