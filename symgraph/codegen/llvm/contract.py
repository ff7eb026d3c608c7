"""What a shipped object must know besides the program: its tests, its versions, its weights.

Plain data; the caller decides which tests there are and what their messages say.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from ...kernel.dims import Dim, DimVar
from .machine import Machine
from .platform import Sections
from .selftest import Selftest

CONTEXT_FIELDS = ("i32", "i32", "ptr", "ptr", "i64", "ptr", "i64")
"""sg_context as C callers have it: that of abi.py without `relax`, then workspace_bytes."""

WEIGHTS_HEADER_BYTES = 4096
WEIGHTS_LAYOUT_OFFSET = 16
"""Where the 32 bytes that identify the layout stand in a weights file."""


class Detail(IntEnum):
    """What a broken rule tells besides its message, and how NAME_explain spells it."""

    NONE = 0
    NUMBER = 1  # "got 225, "
    NUMBERS = 2  # "got 10 and 7, "
    NEED = 3  # "got 100, need 4096: "
    ADDRESS = 4  # "got NULL, " or "got address 0x1002, "
    AREAS = 5  # "output 'y' and input 'x' overlap, "


@dataclass(frozen=True, slots=True)
class Message:
    """`subject: need`, the text of a rule; the detail's text goes between the two."""

    subject: str
    need: str
    detail: Detail = Detail.NONE

    @property
    def text(self) -> str:
        return f"{self.subject}: {self.need}" if self.subject else self.need

    @property
    def split(self) -> int:
        """Where the detail goes, in bytes."""
        return len(f"{self.subject}: ".encode()) if self.subject else 0


@dataclass(frozen=True, slots=True)
class NotNull:
    """The pointer to inputs ("in"), outputs ("out") or context ("context")."""

    pointer: str
    code: int


@dataclass(frozen=True, slots=True)
class ContextSize:
    """The context is as large as this object needs."""

    code: int


@dataclass(frozen=True, slots=True)
class Flags:
    """0 <= context.flags <= high."""

    high: int
    code: int


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor, or what context.flags says of it, has at least this level of x86-64."""

    level: int
    code: int


@dataclass(frozen=True, slots=True)
class ThreadRange:
    """0 <= context.threads <= high."""

    high: int
    code: int


@dataclass(frozen=True, slots=True)
class ExtentRange:
    """low <= extent <= high."""

    extent: DimVar
    low: int
    high: int
    code: int


@dataclass(frozen=True, slots=True)
class Relation:
    """left == right, or left >= right."""

    left: Dim
    relation: str
    right: Dim
    code: int


@dataclass(frozen=True, slots=True)
class ArrayPointer:
    """Pointer `index` of a struct is aligned, and not null where the array has elements."""

    struct: str
    index: int
    nelems: Dim
    alignment: int
    code: int


@dataclass(frozen=True, slots=True)
class WeightsPointer:
    """context.constants is aligned and not null."""

    alignment: int
    code: int


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """context.constants points to a weights file with this layout's hash."""

    code: int


@dataclass(frozen=True, slots=True)
class WorkspacePointer:
    """The workspace is aligned, and not null where any is needed."""

    code: int


@dataclass(frozen=True, slots=True)
class WorkspaceSize:
    """context.workspace_bytes is enough."""

    code: int


@dataclass(frozen=True, slots=True)
class Area:
    """Memory that a call uses: pointer `index` of a struct, the workspace or the constants."""

    struct: str
    index: int
    nbytes: Dim
    label: str


@dataclass(frozen=True, slots=True)
class Apart:
    """No area of `written` shares a byte with another area."""

    written: tuple[Area, ...]
    read: tuple[Area, ...]
    code: int


Test = (
    NotNull
    | ContextSize
    | Flags
    | Processor
    | ThreadRange
    | ExtentRange
    | Relation
    | ArrayPointer
    | WeightsPointer
    | WeightsFile
    | WorkspacePointer
    | WorkspaceSize
    | Apart
)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the program: the least level of the processor it is for, the extents it is
    made for, its module, its own entry, and where its weights begin in the block."""

    level: int
    text: str
    symbol: str
    machine: Machine
    weights_offset: int
    extents: tuple[tuple[DimVar, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Shipped:
    """What the entry must know.

    inputs     how many arrays the inputs struct has; the extents follow them
    outputs    for each output of the program: ("in" or "out", which pointer of that struct)
    weights    "none", "embedded", "file" or "pointer"
    layout     the hash that a weights file must carry
    messages   those of code 0, 1, 2, ...
    digest     the hash of the weights of the export
    interface     a symbol that the header refers to, none: no such symbol
    description   bytes for the section of the description; none: no such section
    selftest   a version with checksums and its case, none when there is no self-test
    home       what the symbols of the whole object begin with, where it has several entries
    has_weights   the module defines the embedded weights; another entry's does otherwise
    checks_weights   the module has HOME_check_weights and HOME_hash
    support    functions that the processor needs instead of instructions (see support.py)
    """

    prefix: str
    inputs: int
    extents: tuple[DimVar, ...]
    outputs: tuple[tuple[str, int], ...]
    arena_nbytes: Dim
    thread_nbytes: Dim
    tests: tuple[Test, ...]
    messages: tuple[Message, ...]
    weights: str
    weights_nbytes: int
    sections: Sections
    pointer_bits: int
    layout: bytes = b""
    digest: bytes = b""
    interface: str = ""
    description: bytes = b""
    support: tuple[str, ...] = ()
    selftest: tuple[Version, Selftest] | None = None
    home: str = ""
    has_weights: bool = True
    checks_weights: bool = False

    @property
    def weights_data(self) -> str:
        """The symbol of the weights: those of the object, whose entries share them."""
        return weights_symbol(self.home or self.prefix)


def weights_symbol(prefix: str) -> str:
    return f"{prefix}_weights_data"


def check_symbol(prefix: str) -> str:
    """The tests of every rule."""
    return f"{prefix}_check"


def body_symbol(prefix: str) -> str:
    """The program's own entry, no longer exported."""
    return f"{prefix}_run_program"
