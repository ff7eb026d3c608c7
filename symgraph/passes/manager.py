"""Passes and the pipeline that runs them.

A pass is a frozen dataclass: its fields are its options, `run(graph) -> graph` its work.  It
declares facts: what it `requires`, what it `provides`, and what it `breaks`.  A pipeline checks
these before it runs and names the pass that would provide what is missing.  After each pass the
pipeline verifies, and can dump, time, stop, and compare numbers to find the pass that is wrong.
"""

from __future__ import annotations

import enum
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from ..errors import PipelineError, VerifyError
from ..ir.graph import Graph
from ..ir.node import Node, Value
from ..ir.verify import verify_graph
from ..options import Options


class Fact(enum.Flag):
    """What passes may rely on."""

    NONE = 0
    NAMED = enum.auto()
    """Every node has an explicit name."""
    TYPED = enum.auto()
    """Every type is complete."""
    PRIMITIVE = enum.auto()
    """No composite operators are left."""
    CANONICAL = enum.auto()
    """Constants folded, identities applied, duplicates merged."""
    INFERENCE = enum.auto()
    """Operators that differ at inference time have been replaced."""
    FUSED = enum.auto()
    """Groups are nodes that hold sub-graphs."""


class Pass:
    """Base of every pass."""

    name: ClassVar[str] = ""
    requires: ClassVar[Fact] = Fact.NONE
    provides: ClassVar[Fact] = Fact.NONE
    breaks: ClassVar[Fact] = Fact.NONE
    exact: ClassVar[bool] = True
    """Results agree within rounding; False where the pass may change them (inference form)."""

    inside: ClassVar[bool] = True
    """It applies to the graphs that nodes hold as well, the bodies of loops."""

    def run(self, graph: Graph) -> Graph:
        """The changed graph, or the same object when nothing changed."""
        raise NotImplementedError(f"{type(self).__name__} does not define run")


def run_inside(item: Pass, graph: Graph) -> Graph:
    """A pass over a graph, then over the graphs that its nodes hold.

    Variables and outputs of an inner graph stay what they are, so its node keeps its types.
    """
    graph = item.run(graph)
    if not item.inside or all(n.op.subgraph is None for n in graph.nodes):
        return graph

    def change(node: Node, inputs: tuple[Value, ...]) -> Sequence[Value] | None:
        inner = node.op.subgraph
        new = None if inner is None else run_inside(item, inner)
        if new is None or new is inner:
            return None
        return Node(node.op.with_subgraph(new), inputs, node.types, node.name, node.origin,
                    node.scope, node.attributes, node.serial).values  # fmt: skip

    return graph.rewrite(change)


_KNOWN_PROVIDERS: dict[Fact, str] = {}


def provider(cls: type[Pass]) -> type[Pass]:
    """Class decorator: lets error messages name this pass as the one that provides its facts."""
    for fact in Fact:
        if fact is not Fact.NONE and fact in cls.provides:
            _KNOWN_PROVIDERS.setdefault(fact, cls.name)
    return cls


@dataclass(frozen=True)
class Report:
    """One line for each pass: name, seconds, whether it changed the graph."""

    entries: tuple[tuple[str, float, bool], ...] = ()

    def __str__(self) -> str:
        return "\n".join(
            f"{name:<28} {seconds * 1e3:8.2f} ms{'' if changed else '  (unchanged)'}"
            for name, seconds, changed in self.entries
        )


Compare = Callable[[Graph, Graph], str | None]
"""Evaluates two graphs on the same random inputs; None when they agree, else the difference."""


@dataclass(frozen=True)
class Pipeline:
    """Passes in order.  Raises: PipelineError when their facts do not fit."""

    passes: tuple[Pass, ...]
    given: Fact = Fact.NONE
    after: Fact = field(init=False, default=Fact.NONE)

    def __post_init__(self) -> None:
        facts = self.given
        for item in self.passes:
            missing = item.requires & ~facts
            if missing:
                raise PipelineError(self._explain(item, missing))
            facts = (facts & ~item.breaks) | item.provides
        object.__setattr__(self, "after", facts)

    def _explain(self, item: Pass, missing: Fact) -> str:
        names = [f.name or "" for f in Fact if f is not Fact.NONE and f in missing]
        helpers = [_KNOWN_PROVIDERS.get(f) for f in Fact if f is not Fact.NONE and f in missing]
        breakers = [p.name for p in self.passes if p is not item and p.breaks & missing]
        text = f"pass {item.name!r} requires {', '.join(names)}, which nothing before it provides"
        if any(helpers):
            text += f"; put {' and '.join(repr(h) for h in helpers if h)} before it"
        if breakers:
            text += f" ({', '.join(breakers)} breaks it)"
        return text

    def run(
        self,
        graph: Graph,
        options: Options | None = None,
        compare: Compare | None = None,
        dump: Dump | None = None,
    ) -> tuple[Graph, Report]:
        """Run the passes; `compare` is used at verification level 3, `dump` numbers the stages on
        where several pipelines follow each other.

        Raises: VerifyError naming the pass after which an invariant or the numbers fail.
        """
        chosen = options if options is not None else Options()
        dump = Dump(chosen.dump) if dump is None else dump
        if dump.number == 0:
            dump.write("input", graph)
        entries: list[tuple[str, float, bool]] = []
        for item in self.passes:
            if item.name in chosen.disable:
                continue
            start = time.perf_counter()
            new = run_inside(item, graph)
            entries.append((item.name, time.perf_counter() - start, new is not graph))
            dump.write(item.name, new, changed=new is not graph)
            _check_after(item, graph, new, chosen, compare, dump)
            graph = new
            if chosen.stop_after == item.name:
                break
        report = Report(tuple(entries))
        if chosen.timing:
            sys.stderr.write(f"{report}\n")
        return graph, report


def _check_after(
    item: Pass, before: Graph, after: Graph, options: Options, compare: Compare | None, dump: Dump
) -> None:
    if options.verify == 0 or after is before:
        return
    try:
        verify_graph(after, level=min(options.verify, 2))
    except VerifyError as error:
        raise VerifyError(error.rule, f"after pass {item.name!r}: {error}{dump.hint()}") from error
    if options.verify >= 3 and compare is not None and item.exact:
        difference = compare(before, after)
        if difference is not None:
            raise VerifyError(
                "G9",
                f"pass {item.name!r} changed the numbers: {difference}{dump.hint()}",
                f"before:\n{before}\nafter:\n{after}",
            )


class Dump:
    """Numbered text files of every stage in one folder."""

    def __init__(self, folder: str | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.number = 0

    def write(self, stage: str, item: object, changed: bool = True) -> None:
        """The text of `item`, made only when there is a folder to write it to."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.number:02d}-{stage}.txt"
        path.write_text(f"{item}" if changed else f"(unchanged)\n{item}", encoding="utf-8")
        self.number += 1

    def hint(self) -> str:
        return "" if self.folder is None else f" (see {self.folder})"


def run_passes(graph: Graph, passes: Sequence[Pass], given: Fact = Fact.NONE) -> Graph:
    """Run a few passes with default options."""
    return Pipeline(tuple(passes), given).run(graph)[0]
