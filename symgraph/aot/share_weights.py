"""The versions of a program made to read the same weights.

Each version is scheduled by itself, so that it gives the bits of its own compile; its schedule
decides in which form it reads a constant: as it was, in panels of some width, in blocks of
channels.  Here versions agree on as few forms of each array as they can read with contiguous
vectors; only addresses change by that.  The form is one that a version chose: the one that most
can read, and among those the first version's.

Afterwards every version has the same constants in the same order, so one block serves all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..ir.program import ConstantData, KernelStep, Program, ProgramBuffer
from ..kernel.form import (
    Form,
    blocked_form,
    packed_form,
    plain_form,
    with_axes_joined,
    with_indices_joined,
)
from ..kernel.ir import Kernel
from ..kernel.transform.repack import repack
from .recipes import parameters_of

Array = np.ndarray[Any, np.dtype[Any]]
Content = tuple[str, tuple[int, ...], bytes, tuple[str, ...]]
"""The type, shape and bytes of an array, and the parameters that it follows from where others may
take their places: equal numbers of different ones are not the same."""

Key = tuple[Content, int]


@dataclass(frozen=True, eq=False)
class _Use:
    """A constant of one version: the forms in which its memory may be seen, each with the content
    of the array that it then is, and the kernels that read it."""

    version: int
    data: ConstantData
    forms: dict[Content, Form]
    readers: tuple[tuple[Kernel, int], ...] | None

    def can_read(self, content: Content, form: Form) -> bool:
        """All its kernels can, or it is in that form."""
        own = self.forms[content]
        if own == form:
            return True
        return self.readers is not None and all(
            repack(kernel, place, own, form) is not None for kernel, place in self.readers
        )


def share_weights(programs: Sequence[Program], preferred: Sequence[int]) -> list[Program]:
    """The programs with the same constants.

    preferred   the positions of the programs, the one whose forms are best kept first
    """
    if len(programs) < 2:
        return list(programs)
    uses = [use for number in preferred for use in _uses(programs[number], number)]
    changes: list[dict[ProgramBuffer, tuple[ConstantData, Form, Form]]] = [{} for _ in programs]
    for content, alike in _groups(uses).items():
        while alike:
            leader, followers = _leader(content, alike)
            for use in followers:
                own, form = use.forms[content], leader.forms[content]
                if own != form:
                    changes[use.version][use.data.buffer] = (leader.data, own, form)
            alike = [use for use in alike if use not in followers]
    changed = [_changed(p, c) for p, c in zip(programs, changes, strict=True)]
    return _with_all_constants(changed)


def other_forms_nbytes(programs: Sequence[Program]) -> int:
    """Bytes of constants that the version with most of them does not read: those that others
    transform, or cannot read in its form."""
    read, every = [], 0
    for program in programs:
        roots = {b.root for step in program.timeline for b in step.arguments}
        sizes = [(data.buffer in roots, data.array.nbytes) for data in program.constants]
        read.append(sum(size for is_read, size in sizes if is_read))
        every = max(every, sum(size for _, size in sizes))
    return every - max(read, default=0)


def _leader(content: Content, alike: Sequence[_Use]) -> tuple[_Use, list[_Use]]:
    """The use whose form most of them can read, and those."""
    best: tuple[_Use, list[_Use]] | None = None
    for candidate in alike:
        form = candidate.forms[content]
        followers = [use for use in alike if use.can_read(content, form)]
        if best is None or len(followers) > len(best[1]):
            best = candidate, followers
    assert best is not None
    return best


def _groups(uses: Sequence[_Use]) -> dict[Content, list[_Use]]:
    """Uses of the same array; memory that can be seen as several arrays is put to the others."""
    count: dict[Content, set[int]] = {}
    for use in uses:
        for content in use.forms:
            count.setdefault(content, set()).add(use.version)
    groups: dict[Content, list[_Use]] = {}
    for use in uses:
        content = max(use.forms, key=lambda c: len(count[c]))
        if len(count[content]) > 1:
            groups.setdefault(content, []).append(use)
    return groups


def _uses(program: Program, version: int) -> Iterator[_Use]:
    readers: dict[ProgramBuffer, list[tuple[Kernel, int]] | None] = {}
    for step in program.steps:
        for position, buffer in enumerate(step.arguments):
            if buffer.root.place != "constant":
                continue
            found = readers.setdefault(buffer.root, [])
            if not isinstance(step, KernelStep) or buffer is not buffer.root:
                readers[buffer.root] = None
            elif found is not None:
                found.append((step.kernel, position))
    for data in program.constants:
        if data.array.size > 1:
            found = readers.get(data.buffer)
            kernels = None if found is None else tuple(dict.fromkeys(found))
            yield _Use(version, data, dict(_forms(data)), kernels)


def _forms(data: ConstantData) -> Iterator[tuple[Content, Form]]:
    """Every array that the memory may hold, in which form: panels, or blocks of channels."""
    shape = data.array.shape
    if data.packing is not None:
        candidates = [packed_form(data.packing)]
    else:
        candidates = [plain_form(shape)]
        if len(shape) >= 3:
            candidates.append(blocked_form(shape, ((0, shape[-1]),)))
        if len(shape) >= 4 and shape[-1] == shape[-2]:
            # Of [o, c, ...], and of what Winograd's form makes of it, [.., .., o, c].
            for axis in range(len(shape) - 3):
                blocks = ((axis + 1, shape[-2]), (axis, shape[-1]))
                candidates.append(blocked_form(shape, blocks))
    whole = [_content(data, form.restore(data.array.reshape(form.shape))) for form in candidates]
    yield from zip(whole, candidates, strict=True)
    for content, form in zip(whole, candidates, strict=True):
        for other in _with_fewer_axes(form):
            # The bytes of the array stay: only its shape is another one.
            yield (content[0], other.extents, *content[2:]), other


def _with_fewer_axes(form: Form) -> list[Form]:
    """The same memory with axes of the array seen as one: a version may pass over the first two,
    [4, 4, ...], as one, and one that reads panels over blocks counts the panels of each apart."""
    found: dict[Form, None] = {}
    waiting = [form]
    while waiting:
        last = waiting.pop()
        axes = range(len(last.extents) - 1)
        new = [with_indices_joined(last, axis) for axis in axes]
        new += [with_axes_joined(last, 0)] if len(last.digits) > 1 else []
        for other in new:
            if other is not None and other not in found:
                found[other] = None
                waiting.append(other)
    return list(found)


def _content(data: ConstantData, array: Array) -> Content:
    raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    digest = hashlib.sha256(raw.data).digest()
    return array.dtype.str, array.shape, digest, parameters_of(data.recipe)


def _changed(
    program: Program, changes: dict[ProgramBuffer, tuple[ConstantData, Form, Form]]
) -> Program:
    """The program with those constants in other forms."""
    moved: dict[ProgramBuffer, ProgramBuffer] = {}
    constants = []
    for data in program.constants:
        if data.buffer in changes:
            new = changes[data.buffer][0]
            moved[data.buffer] = replace(data.buffer, type=new.buffer.type)
            data = replace(new, buffer=moved[data.buffer])
        constants.append(data)
    done: dict[tuple[Kernel, tuple[tuple[int, Form], ...]], Kernel] = {}
    steps = []
    for step in program.steps:
        if isinstance(step, KernelStep) and any(b in moved for b in step.arguments):
            step = _with_forms(step, moved, changes, done)
        steps.append(step)
    return program.with_(steps=tuple(steps), constants=tuple(constants))


def _with_forms(
    step: KernelStep,
    moved: dict[ProgramBuffer, ProgramBuffer],
    changes: dict[ProgramBuffer, tuple[ConstantData, Form, Form]],
    done: dict[tuple[Kernel, tuple[tuple[int, Form], ...]], Kernel],
) -> KernelStep:
    wanted = tuple((n, changes[b][2]) for n, b in enumerate(step.arguments) if b in moved)
    if (step.kernel, wanted) not in done:
        kernel: Kernel | None = step.kernel
        for position, form in wanted:
            assert kernel is not None
            kernel = repack(kernel, position, changes[step.arguments[position]][1], form)
        assert kernel is not None, "every reader was asked before"
        done[step.kernel, wanted] = kernel
    arguments = tuple(moved.get(b, b) for b in step.arguments)
    return replace(step, kernel=done[step.kernel, wanted], arguments=arguments)


def _with_all_constants(programs: Sequence[Program]) -> list[Program]:
    """Every program with the constants of all, in one order; what several have is there once."""
    every: dict[Key, ConstantData] = {}
    own: list[dict[Key, ConstantData]] = []
    for program in programs:
        mine: dict[Key, ConstantData] = {}
        for data in program.constants:
            what, number = _content(data, data.array), 0
            # A program may hold equal arrays twice, and swapped weights may differ in them.
            while (what, number) in mine:
                number += 1
            mine[what, number] = data
            every.setdefault((what, number), data)
        own.append(mine)
    return [
        program.with_(constants=tuple(mine.get(key, data) for key, data in every.items()))
        for program, mine in zip(programs, own, strict=True)
    ]
