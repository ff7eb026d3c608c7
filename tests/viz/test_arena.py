"""Charts of memory plans."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from symgraph.viz import DrawError, draw_arena

SVG = "{http://www.w3.org/2000/svg}"
PLAN = [("conv1", 0, 1, 0, 4096), ("relu1", 1, 2, 4096, 4096), ("<pool&>", 2, 4, 0, 1024)]


def test_chart_holds_every_block_and_the_numbers() -> None:
    svg = draw_arena(PLAN).svg
    root = ET.fromstring(svg)
    assert len(root.findall(f".//{SVG}g[@class='block']")) == 3
    shown = "\n".join(element.text or "" for element in root.iter(f"{SVG}text"))
    assert "planned 8 KiB (1x)   lower bound 8 KiB   without sharing 9 KiB   3 blocks" in shown
    assert "peak at step 1: 8 KiB" in shown
    assert "<pool&>" in shown
    assert "OVERLAPS" not in svg
    assert svg == draw_arena(PLAN).svg


def test_overlapping_blocks_are_marked() -> None:
    svg = draw_arena([*PLAN, ("bad", 2, 2, 1000, 100)]).svg
    assert svg.count("OVERLAPS") == 2


def test_total_and_bound_can_be_given() -> None:
    svg = draw_arena(PLAN, total=16384, lower_bound=4096).svg
    assert "planned 16 KiB (4x)   lower bound 4 KiB" in svg
    assert "lower bound" in svg


def test_empty_plan_and_empty_blocks() -> None:
    ET.fromstring(draw_arena([]).svg)
    ET.fromstring(draw_arena([("nothing", 3, 3, 0, 0)]).svg)


def test_errors(tmp_path: Path) -> None:
    message = "memory chart: block x is impossible: ('x', 2, 1, 0, 4)"
    with pytest.raises(DrawError, match=f"^{re.escape(message)}$"):
        draw_arena([("x", 2, 1, 0, 4)])
    with pytest.raises(DrawError, match=r"a memory chart is saved as \.svg, got '\.png'$"):
        draw_arena(PLAN).save(tmp_path / "a.png")
    assert draw_arena(PLAN).save(tmp_path / "a.svg").read_text().startswith("<svg")
