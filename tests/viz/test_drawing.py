"""Drawings: SVG, DOT, HTML and JSON of hand-made models, and how they are saved."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from symgraph.errors import FileError
from symgraph.viz import DrawError, Drawing
from symgraph.viz.text import count_text, cut, nbytes_text, text_width, wrap
from symgraph.viz.theme import FAMILIES, LIGHT, family_of, heat_colour

from . import samples

SVG = "{http://www.w3.org/2000/svg}"
MODELS = {
    "lenet": samples.lenet,
    "residual": samples.residual,
    "lstm": samples.lstm,
    "mesh": samples.mesh,
    "hostile": samples.hostile,
    "empty": nx.DiGraph,
}
HAVE_DOT = shutil.which("dot") is not None
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("parameters", ["hide", "show"])
@pytest.mark.parametrize("name", MODELS)
def test_svg_holds_every_node_and_edge(name: str, parameters: Any, rankdir: Any) -> None:
    model = MODELS[name]()
    drawing = Drawing(model, parameters=parameters, rankdir=rankdir)
    root = ET.fromstring(drawing.svg)
    hidden = {
        key
        for key, kind in model.nodes(data="kind")
        if parameters == "hide" and kind in ("parameter", "auxiliary")
    }
    edges = [e for e in model.edges if not hidden & set(e)]
    assert len(root.findall(f".//{SVG}g[@data-node]")) == len(model) - len(hidden)
    assert len(root.findall(f".//{SVG}g[@data-edge]")) == len(edges)
    assert drawing.svg == Drawing(MODELS[name](), parameters=parameters, rankdir=rankdir).svg


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_svg_shows_names_shapes_scopes_and_origins() -> None:
    svg = Drawing(samples.residual()).svg
    shown = texts(svg)
    for text in ("image", "conv1", "conv2d", "f32[N,16,32,32]", "stage1", "block2", "head"):
        assert text in shown
    assert "kernel=3 padding=1" in shown
    tooltips = [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}title")]
    first = next(text for text in tooltips if text.startswith("stage1/block1/conv1\n"))
    assert "parameter: conv1_weight f32[16,C,3,3]" in first
    assert re.search(r"declared at train\.py:\d+$", first)
    assert "54 parameters and states not shown" in shown


def test_options() -> None:
    model = samples.residual()
    bare = texts(Drawing(model, shapes=False, clusters=False).svg)
    assert not any(text.startswith("f32[") for text in bare)
    assert "stage1" not in bare
    grouped = Drawing(samples.lenet(), clusters="group").view.nodes
    assert {node.scope for node in grouped} == {(), ("conv1",), ("conv2",)}
    hot = Drawing(samples.lenet(), heat="flops")
    assert max(node.heat or 0 for node in hot.view.nodes) == 1.0
    assert "colour: flops, 0 to 3.2 M" in texts(hot.svg)


def test_names_are_escaped_everywhere() -> None:
    drawing = Drawing(samples.hostile())
    shown = texts(drawing.svg)
    for text in ("<a&b>", 'quote" \\l back\\slash', "<s>&", "<&\">'", "host", "4"):
        assert text in shown
    assert "\0" not in drawing.svg + drawing.dot + drawing.html
    page = Drawing(samples.hostile(), title="</title><script>alert(1)</script>").html
    assert "<script>alert" not in page
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)
    assert data is not None
    assert json.loads(data[1])["nodes"][0]["name"] == "<a&b>"


@pytest.mark.skipif(not HAVE_DOT, reason="Graphviz's program dot is not installed")
@pytest.mark.parametrize("name", MODELS)
def test_dot_reads_our_text_and_shows_it_literally(name: str) -> None:
    model = MODELS[name]()
    svg = Drawing(model, parameters="show", engine="dot").svg
    root = ET.fromstring(svg[svg.index("<svg") :])
    classes = [element.get("class") for element in root.iter(f"{SVG}g")]
    assert classes.count("node") == len(model)
    assert classes.count("edge") == model.number_of_edges()
    if name == "hostile":
        shown = [element.text for element in root.iter(f"{SVG}text")]
        for text in ("<a&b>", 'quote" \\l back\\slash', "<s>&", "\\N"):
            assert text in shown


def test_golden_dot_text() -> None:
    model = samples.lenet()
    model.remove_nodes_from([n for n in model if n not in ("x", "conv1", "conv1_weight", "relu1")])
    model.nodes["relu1"]["scope"] = "head"
    text = Drawing(model, parameters="show").dot
    assert text == (GOLDEN / "small.dot").read_text()


def test_text_does_not_depend_on_hashing() -> None:
    script = (
        "from tests.viz import samples; from symgraph.viz import Drawing; "
        "d = Drawing(samples.mesh(60)); print(hash(d.svg) == 0, len(d.svg)); "
        "import hashlib; print(hashlib.sha256((d.svg + d.dot + d.html).encode()).hexdigest())"
    )
    folder = Path(__file__).parent
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": str(folder.parents[1]), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.usefixtures("no_dot")
def test_without_graphviz(tmp_path: Path) -> None:
    drawing = Drawing(samples.lenet())
    for suffix in (".svg", ".html", ".dot", ".gv", ".json"):
        assert drawing.save(tmp_path / f"lenet{suffix}").stat().st_size > 1000
    for suffix in (".png", ".pdf"):
        with pytest.raises(DrawError, match=r"apt-get install graphviz"):
            drawing.save(tmp_path / f"lenet{suffix}")
    with pytest.raises(DrawError, match=r"needs its program `dot`"):
        assert Drawing(samples.lenet(), engine="dot").svg
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        f"lenet{s}" for s in (".svg", ".html", ".dot", ".gv", ".json")
    )


@pytest.mark.skipif(not HAVE_DOT, reason="Graphviz's program dot is not installed")
def test_png_and_pdf_through_graphviz(tmp_path: Path) -> None:
    drawing = Drawing(samples.lenet())
    assert drawing.save(tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert drawing.save(str(tmp_path / "a.PDF")).read_bytes().startswith(b"%PDF")


def test_saving_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.svg"
    path.write_text("old")
    drawing = Drawing(samples.lenet())

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        drawing.save(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_save_errors(tmp_path: Path) -> None:
    drawing = Drawing(samples.lenet())
    known = ".svg .html .dot .gv .png .pdf .json"
    for name, suffix in (("a.jpg", ".jpg"), ("a", "")):
        message = (
            f"{tmp_path / name}: cannot draw a file with the suffix {suffix!r}; known are {known}"
        )
        with pytest.raises(DrawError, match=f"^{re.escape(message)}$"):
            drawing.save(tmp_path / name)
    with pytest.raises(FileError, match=r"does not exist$"):
        drawing.save(tmp_path / "nowhere" / "a.svg")
    with pytest.raises(DrawError, match=r"our own layout writes no PNG"):
        Drawing(samples.lenet(), engine="own").save(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": "no"}, "parameters must be one of 'hide', 'show', got 'no'"),
        ({"rankdir": "BT"}, "rankdir must be one of 'TB', 'LR', got 'BT'"),
        ({"engine": "neato"}, "engine must be one of 'auto', 'dot', 'own', got 'neato'"),
        ({"clusters": 1}, "clusters must be one of True, False, 'scope', 'group', got 1"),
        ({"heat": "time"}, "heat='time': no node has a number under this name"),
    ],
)
def test_option_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DrawError, match=f"^{re.escape(message)}$"):
        Drawing(samples.lenet(), **options)


def test_unknown_kind() -> None:
    model: nx.DiGraph[str] = nx.DiGraph()
    model.add_node("a", kind="thing")
    with pytest.raises(DrawError, match=r"^node a: kind must be one of operator, .*, got 'thing'$"):
        Drawing(model)


def test_json_is_the_whole_model() -> None:
    model = samples.lenet()
    content = json.loads(Drawing(model, parameters="hide").json)
    assert (content["format"], content["format_version"]) == ("symgraph-picture", 1)
    assert len(content["nodes"]) == len(model)
    assert len(content["edges"]) == model.number_of_edges()
    assert content["nodes"][1]["label"] == "conv1_weight"


def test_notebooks_show_the_svg() -> None:
    drawing = Drawing(samples.lenet())
    assert drawing._repr_svg_() == drawing.svg
    assert repr(drawing) == "Drawing(13 nodes, 12 edges)"


def test_page_needs_nothing_else() -> None:
    page = Drawing(samples.lenet(), title="LeNet").html
    assert "<title>LeNet</title>" in page
    assert not re.search(r"(src|href)\s*=", page)
    assert "@import" not in page
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize(
    ("op", "family"),
    [
        ("conv2d", "contraction"),
        ("log_softmax", "loss"),
        ("batch_norm", "normalisation"),
        ("max_pool2d", "reduction"),
        ("maximum", "elementwise"),
        ("expand_dims", "movement"),
        ("relu6", "elementwise"),
        ("lstm", "sequence"),
        ("margin", "other"),
    ],
)
def test_families(op: str, family: str) -> None:
    assert family_of(op) == family


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_text_is_readable_on_every_fill() -> None:
    from symgraph.viz.theme import DARK

    for name, style in FAMILIES.items():
        if name != "output":
            assert contrast(style.light[0], LIGHT.text) > 7
            assert contrast(style.dark[0], DARK.text) > 7
    assert contrast(heat_colour(1.0), LIGHT.text) > 4.5


def test_text_helpers() -> None:
    assert cut("abcdefghij", 7) == "abc…hij"
    assert wrap("a bb ccc dddd", 6, 2) == ["a bb", "ccc …"]
    assert text_width("iiii", 10) < text_width("mmmm", 10) / 3
    assert [nbytes_text(n) for n in (0, 1023, 1024, 1536, 2**20 - 1, 2**31)] == [
        "0 B", "1023 B", "1 KiB", "1.5 KiB", "1.0 MiB", "2 GiB",
    ]  # fmt: skip
    assert count_text(2_500_000, "FLOP") == "2.5 MFLOP"
