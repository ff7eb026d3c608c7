"""The machine that code is made for: its name, features, vector width and registers.

Owns: the translation of `Options.cpu` and of the host into facts that schedules may ask for, and
the creation of LLVM's target machine.  Schedules depend on these facts alone, never on timing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import llvmlite.binding as llvm

from ...errors import TargetError
from .platform import X86_LEVELS, Platform, find_platform
from .vector_math import MathFeatures, features_of

STACK_LIMIT = 16 * 1024
"""Bytes of private scratch that one buffer may take on the stack."""
WINDOWS_STACK_LIMIT = 512
"""The same on Windows, where a function of a page or more calls a helper of the C library."""


@dataclass(frozen=True, slots=True)
class Machine:
    """`vector_bytes` is the widest register, `registers` how many of them there are.

    `masked` says that masked loads and stores are single instructions; `ordered_sums` that sums are
    added one after the other, so that their order never depends on what a schedule prefers;
    `flushes` that denormal numbers are taken for zero where the processor can.
    """

    triple: str
    cpu: str
    features: tuple[str, ...]
    vector_bytes: int
    registers: int
    masked: bool
    fma: bool
    half: bool
    math: MathFeatures
    abi: str = ""
    ordered_sums: bool = False
    flushes: bool = False

    def lanes(self, nbytes: int) -> int:
        """Elements of that size in one register."""
        return max(1, self.vector_bytes // nbytes)

    @property
    def is_arm32(self) -> bool:
        return self.triple.startswith(("arm", "thumb")) and not self.triple.startswith("arm64")

    @property
    def stack_limit(self) -> int:
        return WINDOWS_STACK_LIMIT if "windows" in self.triple else STACK_LIMIT

    @property
    def feature_text(self) -> str:
        return ",".join(n if n.startswith("-") else f"+{n}" for n in self.features)

    @property
    def key(self) -> str:
        """What the machine code depends on besides the text."""
        made = f"{self.relocation}|llvm{llvm.llvm_version_info}"
        return f"{self.triple}|{self.cpu}|{self.feature_text}|{self.abi}|{made}"

    @property
    def relocation(self) -> str:
        """WebAssembly modules have no addresses of their own to be independent of."""
        return "static" if self.triple.startswith("wasm") else "pic"


@cache
def initialise() -> None:
    """Prepare LLVM's native back end, once."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


@cache
def initialise_all() -> None:
    """Prepare every back end that this LLVM has, once."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@cache
def machine(cpu: str | None, platform: str | None = None) -> Machine:
    """The machine called `cpu` on a platform; None is this one.

    Raises: TargetError for an unknown name.
    """
    if platform not in (None, "native"):
        assert platform is not None
        return foreign_machine(find_platform(platform), cpu)
    initialise()
    triple = str(llvm.get_process_triple())
    if cpu is None or cpu == "host":
        host = llvm.get_host_cpu_features()
        features = tuple(sorted(name for name, on in host.items() if on))
        return _describe(triple, str(llvm.get_host_cpu_name()), features)
    if cpu in X86_LEVELS and triple.startswith("x86_64"):
        return _describe(triple, cpu, X86_LEVELS[cpu])
    levels = tuple(X86_LEVELS) if triple.startswith("x86_64") else ()
    raise TargetError(f"llvm: unknown cpu {cpu!r}; known are {', '.join(('host', *levels))}")


def foreign_machine(platform: Platform, cpu: str | None) -> Machine:
    """A machine of the table; never this one's own features, so that objects are the same
    wherever they are made."""
    initialise_all()
    chosen = platform.default_cpu if cpu is None else cpu
    return _describe(platform.triple, chosen, platform.features(chosen), platform.abi)


def strict_machine(real: Machine) -> Machine:
    """The machine as if it had what every machine has: then schedules and emitted text are the
    same everywhere, and LLVM only translates them.

    Fused multiply-add rounds once where others round twice; the vector unit of 32-bit ARM takes
    denormal numbers for zero: neither is used.
    """
    without = tuple("-neon" if f == "neon" else f for f in real.features)
    features = without if real.is_arm32 else real.features
    return replace(
        real,
        features=features,
        vector_bytes=32,
        registers=16,
        masked=False,
        fma=False,
        half=False,
        math=MathFeatures(),
        ordered_sums=True,
    )


def _describe(triple: str, cpu: str, features: tuple[str, ...], abi: str = "") -> Machine:
    architecture = triple.split("-")[0]
    math = features_of(architecture, features)
    if architecture == "x86_64":
        wide = {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= set(features)
        size, registers = (64, 32) if wide else (32, 16) if "avx2" in features else (16, 16)
        half = "f16c" in features
        return Machine(triple, cpu, features, size, registers, size > 16, math.fma, half, math, abi)
    arm = architecture in ("aarch64", "arm64")
    return Machine(triple, cpu, features, 16, 32, False, math.fma, arm, math, abi)


def target_machine(chosen: Machine) -> Any:
    """LLVM's code generator for it: position independent, small code model."""
    target = llvm.Target.from_triple(chosen.triple)
    options = {"abiname": chosen.abi} if chosen.abi else {}
    return target.create_target_machine(
        cpu=chosen.cpu,
        features=chosen.feature_text,
        opt=2,
        reloc=chosen.relocation,
        codemodel="small" if chosen.relocation == "pic" else "default",
        **options,
    )
