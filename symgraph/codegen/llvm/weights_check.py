"""`NAME_check_weights`: whether weights are whole and the model's, found out by the object itself.

    int32_t NAME_check_weights(const void *weights, uint64_t bytes)
    void NAME_hash(const void *data, uint64_t bytes, void *digest)      SHA-256, 32 bytes

A file is compared with the hash that it carries, a caller's block and embedded weights with that of
the export.  Neither is called by a run: a large file takes a second.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from .contract import WEIGHTS_HEADER_BYTES, WEIGHTS_LAYOUT_OFFSET, Shipped
from .sha256 import sha256_symbol, sha256_text


class WeightsError(IntEnum):
    """What NAME_check_weights returns."""

    OK = 0
    POINTER = 1
    SIZE = 2
    MODEL = 3
    DAMAGED = 4


WEIGHTS_MAGIC = b"symgraph weight\0"
_DIGEST_OFFSET = WEIGHTS_LAYOUT_OFFSET + 32
_SIZE_OFFSET = _DIGEST_OFFSET + 32


def weights_check_text(shipped: Shipped, prefix: str) -> str:
    """The functions for the weights of an object whose names begin with `prefix`."""
    if not shipped.weights_nbytes or not shipped.has_weights:
        return ""
    is_file = shipped.weights == "file"
    known = _known(shipped, is_file)
    skip = WEIGHTS_HEADER_BYTES if is_file else 0
    nbytes = shipped.weights_nbytes
    symbol, words = sha256_symbol(prefix), len(known) // 4
    place = {"embedded": f"@{shipped.weights_data}"}.get(shipped.weights, "%weights")
    table = ", ".join(f"i32 {word}" for word in struct.unpack(f"<{words}I", known))
    return f"""\
{sha256_text(prefix)}
@{prefix}.known = internal constant [{words} x i32] [{table}]

define i32 @{prefix}_check_weights(ptr %weights, i64 %bytes) nounwind {{
entry:
  %digest = alloca [8 x i32], align 8
  %start = getelementptr i8, ptr {place}, i64 0
  %missing = icmp eq ptr %start, null
  br i1 %missing, label %pointer, label %size
pointer:
  ret i32 {WeightsError.POINTER:d}
size:
  %short = icmp ne i64 %bytes, {nbytes + skip}
  br i1 {"false" if shipped.weights == "embedded" else "%short"}, label %wrong, label %hash
wrong:
  ret i32 {WeightsError.SIZE:d}
hash:
  %block = getelementptr i8, ptr %start, i64 {skip}
{_first_part(is_file, prefix, symbol, nbytes)}
compare:
  %n = phi i32 [0, %ready], [%n.next, %same]
  %a.p = getelementptr i32, ptr %found, i32 %n
  %b.p = getelementptr i32, ptr %expected, i32 %n
  %a = load i32, ptr %a.p, align 1
  %b = load i32, ptr %b.p, align 1
  %equal = icmp eq i32 %a, %b
  br i1 %equal, label %same, label %differs
differs:
  ret i32 {WeightsError.DAMAGED:d}
same:
  %n.next = add i32 %n, 1
  %done = icmp eq i32 %n.next, 8
  br i1 %done, label %right, label %compare
right:
  ret i32 {WeightsError.OK:d}
}}

define void @{prefix}_hash(ptr %data, i64 %bytes, ptr %digest) nounwind {{
  call void @{symbol}(ptr %data, i64 %bytes, ptr %digest)
  ret void
}}
"""


def _known(shipped: Shipped, is_file: bool) -> bytes:
    """What the header of a file must begin with; else the hash of the weights."""
    return WEIGHTS_MAGIC + shipped.layout if is_file else shipped.digest


def _first_part(is_file: bool, prefix: str, symbol: str, nbytes: int) -> str:
    """The header of a file compared; then the digest, and what it must be."""
    made = f"  call void @{symbol}(ptr %block, i64 {nbytes}, ptr %digest)"
    if not is_file:
        return f"""\
  br label %ready
ready:
{made}
  %found = getelementptr i8, ptr %digest, i64 0
  %expected = getelementptr i8, ptr @{prefix}.known, i64 0
  br label %compare"""
    return f"""\
  br label %header
header:
  %m = phi i32 [0, %hash], [%m.next, %own]
  %c.p = getelementptr i32, ptr %start, i32 %m
  %d.p = getelementptr i32, ptr @{prefix}.known, i32 %m
  %c = load i32, ptr %c.p, align 1
  %d = load i32, ptr %d.p, align 4
  %alike = icmp eq i32 %c, %d
  br i1 %alike, label %own, label %other
other:
  ret i32 {WeightsError.MODEL:d}
own:
  %m.next = add i32 %m, 1
  %passed = icmp eq i32 %m.next, {(len(WEIGHTS_MAGIC) + 32) // 4}
  br i1 %passed, label %length, label %header
length:
  %l.p = getelementptr i8, ptr %start, i64 {_SIZE_OFFSET}
  %l = load i64, ptr %l.p, align 1
  %cut = icmp ne i64 %l, {nbytes}
  br i1 %cut, label %truncated, label %ready
truncated:
  ret i32 {WeightsError.SIZE:d}
ready:
{made}
  %found = getelementptr i8, ptr %digest, i64 0
  %expected = getelementptr i8, ptr %start, i64 {_DIGEST_OFFSET}
  br label %compare"""
