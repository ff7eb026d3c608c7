"""One self-contained HTML page for a view: the SVG picture, its data and a small script.

The script pans (drag), zooms (wheel, + - 0), searches names, operators and types, and shows
what is known of a node on click, with links to its neighbours. No network, no library.
"""

from __future__ import annotations

import json

from .layout import Rankdir
from .svg import svg_text
from .text import FONT, escape, printable
from .theme import DARK, LIGHT
from .view import View

__all__ = ["html_page"]


def html_page(view: View, rankdir: Rankdir = "TB", title: str = "symgraph") -> str:
    """A complete HTML document."""
    data = {
        "nodes": [{"name": node.name, "text": node.tooltip} for node in view.nodes],
        "edges": [[edge.source, edge.target] for edge in view.edges],
    }
    # "<" inside a script element could end it, whatever JSON says about it.
    packed = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    return _PAGE.format(
        title=escape(title),
        style=_STYLE,
        svg=svg_text(view, rankdir),
        data=printable(packed),
        script=_SCRIPT,
        count=f"{len(view.nodes)} nodes, {len(view.edges)} edges",
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<strong>{title}</strong> <span class="quiet">{count}</span>
<input id="search" type="search" placeholder="Search name, operator, type ( / )"
 aria-label="Search" autocomplete="off">
<span id="found" class="quiet" role="status"></span>
<span class="buttons"><button id="out" title="Zoom out (-)">&minus;</button>
<button id="fit" title="Show all (0)">Fit</button>
<button id="in" title="Zoom in (+)">+</button></span>
</header>
<main>{svg}</main>
<aside id="details" hidden></aside>
<script id="data" type="application/json">{data}</script>
<script>{script}</script>
</body>
</html>
"""

_STYLE = f"""
:root {{ color-scheme: light dark; --paper: {LIGHT.paper}; --text: {LIGHT.text};
  --faint: {LIGHT.faint}; --edge: {LIGHT.cluster_line}; --panel: {LIGHT.cluster}; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: {DARK.paper}; --text: {DARK.text};
  --faint: {DARK.faint}; --edge: {DARK.cluster_line}; --panel: {DARK.cluster}; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; height: 100vh; display: flex; flex-direction: column; overflow: hidden;
  background: var(--paper); color: var(--text); font: 14px/1.4 {FONT}; }}
header {{ display: flex; gap: 12px; align-items: center; padding: 8px 14px; flex-wrap: wrap;
  background: var(--panel); border-bottom: 1px solid var(--edge); }}
.quiet {{ color: var(--faint); font-size: 12px; }}
input, button {{ font: inherit; color: inherit; background: var(--paper); padding: 4px 9px;
  border: 1px solid var(--edge); border-radius: 6px; }}
input {{ flex: 0 1 300px; min-width: 120px; }}
.buttons {{ margin-left: auto; display: flex; gap: 4px; }}
button {{ cursor: pointer; min-width: 32px; }}
main {{ flex: 1; min-height: 0; cursor: grab; touch-action: none; }}
main.dragging {{ cursor: grabbing; }}
main svg {{ width: 100%; height: 100%; display: block; user-select: none; }}
.node {{ cursor: pointer; }}
.searching .node:not(.match), .searching .edge, .searching .labels {{ opacity: .22; }}
.node.chosen rect {{ stroke-width: 3.2; }}
.edge.near .line {{ stroke: #0072b2; stroke-width: 2.6; }}
.edge.near .tip {{ fill: #0072b2; }}
aside {{ position: fixed; right: 14px; top: 62px; width: min(340px, calc(100vw - 28px));
  max-height: calc(100vh - 90px); overflow: auto; padding: 12px 14px; background: var(--panel);
  border: 1px solid var(--edge); border-radius: 8px; overflow-wrap: anywhere; }}
aside h2 {{ font-size: 15px; margin: 0 24px 6px 0; }}
aside h3 {{ font-size: 12px; margin: 10px 0 2px; color: var(--faint); }}
aside p {{ margin: 2px 0; }}
aside a {{ display: block; color: #2f8fd0; cursor: pointer; }}
aside .close {{ position: absolute; right: 8px; top: 8px; min-width: 0; padding: 0 7px; }}
"""

_SCRIPT = """
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const main = document.querySelector("main"), svg = main.querySelector("svg");
const details = document.getElementById("details"), search = document.getElementById("search");
const found = document.getElementById("found");
const nodes = [...svg.querySelectorAll(".node")], edges = [...svg.querySelectorAll(".edge")];
const whole = svg.viewBox.baseVal, full = [whole.x, whole.y, whole.width, whole.height];
let view = full.slice(), matches = [], at = -1;

function show() { svg.setAttribute("viewBox", view.join(" ")); }
function fit() {
  // A long graph starts readable at its top, not as a thread.
  const box = main.getBoundingClientRect(), width = Math.max(full[2], 1);
  const scale = Math.max(Math.min(box.width / width, box.height / full[3]), .6);
  const w = box.width / Math.min(scale, 1.5), h = box.height / Math.min(scale, 1.5);
  view = [full[0] + (full[2] - w) / 2, full[1] + Math.min(0, (full[3] - h) / 2), w, h];
  show();
}
function place(event) {
  const point = new DOMPoint(event.clientX, event.clientY);
  return point.matrixTransform(svg.getScreenCTM().inverse());
}
function zoom(factor, x, y) {
  view = [x - (x - view[0]) * factor, y - (y - view[1]) * factor,
          view[2] * factor, view[3] * factor];
  show();
}
function zoomMiddle(factor) { zoom(factor, view[0] + view[2] / 2, view[1] + view[3] / 2); }
function centre(i) {
  const box = nodes[i].querySelector("rect").getBoundingClientRect();
  const point = place({clientX: box.x + box.width / 2, clientY: box.y + box.height / 2});
  view[0] = point.x - view[2] / 2; view[1] = point.y - view[3] / 2;
  show();
}
function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text; parent.append(made);
  return made;
}
function links(title, others) {
  if (!others.length) return;
  element("h3", title, details);
  for (const i of others)
    element("a", data.nodes[i].name, details).onclick = () => { choose(i); centre(i); };
}
function choose(i) {
  nodes.forEach((node, j) => node.classList.toggle("chosen", i === j));
  edges.forEach((edge, e) => edge.classList.toggle("near", data.edges[e].includes(i)));
  details.hidden = i < 0; details.replaceChildren();
  if (i < 0) return;
  const close = element("button", "\\u00d7", details);
  close.className = "close"; close.onclick = () => choose(-1);
  const lines = data.nodes[i].text.split("\\n");
  element("h2", lines[0], details);
  for (const line of lines.slice(1)) element("p", line, details);
  links("inputs", data.edges.filter(edge => edge[1] === i).map(edge => edge[0]));
  links("used by", data.edges.filter(edge => edge[0] === i).map(edge => edge[1]));
}
function seek() {
  const words = search.value.toLowerCase().split(/\\s+/).filter(word => word);
  matches = [];
  nodes.forEach((node, i) => {
    const text = data.nodes[i].text.toLowerCase();
    const match = words.length > 0 && words.every(word => text.includes(word));
    node.classList.toggle("match", match);
    if (match) matches.push(i);
  });
  svg.classList.toggle("searching", words.length > 0);
  found.textContent = words.length ? matches.length + " found" : "";
  at = -1;
}
let drag = null;
main.addEventListener("pointerdown", event => {
  drag = {x: event.clientX, y: event.clientY, view: view.slice(), moved: false};
});
window.addEventListener("pointermove", event => {
  if (!drag) return;
  const scale = 1 / svg.getScreenCTM().a;
  const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
  if (Math.abs(dx) + Math.abs(dy) > 3) { drag.moved = true; main.classList.add("dragging"); }
  view[0] = drag.view[0] - dx * scale; view[1] = drag.view[1] - dy * scale;
  show();
});
window.addEventListener("pointerup", event => {
  if (drag && !drag.moved) {
    const node = event.target.closest && event.target.closest(".node");
    choose(node ? Number(node.dataset.node) : -1);
  }
  drag = null; main.classList.remove("dragging");
});
main.addEventListener("wheel", event => {
  event.preventDefault();
  const point = place(event);
  zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 300), point.x, point.y);
}, {passive: false});
search.addEventListener("input", seek);
search.addEventListener("keydown", event => {
  if (event.key === "Enter" && matches.length) {
    at = (at + (event.shiftKey ? -1 : 1) + matches.length) % matches.length;
    found.textContent = (at + 1) + " of " + matches.length;
    choose(matches[at]); centre(matches[at]);
  }
  if (event.key === "Escape") { search.value = ""; seek(); search.blur(); }
});
window.addEventListener("keydown", event => {
  if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") { event.preventDefault(); search.focus(); }
  if (event.key === "+" || event.key === "=") zoomMiddle(1 / 1.25);
  if (event.key === "-") zoomMiddle(1.25);
  if (event.key === "0") fit();
  if (event.key === "Escape") choose(-1);
});
document.getElementById("in").onclick = () => zoomMiddle(1 / 1.25);
document.getElementById("out").onclick = () => zoomMiddle(1.25);
document.getElementById("fit").onclick = fit;
window.addEventListener("resize", show);
fit();
"""
