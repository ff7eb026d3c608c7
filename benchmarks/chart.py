"""A picture of the ratios: one bar for each network and number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

LEFT, WIDTH, STEP, TOP = 190, 420, 20, 40


def chart(rows: Sequence[Any]) -> str:
    """Least time of symgraph over that of the fastest peer, as SVG; shorter is faster."""
    bars: list[tuple[str, float]] = []
    for row in rows:
        if row.engine != "symgraph":
            continue
        peers = [r.minimum_ms for r in rows if r.engine != "symgraph"
                 and (r.network, r.threads) == (row.network, row.threads)]  # fmt: skip
        if peers:
            bars.append((f"{row.network}, {row.threads} thr.", row.minimum_ms / min(peers)))
    longest = max([1.25, *(ratio for _, ratio in bars)])
    height = TOP + STEP * len(bars) + 20
    unit = WIDTH / longest
    one = LEFT + unit
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 70}" height="{height}" '
        f'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="16">time of symgraph / time of the fastest peer</text>',
        f'<text x="{one:.1f}" y="32" text-anchor="middle" fill="#666">1.0</text>',
    ]
    for number, (label, ratio) in enumerate(bars):
        y = TOP + STEP * number
        colour = "#2a7f62" if ratio <= 1 else "#b5543c"
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{ratio * unit:.1f}" height="14" '
            f'fill="{colour}"/>',
            f'<text x="{LEFT + ratio * unit + 6:.1f}" y="{y + 14}">{ratio:.2f}</text>',
        ]
    lines.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{TOP - 4}" y2="{height - 14}" '
                 'stroke="#666" stroke-dasharray="3 3"/>')  # fmt: skip
    return "\n".join([*lines, "</svg>"]) + "\n"
