"""One entry point of an artefact: its interface, its description, and its part of the module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..codegen.llvm import contract, shipped
from ..codegen.llvm.platform import Platform
from ..codegen.llvm.selftest import Selftest
from ..codegen.llvm.target import LLVMTarget
from ..codegen.target import find_target
from ..kernel import dims
from ..kernel.dims import DimVar
from ..passes.infer_types import InferTypes
from .budgets import check_flops, check_workspace
from .compiled import Compiled
from .describe import describe, flops_by_node, total_flops
from .entry_tests import entry_of
from .header import header_text
from .model_hash import model_hash
from .request import Request
from .rules import rules_of
from .selftest import make_selftest, plan_selftest
from .signature import Signature
from .weights import Block, layout_digest

ALONE = "Compiled for one thread: context.parallel_for and context.threads are not used."


class EntryPoint:
    """A function of the object with everything that belongs to it.

    home    what the symbols of the whole object begin with
    block   the weights of the whole object
    starts  where in the block those of each version begin
    known_hash  the model's, where it is not that of the request
    """

    def __init__(
        self,
        request: Request,
        versions: Sequence[Compiled],
        signature: Signature,
        platform: Platform,
        home: str,
        block: Block,
        starts: Sequence[int],
        known_hash: str | None = None,
    ) -> None:
        self.request = request
        self.versions = versions
        self.program = versions[-1].program
        self.signature = signature
        self.platform = platform
        self.machine = versions[-1].machine
        self.home = home
        self.rules = rules_of(signature, request.weights)
        self.block, self.digest = block.data, block.digest
        self.whole = block
        self.starts = starts
        self.hash = self._hash() if known_hash is None else known_hash
        typed = InferTypes(request.shapes, request.dtypes, request.params).run(request.graph)
        self.work = flops_by_node(typed)
        check_workspace(request.budgets, signature, self.program)
        check_flops(request.budgets, signature, self.work)
        if request.selftest:
            request.progress("self-test")
        self.selftest = self._selftest() if request.selftest else None
        self.description = self._description()

    def _selftest(self) -> tuple[contract.Version, Selftest]:
        """The version that fits every call, with checksums."""
        last, target = self.versions[-1], find_target("llvm")
        assert isinstance(target, LLVMTarget)
        plan = plan_selftest(last.program, self.signature)
        text = target.emit(plan.program, last.options, self.request.alone)
        layout = target.layout(plan.program, last.options, self.request.alone)
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
            digest=self.digest,
            machine=made_for,
            flops=total_flops(self.work),
            work=self.versions[-1].layout.work,
            selftest=None if self.selftest is None else self.selftest[1].nbytes,
            settings={"level": request.options.level, "training": request.training},
        )

    def text(self, description: bytes, support: tuple[str, ...], is_first: bool) -> str:
        """Its module; the first entry's brings along what all of them need."""
        entry = entry_of(
            self.signature,
            self.program,
            self.rules,
            self.request.weights,
            self.platform,
            description,
            layout_digest(self.signature),
            self.digest,
            support,
            self.selftest,
            self.home,
            is_first,
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

    def header(self, stack: dict[str, Any]) -> str:
        """Its C header."""
        return header_text(
            self.signature,
            self.rules,
            model_hash=self.hash,
            weights=self.request.weights,
            selftest=None if self.selftest is None else self.selftest[1].nbytes,
            stack=stack,
            description=ALONE if self.request.alone else "",
            pointer_bytes=self.platform.pointer_bits // 8,
        )
