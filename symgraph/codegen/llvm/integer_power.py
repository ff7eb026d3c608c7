"""Integer power as a helper function: square and multiply over the bits of the exponent."""

from __future__ import annotations

from .types import splat, suffix, vector


def power_function(type: str, lanes: int, signed: bool) -> tuple[str, str]:
    """Name and definition of `x ** n`, wrapping around; a negative n gives 1/x cut to an integer
    (0 but for x = 1 and x = -1)."""
    whole = vector(type, lanes)
    mask = vector("i1", lanes)
    bits = int(type[1:])

    def number(value: int) -> str:
        return splat(str(value), type, lanes)

    name = f"sg_integer_power_{'s' if signed else 'u'}{suffix(type, lanes)}"
    lines = [
        f"define internal {whole} @{name}({whole} %x, {whole} %n) nounwind willreturn {{",
        "entry:",
        "  br label %loop",
        "loop:",
        "  %step = phi i32 [0, %entry], [%next, %loop]",
        f"  %result = phi {whole} [{number(1)}, %entry], [%new, %loop]",
        f"  %base = phi {whole} [%x, %entry], [%square, %loop]",
        f"  %left = phi {whole} [%n, %entry], [%rest, %loop]",
        f"  %bit = trunc {whole} %left to {mask}",
        f"  %product = mul {whole} %result, %base",
        f"  %new = select {mask} %bit, {whole} %product, {whole} %result",
        f"  %square = mul {whole} %base, %base",
        f"  %rest = lshr {whole} %left, {number(1)}",
        "  %next = add i32 %step, 1",
        f"  %more = icmp ult i32 %next, {bits}",
        "  br i1 %more, label %loop, label %done",
        "done:",
    ]
    if not signed:
        return name, "\n".join([*lines, f"  ret {whole} %new", "}", ""])
    lines += [
        f"  %odd = trunc {whole} %n to {mask}",
        f"  %alternating = select {mask} %odd, {whole} {number(-1)}, {whole} {number(1)}",
        f"  %is_minus = icmp eq {whole} %x, {number(-1)}",
        f"  %other = select {mask} %is_minus, {whole} %alternating, {whole} {number(0)}",
        f"  %is_one = icmp eq {whole} %x, {number(1)}",
        f"  %inverse = select {mask} %is_one, {whole} {number(1)}, {whole} %other",
        f"  %negative = icmp slt {whole} %n, {number(0)}",
        f"  %value = select {mask} %negative, {whole} %inverse, {whole} %new",
        f"  ret {whole} %value",
        "}",
        "",
    ]
    return name, "\n".join(lines)
