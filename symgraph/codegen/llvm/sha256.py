"""SHA-256 (FIPS 180-4) as LLVM IR: objects check their weights themselves, without a library.

    void NAME.sha256(ptr data, i64 bytes, ptr digest)     32 bytes of digest, any alignment

Internal functions without tables of pointers, memory of their own or calls to anything else; for
little-endian processors.
"""

from __future__ import annotations

_K = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)  # fmt: skip
"""Fractional parts of the cube roots of the first 64 primes."""

_START = (
    0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
)  # fmt: skip
"""Fractional parts of the square roots of the first 8 primes."""


def sha256_symbol(prefix: str) -> str:
    return f"{prefix}.sha256"


def sha256_text(prefix: str) -> str:
    """The functions; `declare` lines may be there twice in a module once they are joined."""
    symbol = sha256_symbol(prefix)
    table = ", ".join(f"i32 {k}" for k in _K)
    start = ", ".join(f"i32 {h}" for h in _START)
    return f"""\
@{symbol}.k = internal constant [64 x i32] [{table}]
@{symbol}.start = internal constant [8 x i32] [{start}]

{_block(symbol)}
{_whole(symbol)}
declare i32 @llvm.bswap.i32(i32)
declare i64 @llvm.bswap.i64(i64)
declare i32 @llvm.fshr.i32(i32, i32, i32)
"""


def _mixed(name: str, value: str, turns: tuple[int, int, int], shifts: bool) -> str:
    """Three turned copies of a word added without carry; the last one shifted where `shifts`."""
    a, b, c = turns
    lines = [
        f"  %{name}.{n} = call i32 @llvm.fshr.i32(i32 {value}, i32 {value}, i32 {turn})"
        for n, turn in enumerate((a, b, c))
    ]
    if shifts:
        lines[2] = f"  %{name}.2 = lshr i32 {value}, {c}"
    lines.append(f"  %{name}.3 = xor i32 %{name}.0, %{name}.1")
    lines.append(f"  %{name} = xor i32 %{name}.3, %{name}.2")
    return "\n".join(lines)


def _block(symbol: str) -> str:
    """One block of 64 bytes into the state; the last 16 words of the schedule are kept."""
    names = "abcdefgh"
    first = "\n".join(
        f"  %s{n} = getelementptr i32, ptr %state, i32 {n}\n  %{x}0 = load i32, ptr %s{n}, align 4"
        for n, x in enumerate(names)
    )
    following = {"a": "%new.a", "b": "%a", "c": "%b", "d": "%c", "e": "%new.e", "f": "%e",
                 "g": "%f", "h": "%g"}  # fmt: skip
    phis = "\n".join(f"  %{x} = phi i32 [%{x}0, %entry], [{following[x]}, %step]" for x in names)
    last = "\n".join(
        f"  %o{n} = add i32 %{x}0, {following[x]}\n  store i32 %o{n}, ptr %s{n}, align 4"
        for n, x in enumerate(names)
    )
    return f"""\
define internal void @{symbol}.block(ptr %state, ptr %block, ptr %w) nounwind noinline {{
entry:
{first}
  br label %round
round:
  %t = phi i32 [0, %entry], [%t.next, %step]
{phis}
  %slot = and i32 %t, 15
  %w.p = getelementptr i32, ptr %w, i32 %slot
  %early = icmp ult i32 %t, 16
  br i1 %early, label %given, label %made
given:
  %p = getelementptr i32, ptr %block, i32 %t
  %raw = load i32, ptr %p, align 1
  %swapped = call i32 @llvm.bswap.i32(i32 %raw)
  br label %step
made:
  %t1 = add i32 %t, 1
  %n1 = and i32 %t1, 15
  %p1 = getelementptr i32, ptr %w, i32 %n1
  %w1 = load i32, ptr %p1, align 4
  %t9 = add i32 %t, 9
  %n9 = and i32 %t9, 15
  %p9 = getelementptr i32, ptr %w, i32 %n9
  %w9 = load i32, ptr %p9, align 4
  %t14 = add i32 %t, 14
  %n14 = and i32 %t14, 15
  %p14 = getelementptr i32, ptr %w, i32 %n14
  %w14 = load i32, ptr %p14, align 4
  %w0 = load i32, ptr %w.p, align 4
{_mixed("low", "%w1", (7, 18, 3), True)}
{_mixed("high", "%w14", (17, 19, 10), True)}
  %m0 = add i32 %w0, %low
  %m1 = add i32 %m0, %w9
  %m2 = add i32 %m1, %high
  br label %step
step:
  %word = phi i32 [%swapped, %given], [%m2, %made]
  store i32 %word, ptr %w.p, align 4
{_mixed("big.e", "%e", (6, 11, 25), False)}
  %ef = and i32 %e, %f
  %not.e = xor i32 %e, -1
  %eg = and i32 %not.e, %g
  %choice = xor i32 %ef, %eg
  %k.p = getelementptr i32, ptr @{symbol}.k, i32 %t
  %k = load i32, ptr %k.p, align 4
  %u0 = add i32 %h, %big.e
  %u1 = add i32 %u0, %choice
  %u2 = add i32 %u1, %k
  %u = add i32 %u2, %word
{_mixed("big.a", "%a", (2, 13, 22), False)}
  %ab = and i32 %a, %b
  %ac = and i32 %a, %c
  %bc = and i32 %b, %c
  %most0 = xor i32 %ab, %ac
  %most = xor i32 %most0, %bc
  %v = add i32 %big.a, %most
  %new.e = add i32 %d, %u
  %new.a = add i32 %u, %v
  %t.next = add i32 %t, 1
  %more = icmp ult i32 %t.next, 64
  br i1 %more, label %round, label %done
done:
{last}
  ret void
}}
"""


def _whole(symbol: str) -> str:
    """Whole blocks from the data, then the rest with a one, zeros and the length in bits."""
    return f"""\
define internal void @{symbol}(ptr %data, i64 %bytes, ptr %digest) nounwind noinline {{
entry:
  %state = alloca [8 x i32], align 8
  %w = alloca [16 x i32], align 8
  %tail = alloca [128 x i8], align 8
  br label %begin
begin:
  %i = phi i32 [0, %entry], [%i.next, %begin]
  %from = getelementptr i32, ptr @{symbol}.start, i32 %i
  %h = load i32, ptr %from, align 4
  %to = getelementptr i32, ptr %state, i32 %i
  store i32 %h, ptr %to, align 4
  %i.next = add i32 %i, 1
  %begun = icmp eq i32 %i.next, 8
  br i1 %begun, label %blocks, label %begin
blocks:
  %at = phi i64 [0, %begin], [%at.next, %block]
  %at.next = add i64 %at, 64
  %whole = icmp ule i64 %at.next, %bytes
  br i1 %whole, label %block, label %clear
block:
  %p = getelementptr i8, ptr %data, i64 %at
  call void @{symbol}.block(ptr %state, ptr %p, ptr %w)
  br label %blocks
clear:
  %c = phi i32 [0, %blocks], [%c.next, %clear]
  %c.p = getelementptr i64, ptr %tail, i32 %c
  store i64 0, ptr %c.p, align 8
  %c.next = add i32 %c, 1
  %cleared = icmp eq i32 %c.next, 16
  br i1 %cleared, label %rest, label %clear
rest:
  %r = phi i64 [%at, %clear], [%r.next, %copy]
  %left = icmp ult i64 %r, %bytes
  br i1 %left, label %copy, label %end
copy:
  %r.p = getelementptr i8, ptr %data, i64 %r
  %byte = load i8, ptr %r.p, align 1
  %n = sub i64 %r, %at
  %n.p = getelementptr i8, ptr %tail, i64 %n
  store i8 %byte, ptr %n.p, align 1
  %r.next = add i64 %r, 1
  br label %rest
end:
  %used = sub i64 %bytes, %at
  %one.p = getelementptr i8, ptr %tail, i64 %used
  store i8 -128, ptr %one.p, align 1
  %two = icmp ugt i64 %used, 55
  %size.at = select i1 %two, i64 120, i64 56
  %bits = shl i64 %bytes, 3
  %size = call i64 @llvm.bswap.i64(i64 %bits)
  %size.p = getelementptr i8, ptr %tail, i64 %size.at
  store i64 %size, ptr %size.p, align 8
  call void @{symbol}.block(ptr %state, ptr %tail, ptr %w)
  br i1 %two, label %second, label %out
second:
  %second.p = getelementptr i8, ptr %tail, i64 64
  call void @{symbol}.block(ptr %state, ptr %second.p, ptr %w)
  br label %out
out:
  %o = phi i32 [0, %end], [0, %second], [%o.next, %out]
  %o.p = getelementptr i32, ptr %state, i32 %o
  %o.word = load i32, ptr %o.p, align 4
  %o.swapped = call i32 @llvm.bswap.i32(i32 %o.word)
  %d.p = getelementptr i32, ptr %digest, i32 %o
  store i32 %o.swapped, ptr %d.p, align 1
  %o.next = add i32 %o, 1
  %finished = icmp eq i32 %o.next, 8
  br i1 %finished, label %finish, label %out
finish:
  ret void
}}
"""
