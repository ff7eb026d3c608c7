"""What one function takes from the stack, read from its assembly as LLVM prints it.

An upper bound: return address, saved registers, local variables, room for the arguments of calls,
alignment, and what lies below the stack pointer (the red zone).  None where an instruction changes
the stack pointer in a way that is not known here, as a dynamic allocation would.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


def frame_nbytes(lines: Sequence[str], triple: str) -> int | None:
    """The bytes of a function's frame; `lines` are those after its label."""
    architecture = triple.split("-")[0]
    if architecture == "x86_64":
        return _x86(lines)
    if architecture == "wasm32":
        return _wasm(lines)
    if architecture in ("aarch64", "arm64"):
        return _summed(lines, _AARCH64, _AARCH64_HARMLESS)
    if architecture == "riscv64":
        return _summed(lines, _RISCV, _RISCV_HARMLESS)
    return _summed(lines, _ARM, _ARM_HARMLESS)


# -- x86-64: pushes for arguments come and go, so depths follow the jumps ------------------------

_LABEL = re.compile(r"^([.\w$]+):")
_JUMP = re.compile(r"^j\w+\s+([.\w$]+)\s*$")
_X86_STEP = re.compile(r"^(push|pop|sub|add|and|lea|mov)q\s+(.*)$")
_BELOW = re.compile(r"-(\d+)\(%rsp\)")


def _x86(lines: Sequence[str]) -> int | None:
    """The greatest depth over all ways through the function, and the return address."""
    code = [line.split("#")[0].strip() for line in lines]
    at_label: dict[str, int] = {}
    most = 0
    while True:
        before = dict(at_label)
        depth: int | None = 0
        for line in code:
            label = _LABEL.match(line)
            if label is not None:
                if depth is None:
                    depth = at_label.get(label[1])
                elif at_label.get(label[1], -1) < depth:
                    at_label[label[1]] = depth
                else:
                    depth = at_label[label[1]]
                continue
            if depth is None or not line or line.startswith("."):
                continue
            change = _x86_change(line)
            if change is None:
                return None
            depth += change
            below = [int(n) for n in _BELOW.findall(line)]
            most = max(most, depth, *(depth + n for n in below))
            jump = _JUMP.match(line)
            if jump is not None and at_label.get(jump[1], -1) < depth:
                at_label[jump[1]] = depth
            if line.startswith(("jmp", "ret", "ud2")):
                depth = None
        if at_label == before:
            return most + 8
        if max(at_label.values()) > 1 << 24:  # grows with every round
            return None


def _x86_change(line: str) -> int | None:
    """By how much an instruction lowers the stack pointer."""
    step = _X86_STEP.match(line)
    if step is None:
        return None if re.search(r",\s*%[er]?sp$", line) and not line.startswith("cmp") else 0
    kind, operands = step[1], step[2]
    if kind in ("push", "pop"):
        return 8 if kind == "push" else -8
    if not operands.endswith("%rsp"):
        return 0
    number = re.match(r"\$(-?\d+), %rsp$", operands)
    if kind in ("sub", "add") and number is not None:
        return int(number[1]) if kind == "sub" else -int(number[1])
    if kind == "and" and number is not None:
        return -int(number[1]) - 8
    # The frame pointer brings back what the prologue had: no deeper than before.
    return 0 if "%rbp" in operands else None


# -- others: the prologue alone lowers the stack pointer ------------------------------------------

_Rules = Sequence[tuple[re.Pattern[str], int]]
"""A pattern and the bytes for each number, register or register pair that its group holds."""

_AARCH64: _Rules = (
    (re.compile(r"^sub\s+sp, sp, #(\d+)$"), 1),
    (re.compile(r"^sub\s+sp, sp, #(\d+), lsl #12$"), 4096),
    (re.compile(r"^sub\s+x\d+, sp, #(\d+)$"), 1),
    (re.compile(r"^sub\s+x\d+, sp, #(\d+), lsl #12$"), 4096),
    (re.compile(r"^st[rp]\s.*\[sp, #-(\d+)\]!$"), 1),
)
_AARCH64_HARMLESS = re.compile(
    r"^(add\s+sp, (sp|x29), #|sub\s+sp, x29, #|mov\s+sp, x29|and\s+sp, x\d+, #0x)"
)
_RISCV: _Rules = ((re.compile(r"^addi\s+sp, sp, -(\d+)$"), 1),)
_RISCV_HARMLESS = re.compile(r"^(addi\s+sp, (sp|s0), |andi\s+sp, sp, -|mv\s+sp, s0)")
_ARM: _Rules = (
    (re.compile(r"^push(?:\.w)?\s+\{(.*)\}$"), 4),
    (re.compile(r"^vpush\s+\{(.*)\}$"), 8),
    (re.compile(r"^str(?:\.w)?\s+\w+, \[sp, #-(\d+)\]!$"), 1),
    (re.compile(r"^subw?(?:\.w)?\s+sp, (?:sp, )?#(\d+)$"), 1),
    (re.compile(r"^subs?w?(?:\.w)?\s+r\d+, sp, #(\d+)$"), 1),
)
_ARM_HARMLESS = re.compile(
    r"^(add(\.w)?\s+sp, |sub(\.w|s)?\s+sp, (r11|r7), #|mov\s+sp, r|bfc\s+sp, |addw\s+sp, )"
)
_LOWERS = re.compile(r"^(?!cmp|st|ld|vst|vld|tst|cmn)[\w.]+\s+sp,|\[sp, #-\d+\]!")
_ALIGN = re.compile(
    r"^(?:and\s+sp, x\d+, #0xf*([0-9a-f])0|andi\s+sp, sp, -(\d+)|bfc\s+(?:sp|r\d+), #0, #(\d+))$"
)


def _summed(lines: Sequence[str], rules: _Rules, harmless: re.Pattern[str]) -> int | None:
    """The sum over every instruction that lowers the stack pointer."""
    total = 0
    for line in lines:
        text = re.sub(r"\s+", " ", re.split(r"//|@|;|\s#\s", line)[0]).strip()
        align = _ALIGN.match(text)
        if align is not None:
            total += _alignment(*align.groups()) - 4
            continue
        for pattern, scale in rules:
            match = pattern.match(text)
            if match is not None:
                inside = match[1]
                total += scale * (int(inside) if inside.isdigit() else _registers(inside))
                break
        else:
            if _LOWERS.search(text) and not harmless.match(text):
                return None
    return total


def _registers(text: str) -> int:
    """How many registers a list such as `r4, r5, lr` or `d8-d15` has; two `s` make one `d`."""
    count = 0
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        count += int(last[1:]) - int(first[1:]) + 1 if last else 1
    return -(-count // 2) if text.strip().startswith("s") else count


def _alignment(aarch64: str | None, riscv: str | None, arm: str | None) -> int:
    if aarch64 is not None:
        return 16 * (16 - int(aarch64, 16))
    return int(riscv) if riscv is not None else 1 << int(arm or 0)


def _wasm(lines: Sequence[str]) -> int | None:
    """The part of the memory's stack; the machine's own one is the engine's affair."""
    words = [re.sub(r"\s+", " ", line).strip() for line in lines]
    if not any(word == "global.get __stack_pointer" for word in words):
        return 0
    total = 0
    for at, word in enumerate(words):
        if word != "global.get __stack_pointer":
            continue
        after = [w for w in words[at + 1 : at + 4] if not w.startswith("local.tee")]
        constant = re.match(r"^i32\.const (\d+)$", after[0]) if after else None
        if constant is not None and after[1:2] == ["i32.sub"]:
            total += int(constant[1])
    align = [re.match(r"^i32\.const -(\d+)$", word) for word in words]
    for at, found in enumerate(align):
        if found is not None and at + 1 < len(words) and words[at + 1] == "i32.and":
            total += int(found[1])
    return total
