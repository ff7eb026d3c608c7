"""From LLVM IR text to machine code, and from machine code to callable addresses.

The object that is loaded here is byte for byte the object that is shipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm

from ...errors import InternalError
from .cache import load_object, object_key, store_object
from .machine import Machine, initialise, target_machine


def compile_object(
    text: str, machine: Machine, cache: str | None = None, optimised: bool = False
) -> bytes:
    """The object file of a module; LLVM's passes change it only if it is to be `optimised`.

    Raises: InternalError when the text is not valid IR.
    """
    key = object_key(f"; optimised\n{text}" if optimised else text, machine.key)
    known = load_object(cache, key)
    if known is not None:
        return known
    initialise()
    try:
        module = llvm.parse_assembly(text)
        module.verify()
    except RuntimeError as error:
        raise InternalError(f"llvm: the emitted module is not valid: {error}") from error
    if optimised:
        tuning = llvm.create_pipeline_tuning_options(speed_level=3)
        builder = llvm.create_pass_builder(target_machine(machine), tuning)
        builder.getModulePassManager().run(module, builder)
    body = bytes(target_machine(machine).emit_object(module))
    store_object(cache, key, body)
    return body


@dataclass(frozen=True, slots=True)
class LoadedObject:
    """Machine code in this process; it lives as long as this does."""

    engine: Any
    addresses: tuple[int, ...]


def make_engine(module: Any, machine: Any) -> Any:
    """An engine that places the code and the data of an object in one block.

    Code reaches its data within 2 GiB.  LLVM's own placement maps them one by one, and where a long
    process has left no room nearby they come to lie further apart, at which it ends the process.
    """
    return llvm.create_mcjit_compiler(module, machine, use_lmm=True)


def load(body: bytes, symbols: Sequence[str]) -> LoadedObject:
    """Place an object in memory and find its entries."""
    initialise()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        opt=0, reloc="pic", codemodel="small"
    )
    engine = make_engine(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(body))
    engine.finalize_object()
    addresses = tuple(int(engine.get_function_address(s)) for s in symbols)
    if not all(addresses):
        missing = symbols[addresses.index(0)]
        raise InternalError(f"llvm: the object does not define {missing}")
    return LoadedObject(engine, addresses)
