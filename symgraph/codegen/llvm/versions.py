"""Several versions of one program in one object, for the levels of x86-64, chosen at run time.

Each version is a module of its own; here their symbols are kept apart and every function is told
its processor.  What the processor can do is found out by 192 bytes of machine code, put in front of
a function as prologue data: inline assembly would need an assembler for x86-64 wherever objects are
made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from .machine import Machine
from .platform import X86_LEVELS

LEVELS = {name: number for number, name in enumerate(X86_LEVELS, start=1)}
"""1 is the baseline."""

LEVEL_SOURCE = """
    push rbx
    xor eax, eax
    xor ecx, ecx
    cpuid
    mov r8d, eax            # the highest leaf
    mov eax, 1
    xor ecx, ecx
    cpuid
    mov r9d, ecx
    mov r10d, 1             # the level found so far
    and ecx, 0x00982201     # SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT
    cmp ecx, 0x00982201
    jne done
    mov r10d, 2
    mov ecx, r9d
    and ecx, 0x38401000     # FMA MOVBE OSXSAVE AVX F16C
    cmp ecx, 0x38401000
    jne done
    cmp r8d, 7
    jb done
    xor ecx, ecx
    xgetbv
    mov r11d, eax           # the registers that the system saves
    and eax, 6
    cmp eax, 6
    jne done
    mov eax, 0x80000001
    xor ecx, ecx
    cpuid
    test ecx, 0x20          # LZCNT
    jz done
    mov eax, 7
    xor ecx, ecx
    cpuid
    mov ecx, ebx
    and ebx, 0x128          # BMI1 AVX2 BMI2
    cmp ebx, 0x128
    jne done
    mov r10d, 3
    and r11d, 0xe6
    cmp r11d, 0xe6
    jne done
    and ecx, 0xd0030000     # AVX512 F DQ CD BW VL
    cmp ecx, 0xd0030000
    jne done
    mov r10d, 4
done:
    mov eax, r10d
    pop rbx
    ret
"""
"""Returns the level in eax; keeps what both the System V and the Windows convention want kept."""

LEVEL_CODE = bytes.fromhex(
    "5331c031c90fa24189c0b80100000031c90fa24189c941ba0100000081e10122980081f9012298000f8581000000"
    "41ba020000004489c981e10010403881f900104038756a4183f807726431c90f01d04189c383e00683f8067554b8"
    "0100008031c90fa2f7c1200000007443b80700000031c90fa289d981e32801000081fb28010000752a41ba030000"
    "004181e3e60000004181fbe6000000751481e1000003d081f9000003d0750641ba040000004489d05bc3"
)


def level_of(machine: Machine) -> int:
    """The highest level of x86-64 that a machine has in full; 0 for other architectures."""
    if not machine.triple.startswith("x86_64"):
        return 0
    if machine.cpu in LEVELS:
        return LEVELS[machine.cpu]
    own = set(machine.features)
    return max(number for name, number in LEVELS.items() if set(X86_LEVELS[name]) <= own)


def level_text(prefix: str) -> str:
    """`int32_t NAME_isa(void)`: the level of the processor it runs on.

    The processor is asked once: asking traps on virtual machines.  Threads that ask at the same
    time write the same answer.
    """
    data = ", ".join(f"i8 {byte}" for byte in LEVEL_CODE)
    type = "<{ " + ", ".join(["i8"] * len(LEVEL_CODE)) + " }>"
    return f"""\
@{prefix}_isa_known = internal global i32 0

define internal i32 @{prefix}_isa_ask() nounwind noinline prologue {type} <{{ {data} }}> {{
  ret i32 1
}}

define i32 @{prefix}_isa() nounwind noinline {{
  %known = load atomic i32, ptr @{prefix}_isa_known monotonic, align 4
  %is.known = icmp ne i32 %known, 0
  br i1 %is.known, label %done, label %ask
ask:
  %found = call i32 @{prefix}_isa_ask()
  store atomic i32 %found, ptr @{prefix}_isa_known monotonic, align 4
  ret i32 %found
done:
  ret i32 %known
}}
"""


_DEFINED = re.compile(r"^(?:define [^@\n]*)?@([\w.$]+)(?: =|\()", re.MULTILINE)


def join_versions(texts: Sequence[tuple[str, Machine]], with_processors: bool) -> str:
    """One module of several; every symbol of version number n begins with `vn.`.

    `with_processors` tells each function its processor, where they differ.
    """
    header, parts, declared = "", [], dict[str, None]()
    for number, (text, machine) in enumerate(texts, start=1):
        own, lines = set(_DEFINED.findall(text)), []
        for line in text.splitlines():
            if line.startswith("declare "):
                declared[line] = None
            elif line.startswith(("target triple", "%sg_context")):
                header += "" if line in header else f"{line}\n"
            else:
                lines.append(line)
        body = _renamed("\n".join(lines), own, f"v{number}.")
        parts.append(_with_processor(body, machine) if with_processors else body)
    return "\n".join([header, *parts, *declared, ""])


def join_entries(texts: Sequence[tuple[str, str]]) -> str:
    """One module of those of several entries, each with what its exported symbols begin with.

    The other symbols of entry number n, from the second on, begin with `en.`; the weights and the
    functions that the processor lacks are the first one's.
    """
    if len(texts) == 1:
        return texts[0][0]
    header, parts, declared = dict[str, None](), [], dict[str, None]()
    for number, (text, prefix) in enumerate(texts, start=1):
        own = {s for s in _DEFINED.findall(text) if not s.startswith(f"{prefix}_")}
        lines = []
        for line in text.splitlines():
            if line.startswith("declare "):
                declared[line] = None
            elif line.startswith(("target triple", "%sg_context")):
                header[line] = None
            else:
                lines.append(line)
        body = "\n".join(lines)
        parts.append(body if number == 1 else _renamed(body, own, f"e{number}."))
    return "\n".join([*header, *parts, *declared, ""])


def version_symbol(symbol: str, number: int) -> str:
    """A symbol of version `number`, counted from 1."""
    return f"v{number}.{symbol}"


def _renamed(text: str, names: Iterable[str], prefix: str) -> str:
    own = frozenset(names)

    def new(match: re.Match[str]) -> str:
        name = match.group(1)
        return f"@{prefix}{name}" if name in own else match.group(0)

    return re.sub(r"@([\w.$]+)", new, text)


def _with_processor(text: str, machine: Machine) -> str:
    attributes = f'"target-cpu"="{machine.cpu}" "target-features"="{machine.feature_text}"'
    return re.sub(r"^(define .*) \{$", rf"\1 {attributes} {{", text, flags=re.MULTILINE)
