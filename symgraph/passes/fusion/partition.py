"""Cuts a graph into groups.

    1  nodes in order join the groups of their producers, where the judge approves
    2  groups over the same input and the same shape become one
    3  cheap values that other groups read are recomputed there rather than stored

Elementwise nodes over the shape of a group join without asking the judge, so a long chain costs
linear time; every group with reductions is judged once more as a whole at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.compose import literal
from ...ir.graph import Graph
from ...ir.node import Node, Value
from ...ir.op import Constant
from ...kernel.inlining import CHEAP_FLOPS
from .group import Dependencies, Group, in_order, is_plain_view, squeezed
from .joins import kept_joins
from .judge import MAX_BUFFERS, MAX_DEPTH, Judge, weigh
from .profile import Profile, Profiles

MAX_NODES = 64
"""Nodes of one group, so that no walk over its expressions is deep or slow."""

MAX_SIBLINGS = 8
"""Readers of one value that are tried as siblings."""


class Partition:
    """The groups of a graph; `run` makes them."""

    def __init__(self, graph: Graph, judge: Judge) -> None:
        self.graph = graph
        self.judge = judge
        self.profiles = Profiles()
        self.known: dict[Node, Profile | None] = {}
        self.dependencies = Dependencies(graph)
        self.owner = self.dependencies.owner
        self.position = self.dependencies.position

    def run(self) -> list[Group]:
        """The groups, in no particular order; every node is in at least one."""
        for node in self.graph.nodes:
            self.known[node] = None if node.op.is_view else self.profiles.of(node)
        for node in kept_joins(self.graph, self.known):
            self.known[node] = None
        for node in self.graph.nodes:
            self._place(node)
        self._merge_siblings()
        self._merge_part_readers()
        self._record_homes()
        self._recompute()
        groups: list[Group] = []
        for group in self._groups():
            groups.extend(self._approved(group))
        return groups

    def _groups(self) -> list[Group]:
        return list(dict.fromkeys(self.owner[n] for n in self.graph.nodes))

    # -- 1: producers ----------------------------------------------------------------------------

    def _place(self, node: Node) -> None:
        profile = self.known[node]
        group = self._single(node, profile)
        self.owner[node] = group
        if profile is None:
            return
        for source, views in self._producers(node):
            self._try_merge(source, self.owner[node], views)

    def _single(self, node: Node, profile: Profile | None) -> Group:
        at = self.position[node]
        group = Group([node], members={node}, first=at, last=at)
        group.external = {v.node: None for v in node.inputs if not _is_leaf(v.node)}
        group.leaves = {v.node for v in node.inputs if _is_leaf(v.node) and literal(v) is None}
        if profile is not None:
            shapes = {t.shape for t in node.types}
            group.domain = node.types[0].shape
            group.maps = profile.maps and len(shapes) == 1
            group.contracts = profile.contracts
            group.depth = {node: profile.depth}
        return group

    def _producers(self, node: Node) -> list[tuple[Group, tuple[Node, ...]]]:
        """The groups that make the inputs, with the views between, those of most bytes first."""
        found: dict[Group, tuple[int, tuple[Node, ...]]] = {}
        for value in node.inputs:
            source, views = value, []
            while source.node.op.is_view and is_plain_view(source.node):
                views.append(source.node)
                source = source.node.inputs[0]
            if self.known.get(source.node) is None:
                continue
            group = self.owner[source.node]
            nbytes, others = found.get(group, (0, ()))
            found[group] = (nbytes + weigh(value.type.nbytes), (*others, *views))
        ranked = sorted(found.items(), key=lambda item: -item[1][0])
        return [(group, views) for group, (_, views) in ranked]

    def _try_merge(self, a: Group, b: Group, views: Sequence[Node] = ()) -> bool:
        """Merge a producer's group and a reader's, or two siblings, where that is good."""
        if a is b or len(a.nodes) + len(b.nodes) + len(views) > MAX_NODES:
            return False
        easy = not views and self._is_easy(a, b)
        if not easy and not self._is_possible(a, b):
            return False
        if self.dependencies.would_cycle(a, b, views):
            return False
        depth = self._joint_depth(a, b, views)
        if max(depth.values()) > MAX_DEPTH:
            return False
        # Buffers add up along a chain of easy steps, so many of them are a matter for the judge.
        if not easy or _buffers_read(a) + _buffers_read(b) > MAX_BUFFERS // 2:
            members = a.members | b.members | set(views)
            nodes = in_order(members, self.position)
            if not self.judge.approves(nodes, self.dependencies.exported(nodes, members)):
                return False
        a.maps = easy and a.maps and b.maps
        self._merge(a, b, views, depth)
        return True

    def _is_easy(self, a: Group, b: Group) -> bool:
        """Both run over one shape, and `b` reads from `a` only the element it computes."""
        if a.domain is None or a.domain != b.domain or not (a.maps or b.maps):
            return False
        return all(
            self._reads_own(node, n)
            for node in b.nodes
            for n, value in enumerate(node.inputs)
            if value.node in a.members
        ) and all(
            self._reads_own(node, n)
            for node in (a.nodes if a.last > b.first else ())
            for n, value in enumerate(node.inputs)
            if value.node in b.members
        )

    def _reads_own(self, node: Node, number: int) -> bool:
        profile = self.known[node]
        return profile is not None and profile.maps and number in profile.same

    def _is_possible(self, a: Group, b: Group) -> bool:
        """Worth a judgement: a contraction takes in nothing but other places of what it reads."""
        if a.domain is None or b.domain is None:
            return False
        if b.contracts:
            return not a.contracts and all(self._moves(n) for n in a.nodes)
        return not a.contracts or all(self._is_map(n) for n in b.nodes)

    def _moves(self, node: Node) -> bool:
        profile = self.known[node]
        return node.op.is_view or (profile is not None and profile.moves)

    def _is_map(self, node: Node) -> bool:
        profile = self.known[node]
        return node.op.is_view or (profile is not None and profile.maps)

    def _joint_depth(self, a: Group, b: Group, views: Sequence[Node]) -> dict[Node, int]:
        """The depth of expressions at each node of the union, or of `b` where `a` comes first."""
        if b.first > a.last and not views:
            depth: dict[Node, int] = {}
            nodes: Sequence[Node] = b.nodes
        else:
            depth = {}
            nodes = in_order({*a.nodes, *b.nodes, *views}, self.position)
        for node in nodes:
            below = max((depth.get(v.node, a.depth.get(v.node, 0)) for v in node.inputs), default=0)
            profile = self.known[node]
            depth[node] = below + (0 if profile is None else profile.depth)
        return depth

    def _merge(self, a: Group, b: Group, views: Sequence[Node], depth: dict[Node, int]) -> None:
        """Put everything into `a`; a node keeps one owner, but a view may run in many groups."""
        follows = b.first > a.last and not views
        a.contracts = a.contracts or b.contracts
        a.domain = b.domain
        a.members |= b.members
        a.leaves |= b.leaves
        a.members.update(views)
        a.nodes = [*a.nodes, *b.nodes] if follows else in_order(a.members, self.position)
        new = {**b.external, **{v.node: None for view in views for v in view.inputs}}
        a.external.update((n, None) for n in new if n not in a.members)
        for node in () if follows else b.nodes:
            a.external.pop(node, None)
        for view in views:
            a.external.pop(view, None)
        a.depth.update(depth)
        a.first, a.last = min(a.first, b.first), max(a.last, b.last)
        for node in b.nodes:
            if not node.op.is_view:
                self.owner[node] = a

    # -- 2: siblings -----------------------------------------------------------------------------

    def _merge_siblings(self) -> None:
        for value, uses in self.graph.users.items():
            if len(uses) < 2 or value.type.shape == () or _is_leaf_literal(value):
                continue
            groups = list(dict.fromkeys(self.owner[u] for u, _ in uses))[:MAX_SIBLINGS]
            kept: list[Group] = []
            for group in groups:
                alike = [o for o in kept if self._are_siblings(o, group, value)]
                if not any(self._try_merge(*_ordered(o, group)) for o in alike):
                    kept.append(group)

    def _merge_part_readers(self) -> None:
        """Contractions and the one group that reads them, which only now is complete."""
        if self.judge.limits.parts < 2:
            return
        for group in self._groups():
            if not group.contracts:
                continue
            users = {
                self.owner[user]
                for node in group.nodes
                for value in node.values
                for user, _ in self.graph.users.get(value, ())
                if self.owner[user] is not group
            }
            if len(users) == 1:
                self._try_merge(group, next(iter(users)))

    def _are_siblings(self, a: Group, b: Group, value: Value) -> bool:
        """Groups over one shape for which the value they share is most of what they read."""
        if a.domain is None or a.domain != b.domain or a.contracts or b.contracts:
            return False
        large = not a.maps or squeezed(value.type.shape) == squeezed(a.domain)
        return large and a.maps == b.maps

    # -- 3: recomputation ------------------------------------------------------------------------

    def _record_homes(self) -> None:
        for group in self._groups():
            for node in group.nodes:
                self.dependencies.homes.setdefault(node, []).append(group)

    def _recompute(self) -> None:
        """Values that are cheap to make again from what is in memory anyway are not stored."""
        for node in self.graph.nodes:
            for value in node.values if self.known[node] is not None else ():
                self._recompute_value(value)

    def _recompute_value(self, value: Value) -> None:
        home = self.owner[value.node]
        if value in self.dependencies.results:
            return
        readers = self._reading_groups(value, home)
        cone = self._cheap_cone(value, home) if readers else None
        if cone is None or not self._saves_bytes(value, cone, home, readers):
            return
        if self._lengthened(cone, home, readers) > weigh(value.type.nbytes):
            return
        trials = [in_order({*g.members, *cone}, self.position) for g in readers]
        for group, nodes in zip(readers, trials, strict=True):
            if len(nodes) > MAX_NODES or not self._may_take(group, nodes):
                return
        for group, nodes in zip(readers, trials, strict=True):
            group.nodes = nodes
            group.members.update(cone)
            group.external.update((v.node, None) for n in cone for v in n.inputs
                                  if not _is_leaf(v.node) and v.node not in cone)  # fmt: skip
            for member in group.members:
                group.external.pop(member, None)
            for member in cone:
                self.dependencies.homes[member].append(group)
        self._drop_unneeded(home)

    def _reading_groups(self, value: Value, home: Group) -> list[Group]:
        """The groups outside that read a value; none where some reader cannot recompute it."""
        found: dict[Group, None] = {}
        for user, _ in self.graph.users.get(value, ()):
            for group in self.dependencies.homes.get(user, ()):
                if user not in group.members or value.node in group.members:
                    continue
                if group.domain is None:
                    return []
                found[group] = None
        return [g for g in found if g is not home]

    def _cheap_cone(self, value: Value, home: Group) -> list[Node] | None:
        """The nodes of the group that make a value from what the group reads or stores besides,
        when they are few, cheap and elementwise."""
        cone: dict[Node, None] = {}
        stack = [value.node]
        total = 0
        while stack:
            node = stack.pop()
            if node in cone:
                continue
            cone[node] = None
            profile = self.known[node]
            if node.op.is_view:
                pass
            elif profile is None or not profile.maps or not node.op.pure:
                return None
            else:
                total += profile.flops
            if total > CHEAP_FLOPS:
                return None
            stack.extend(
                v.node
                for v in node.inputs
                if v.node in home.members and not self._is_stored(v, home)
            )
        return in_order(cone, self.position)

    def _is_stored(self, value: Value, home: Group) -> bool:
        """Elements of the value are read outside its group, not its shape alone."""
        return self.dependencies.is_needed(value, home.members, self._reads_elements)

    def _reads_elements(self, user: Node, number: int) -> bool:
        profile = self.known.get(user)
        return profile is None or number in profile.read

    def _saves_bytes(
        self, value: Value, cone: Sequence[Node], home: Group, readers: Sequence[Group]
    ) -> bool:
        """Less is read and written when the readers make the value themselves."""
        inside = set(cone)
        sources = {v for n in cone for v in n.inputs if v.node not in inside and literal(v) is None}
        size = weigh(value.type.nbytes)
        saved = size * (1 + len(readers))
        spent = sum(
            weigh(s.type.nbytes)
            for g in readers
            for s in sources
            if not any(s in n.inputs for n in g.nodes)
        )
        if inside >= home.members:
            saved += sum(weigh(s.type.nbytes) for s in sources)
        return spent < saved

    def _lengthened(self, cone: Sequence[Node], home: Group, readers: Sequence[Group]) -> int:
        """Bytes of what the group stores that have to wait for the readers, and would not else."""
        last = max(g.last for g in readers)
        sources = {v for n in cone for v in n.inputs if v.node in home.members - set(cone)}
        return sum(weigh(v.type.nbytes) for v in sources if self._last_read(v, home) < last)

    def _last_read(self, value: Value, home: Group) -> int:
        """The end of the last group that reads a value from outside its own, through views too."""
        last, stack = home.last, [value]
        while stack:
            for user, _ in self.graph.users.get(stack.pop(), ()):
                if user.op.is_view:
                    stack += user.values
                last = max([last, *(g.last for g in self.dependencies.homes.get(user, ()))])
        return last

    def _may_take(self, group: Group, nodes: list[Node]) -> bool:
        exported = self.dependencies.exported(group.nodes, group.members)
        return self.judge.approves(nodes, exported)

    def _drop_unneeded(self, home: Group) -> None:
        """Nodes of a group that nothing in it or outside reads any more."""
        for node in reversed(list(home.nodes)):
            read_inside = any(
                user in home.members for v in node.values for user, _ in self.graph.users.get(v, ())
            )
            if read_inside or (not node.op.is_view and any(
                self.dependencies.is_needed(v, home.members) for v in node.values
            )):  # fmt: skip
                continue
            if len(self.dependencies.homes[node]) == 1:
                continue
            home.nodes.remove(node)
            home.members.discard(node)
            self.dependencies.homes[node].remove(home)
            if self.owner[node] is home:
                self.owner[node] = self.dependencies.homes[node][0]

    # -- the end ---------------------------------------------------------------------------------

    def _approved(self, group: Group) -> list[Group]:
        """The group, or its nodes alone when the judge rejects it as a whole."""
        if len(group.nodes) < 2 or group.maps:
            return [group]
        exported = self.dependencies.exported(group.nodes, group.members)
        if self.judge.approves(group.nodes, exported):
            return [group]
        return [self._alone(n, group) for n in group.nodes if not n.op.is_view]

    def _alone(self, node: Node, group: Group) -> Group:
        single = self._single(node, self.known[node])
        homes = self.dependencies.homes[node]
        homes[homes.index(group)] = single
        return single


def _is_leaf(node: Node) -> bool:
    return node.is_variable or isinstance(node.op, Constant)


def _buffers_read(group: Group) -> int:
    return len(group.external) + len(group.leaves)


def _is_leaf_literal(value: Value) -> bool:
    return literal(value) is not None


def _ordered(a: Group, b: Group) -> tuple[Group, Group]:
    return (a, b) if a.first <= b.first else (b, a)
