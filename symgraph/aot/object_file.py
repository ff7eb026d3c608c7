"""Reads the sections of object files without loading any code.

ELF (32 and 64 bits, either byte order), COFF objects and PE images, Mach-O (64 bits), WebAssembly
modules, and archives of these.  Every offset is checked against the file's size: a truncated file
gives a FormatError, never an IndexError.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ..errors import FormatError

_ELF_MACHINES = {62: "x86_64", 183: "aarch64", 40: "arm", 243: "riscv64", 3: "i386", 21: "ppc64"}
_COFF_MACHINES = {0x8664: "x86_64", 0xAA64: "aarch64", 0x14C: "i386", 0x1C4: "arm"}
_MACHO_MACHINES = {0x01000007: "x86_64", 0x0100000C: "aarch64"}
_ELF_KINDS = {1: "object", 2: "executable", 3: "shared"}


@dataclass(frozen=True, slots=True)
class Section:
    """`offset` is where the bytes lie in the file; `is_code` says that they are instructions."""

    name: str
    offset: int
    nbytes: int
    is_code: bool = False


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """`kind` is "object", "shared" or "executable"; `undefined` are the symbols it needs.

    `functions` are the names and sizes of functions, which only ELF tells.
    """

    format: str
    architecture: str
    kind: str
    sections: tuple[Section, ...]
    undefined: tuple[str, ...] = ()
    functions: tuple[tuple[str, int], ...] = ()

    def section(self, *names: str) -> Section | None:
        """The first section with one of these names."""
        return next((s for s in self.sections if s.name in names), None)

    @property
    def code_nbytes(self) -> int:
        """Bytes of instructions."""
        return sum(s.nbytes for s in self.sections if s.is_code)


def read_object(data: bytes, where: str = "file") -> ObjectFile:
    """The sections of an object file.  Raises: FormatError for what is none, or is truncated."""
    try:
        if data[:4] == b"\x7fELF":
            found = _elf(data)
        elif data[:4] == b"\0asm":
            found = _wasm(data)
        elif data[:4] == b"\xcf\xfa\xed\xfe":
            found = _macho(data)
        elif data[:2] == b"MZ":
            found = _coff(data, struct.unpack_from("<I", data, 0x3C)[0] + 4, "shared")
        elif len(data) >= 20 and struct.unpack_from("<H", data)[0] in _COFF_MACHINES:
            found = _coff(data, 0, "object")
        else:
            raise FormatError(f"{where}: not an object file (ELF, COFF, Mach-O or WebAssembly)")
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{where}: the object file is damaged or truncated: its header tells of more than its "
            f"{len(data):,} bytes; copy or compile it again"
        ) from error
    for section in found.sections:
        if section.offset + section.nbytes > len(data):
            raise FormatError(
                f"{where}: the object file is truncated: section {section.name} ends at byte "
                f"{section.offset + section.nbytes}, the file has {len(data)}"
            )
    return found


def _name(data: bytes, start: int) -> str:
    return data[start : data.index(b"\0", start)].decode()


def _elf(data: bytes) -> ObjectFile:
    wide, order = data[4] == 2, "<" if data[5] == 1 else ">"
    kind, machine = struct.unpack_from(f"{order}HH", data, 16)
    table = struct.unpack_from(f"{order}{'Q' if wide else 'I'}", data, 40 if wide else 32)[0]
    size, count, names = struct.unpack_from(f"{order}HHH", data, 58 if wide else 46)
    layout = f"{order}IIQQQQI" if wide else f"{order}IIIIIII"
    rows = [struct.unpack_from(layout, data, table + n * size) for n in range(count)]
    sections = []
    for name, type_, flags, _, offset, nbytes, _ in rows:
        label = _name(data, rows[names][4] + name)
        has_bytes = type_ not in (0, 8)  # SHT_NULL, SHT_NOBITS
        if label:
            kept = nbytes if has_bytes else 0
            sections.append(Section(label, offset if kept else 0, kept, bool(flags & 4)))
    undefined: list[str] = []
    functions: list[tuple[str, int]] = []
    for _, type_, _, _, offset, nbytes, link in rows:
        if type_ == 2:  # SHT_SYMTAB; its names are in the section `link`
            symbols = _elf_symbols(data, offset, nbytes, rows[link][4], order, wide)
            undefined += [s.name for s in symbols if s.section == 0]
            functions += [(s.name, s.nbytes) for s in symbols if s.kind == 2]  # STT_FUNC
    architecture = _ELF_MACHINES.get(machine, f"elf machine {machine}")
    known = _ELF_KINDS.get(kind, f"kind {kind}")
    return ObjectFile(
        "elf", architecture, known, tuple(sections), tuple(undefined), tuple(functions)
    )


@dataclass(frozen=True, slots=True)
class _ElfSymbol:
    name: str
    kind: int
    section: int
    nbytes: int


def _elf_symbols(
    data: bytes, start: int, nbytes: int, names: int, order: str, wide: bool
) -> list[_ElfSymbol]:
    """The symbols that have names."""
    layout = struct.Struct(f"{order}IBBHQQ" if wide else f"{order}IIIBBH")
    found = []
    for at in range(start, start + nbytes, layout.size):
        row = layout.unpack_from(data, at)
        info, section, size = (row[1], row[3], row[5]) if wide else (row[3], row[5], row[2])
        if row[0]:
            found.append(_ElfSymbol(_name(data, names + row[0]), info & 15, section, size))
    return found


def _coff(data: bytes, start: int, kind: str) -> ObjectFile:
    machine, count, _, symbols, symbol_count, optional, _ = struct.unpack_from(
        "<HHIIIHH", data, start
    )
    strings = symbols + 18 * symbol_count
    sections = []
    for n in range(count):
        at = start + 20 + optional + 40 * n
        raw = data[at : at + 8].rstrip(b"\0").decode()
        name = _name(data, strings + int(raw[1:])) if raw.startswith("/") and symbols else raw
        nbytes, offset = struct.unpack_from("<II", data, at + 16)
        flags = struct.unpack_from("<I", data, at + 36)[0]
        kept = 0 if flags & 0x80 or not offset else nbytes  # uninitialised data has no bytes
        sections.append(Section(name, offset if kept else 0, kept, bool(flags & 0x20)))
    undefined, n = [], 0
    while n < symbol_count:
        name, value, section, _, storage, more = struct.unpack_from(
            "<8sIhHBB", data, symbols + 18 * n
        )
        n += 1 + more
        if section == 0 and value == 0 and storage == 2:  # external
            long = name[:4] == bytes(4)
            start_of_name = strings + struct.unpack("<I", name[4:])[0]
            text = _name(data, start_of_name) if long else name.rstrip(b"\0").decode()
            undefined.append(text)
    architecture = _COFF_MACHINES.get(machine, f"coff machine {machine:#x}")
    return ObjectFile("coff", architecture, kind, tuple(sections), tuple(undefined))


def _macho(data: bytes) -> ObjectFile:
    _, machine, _, kind, commands, _, _, _ = struct.unpack_from("<IIIIIIII", data)
    at, sections, undefined = 32, [], []
    for _ in range(commands):
        command, nbytes = struct.unpack_from("<II", data, at)
        if command == 0x19:  # LC_SEGMENT_64
            count = struct.unpack_from("<I", data, at + 64)[0]
            for n in range(count):
                row = at + 72 + 80 * n
                name, segment = (
                    data[row + k : row + k + 16].rstrip(b"\0").decode() for k in (0, 16)
                )
                size, offset = struct.unpack_from("<QI", data, row + 40)
                flags = struct.unpack_from("<I", data, row + 64)[0]
                kept = 0 if flags & 0xFF == 1 else size  # S_ZEROFILL
                is_code = bool(flags & 0x80000400)
                sections.append(Section(f"{segment},{name}", offset, kept, is_code))
        elif command == 2:  # LC_SYMTAB
            symbols, count, strings, _ = struct.unpack_from("<IIII", data, at + 8)
            for n in range(count):
                where, type_, section, _, _ = struct.unpack_from("<IBBHQ", data, symbols + 16 * n)
                if section == 0 and type_ & 0x0F == 1:  # external and undefined
                    undefined.append(_name(data, strings + where))
        if nbytes < 8:
            raise ValueError("a load command without size")
        at += nbytes
    architecture = _MACHO_MACHINES.get(machine, f"mach-o machine {machine:#x}")
    kinds = {1: "object", 2: "executable", 6: "shared"}
    known = kinds.get(kind, f"kind {kind}")
    return ObjectFile("macho", architecture, known, tuple(sections), tuple(undefined))


_WASM_SECTIONS = tuple(
    "custom type import function table memory global export start element code data "  # noqa: SIM905
    "datacount tag".split()
)


def _wasm(data: bytes) -> ObjectFile:
    at, sections, is_object, imported = 8, [], False, []
    while at < len(data):
        kind = data[at]
        nbytes, at = _leb(data, at + 1)
        start, length = at, nbytes
        name = _WASM_SECTIONS[kind] if kind < len(_WASM_SECTIONS) else f"section {kind}"
        if kind == 0:
            size, start = _leb(data, at)
            name = data[start : start + size].decode()
            start += size
            length = nbytes - (start - at)
            is_object |= name == "linking"
        if kind == 2:
            imported = _wasm_imports(data, at)
        if length < 0 or at + nbytes > len(data):
            raise ValueError(f"section {name} reaches beyond the end")
        sections.append(Section(name, start, length, kind == 10))
        at += nbytes
    kind_name = "object" if is_object else "executable"
    return ObjectFile("wasm", "wasm32", kind_name, tuple(sections), tuple(imported))


def _wasm_imports(data: bytes, at: int) -> list[str]:
    """Imported functions; memories, tables and globals are the linker's to give."""
    count, at = _leb(data, at)
    found = []
    for _ in range(count):
        names = []
        for _ in range(2):
            size, at = _leb(data, at)
            names.append(data[at : at + size].decode())
            at += size
        kind = data[at]
        at += 1
        if kind == 0:
            found.append(names[1])
            _, at = _leb(data, at)
        else:
            at += 0 if kind == 2 else 1  # the type of a table's elements, of a global
            flags, at = _leb(data, at)
            if kind != 3:  # limits: a minimum, and a maximum where the flag says so
                _, at = _leb(data, at)
                if flags & 1:
                    _, at = _leb(data, at)
    return found


def _leb(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def leb_bytes(value: int) -> bytes:
    """A number as unsigned LEB128."""
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)
