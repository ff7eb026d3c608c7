"""Vector registers that machine code keeps on the stack, counted in the object itself.

A tile that needs more registers than there are is slow whatever its cost said: LLVM stores and
reloads accumulators in the innermost loop (where in a function, the bytes do not tell).  Counted
are instructions of AVX-512 (EVEX), AVX (VEX) and SSE with a vector operand at the stack pointer,
found by their first bytes as Intel's manual (volume 2, chapter 2) encodes them.  Functions of the
System V convention save no vector register, so each of these is a spill, or an array of a kernel
on the stack.  Other processors' objects are not looked at.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_MODRM = bytes(mode << 6 | register << 3 | 4 for mode in range(3) for register in range(8))
_STACK = b"[" + re.escape(_MODRM) + rb"]\x24"
"""An operand at the stack pointer, with or without an offset, beside any register."""

_ANY, _MOVES = rb"[\x00-\xff]", rb"[\x10\x11\x28\x29\x6f\x7f]"
_EVEX = rb"\x62[\x61-\x63\x71-\x73\xe1-\xe3\xf1-\xf3]" + _ANY * 3
_VEX2 = rb"\xc5" + _ANY + rb"[\x10\x11\x28\x29\x6f\x7f\x58\x59]"
_VEX3 = rb"\xc4[\xe1\xe2\x61\x62]" + _ANY + rb"[\x10\x11\x28\x29\x6f\x7f\x98\xa8\xb8]"
_SSE = rb"[\x40-\x4f]?\x0f" + _MOVES
_SPILL = re.compile(rb"(?:" + rb"|".join((_EVEX, _VEX2, _VEX3, _SSE)) + rb")" + _STACK, re.DOTALL)

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
PREFIX = "k_"
"""Of the functions that are kernels."""

X86_64 = 62
SYMBOL_TABLE, FUNCTION = 2, 2


def spills(body: bytes) -> dict[str, int]:
    """Vector operands on the stack of each kernel's phase that has any, in an ELF x86-64 object."""
    found: dict[str, int] = {}
    for name, code in _functions(body):
        count = sum(1 for _ in _SPILL.finditer(code))
        if count and name.startswith(PREFIX):
            found[name] = count
    return found


def _functions(body: bytes) -> Iterator[tuple[str, bytes]]:
    if len(body) < _HEADER.size or body[:5] != b"\x7fELF\x02":
        return
    header = _HEADER.unpack_from(body)
    machine, start, size, count = header[2], header[6], header[11], header[12]
    if machine != X86_64:
        return
    sections = [_SECTION.unpack_from(body, start + size * n) for n in range(count)]
    for _, kind, _, _, offset, length, link, _, _, entry in sections:
        if kind != SYMBOL_TABLE:
            continue
        names = sections[link][4]
        for at in range(offset, offset + length, entry):
            name, info, _, index, value, nbytes = _SYMBOL.unpack_from(body, at)
            if info & 15 == FUNCTION and 0 < index < count:
                begin = sections[index][4] + value
                end = body.index(b"\0", names + name)
                yield body[names + name : end].decode(), body[begin : begin + nbytes]
