"""Groups of nodes, and the dependencies between groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ...ir.graph import Graph
from ...ir.node import Node, Value
from ...ir.tensor_type import Shape

MAX_SEARCH = 400
"""Groups looked at for a path; a longer search counts as a path, so that time stays linear."""


@dataclass(eq=False)
class Group:
    """Nodes that become one kernel.  Changed while groups are built, and nowhere else.

    `domain` is the shape over which a further elementwise node joins without another thought, None
    for a node that cannot be fused.  `maps`: every node is elementwise over the domain.
    `contracts`: one of them is a contraction.
    """

    nodes: list[Node]
    domain: Shape = None
    maps: bool = False
    contracts: bool = False
    members: set[Node] = field(default_factory=set)
    external: dict[Node, None] = field(default_factory=dict)
    leaves: set[Node] = field(default_factory=set)
    """The variables and constants that it reads."""
    depth: dict[Node, int] = field(default_factory=dict)
    first: int = 0
    last: int = 0


class Dependencies:
    """Where each node stands in the graph, which group owns it, and who needs its values."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.position = {node: n for n, node in enumerate(graph.nodes)}
        self.results = set(graph.results)
        self.owner: dict[Node, Group] = {}
        self.homes: dict[Node, list[Group]] = {}

    def would_cycle(self, a: Group, b: Group, absorbed: Iterable[Node] = ()) -> bool:
        """Merging the groups would make one depend on itself through a third."""
        inside = set(absorbed)
        return self._path(a, b, inside) or self._path(b, a, inside)

    def _path(self, goal: Group, start: Group, absorbed: set[Node]) -> bool:
        """A path from `goal` through another group to `start`."""
        seen = {goal, start}
        stack = [self.owner[n] for n in start.external if n not in absorbed]
        while stack:
            group = stack.pop()
            if group in seen or group.last < goal.first:
                continue
            seen.add(group)
            if len(seen) > MAX_SEARCH:
                return True
            for node in group.external:
                above = self.owner[node]
                if above is goal:
                    return True
                stack.append(above)
        return False

    def exported(self, nodes: Sequence[Node], members: set[Node]) -> list[Value]:
        """The values that something outside a set of nodes reads, in order."""
        return [
            value
            for node in nodes
            if not node.op.is_view
            for value in node.values
            if self.is_needed(value, members)
        ]

    def is_needed(
        self, value: Value, members: set[Node], reads: Callable[[Node, int], bool] | None = None
    ) -> bool:
        """A value is a result, or read outside; a view of it stands for its own readers.

        `reads` tells of a node and the number of an input whether it counts as read.
        """
        stack: list[tuple[Value, tuple[Node, ...]]] = [(value, (value.node,))]
        while stack:
            current, chain = stack.pop()
            if current in self.results:
                return True
            for user, number in self.graph.users.get(current, ()):
                if user.op.is_view:
                    stack.append((user[0], (*chain, user)))
                elif reads is not None and not reads(user, number):
                    continue
                elif self._reads_from_outside(user, chain, members):
                    return True
        return False

    def _reads_from_outside(self, user: Node, chain: Sequence[Node], members: set[Node]) -> bool:
        """The user runs in some group other than this one without its own copy of the producer and
        of every view in between: a view outside is one of what is stored."""
        if user not in self.homes:
            return user not in members
        groups = self.homes[user]
        return any(g.members is not members and not g.members.issuperset(chain) for g in groups)


def squeezed(shape: Shape) -> Shape:
    """A shape without its axes of extent one."""
    return None if shape is None else tuple(d for d in shape if d != 1)


def is_plain_view(node: Node) -> bool:
    """A view that only adds or drops axes of extent one, so that it costs nothing inside a kernel;
    one that splits or merges axes stays a view of a buffer rather than become divisions."""
    source, target = node.inputs[0].type.shape, node.types[0].shape
    return node.op.is_view and squeezed(source) == squeezed(target)


def in_order(nodes: Iterable[Node], position: Mapping[Node, int]) -> list[Node]:
    """Inputs before users."""
    return sorted(nodes, key=lambda n: position[n])
