"""Innermost loops of machine code: how many multiplications they do, and what they spill.

Read off the assembly as LLVM prints it, whose remarks on registers that are kept on the stack are
the same for every processor.  A loop is what a jump back goes around; it is an innermost one when
no other jump back lies inside.  Registers of fewer than 16 bytes are not counted: those hold
addresses and counters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import llvmlite.binding as llvm

from .cache import load_object, object_key, store_object
from .machine import Machine, initialise, initialise_all, target_machine

METHOD = 1
"""Counts the ways of counting: results of an older one are not taken from the cache."""

VECTOR_NBYTES = 16

_LABEL = re.compile(r"^(\.L\w+):")
_JUMP = re.compile(r"^\s+(?:j\w+|b|b\.\w+|cbn?z|tbn?z|b(?:eq|ne|lt|ge|ltu|geu))\s.*?(\.L\w+)\s*$")
_SPILL = re.compile(r"(\d+)-byte (?:Folded )?(?:Spill|Reload)")
_MULTIPLY = re.compile(r"^\s+(?:v?mulp[sd]|vfn?m(?:add|sub)\w*|fml[as]|fmul|vml[as]|vmul)\b")
_REMARK = re.compile(r"\s*(?:#|//|@ ).*$")


@dataclass(frozen=True, slots=True)
class InnerLoops:
    """Vector registers stored and reloaded, and multiplications, in all innermost loops that have
    any; instructions of those loops."""

    spills: int
    multiplies: int
    instructions: int

    @property
    def rate(self) -> tuple[float, float]:
        """Spills, and instructions, for one multiplication."""
        count = max(1, self.multiplies)
        return self.spills / count, self.instructions / count


def inner_loops(text: str, machine: Machine, cache: str | None = None) -> InnerLoops:
    """Those of a module's machine code; what was counted before is kept with compiled objects."""
    key = object_key(text, f"{machine.key} inner loops {METHOD}")
    known = load_object(cache, key)
    if known is not None:
        return InnerLoops(*map(int, known.split()))
    initialise()
    initialise_all()
    target = target_machine(machine)
    target.set_asm_verbosity(True)
    found = count(target.emit_assembly(llvm.parse_assembly(text)))
    body = f"{found.spills} {found.multiplies} {found.instructions}"
    store_object(cache, key, body.encode())
    return found


def count(assembly: str) -> InnerLoops:
    """The sums over the innermost loops of an assembly text."""
    lines = assembly.splitlines()
    spilled = multiplied = total = 0
    for start, end in _innermost(lines):
        loop = lines[start : end + 1]
        multiplies = sum(_MULTIPLY.match(line) is not None for line in loop)
        if multiplies == 0:
            continue
        multiplied += multiplies
        spilled += sum(_is_spill(line) for line in loop)
        total += sum(line.startswith("\t") and not line.startswith("\t.") for line in loop)
    return InnerLoops(spilled, multiplied, total)


def _is_spill(line: str) -> bool:
    found = _SPILL.search(line)
    return found is not None and int(found[1]) >= VECTOR_NBYTES


def _innermost(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """First and last line of each loop without another one inside."""
    places: dict[str, int] = {}
    loops: list[tuple[int, int]] = []
    for number, line in enumerate(lines):
        label = _LABEL.match(line)
        if label is not None:
            places[label[1]] = number
            continue
        jump = _JUMP.match(_REMARK.sub("", line))
        if jump is not None and jump[1] in places:
            loops.append((places[jump[1]], number))
    for start, end in loops:
        if not any(start <= a and b <= end and (a, b) != (start, end) for a, b in loops):
            yield start, end
