"""Parameters into the block of weights in this process, by the object's own entry for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import FormatError, InputError
from ..ir.program import Program
from ..kernel.dtypes import as_dtype
from .object_runner import ObjectRunner
from .weights import HEADER_NBYTES, packed_shape, weights_header

Array = np.ndarray[Any, np.dtype[Any]]

PACK = "pack"
"""What the entry is called, in descriptions and after the object's own name."""


def checked_parameters(
    made: Mapping[str, Any], given: Mapping[str, Any], where: str
) -> dict[str, Array]:
    """The arrays that an object packs, as it reads them.

    Raises: InputError for one that is missing or does not fit, FormatError for an object that
    packs nothing.
    """
    if PACK not in made:
        if made["weights"]["nbytes"]:
            raise FormatError(f"{where}: packs no weights: compile the model again")
        return {}
    found = {}
    for row in made[PACK]["inputs"]:
        name, shape = row["name"], tuple(row["shape"])
        if name not in given:
            raise InputError(f"{where}: weights= lacks {name!r}")
        array = np.asarray(given[name])
        if array.shape != shape or array.dtype != as_dtype(row["dtype"]).numpy:
            raise InputError(
                f"{where}: weight {name!r} must be {row['dtype']}{list(shape)}, got "
                f"{array.dtype}{list(array.shape)}"
            )
        found[name] = np.ascontiguousarray(array)
    return found


def packed(
    made: Mapping[str, Any],
    program: Program | None,
    addresses: Mapping[str, int],
    given: Mapping[str, Array],
    threads: int,
    library: Any,
) -> tuple[Any, int]:
    """Memory with the block, behind the header of a file where the object wants one, and its
    address."""
    row = made["weights"]
    if program is None:
        return None, 0
    offset = 0 if row["kind"] == "pointer" else HEADER_NBYTES
    memory = np.zeros(offset + row["nbytes"] + 4096, np.uint8)
    start = -memory.ctypes.data % 4096
    block = memory[start + offset : start + offset + row["nbytes"]]
    outputs = []
    for array in row["arrays"]:
        dtype, shape = as_dtype(array["dtype"]).numpy, packed_shape(array)
        nbytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        part = block[array["offset"] : array["offset"] + nbytes]
        outputs.append(part.view(dtype).reshape(shape))
    runner = ObjectRunner(program, made[PACK], addresses, 0, threads, 0, library)
    runner.run([given[port.name] for port in program.inputs], outputs, {})
    if offset:
        digest = hashlib.sha256(block.data).digest()
        header = weights_header(bytes.fromhex(row["layout"]), digest, len(block))
        memory[start : start + offset] = np.frombuffer(header, np.uint8)
    return memory, memory.ctypes.data + start
