"""Charts of memory plans: time across, offset up, one rectangle per block, the peak marked.

Takes plain data, so that any plan can be drawn: blocks of (name, start, end, offset, nbytes), alive
in the steps start..end, both included.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..files import write_atomic
from .errors import DrawError
from .svg import style_rules
from .text import FONT, cut, escape, nbytes_text, text_width
from .theme import FAMILIES, LIGHT

__all__ = ["ArenaChart", "Block", "draw_arena"]

_LEFT, _TOP, _RIGHT, _BOTTOM = 74.0, 58.0, 20.0, 40.0
_COLOURS = ("contraction", "elementwise", "normalisation", "reduction", "loss", "sequence")


class Block(NamedTuple):
    """One buffer: its place in the arena and the steps in which it is alive (ends included)."""

    name: str
    start: int
    end: int
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class ArenaChart:
    """A chart as SVG text; shows itself in notebooks."""

    svg: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the chart to an .svg file, whole or not at all."""
        target = Path(path)
        if target.suffix.lower() != ".svg":
            raise DrawError(f"{target}: a memory chart is saved as .svg, got {target.suffix!r}")
        write_atomic(target, self.svg.encode())
        return target

    def _repr_svg_(self) -> str:
        return self.svg


@dataclass(frozen=True, slots=True)
class _Scale:
    """From steps and bytes to the coordinates of the drawing."""

    first: int
    steps: int
    most: int
    width: float
    height: float

    def x(self, step: float) -> float:
        return _LEFT + (step - self.first) / self.steps * self.width

    def y(self, offset: float) -> float:
        return _TOP + self.height * (1 - offset / self.most)


def draw_arena(
    blocks: Iterable[tuple[str, int, int, int, int]],
    total: int | None = None,
    lower_bound: int | None = None,
    title: str = "memory plan",
    width: float = 900.0,
    height: float = 420.0,
    shared: Iterable[tuple[int, int]] = (),
) -> ArenaChart:
    """Draw blocks (name, start, end, offset, nbytes); overlapping ones get a red border.

    `total` is the size of the arena (by default the highest end of a block), `lower_bound` the
    least possible one (by default the most bytes alive at once).  `shared` are pairs of block
    numbers (input, output): the output is written over the input, which ends as it begins.

    Raises: DrawError for a block that ends before it starts or has a negative place or size.
    """
    plan = [Block(*block) for block in blocks]
    for block in plan:
        if block.end < block.start or min(block.offset, block.nbytes) < 0:
            raise DrawError(f"memory chart: block {block.name} is impossible: {tuple(block)}")
    over = frozenset(shared)
    peak_step, peak = _peak(plan, over)
    total = max((b.offset + b.nbytes for b in plan), default=0) if total is None else total
    lower_bound = peak if lower_bound is None else lower_bound
    first = min((b.start for b in plan), default=0)
    last = max((b.end for b in plan), default=0)
    most = max([total, lower_bound, 1, *(b.offset + b.nbytes for b in plan)])
    scale = _Scale(first, last + 1 - first, most, width - _LEFT - _RIGHT, height - _TOP - _BOTTOM)
    lines = _document(
        plan, scale, (width, height), title, (peak_step, peak), total, lower_bound, over
    )
    return ArenaChart("\n".join(lines) + "\n")


def _peak(plan: Sequence[Block], shared: frozenset[tuple[int, int]]) -> tuple[int, int]:
    """The first step with the most bytes alive, and that number; shared bytes count once."""
    changes: dict[int, int] = {}
    late = {target for _, target in shared}
    for number, block in enumerate(plan):
        start = block.start + (number in late)
        changes[start] = changes.get(start, 0) + block.nbytes
        changes[block.end + 1] = changes.get(block.end + 1, 0) - block.nbytes
    best, most, alive = 0, 0, 0
    for step in sorted(changes):
        alive += changes[step]
        if alive > most:
            best, most = step, alive
    return best, most


def _clashes(plan: Sequence[Block], shared: frozenset[tuple[int, int]]) -> set[int]:
    """Blocks that share bytes with another one at the same time: a wrong plan."""
    order = sorted(range(len(plan)), key=lambda i: plan[i].start)
    wrong: set[int] = set()
    alive: list[int] = []
    for i in order:
        block = plan[i]
        alive = [j for j in alive if plan[j].end >= block.start]
        for j in alive:
            other = plan[j]
            if ((i, j) in shared or (j, i) in shared) and (
                block.start == other.end or other.start == block.end
            ):
                continue
            if max(block.offset, other.offset) < min(
                block.offset + block.nbytes, other.offset + other.nbytes
            ):
                wrong |= {i, j}
        alive.append(i)
    return wrong


def _document(
    plan: Sequence[Block],
    scale: _Scale,
    size: tuple[float, float],
    title: str,
    peak: tuple[int, int],
    total: int,
    lower_bound: int,
    shared: frozenset[tuple[int, int]],
) -> Iterator[str]:
    width, height = size
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="symgraph" width="{width:g}" '
        f'height="{height:g}" viewBox="0 0 {width:g} {height:g}" font-family="{FONT}">'
    )
    yield f"<style>{style_rules()}</style>"
    yield f'<rect class="paper" width="100%" height="100%" fill="{LIGHT.paper}"/>'
    yield _text(title, _LEFT, 20, 13, bold=True)
    naive = sum(block.nbytes for block in plan)
    share = f" ({total / lower_bound:.3g}x)" if lower_bound > 0 else ""
    yield _text(
        f"planned {nbytes_text(total)}{share}   lower bound {nbytes_text(lower_bound)}   "
        f"without sharing {nbytes_text(naive)}   {len(plan)} blocks",
        _LEFT,
        38,
        11,
    )
    yield from _axes(scale)
    wrong = _clashes(plan, shared)
    for i, block in enumerate(plan):
        yield _rectangle(block, i, scale, i in wrong)
    yield _level(scale, total, "planned", False)
    if lower_bound != total:
        yield _level(scale, lower_bound, "lower bound", True)
    if plan:
        yield _peak_band(scale, peak[0])
        x = min(max(scale.x(peak[0] + 0.5), _LEFT + 60), _LEFT + scale.width - 110)
        yield _text(f"peak at step {peak[0]}: {nbytes_text(peak[1])}", x, _TOP - 6, 10, "middle")
    yield "</svg>"


def _axes(scale: _Scale) -> Iterator[str]:
    bottom = scale.y(0)
    for step in _ticks(scale.steps, max(1, int(scale.width // 60))):
        yield _text(
            str(scale.first + step), scale.x(scale.first + step + 0.5), bottom + 15, 10, "middle"
        )
    yield _text("step", scale.x(scale.first + scale.steps / 2), bottom + 32, 11, "middle")
    for i in range(5):
        offset = scale.most * i / 4
        y = scale.y(offset)
        yield (
            f'<path class="line" d="M{_LEFT:g} {y:.1f}H{_LEFT + scale.width:.1f}" '
            f'stroke="{LIGHT.cluster_line}" stroke-width="0.5"/>'
        )
        yield _text(nbytes_text(round(offset)), _LEFT - 8, y + 3.5, 10, "end")


def _ticks(steps: int, most: int) -> range:
    for base in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000):
        if steps / base <= most:
            return range(0, steps, base)
    return range(0, steps, max(1, steps // most))


def _peak_band(scale: _Scale, step: int) -> str:
    x = scale.x(step)
    return (
        f'<rect class="peak" x="{x:.1f}" y="{_TOP:g}" width="{scale.x(step + 1) - x:.1f}" '
        f'height="{scale.height:.1f}" fill="#d55e00" fill-opacity="0.12" stroke="#d55e00" '
        'stroke-dasharray="3 3" pointer-events="none"/>'
    )


def _rectangle(block: Block, i: int, scale: _Scale, wrong: bool) -> str:
    family = _COLOURS[i % len(_COLOURS)]
    fill, border = FAMILIES[family].light
    x, y = scale.x(block.start), scale.y(block.offset + block.nbytes)
    width, height = scale.x(block.end + 1) - x, max(scale.y(block.offset) - y, 0.8)
    until = block.offset + block.nbytes
    tooltip = (
        f"{block.name}\n{nbytes_text(block.nbytes)} at {block.offset}..{until}\n"
        f"alive in steps {block.start}..{block.end}" + ("\nOVERLAPS" if wrong else "")
    )
    mark = ' style="stroke:#d00000;stroke-width:2.5"' if wrong else ""
    parts = [
        f'<g class="block"><title>{escape(tooltip)}</title>'
        f'<rect class="f-{family}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" fill="{fill}" stroke="{border}" stroke-width="0.8"{mark}/>'
    ]
    letters = int((width - 6) / 5.6)
    name = cut(block.name, letters) if letters >= min(len(block.name), 8) else ""
    if name and height >= 12 and text_width(name, 10) <= width - 4:
        parts.append(_text(name, x + width / 2, y + height / 2 + 3.5, 10, "middle"))
    return "".join([*parts, "</g>"])


def _level(scale: _Scale, nbytes: int, name: str, dashed: bool) -> str:
    y = scale.y(nbytes)
    dash = ' stroke-dasharray="6 4"' if dashed else ""
    right = _LEFT + scale.width
    return (
        f'<path class="level" d="M{_LEFT:g} {y:.1f}H{right:.1f}" stroke="#d55e00" '
        f'stroke-width="1.4"{dash}><title>{name}: {nbytes_text(nbytes)}</title></path>'
        + _text(name, right, y - 4, 10, "end", halo=True)
    )


def _text(
    text: str,
    x: float,
    y: float,
    size: float,
    anchor: str = "start",
    bold: bool = False,
    halo: bool = False,
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    around = (
        f' class="halo" stroke="{LIGHT.paper}" stroke-width="3" paint-order="stroke"'
        if halo
        else ""
    )
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" '
        f'xml:space="preserve" fill="{LIGHT.text}"{weight}{around}>{escape(text)}</text>'
    )
