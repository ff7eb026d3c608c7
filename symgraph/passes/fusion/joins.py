"""Which joins stay nodes of their own, to be a buffer into whose parts their inputs are written.

A join that its readers can take in costs nothing either, so those stay that are made of values
that have to be in memory anyway and are read as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...ir.graph import Graph
from ...ir.node import Node, Value
from ...ir.parts import (
    is_made,
    is_shared,
    join_offsets,
    join_starts,
    may_be_window,
    viewed,
)
from .judge import weigh
from .profile import Profile


def kept_joins(graph: Graph, known: Mapping[Node, Profile | None]) -> set[Node]:
    """The joins of a graph that become memory rather than a kernel."""
    kept: set[Node] = set()
    stored: dict[Node, bool] = {}
    results = {viewed(v) for v in graph.results}
    claimed: set[Value] = set()
    for node in graph.nodes:
        stored[node] = _is_stored(node, known[node], stored)
        together = join_offsets(node) is not None
        if not together and (join_starts(node) is None or _is_taken_in(graph, node, known)):
            continue
        if not _is_read_whole(graph, node, known):
            continue
        made: dict[Value, int] = {}
        for value in node.inputs:
            source = viewed(value)
            is_free = source not in claimed and source not in results and is_made(source)
            if not together and not (source is value and may_be_window(graph, value)):
                continue
            if is_free and stored[source.node]:
                made[source] = _nbytes(source)
        if 2 * sum(made.values()) >= _nbytes(node[0]) > 0:
            kept.add(node)
            stored[node] = True
            claimed.update(made)
    return kept


def _is_stored(node: Node, profile: Profile | None, stored: Mapping[Node, bool]) -> bool:
    """The node ends in memory even without the join: a reduction, a contraction, a call, what
    follows one element by element, or a border around that."""
    if node.is_variable or not node.inputs:
        return False
    if profile is None or not profile.maps:
        return True
    return any(
        stored[viewed(v).node]
        for number, v in enumerate(node.inputs)
        if node.op.is_view or profile.places or number in profile.same
    )


def _is_read_whole(graph: Graph, node: Node, known: Mapping[Node, Profile | None]) -> bool:
    """Some reader takes its elements as they are, or more than once: it would have to be made."""
    if node[0] in graph.results:
        return True
    for user, number in graph.users.get(node[0], ()):
        profile = known.get(user)
        if profile is None or not profile.maps or number in profile.same:
            return True
        if join_offsets(user) is not None:
            return True
    return False


def _is_taken_in(graph: Graph, node: Node, known: Mapping[Node, Profile | None]) -> bool:
    """Its single reader may make it element by element, so that it needs no memory at all."""
    if is_shared(graph, node):
        return False
    for user, _ in graph.users.get(node[0], ()):
        profile = known.get(user)
        if profile is not None and profile.maps:
            return True
    return False


def _nbytes(value: Value) -> int:
    return weigh(value.type.nbytes)
