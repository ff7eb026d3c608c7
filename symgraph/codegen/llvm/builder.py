"""Text of LLVM functions and modules, with value numbering.

Owns: names, blocks, and which instruction text already has a result that may be used again.  A
pure instruction is looked up by its text in the scopes that are open; scopes follow dominance (a
loop body, a branch), so what is found is always valid.  Knows nothing of kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

HERE = 1 << 30
"""The level of a value that depends on what was loaded: it cannot move."""


@dataclass(eq=False, slots=True)
class BasicBlock:
    """Lines of one block; the last one is its terminator."""

    name: str
    lines: list[str] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Scope:
    """A region that its first block dominates.  `hoist` is where instructions that depend only on
    this scope's variables are put: a block of their own, before the body.  `early` are its results,
    `known` those of the body, which may not be used in a hoist block."""

    hoist: BasicBlock | None
    known: dict[str, str] = field(default_factory=dict)
    early: dict[str, str] = field(default_factory=dict)


class ModuleBuilder:
    """Declarations, helper functions and functions, each once, in order of first use."""

    def __init__(self) -> None:
        self.declarations: dict[str, None] = {}
        self.helpers: dict[str, str] = {}
        self.functions: list[str] = []

    def declare(self, text: str) -> None:
        self.declarations[text] = None

    def helper(self, name: str, text: str) -> None:
        """A module-level definition, kept once by its name."""
        self.helpers.setdefault(name, text)

    def text(self, header: str, footer: str = "") -> str:
        parts = [header, *self.helpers.values(), *self.functions]
        if self.declarations:
            parts.append("\n".join(self.declarations) + "\n")
        if footer:
            parts.append(footer)
        return "\n".join(parts)


class FunctionBuilder:
    """One function: blocks in order, fresh names, scopes for value numbering."""

    def __init__(self, module: ModuleBuilder) -> None:
        self.module = module
        self._count = 0
        self._labels = 0
        entry = BasicBlock("entry")
        self.blocks = [entry]
        self.scopes = [Scope(entry)]
        self.current = entry
        self.place(self.block("body"))

    # -- names and blocks ----------------------------------------------------------------------

    def fresh(self) -> str:
        self._count += 1
        return f"%t{self._count}"

    def block(self, hint: str) -> BasicBlock:
        """A new block, not yet part of the function."""
        self._labels += 1
        return BasicBlock(f"{hint}{self._labels}")

    def place(self, block: BasicBlock) -> None:
        """Go on in `block`."""
        self.blocks.append(block)
        self.current = block

    def line(self, text: str) -> None:
        self.current.lines.append(text)

    def declare(self, text: str) -> None:
        self.module.declare(text)

    def helper(self, name: str, text: str) -> None:
        self.module.helper(name, text)

    def rarely(
        self, condition: str, common: Sequence[tuple[str, str]], make: Callable[[], Sequence[str]]
    ) -> list[str]:
        """The values `common` (type and name of each), or where the i1 `condition` holds those that
        `make` appends to a block of its own."""
        before, rare, after = self.current, self.block("rare"), self.block("after")
        self.line(f"br i1 {condition}, label %{rare.name}, label %{after.name}")
        self.place(rare)
        self.open(None)
        others = make()
        self.close()
        last = self.current
        self.line(f"br label %{after.name}")
        self.place(after)
        return [
            self.pure(f"phi {type} [ {usual}, %{before.name} ], [ {other}, %{last.name} ]")
            for (type, usual), other in zip(common, others, strict=True)
        ]

    # -- scopes --------------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """The number of the innermost scope; 0 is the whole function."""
        return len(self.scopes) - 1

    def open(self, hoist: BasicBlock | None) -> None:
        self.scopes.append(Scope(hoist))

    def close(self) -> None:
        self.scopes.pop()

    # -- instructions --------------------------------------------------------------------------

    def find(self, text: str) -> str | None:
        """The result of an instruction that already stands in an open scope."""
        for scope in reversed(self.scopes):
            name = scope.known.get(text)
            if name is None:
                name = scope.early.get(text)
            if name is not None:
                return name
        return None

    def pure(self, text: str) -> str:
        """The result of an instruction without side effects, at the current place."""
        name = self.find(text)
        if name is None:
            name = self.fresh()
            self.current.lines.append(f"{name} = {text}")
            self.scopes[-1].known[text] = name
        return name

    def hoisted(self, text: str, level: int) -> str:
        """As `pure`, at the start of scope `level`, on which alone the operands depend."""
        if level >= HERE:
            return self.pure(text)
        scope = self.scopes[level]
        while scope.hoist is None:
            level -= 1
            scope = self.scopes[level]
        for outer in reversed(self.scopes[: level + 1]):
            name = outer.early.get(text)
            if name is not None:
                return name
        name = self.fresh()
        scope.hoist.lines.append(f"{name} = {text}")
        scope.early[text] = name
        return name

    def text(self, head: str) -> str:
        """The whole function; the entry block falls into the first one after it."""
        entry, first = self.blocks[0], self.blocks[1]
        lines = [f"{head} {{"]
        for block in self.blocks:
            lines.append(f"{block.name}:")
            lines.extend(f"  {line}" for line in block.lines)
            if block is entry:
                lines.append(f"  br label %{first.name}")
        lines.append("}")
        return "\n".join(lines) + "\n"
