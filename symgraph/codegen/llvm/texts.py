"""Constant strings in LLVM IR, without relocations."""

from __future__ import annotations

from collections.abc import Sequence


def string_table(name: str, texts: Sequence[str]) -> str:
    """Strings one after the other, and `ptr @NAME_text(i32)` that finds one."""
    encoded = [text.encode() + b"\0" for text in texts]
    offsets, position = [], 0
    for text in encoded:
        offsets.append(position)
        position += len(text)
    table = ", ".join(f"i32 {offset}" for offset in offsets)
    return f"""\
@{name}_texts = internal constant [{position} x i8] c"{escaped(b"".join(encoded))}"
@{name}_offsets = internal constant [{len(offsets)} x i32] [{table}]

define internal ptr @{name}_text(i32 %row) nounwind noinline {{
  %entry = getelementptr [{len(offsets)} x i32], ptr @{name}_offsets, i32 0, i32 %row
  %offset = load i32, ptr %entry
  %text = getelementptr i8, ptr @{name}_texts, i32 %offset
  ret ptr %text
}}
"""


def escaped(data: bytes) -> str:
    """Bytes inside a string of LLVM IR."""
    return "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:02X}" for b in data)
