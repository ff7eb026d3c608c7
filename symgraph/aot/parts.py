"""The files of one artefact, made one after the other in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from ..codegen.llvm import shipped
from ..codegen.llvm.machine import Machine, machine
from ..codegen.llvm.objects import compile_object
from ..codegen.llvm.platform import Platform
from ..codegen.llvm.stack import stack_use
from ..codegen.llvm.support import FUNCTIONS as SUPPORT
from ..codegen.llvm.versions import join_entries
from ..errors import TargetError
from ..files import Content
from . import description as sealed
from .archive import write_archive
from .budgets import check_stack, check_text
from .describe import describe_stack
from .entry_point import EntryPoint
from .header_entries import entries_header
from .header_state import state_header, state_of
from .kinds import ADAPTERS
from .object_file import read_object
from .pack_entry import pack_header, weights_functions
from .packaging import (
    adapter_files,
    cmake_config,
    cpp_header,
    entries_stub,
    pkg_config,
)
from .shared_library import link_shared
from .weights import weights_file
from .wheel import wheel, wheel_name


class Parts:
    """The files of one artefact, made one after the other.

    `entries` are its functions by name; an artefact with one function calls it "run".  `pack` is
    the one that packs parameters into weights.
    """

    def __init__(
        self, entries: dict[str, EntryPoint], prefix: str, pack: EntryPoint | None = None
    ) -> None:
        self.entries = entries
        self.pack = pack
        self.prefix = prefix
        first = next(iter(entries.values()))
        self.request, self.platform = first.request, first.platform
        self.signature, self.block = first.signature, first.block
        self.description = self._description()
        self.request.progress("machine code")
        self.object = self._object()
        found = read_object(self.object)
        check_text(self.request.budgets, found.code_nbytes, found.functions)
        check_stack(self.request.budgets, self.description["stack"])

    def _description(self) -> dict[str, Any]:
        """That of the only entry; of several, that of the first one and all of them by name."""
        rows = {name: entry.description for name, entry in self.entries.items()}
        first = next(iter(rows.values()))
        pack = {} if self.pack is None else {"pack": self.pack.description}
        if len(rows) == 1:
            return {**first, **pack}
        hashes = "".join(row["model_hash"] for row in rows.values()).encode()
        whole = {"prefix": self.prefix, "model_hash": hashlib.sha256(hashes).hexdigest()}
        return {**first, **whole, "entries": rows, **pack}

    @property
    def symbols(self) -> tuple[str, ...]:
        """Every exported function."""
        rows = [entry.description["symbols"].values() for entry in self._every]
        checks = self.request.weights != "embedded" and self.block
        more = (f"{self.prefix}_check_weights", f"{self.prefix}_hash") if checks else ()
        return (*(symbol for row in rows for symbol in row), *more)

    @property
    def _every(self) -> tuple[EntryPoint, ...]:
        """The entries, and the one that packs."""
        return (*self.entries.values(), *([] if self.pack is None else [self.pack]))

    def _object(self) -> bytes:
        """Compiled, with the weights put in, described and sealed; nothing in it is undefined."""
        is_wasm = self.platform.format == "wasm"
        support: tuple[str, ...] = ()
        while True:
            self.description["stack"] = self._stack(support)
            encoded = sealed.encode(self.description)
            text = self._text(b"" if is_wasm else encoded, support)
            body = compile_object(text, self._least_machine(), self.request.options.cache)
            missing = read_object(body).undefined
            if not missing:
                break
            # What the library of a C compiler would give, the object brings along.
            refuse_undefined(missing, self.platform, self._least_machine().cpu)
            support = (*support, *missing)
        if self.request.weights == "embedded" and self.block:
            body = shipped.with_weights(body, self.prefix, self.block)
        if self.pack is not None and self.pack.block:
            body = shipped.with_weights(body, self.pack.home, self.pack.block)
        if is_wasm:
            body = sealed.with_custom_section(body, encoded)
        return sealed.seal(body)

    def _stack(self, support: tuple[str, ...]) -> dict[str, Any]:
        """What the exported functions take from the caller's stack."""
        tests = frozenset(f"{e.signature.prefix}_selftest" for e in self.entries.values())
        text, machine = self._text(b"", support), self._least_machine()
        return describe_stack(
            tests, stack_use(text, machine, self.symbols, self.request.options.cache)
        )

    def _text(self, description: bytes, support: tuple[str, ...]) -> str:
        """The module of the object."""
        parts = []
        for number, entry in enumerate(self._every):
            own = (description, support) if number == 0 else (b"", ())
            has_weights = number == 0 or entry is self.pack
            parts.append((entry.text(*own, has_weights), entry.signature.prefix))
        return join_entries(parts)

    def _least_machine(self) -> Machine:
        """What the entries are compiled for: they must run, and refuse, on any processor."""
        first = next(iter(self.entries.values()))
        if first.signature.asks_processor:
            return machine("x86-64", self.request.platform)
        return first.machine

    def full_description(self) -> dict[str, Any]:
        """With what is known of the object only when it is made."""
        found = {
            "nbytes": len(self.object),
            "code_nbytes": read_object(self.object).code_nbytes,
            "sha256": hashlib.sha256(self.object).hexdigest(),
        }
        return {**self.description, "object": found}

    def files(self) -> dict[str, tuple[str, Content]]:
        """The name and the content of each file by its kind."""
        name, first = self.request.path.name, next(iter(self.entries.values()))
        library = f"{name}.a" if "a" in self.request.emit else f"{name}.o"
        texts: dict[str, tuple[str, Callable[[], str]]] = {
            "h": (f"{name}.h", self._header),
            "json": (f"{name}.json", self._json),
            "hpp": (f"{name}.hpp", lambda: self._cpp_header(f"{name}.h")),
            "pc": (f"{name}.pc", lambda: pkg_config(self.prefix, name, library)),
            "cmake": (f"{name}-config.cmake", lambda: cmake_config(name, library)),
            "pyi": (f"{name}.pyi", self._stub),
        }
        objects: dict[str, Callable[[], bytes]] = {
            "o": lambda: self.object,
            "a": self._archive,
            "so": self._shared,
        }
        made: dict[str, tuple[str, Content]] = {}
        for kind in self.request.emit:
            if kind in ("so", "whl"):
                self.request.progress("shared library")
            if kind in ADAPTERS:
                made |= {file: (file, data) for file, data in adapter_files(kind).items()}
            elif kind == "whl":
                made[kind] = (wheel_name(self.prefix, self.platform.name), self._wheel())
            elif kind in texts:
                file, make = texts[kind]
                made[kind] = (file, make().encode())
            else:
                made[kind] = (f"{name}.{kind}", objects[kind]())
        if self.request.weights == "file":
            made["weights"] = (f"{name}.weights", weights_file(self.signature, first.whole))
        return made

    def _header(self) -> str:
        stack = self.description["stack"]
        parts = [entry.header(stack) for entry in self.entries.values()]
        signatures = [entry.signature for entry in self.entries.values()]
        states = [state_of(e.request, e.signature) for e in self.entries.values()]
        shared = entries_header(self.prefix, signatures)
        pointer = self.platform.pointer_bits // 8
        state = state_header(self.prefix, signatures, states, pointer)
        return "\n".join([*parts, *shared, *state, *self._weights_header(stack)])

    def _weights_header(self, stack: dict[str, Any]) -> list[str]:
        """What packs and checks the weights, where they are not in the object."""
        if self.pack is None:
            return []
        kind, pack = self.request.weights, self.pack
        functions = weights_functions(self.prefix, kind)
        packing = pack_header(self.prefix, self.signature, pack.signature, kind)
        return [*functions, pack.header(stack), *packing]

    def _cpp_header(self, header: str) -> str:
        return "\n".join(cpp_header(e.signature, header) for e in self.entries.values())

    def _stub(self) -> str:
        return entries_stub({name: e.signature for name, e in self.entries.items()})

    def _json(self) -> str:
        return json.dumps(self.full_description(), indent=1) + "\n"

    def _shared(self) -> bytes:
        return sealed.seal(link_shared(self.object, self.request.path.name))

    def _wheel(self) -> bytes:
        model_hash = self.description["model_hash"]
        platform, shared = self.platform.name, self._shared()
        return wheel(self.prefix, platform, shared, self._json(), self._stub(), model_hash)

    def _archive(self) -> bytes:
        name = f"{self.prefix}.o"
        mark = "_" if self.platform.format == "macho" else ""
        symbols = [f"{mark}{s}" for s in self.symbols]
        return write_archive(
            {name: self.object}, {name: symbols}, bsd=self.platform.format == "macho"
        )


def refuse_undefined(names: Sequence[str], platform: Platform, cpu: str) -> None:
    """Raises: TargetError for a function that the object would need and cannot bring along."""
    unknown = [name for name in names if name not in SUPPORT]
    if unknown:
        raise TargetError(
            f"export: {platform.name} with {cpu} has no instructions for something this model "
            f"does, and would call {', '.join(unknown)}; use another cpu, or float32 where the "
            f"model uses float64"
        )
