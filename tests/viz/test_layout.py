"""The layered layout: levels respect edges, boxes do not touch, clusters hold what is theirs."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from symgraph.viz.layout import Box, Layout, LayoutEdge, LayoutNode, Rankdir, lay_out
from symgraph.viz.layout.layering import assign_levels, backward_edges
from symgraph.viz.layout.levels import build_levels, cluster_tree
from symgraph.viz.layout.ordering import count_crossings, order_levels

Pair = tuple[int, int]


def random_graph(seed: int) -> tuple[list[LayoutNode], list[LayoutEdge]]:
    rng = random.Random(seed)
    n = rng.randint(1, 60)
    scopes: list[tuple[str, ...]] = [(), ("a",), ("a", "x"), ("a", "y"), ("b",), ("b", "x")]
    if seed % 3 == 0:
        scopes = [()]
    nodes = [
        LayoutNode(
            rng.randint(20, 200),
            rng.randint(10, 80),
            ((rng.randint(0, 90), 12),),
            rng.choice(scopes),
        )
        for _ in range(n)
    ]
    pairs = sorted({(rng.randrange(n), rng.randrange(n)) for _ in range(rng.randint(0, 2 * n))})
    if seed % 2 == 0:
        pairs = sorted({(min(p), max(p)) for p in pairs if p[0] != p[1]})
    return nodes, [LayoutEdge(u, v) for u, v in pairs]


def overlap(a: Box, b: Box) -> bool:
    return (
        a.x < b.x + b.width - 0.01
        and b.x < a.x + a.width - 0.01
        and a.y < b.y + b.height - 0.01
        and b.y < a.y + a.height - 0.01
    )


def holds(outer: Box, inner: Box) -> bool:
    return (
        outer.x <= inner.x + 0.01
        and outer.y <= inner.y + 0.01
        and outer.x + outer.width >= inner.x + inner.width - 0.01
        and outer.y + outer.height >= inner.y + inner.height - 0.01
    )


def check(nodes: list[LayoutNode], edges: list[LayoutEdge], layout: Layout) -> None:
    assert len(layout.boxes) == len(nodes)
    assert len(layout.routes) == len(edges)
    for node, box in zip(nodes, layout.boxes, strict=True):
        assert (box.width, box.height) == (node.width, node.height)
    for a, b in combinations(layout.boxes, 2):
        assert not overlap(a, b)
    for cluster in layout.clusters:
        for node, box in zip(nodes, layout.boxes, strict=True):
            if node.scope[: len(cluster.scope)] == cluster.scope:
                assert holds(cluster.box, box)
            else:
                assert not overlap(cluster.box, box)
    for a, b in combinations(layout.clusters, 2):
        if b.scope[: len(a.scope)] == a.scope:
            assert holds(a.box, b.box)
        elif a.scope[: len(b.scope)] != b.scope:
            assert not overlap(a.box, b.box)


@pytest.mark.parametrize("rankdir", ["TB", "LR"])
@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed: int, rankdir: Rankdir) -> None:
    nodes, edges = random_graph(seed)
    layout = lay_out(nodes, edges, rankdir)
    check(nodes, edges, layout)
    assert layout == lay_out(nodes, edges, rankdir)
    if seed % 2 == 0:  # these have no cycles
        for edge in edges:
            assert layout.levels[edge.source] < layout.levels[edge.target]
            start, end = (layout.boxes[v] for v in (edge.source, edge.target))
            if rankdir == "TB":
                assert start.y + start.height < end.y
            else:
                assert start.x + start.width < end.x


@pytest.mark.parametrize("seed", range(40))
def test_routes_end_at_their_boxes_and_pass_no_other(seed: int) -> None:
    nodes, edges = random_graph(2 * seed)
    layout = lay_out(nodes, edges)
    for edge, route in zip(edges, layout.routes, strict=True):
        start, end = layout.boxes[edge.source], layout.boxes[edge.target]
        assert route.points[0][1] == pytest.approx(start.y + start.height)
        assert route.points[-1][1] == pytest.approx(end.y)
        assert end.x <= route.points[-1][0] <= end.x + end.width
        for (x0, y0), (x1, y1) in zip(route.points, route.points[1:], strict=False):
            assert y0 < y1
            # Slanted pieces lie between levels; so all that could touch a box is vertical.
            low, high = min(x0, x1), max(x0, x1)
            piece = Box(low, y0, max(high - low, 0.1), y1 - y0)
            for v, box in enumerate(layout.boxes):
                if v not in (edge.source, edge.target):
                    assert not overlap(piece, box)


def test_empty_and_single() -> None:
    assert lay_out([], []).size == (0.0, 0.0)
    layout = lay_out([LayoutNode(30, 20)], [LayoutEdge(0, 0)])
    assert layout.routes[0].kind == "loop"
    assert layout.boxes[0].height == 20


def test_cycles_are_broken_and_drawn() -> None:
    pairs = [(0, 1), (1, 2), (2, 0), (2, 2)]
    assert backward_edges(3, pairs) == [False, False, True, False]
    layout = lay_out([LayoutNode(30, 20)] * 3, [LayoutEdge(*p) for p in pairs])
    assert layout.levels == (0, 1, 2)
    up = layout.routes[2].points
    assert up[0][1] > up[-1][1]


def test_parameters_sit_above_their_users() -> None:
    # 0 -> 1 -> 2 -> 3, weight 4 -> 5 (a transposition) -> 3
    assert assign_levels(6, [(0, 1), (1, 2), (2, 3), (4, 5), (5, 3)]) == [0, 1, 2, 3, 1, 2]


def test_a_straight_chain_is_straight_whatever_hangs_on_it() -> None:
    nodes = [LayoutNode(60 + 13 * (i % 3), 30) for i in range(12)]
    edges = [LayoutEdge(i, i + 1) for i in range(7)]
    edges += [LayoutEdge(8 + i, 2 * i + 1, weight=1.0) for i in range(4)]
    boxes = lay_out(nodes, edges).boxes
    assert len({round(box.centre[0], 3) for box in boxes[:8]}) == 1


def test_clusters_follow_the_flow_of_data() -> None:
    nodes = [LayoutNode(40, 20, (), (s,)) for s in "aaabbb"]
    # The weight 3 of b has no inputs, and could stand beside a.
    edges = [LayoutEdge(*p) for p in [(0, 1), (1, 2), (2, 4), (3, 4), (4, 5)]]
    a, b = lay_out(nodes, edges).clusters
    assert a.box.y + a.box.height < b.box.y


def test_crossings_are_removed() -> None:
    # A tree whose leaves were numbered at random has a drawing without crossings.
    rng = random.Random(1)
    names = list(range(63))
    rng.shuffle(names)
    pairs = [(names[(i - 1) // 2], names[i]) for i in range(1, 63)]
    edges = [LayoutEdge(u, v) for u, v in pairs]
    levels = build_levels(cluster_tree([()] * 63), edges, [False] * 62, assign_levels(63, pairs))
    order_levels(levels)
    assert count_crossings(levels) == 0


def test_count_crossings_against_all_pairs() -> None:
    rng = random.Random(2)
    pairs = sorted({(rng.randrange(9), 9 + rng.randrange(9)) for _ in range(40)})
    edges = [LayoutEdge(u, v) for u, v in pairs]
    levels = build_levels(cluster_tree([()] * 18), edges, [False] * len(edges), [0] * 9 + [1] * 9)
    expected = sum((a - c) * (b - d) < 0 for (a, b), (c, d) in combinations(pairs, 2))
    assert count_crossings(levels) == expected


def test_two_thousand_nodes() -> None:
    rng = random.Random(3)
    n = 2000
    pairs = {(i - 1, i) for i in range(1, n)}
    pairs |= {(rng.randrange(max(0, i - 40), i), i) for i in range(1, n)}
    nodes = [LayoutNode(90, 40, ((70, 14),), (f"s{i // 100}", f"t{i // 20}")) for i in range(n)]
    edges = [LayoutEdge(u, v) for u, v in sorted(pairs)]
    layout = lay_out(nodes, edges)
    tops = [box.y for box in layout.boxes]
    assert all(tops[e.source] < tops[e.target] for e in edges)


def test_long_edges_of_a_large_graph_are_drawn_directly() -> None:
    n = 900
    pairs = [(i, i + 1) for i in range(n - 1)] + [(i, n - 1 - i) for i in range(n // 2 - 1)]
    layout = lay_out([LayoutNode(30, 10)] * n, [LayoutEdge(u, v) for u, v in pairs])
    kinds = [route.kind for route in layout.routes]
    assert kinds.count("direct") > 0
    assert kinds[: n - 1] == ["steps"] * (n - 1)


def test_a_weight_used_everywhere_costs_one_line() -> None:
    n = 2000
    edges = [LayoutEdge(i, i + 1) for i in range(1, n - 1)] + [
        LayoutEdge(0, i) for i in range(1, n)
    ]
    layout = lay_out([LayoutNode(30, 10)] * n, edges)
    assert all(route.kind == "steps" for route in layout.routes)


def test_a_chain_of_fifty_thousand() -> None:
    n = 50_000
    layout = lay_out([LayoutNode(30, 10)] * n, [LayoutEdge(i, i + 1) for i in range(n - 1)])
    assert layout.levels == tuple(range(n))
    assert len({box.x for box in layout.boxes}) == 1
