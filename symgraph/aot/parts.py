"""The files of one artefact, made one after the other in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from ..codegen.llvm import contract, shipped
from ..codegen.llvm.machine import Machine, machine
from ..codegen.llvm.objects import compile_object
from ..codegen.llvm.platform import Platform
from ..codegen.llvm.selftest import Selftest
from ..codegen.llvm.stack import stack_use
from ..codegen.llvm.support import FUNCTIONS as SUPPORT
from ..codegen.llvm.target import LLVMTarget
from ..codegen.target import find_target
from ..errors import TargetError
from ..kernel import dims
from ..kernel.dims import DimVar
from ..passes.infer_types import InferTypes
from . import description as sealed
from .archive import write_archive
from .budgets import check_flops, check_stack, check_text, check_workspace
from .compiled import Compiled
from .describe import describe, describe_stack, flops_by_node, total_flops
from .entry_tests import entry_of
from .header import header_text
from .kinds import ADAPTERS
from .model_hash import model_hash
from .object_file import read_object
from .packaging import (
    adapter_files,
    cmake_config,
    cpp_header,
    pkg_config,
    stub,
)
from .request import Request
from .rules import rules_of
from .selftest import make_selftest, plan_selftest
from .shared_library import link_shared
from .signature import Signature
from .weights import Block, layout_digest, weights_file
from .wheel import wheel, wheel_name


class Parts:
    """The files of one artefact, made one after the other."""

    def __init__(
        self,
        request: Request,
        versions: Sequence[Compiled],
        signature: Signature,
        platform: Platform,
        block: Block,
    ) -> None:
        self.request = request
        self.versions = versions
        self.program = versions[-1].program
        self.signature = signature
        self.platform = platform
        self.machine = versions[-1].machine
        self.rules = rules_of(signature, request.weights)
        self.block = block.data
        self.starts = block.starts
        self.hash = self._hash()
        typed = InferTypes(request.shapes, request.dtypes, request.params).run(request.graph)
        self.work = flops_by_node(typed)
        check_workspace(request.budgets, signature, self.program)
        check_flops(request.budgets, signature, self.work)
        if request.selftest:
            request.progress("self-test")
        self.selftest = self._selftest() if request.selftest else None
        self.description = self._description()
        request.progress("machine code")
        self.object = self._object()
        found = read_object(self.object)
        check_text(request.budgets, found.code_nbytes, found.functions)
        check_stack(request.budgets, self.description["stack"])

    def _selftest(self) -> tuple[contract.Version, Selftest]:
        """The version that fits every call, with checksums."""
        last, target = self.versions[-1], find_target("llvm")
        assert isinstance(target, LLVMTarget)
        plan = plan_selftest(last.program, self.signature)
        text = target.emit(plan.program, last.options)
        layout = target.layout(plan.program)
        needed = dims.add(layout.workspace.nbytes(0), layout.workspace.own)
        env = {DimVar(name): value for name, value in plan.extents.items()}
        nbytes = int(dims.evaluate(needed, env))
        test = make_selftest(plan, nbytes, f"{self.signature.prefix}_run_selftest")
        version = contract.Version(
            last.level, text, layout.symbols[0], last.machine, self.starts[-1]
        )
        return version, test

    def _hash(self) -> str:
        request = self.request
        known = {request.graph.names[n] for n in request.graph.variables}
        arrays = {name: value for name, value in request.params.items() if name in known}
        settings = {
            "shapes": dict(request.shapes),
            "dtypes": dict(request.dtypes),
            "training": request.training,
        }
        return model_hash(request.graph, arrays, settings)

    def _description(self) -> dict[str, Any]:
        request = self.request
        made_for = {
            "platform": self.platform.name,
            "triple": self.machine.triple,
            "architecture": self.platform.object_architecture,
            "cpu": self.machine.cpu,
            "features": list(self.machine.features),
            "versions": list(dict.fromkeys(v.machine.cpu for v in self.versions)),
            "specialised": [dict(e) for e in self.request.special_extents()],
            "pointer_bits": self.platform.pointer_bits,
        }
        return describe(
            self.signature,
            self.rules,
            self.program,
            model_hash=self.hash,
            weights=request.weights,
            block=self.block,
            machine=made_for,
            flops=total_flops(self.work),
            work=self.versions[-1].layout.work,
            selftest=None if self.selftest is None else self.selftest[1].nbytes,
            settings={"level": request.options.level, "training": request.training},
        )

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
            refuse_undefined(missing, self.platform, self.machine.cpu)
            support = (*support, *missing)
        if self.request.weights == "embedded" and self.block:
            body = shipped.with_weights(body, self.signature.prefix, self.block)
        if is_wasm:
            body = sealed.with_custom_section(body, encoded)
        return sealed.seal(body)

    def _stack(self, support: tuple[str, ...]) -> dict[str, Any]:
        """What the exported functions take from the caller's stack."""
        prefix, roots = self.signature.prefix, tuple(self.description["symbols"].values())
        text, machine = self._text(b"", support), self._least_machine()
        return describe_stack(prefix, stack_use(text, machine, roots, self.request.options.cache))

    def _text(self, description: bytes, support: tuple[str, ...]) -> str:
        """The module of the object."""
        entry = entry_of(
            self.signature,
            self.program,
            self.rules,
            self.request.weights,
            self.platform,
            description,
            layout_digest(self.signature),
            hashlib.sha256(self.block).digest(),
            support,
            self.selftest,
        )
        versions = [
            contract.Version(
                v.level,
                v.text,
                v.layout.symbols[0],
                v.machine,
                start,
                tuple((DimVar(name), value) for name, value in v.extents.items()),
            )
            for v, start in zip(self.versions, self.starts, strict=True)
        ]
        return shipped.shipped_text(versions, entry)

    def _least_machine(self) -> Machine:
        """What the entry is compiled for: it must run, and refuse, on any processor."""
        if self.signature.asks_processor:
            return machine("x86-64", self.request.platform)
        return self.machine

    def full_description(self) -> dict[str, Any]:
        """With what is known of the object only when it is made."""
        found = {
            "nbytes": len(self.object),
            "code_nbytes": read_object(self.object).code_nbytes,
            "sha256": hashlib.sha256(self.object).hexdigest(),
        }
        return {**self.description, "object": found}

    def files(self) -> dict[str, tuple[str, bytes]]:
        """The name and the content of each file by its kind."""
        name = self.request.path.name
        library = f"{name}.a" if "a" in self.request.emit else f"{name}.o"
        texts: dict[str, tuple[str, Callable[[], str]]] = {
            "h": (f"{name}.h", self._header),
            "json": (f"{name}.json", self._json),
            "hpp": (f"{name}.hpp", lambda: cpp_header(self.signature, f"{name}.h")),
            "pc": (f"{name}.pc", lambda: pkg_config(self.signature, name, library)),
            "cmake": (
                f"{name}-config.cmake",
                lambda: cmake_config(self.signature, name, library),
            ),
            "pyi": (f"{name}.pyi", lambda: stub(self.signature)),
        }
        objects: dict[str, Callable[[], bytes]] = {
            "o": lambda: self.object,
            "a": self._archive,
            "so": self._shared,
        }
        made: dict[str, tuple[str, bytes]] = {}
        for kind in self.request.emit:
            if kind in ("so", "whl"):
                self.request.progress("shared library")
            if kind in ADAPTERS:
                made |= {file: (file, data) for file, data in adapter_files(kind).items()}
            elif kind == "whl":
                made[kind] = (wheel_name(self.signature.prefix, self.platform.name), self._wheel())
            elif kind in texts:
                file, make = texts[kind]
                made[kind] = (file, make().encode())
            else:
                made[kind] = (f"{name}.{kind}", objects[kind]())
        if self.request.weights == "file":
            made["weights"] = (f"{name}.weights", weights_file(self.signature, self.block))
        return made

    def _header(self) -> str:
        return header_text(
            self.signature,
            self.rules,
            model_hash=self.hash,
            weights=self.request.weights,
            selftest=None if self.selftest is None else self.selftest[1].nbytes,
            stack=self.description["stack"],
        )

    def _json(self) -> str:
        return json.dumps(self.full_description(), indent=1) + "\n"

    def _shared(self) -> bytes:
        return sealed.seal(link_shared(self.object, self.request.path.name))

    def _wheel(self) -> bytes:
        prefix, platform = self.signature.prefix, self.platform.name
        return wheel(
            prefix, platform, self._shared(), self._json(), stub(self.signature), self.hash
        )

    def _archive(self) -> bytes:
        name = f"{self.signature.prefix}.o"
        mark = "_" if self.platform.format == "macho" else ""
        symbols = [f"{mark}{s}" for s in self.description["symbols"].values()]
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
