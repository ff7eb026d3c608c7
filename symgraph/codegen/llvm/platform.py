"""The systems that objects can be made for: triple, processors, object format and its sections.

Knows no LLVM: it is a table, also read where code is only inspected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import TargetError

_V2 = ("sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cx16")
_V3 = (*_V2, "avx", "avx2", "fma", "f16c", "bmi", "bmi2", "lzcnt", "movbe")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
X86_LEVELS: Mapping[str, tuple[str, ...]] = {
    "x86-64": (),
    "x86-64-v2": _V2,
    "x86-64-v3": _V3,
    "x86-64-v4": _V4,
}
"""What each level of x86-64 promises; LLVM derives the same from the name."""


@dataclass(frozen=True, slots=True)
class Sections:
    """How a format names the sections of weights and of metadata."""

    weights: str
    metadata: str


SECTIONS: Mapping[str, Sections] = {
    "elf": Sections(".rodata.symgraph.weights", ".symgraph"),
    "coff": Sections(".rdata$sgw", ".symgrph"),
    "macho": Sections("__TEXT,__sgweights", "__DATA,__symgraph"),
    "wasm": Sections(".rodata.symgraph.weights", "symgraph"),
}


@dataclass(frozen=True, slots=True)
class Platform:
    """`cpus` gives the LLVM features of each processor by name; the first one is the default."""

    name: str
    triple: str
    format: str
    cpus: Mapping[str, tuple[str, ...]]
    pointer_bits: int = 64
    abi: str = ""

    @property
    def architecture(self) -> str:
        return self.triple.split("-")[0]

    @property
    def object_architecture(self) -> str:
        """As object files name it."""
        known = {"arm64": "aarch64", "armv7": "arm", "thumbv7em": "arm"}
        return known.get(self.architecture, self.architecture)

    @property
    def sections(self) -> Sections:
        return SECTIONS[self.format]

    @property
    def default_cpu(self) -> str:
        return next(iter(self.cpus))

    def features(self, cpu: str) -> tuple[str, ...]:
        """What a processor can do.  Raises: TargetError, listing the known ones."""
        if cpu in self.cpus:
            return self.cpus[cpu]
        known = ", ".join(self.cpus)
        raise TargetError(f"{self.name}: unknown cpu {cpu!r}; known are {known}")


_X86 = {"x86-64-v3": _V3, "x86-64": (), "x86-64-v2": _V2, "x86-64-v4": _V4}
_ARM64 = {
    "generic": ("neon", "fp-armv8"),
    "cortex-a53": ("neon", "fp-armv8", "crc"),
    "cortex-a72": ("neon", "fp-armv8", "crc"),
    "neoverse-n1": ("neon", "fp-armv8", "fullfp16", "dotprod", "lse"),
}
_RISCV = {"generic-rv64": ("m", "a", "f", "d", "c", "zicsr", "zifencei")}
_ARM7 = {"generic": ("v7", "vfp3", "neon", "thumb2"), "cortex-a15": ("v7", "vfp4", "neon")}
_CORTEX_M = {"cortex-m4": ("vfp4d16sp",), "cortex-m7": ("fp-armv8d16",)}
_WASM = {"generic": ("simd128",), "mvp": ()}

PLATFORMS: Mapping[str, Platform] = {
    p.name: p
    for p in (
        Platform("x86_64-linux", "x86_64-unknown-linux-gnu", "elf", _X86),
        # The GNU form needs no _fltused; its objects link with Microsoft's tools too.
        Platform("x86_64-windows", "x86_64-pc-windows-gnu", "coff", _X86),
        Platform("x86_64-macos", "x86_64-apple-macosx11.0.0", "macho", _X86),
        Platform("aarch64-linux", "aarch64-unknown-linux-gnu", "elf", _ARM64),
        Platform(
            "aarch64-macos",
            "arm64-apple-macosx11.0.0",
            "macho",
            {"apple-m1": ("neon", "fp-armv8", "fullfp16", "dotprod", "lse")},
        ),
        Platform("riscv64-linux", "riscv64-unknown-linux-gnu", "elf", _RISCV, abi="lp64d"),
        Platform("armv7-linux", "armv7-unknown-linux-gnueabihf", "elf", _ARM7, 32),
        # In full: LLVM takes the short form's "eabihf" for an operating system, and then passes
        # floats in integer registers.
        Platform("thumbv7em", "thumbv7em-unknown-none-eabihf", "elf", _CORTEX_M, 32),
        Platform("wasm32", "wasm32-unknown-unknown", "wasm", _WASM, 32),
    )
}


def find_platform(name: str) -> Platform:
    """The platform of that name.  Raises: TargetError, listing the known ones."""
    if name in PLATFORMS:
        return PLATFORMS[name]
    known = ", ".join(("native", *PLATFORMS))
    raise TargetError(f"unknown platform {name!r}; known are {known}")


def platform_of(triple: str) -> Platform:
    """The platform with that triple.  Raises: TargetError when this system is not in the table."""
    found = next((p for p in PLATFORMS.values() if p.triple == triple), None)
    if found is None:
        known = ", ".join(PLATFORMS)
        raise TargetError(f"no objects can be shipped for this system ({triple}), only: {known}")
    return found
