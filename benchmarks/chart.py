"""A picture of the ratios: a bar for each network, number of threads and form of symgraph."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from .engines import PEERS

LEFT, WIDTH, RIGHT, STEP, TOP = 210, 420, 330, 20, 58
SPELLED = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
FASTER, SLOWER, LINE = "#2a7f62", "#b5543c", "#666"


def chart(rows: Sequence[Any], machine: str = "") -> str:
    """Least time of symgraph over that of the fastest peer, as SVG; shorter is faster.

    Beside each bar its ratio, the milliseconds of both, and which peer it was.
    """
    bars = [bar for row in rows if row.engine not in PEERS for bar in _bars(row, rows)]
    longest = max([1.05, *(ratio for _, ratio, _ in bars)])
    height = TOP + STEP * len(bars) + 20
    unit = WIDTH / longest
    one = LEFT + unit
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="16" font-weight="bold">time of symgraph / time of the fastest peer, '
        "shorter is better</text>",
        f'<text x="{LEFT}" y="32" fill="{LINE}">{escape(machine)}</text>',
        f'<text x="{one:.1f}" y="{TOP - 8}" text-anchor="middle" fill="{LINE}">1.0</text>',
        f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{TOP - 4}" y2="{height - 14}" '
        f'stroke="{LINE}" stroke-dasharray="3 3"/>',
    ]
    for number, (label, ratio, times) in enumerate(bars):
        y = TOP + STEP * number
        after = max(LEFT + ratio * unit, one) + 8
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(label)}</text>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{ratio * unit:.1f}" height="14" '
            f'fill="{FASTER if ratio <= 1 else SLOWER}"/>',
            f'<text x="{after:.1f}" y="{y + 14}">{ratio:.2f}'
            f'<tspan fill="{LINE}">   {escape(times)}</tspan></text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bars(row: Any, rows: Sequence[Any]) -> list[tuple[str, float, str]]:
    """(label, ratio, what is compared) of a row of symgraph; none without a peer's row."""
    same = (row.network, row.threads)
    peers = [r for r in rows if r.engine in PEERS and (r.network, r.threads) == same]
    if not peers:
        return []
    best = min(peers, key=lambda r: r.minimum_ms)
    _, _, form = row.engine.partition("-")
    threads = "1 thread" if row.threads == 1 else f"{row.threads} threads"
    label = ", ".join(part for part in (row.network, form, threads) if part)
    times = f"{row.minimum_ms:.4g} ms, {SPELLED[best.engine]} {best.minimum_ms:.4g}"
    return [(label, row.minimum_ms / best.minimum_ms, times)]
