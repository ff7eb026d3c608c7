"""How much stack a shipped object needs: an upper bound for every exported function.

Read off the assembly of the object: what each function's own instructions take from the stack
pointer, and the deepest chain of calls.  Kernels neither recurse nor allocate dynamically; where
an instruction is not understood, or there is a cycle, the answer is None: not known.

The object calls through pointers only what the caller has given it, and what those functions take
themselves is not in the number; what is handed to them counts as called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import llvmlite.binding as llvm

from .cache import load_object, object_key, store_object
from .frames import frame_nbytes
from .machine import Machine, initialise, target_machine

TASKS = "tasks"
"""The key of what a task on one of the caller's threads needs."""

METHOD = 2
"""Counts the ways of measuring: results of an older one are not taken from the cache."""

PROLOGUE_NBYTES = 32
"""What machine code in front of a function may push (see versions.py)."""

_DEFINE = re.compile(r"^define [^@\n]*@([\w.$]+)\(([^\n]*)\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"@([\w.$]+)")
_DIRECT = re.compile(r"\bcall [^@%\n]*@([\w.$]+)\(")
_CODE = re.compile(r"[^.]|\.(long|word|4byte|quad|8byte)\b")
"""Instructions, and addresses that lie between them."""
_TOKEN = re.compile(r"[\w.$]+")


@dataclass(frozen=True, slots=True)
class Stack:
    """`chain` is the deepest chain of calls from a function: each with its own bytes."""

    nbytes: int
    chain: tuple[tuple[str, int], ...]


def stack_use(
    text: str, machine: Machine, roots: Sequence[str], cache: str | None = None
) -> dict[str, Stack | None]:
    """The stack that each of `roots`, functions of a module, needs, and under TASKS the most that
    one which goes through a pointer does; None where it is not known."""
    key = object_key(text, f"{machine.key} stack {METHOD} {' '.join(roots)}")
    known = load_object(cache, key)
    if known is not None:
        return _decoded(known)
    initialise()
    module = llvm.parse_assembly(text)
    assembly = target_machine(machine).emit_assembly(module)
    found = measured(text, assembly, machine.triple, roots)
    store_object(cache, key, _encoded(found))
    return found


def _encoded(found: Mapping[str, Stack | None]) -> bytes:
    rows = {n: None if s is None else [s.nbytes, list(s.chain)] for n, s in found.items()}
    return json.dumps(rows).encode()


def _decoded(data: bytes) -> dict[str, Stack | None]:
    return {
        name: None if row is None else Stack(row[0], tuple((n, size) for n, size in row[1]))
        for name, row in json.loads(data).items()
    }


def measured(
    text: str, assembly: str, triple: str, roots: Sequence[str]
) -> dict[str, Stack | None]:
    """As `stack_use`, from the module and its assembly."""
    defined = {match[1]: match[3] for match in _DEFINE.finditer(text)}
    bodies = _bodies(assembly, defined)
    frames = {name: frame_nbytes(lines, triple) for name, lines in bodies.items()}
    for match in _DEFINE.finditer(text):
        frame = frames.get(match[1])
        if " prologue " in match[2] and frame is not None:
            frames[match[1]] = frame + PROLOGUE_NBYTES
    taken = _taken(defined)
    deepest = _Deepest(frames, _edges(defined, bodies))
    tasks = [deepest.of(name) for name in taken]
    most: Stack | None = Stack(0, ())
    for task in tasks:
        most = None if task is None or most is None else max(most, task, key=lambda k: k.nbytes)
    return {**{root: deepest.of(root) for root in roots}, TASKS: most}


def _taken(defined: Mapping[str, str]) -> tuple[str, ...]:
    """The functions whose address is taken."""
    return tuple(
        dict.fromkeys(
            name
            for body in defined.values()
            for line in body.splitlines()
            for name in _NAME.findall(_DIRECT.sub("", line))
            if name in defined
        )
    )


def _bodies(assembly: str, names: Mapping[str, str]) -> dict[str, list[str]]:
    """The lines of each function; Mach-O puts `_` in front of names."""
    bodies: dict[str, list[str]] = {}
    current: list[str] = []
    for line in assembly.splitlines():
        label = re.match(r'^"?([\w.$]+)"?:', line)
        if label is not None:
            name = label[1] if label[1] in names else label[1].removeprefix("_")
            if name in names:
                current = bodies.setdefault(name, [])
                continue
        current.append(line.strip())
    return bodies


def _edges(
    defined: Mapping[str, str], bodies: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Which functions each one mentions: those it calls, and those it hands to the caller's own
    functions, which may call them in turn."""
    edges: dict[str, tuple[str, ...]] = {}
    for name, body in defined.items():
        lines = [line for line in bodies.get(name, ()) if _CODE.match(line)]
        tokens = {t for line in lines for t in _TOKEN.findall(line)}
        tokens |= {token.removeprefix("_") for token in tokens}
        called = [other for other in defined if other in tokens and other != name]
        if name in _DIRECT.findall(body):
            called.append(name)
        edges[name] = tuple(dict.fromkeys(called))
    return edges


class _Deepest:
    """The deepest chain of calls from a function."""

    def __init__(
        self, frames: Mapping[str, int | None], edges: Mapping[str, Sequence[str]]
    ) -> None:
        self.frames = frames
        self.edges = edges
        self.known: dict[str, Stack | None] = {}

    def of(self, root: str) -> Stack | None:
        """Callees first; a function that is met again while it is open is a cycle."""
        pending, open_ = [root], set[str]()
        while pending:
            name = pending[-1]
            if name in self.known:
                pending.pop()
                continue
            open_.add(name)
            missing = [callee for callee in self.edges.get(name, ()) if callee not in self.known]
            if any(callee in open_ for callee in missing):
                return None
            if missing:
                pending += missing[:1]
                continue
            self.known[name] = self._with_callees(name)
            open_.discard(name)
            pending.pop()
        return self.known[root]

    def _with_callees(self, name: str) -> Stack | None:
        own = self.frames.get(name)
        below = [self.known[callee] for callee in self.edges.get(name, ())]
        if own is None or any(stack is None for stack in below):
            return None
        most = max(
            (s for s in below if s is not None), key=lambda s: s.nbytes, default=Stack(0, ())
        )
        return Stack(own + most.nbytes, ((name, own), *most.chain))
