"""Static libraries (`.a`) written and read without any tool.

The System V format with a symbol table, as GNU and LLVM linkers and Microsoft's read it; Mach-O
objects get the BSD form that Apple's linker needs.  No dates or user numbers: same input, same
bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from ..errors import FormatError

MAGIC = b"!<arch>\n"


def is_archive(data: bytes) -> bool:
    return data.startswith(MAGIC)


def write_archive(
    objects: Mapping[str, bytes], symbols: Mapping[str, Sequence[str]], *, bsd: bool = False
) -> bytes:
    """An archive of objects by name; `symbols` are what each one defines."""
    if bsd:
        return _write_bsd(objects, symbols)
    long_names, places = b"", {}
    for name in objects:
        if len(name) > 15:
            places[name] = f"/{len(long_names)}"
            long_names += f"{name}/\n".encode()
        else:
            places[name] = f"{name}/"
    count = sum(len(symbols.get(name, ())) for name in objects)
    strings = b"".join(f"{s}\0".encode() for name in objects for s in symbols.get(name, ()))
    index_nbytes = 4 + 4 * count + len(strings)
    start = len(MAGIC) + 60 + _even(index_nbytes)
    if long_names:
        start += 60 + _even(len(long_names))
    offsets: list[int] = []
    body = b""
    for name, data in objects.items():
        offsets += [start + len(body)] * len(symbols.get(name, ()))
        body += _member(places[name], data)
    index = struct.pack(f">I{count}I", count, *offsets) + strings
    names = _member("//", long_names) if long_names else b""
    return MAGIC + _member("/", index) + names + body


def _write_bsd(objects: Mapping[str, bytes], symbols: Mapping[str, Sequence[str]]) -> bytes:
    """`__.SYMDEF SORTED` and names before the data, padded so that objects start at 8 bytes."""
    pairs = sorted((s, name) for name in objects for s in symbols.get(name, ()))
    strings = b"".join(f"{symbol}\0".encode() for symbol, _ in pairs)
    strings += bytes(-len(strings) % 8)
    index_nbytes = 4 + 8 * len(pairs) + 4 + len(strings)
    start = len(MAGIC) + len(_bsd_member("__.SYMDEF SORTED", bytes(index_nbytes), len(MAGIC)))
    offsets, body = {}, b""
    for name, data in objects.items():
        offsets[name] = start + len(body)
        body += _bsd_member(name, data, start + len(body))
    table, position = b"", 0
    for symbol, name in pairs:
        table += struct.pack("<II", position, offsets[name])
        position += len(symbol.encode()) + 1
    index = struct.pack("<I", 8 * len(pairs)) + table + struct.pack("<I", len(strings)) + strings
    return MAGIC + _bsd_member("__.SYMDEF SORTED", index, len(MAGIC)) + body


def _bsd_member(name: str, data: bytes, at: int) -> bytes:
    label = name.encode()
    label += bytes(-(at + 60 + len(label)) % 8)
    padded = data + bytes(-len(data) % 8)
    return _header(f"#1/{len(label)}", len(label) + len(padded)) + label + padded


def _even(nbytes: int) -> int:
    return nbytes + nbytes % 2


def _header(name: str, nbytes: int) -> bytes:
    fields = f"{name:<16}{0:<12}{0:<6}{0:<6}{'644':<8}{nbytes:<10}"
    return fields.encode() + b"`\n"


def _member(name: str, data: bytes) -> bytes:
    return _header(name, len(data)) + data + b"\n" * (len(data) % 2)


def members(data: bytes, where: str = "archive") -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every object in an archive.  Raises: FormatError when it is damaged."""
    at, long_names = len(MAGIC), b""
    while at < len(data):
        header = data[at : at + 60]
        size = header[48:58].strip()
        if len(header) < 60 or header[58:60] != b"`\n" or not size.isdigit():
            raise FormatError(f"{where}: the archive is damaged at byte {at}")
        name, start, nbytes = header[:16].decode("latin-1").strip(), at + 60, int(size)
        if start + nbytes > len(data):
            raise FormatError(f"{where}: the archive is truncated in member {name}")
        body = data[start : start + nbytes]
        at = start + _even(nbytes)
        if name == "//":
            long_names = body
        elif name.startswith("#1/"):
            length = int(name[3:])
            label = body[:length].rstrip(b"\0").decode()
            if not label.startswith("__.SYMDEF"):
                yield label, body[length:]
        elif name.startswith("/") and name[1:].isdigit():
            first = int(name[1:])
            yield long_names[first : long_names.index(b"/\n", first)].decode(), body
        elif name != "/":
            yield name.rstrip("/"), body
