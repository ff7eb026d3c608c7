"""From a typed graph to a program of naive kernels: the one step that changes the kind of IR.

Every node becomes one kernel, a fused node too; views become buffers over the same bytes; host
operators become calls back, loops become steps that are repeated (loop.py).  What is joined is
written where the join wants it, and what is cut is read where it lies, wherever that needs no copy.
Nothing here knows an operator by name.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import ShapeError
from ..ir.form import node_form
from ..ir.graph import Graph
from ..ir.node import Node, Value
from ..ir.op import Constant, Variable, recipe_of
from ..ir.parts import (
    cut_offsets,
    is_made,
    join_offsets,
    join_starts,
    may_be_window,
    viewed,
)
from ..ir.program import (
    Check,
    ConstantData,
    HostStep,
    KernelStep,
    Port,
    Program,
    ProgramBuffer,
    Step,
    leaves,
)
from ..ir.scan import Scan
from ..ir.symbol import output_names
from ..ir.tensor_type import TensorType
from ..kernel import dims, loops
from ..kernel.compute import compute
from ..kernel.dims import Dim, DimVar
from ..kernel.dtypes import as_dtype
from ..kernel.in_place import in_place_positions
from ..kernel.ir import Buffer, Kernel
from ..kernel.transform.embed import Windows
from .kernels import identifier, node_kernel
from .loop import Place, loop_steps
from .unread import without_unread
from .windows import in_windows, windows_at

__all__ = ["KnownKernels", "lower", "node_kernel"]

OPEN_EXTENT = 64
"""An open extent counts as this many where bytes are compared."""


def lower(
    graph: Graph,
    name: str,
    checks: Sequence[Check] = (),
    labels: Sequence[str] | None = None,
    known: KnownKernels | None = None,
) -> Program:
    """The program of a graph whose types are all complete and whose names are given.

    `labels` names the outputs; by default their nodes do.  Passes may have put other nodes in their
    place, and an interface does not change with the optimisation level.  `known` are kernels of a
    graph that was lowered before, and takes in those of this one.
    """
    chosen = output_names(graph) if labels is None else tuple(labels)
    return _Lowering(graph, name, chosen, {} if known is None else known).run(tuple(checks))


KnownKernels = dict[Hashable, tuple[Kernel, tuple[int, ...]]]
"""By the form of a node, its kernel and the positions of the inputs that this reads."""


class _Lowering:
    def __init__(
        self, graph: Graph, name: str, labels: tuple[str, ...], earlier: KnownKernels
    ) -> None:
        self.graph = graph
        self.name = name
        self.labels = labels
        self.buffers: dict[Value, ProgramBuffer] = {}
        self.steps: list[Step] = []
        self.constants: list[ConstantData] = []
        self.inputs: list[Port] = []
        self.taken: set[str] = set()
        self.roots: set[Value] = set()
        self.homes: dict[Value, Home] = {}
        self.parts: dict[Node, list[Home]] = {}
        self.starts: dict[Value, tuple[Dim, ...]] = {}
        """Where a value begins that is a window of its buffer."""
        self.known: KnownKernels = {}
        self.earlier = earlier

    def run(self, checks: tuple[Check, ...]) -> Program:
        for node in self.graph.variables:
            self._variable(node)
        self.roots = self._output_roots()
        self.homes = _find_homes(self.graph, self.roots)
        for home in self.homes.values():
            self.parts.setdefault(home.join, []).append(home)
        for node in self.graph.nodes:
            self._node(node)
        outputs = self._outputs()
        self.steps = without_unread(self.steps, outputs)
        return Program(
            self.name,
            tuple(self.inputs),
            tuple(outputs),
            self._used_constants(),
            tuple(self.steps),
            self._dims(),
            (*checks, *self._size_checks()),
        )

    def _size_checks(self) -> list[Check]:
        """Extents that could become negative, such as those of a window over a small image."""
        found: dict[Dim, Check] = {}
        for value, buffer in self.buffers.items():
            for axis, extent in enumerate(buffer.type.shape or ()):
                low, _ = dims.bounds(extent)
                if low is None or low < 0:
                    node = value.node
                    place = f" (declared at {node.origin})" if str(node.origin) else ""
                    why = f"{node.op.name} {self.graph.names[node]}{place} would get axis {axis}"
                    found.setdefault(extent, Check(extent, ">=", 0, f"{why} of {extent}"))
        return list(found.values())

    def unique(self, name: str) -> str:
        """A name that no buffer has yet."""
        candidate, number = name, 1
        while candidate in self.taken:
            candidate, number = f"{name}_{number}", number + 1
        self.taken.add(candidate)
        return candidate

    def add_constant(self, data: ConstantData) -> None:
        """An array that the program carries, where something reads it."""
        self.constants.append(data)

    def _variable(self, node: Node) -> None:
        assert isinstance(node.op, Variable)
        name = self.graph.names[node]
        buffer = ProgramBuffer(self.unique(name), _closed(node, 0), "input", source=name)
        self.buffers[node[0]] = buffer
        self.inputs.append(Port(name, buffer, node.op.role))

    def _output_roots(self) -> set[Value]:
        """Values that can be computed right in an output's array: the value an output is a view
        of, once each, unless it is a variable or constant."""
        roots: set[Value] = set()
        for value in self.graph.results:
            while value.node.op.is_view:
                value = value.node.inputs[0]
            if value.node.inputs and not value.node.is_variable:
                roots.add(value)
        return roots

    def _node(self, node: Node) -> None:
        name = self.graph.names[node]
        if node.is_variable:
            return
        if isinstance(node.op, Constant):
            buffer = ProgramBuffer(self.unique(name), _closed(node, 0), "constant", source=name)
            self.buffers[node[0]] = buffer
            self.add_constant(ConstantData(buffer, node.op.value, recipe=recipe_of(node)))
            return
        if node.op.is_view:
            source = self.buffers[node.inputs[0]]
            self.buffers[node[0]] = ProgramBuffer(
                self.unique(name), _closed(node, 0), source.root.place, source, name
            )
            return
        cuts = None if any(v in self.roots for v in node.values) else cut_offsets(node)
        if cuts is not None:
            source = self.buffers[node.inputs[0]]
            for value, offset in zip(node.values, cuts, strict=True):
                self.buffers[value] = self._buffer(value, source, offset)
            return
        for value in node.values:
            self._make(value)
        if isinstance(node.op, Scan):
            ins = [Place(self.buffers[v]) for v in node.inputs]
            self.steps += loop_steps(self, node, name, ins, self._loop_outputs(node))
        elif node in self.parts:
            self._fill(node, self.parts[node])
        else:
            self.steps.append(self._step(node, name))

    def _buffer(
        self, value: Value, source: ProgramBuffer | None = None, offset: Dim = 0
    ) -> ProgramBuffer:
        """A buffer of its own for a value, or a part of another one."""
        node, name = value.node, self.graph.names[value.node]
        several = node.op.output_count > 1
        label = f"{name}_{node.op.output_names[value.index]}" if several else name
        place = "output" if value in self.roots else "arena"
        if source is not None:
            place, offset = source.root.place, dims.add(source.start, offset)
            source = source.root
        return ProgramBuffer(
            self.unique(label), _closed(node, value.index), place, source, label,
            str(node.origin), offset,
        )  # fmt: skip

    def _make(self, value: Value) -> None:
        """The buffer of a value, in that of its join, which may lie in a further one."""
        chain = [value]
        while chain[-1] not in self.buffers and chain[-1] in self.homes:
            chain.append(self.homes[chain[-1]].join[0])
        for member in reversed(chain):
            if member in self.buffers:
                continue
            home = self.homes.get(member)
            if home is None:
                self.buffers[member] = self._buffer(member)
            elif home.start:
                self.buffers[member] = self.buffers[home.join[0]]
                self.starts[member] = self._start(home.join[0], home.start)
            else:
                inside = self.buffers[home.join[0]]
                self.buffers[member] = self._buffer(member, inside, home.offset)

    def _start(self, join: Value, start: Sequence[Dim]) -> tuple[Dim, ...]:
        """Where in the buffer of a join a part begins; the join may be a window itself."""
        around = self.starts.get(join, (0,) * len(start))
        return tuple(dims.add(a, b) for a, b in zip(around, start, strict=True))

    def _windows(self, value: Value) -> Windows:
        """What of its buffer a value is; nothing where it is all of it."""
        if value not in self.starts:
            return ()
        return windows_at(self.starts[value], value.type, self.buffers[value].type)

    def _fill(self, node: Node, parts: Sequence[Home]) -> None:
        """Copy what could not be written to its place in a join."""
        offsets, starts = join_offsets(node), join_starts(node)
        placed = {home.position for home in parts}
        whole = self.buffers[node[0]]
        for position, value in enumerate(node.inputs):
            if position in placed:
                continue
            name = f"{self.graph.names[node]}_part{position}"
            if starts is not None and (offsets is None or node[0] in self.starts):
                start = self._start(node[0], starts[position])
                self._copy_step(value, whole, name, windows_at(start, value.type, whole.type))
                continue
            assert offsets is not None
            part = ProgramBuffer(
                self.unique(name), value.type, whole.root.place, whole.root, name,
                str(node.origin), dims.add(whole.start, offsets[position]),
            )  # fmt: skip
            self._copy_step(value, part, name)

    def _loop_outputs(self, node: Node) -> list[list[Place]]:
        """Where a loop's outputs belong; a last state that nothing reads is not copied out."""
        assert isinstance(node.op, Scan)
        read = {*self.graph.users, *self.graph.results}
        return [
            [Place(self.buffers[v])] if v in read or n >= len(node.op.states) else []
            for n, v in enumerate(node.values)
        ]

    def _step(self, node: Node, name: str) -> Step:
        outputs = tuple(self.buffers[v] for v in node.values)
        if node.op.is_host:
            return HostStep(node, name, tuple(self.buffers[v] for v in node.inputs), outputs)
        kernel, used = self._kernel(node, name)
        arguments = (*(self.buffers[v] for v in used), *outputs)
        windows = [self._windows(v) for v in (*used, *node.values)]
        step = KernelStep(kernel, arguments, name, in_place_positions(kernel), node)
        return in_windows(step, windows)

    def _kernel(self, node: Node, name: str) -> tuple[Kernel, tuple[Value, ...]]:
        """The kernel of a node and what it reads; nodes that compute the same share it, under the
        name of the first of them."""
        form = node_form(node)
        if form is None:
            return node_kernel(node, identifier(name), name)
        if form not in self.known:
            self.known[form] = self.earlier[form] = self._first_kernel(form, node, name)
        kernel, places = self.known[form]
        return kernel, tuple(node.inputs[n] for n in places)

    def _first_kernel(
        self, form: Hashable, node: Node, name: str
    ) -> tuple[Kernel, tuple[int, ...]]:
        """The kernel of a form and the positions of the inputs it reads, made now or earlier."""
        if form in self.earlier:
            kernel, places = self.earlier[form]
            return replace(kernel, name=identifier(name), origin=name), places
        kernel, used = node_kernel(node, identifier(name), name)
        return kernel, tuple(node.inputs.index(v) for v in used)

    def _outputs(self) -> list[Port]:
        ports: list[Port] = []
        owned: set[ProgramBuffer] = set()
        labels = [*self.labels, *(n for n, _ in self.graph.updates)]
        for position, (value, label) in enumerate(zip(self.graph.results, labels, strict=True)):
            updates = label if position >= len(self.graph.outputs) else ""
            buffer = self.buffers[value]
            if buffer.root.place != "output" or buffer.root in owned:
                buffer = self._copy(value, label)
            owned.add(buffer.root)
            ports.append(Port(label, buffer, "output", updates))
        return ports

    def _copy(self, value: Value, label: str) -> ProgramBuffer:
        """An output that is a variable, a constant or another output needs a copy."""
        type = value.node.types[value.index]
        target = ProgramBuffer(self.unique(label), type, "output", source=label)
        self._copy_step(value, target, label)
        return target

    def _copy_step(
        self, value: Value, new: ProgramBuffer, label: str, windows: Windows = ()
    ) -> None:
        shape, dtype = value.type.shape, as_dtype(value.type.dtype)
        assert shape is not None
        source, out = Buffer("x", shape, dtype), Buffer("y", shape, dtype)
        copied = compute(shape, lambda *i: source[i], name="y")
        kernel = loops.lower(identifier(f"copy_{label}"), (source,), ((out, copied),), label)
        step = KernelStep(kernel, (self.buffers[value], new), f"copy {label}")
        self.steps.append(in_windows(step, [self._windows(value), windows]))

    def _used_constants(self) -> tuple[ConstantData, ...]:
        """Numbers that became part of an expression need no place in memory."""
        used = {buffer.root for step in leaves(self.steps) for buffer in step.arguments}
        return tuple(data for data in self.constants if data.buffer in used)

    def _dims(self) -> tuple[DimVar, ...]:
        found: set[DimVar] = set()
        for port in self.inputs:
            assert port.type.shape is not None
            for extent in port.type.shape:
                found.update(dims.dim_vars(extent))
        return tuple(sorted(found, key=lambda v: v.name))


@dataclass(frozen=True, slots=True)
class Home:
    """Where a value is written: at byte `offset` of what `join` makes of its inputs, of which it is
    that at `position`; as a window of it from index `start` on, where one is given."""

    join: Node
    position: int
    offset: int = 0
    start: tuple[Dim, ...] = ()


def _find_homes(graph: Graph, results: set[Value]) -> dict[Value, Home]:
    """The values that joins have written to their places.

    A join takes those of its inputs that a kernel or host operator makes for it, once each, unless
    they must lie elsewhere; and only when they are most of its bytes, since the rest is copied.
    """
    homes: dict[Value, Home] = {}
    for node in graph.nodes:
        found: dict[Value, Home] = {}
        for made, home in _places(graph, node, homes):
            if made not in homes and made not in results and is_made(made):
                found.setdefault(made, home)
        placed = sum(_nbytes(value) for value in found)
        if placed > 0 and 2 * placed >= _nbytes(node[0]):
            homes.update(found)
    return homes


def _places(graph: Graph, node: Node, homes: Mapping[Value, Home]) -> Iterator[tuple[Value, Home]]:
    """What a join could have written to its place: where parts lie together also what they are
    views of, else what only kernels make and read."""
    offsets, starts = join_offsets(node), join_starts(node)
    if offsets is not None:
        for position, (value, offset) in enumerate(zip(node.inputs, offsets, strict=True)):
            yield viewed(value), Home(node, position, offset)
    elif starts is not None:
        # What has parts that lie together stays so: they may be read as views.
        rigid = {home.join for home in homes.values() if not home.start}
        for position, (value, start) in enumerate(zip(node.inputs, starts, strict=True)):
            if value.node not in rigid and may_be_window(graph, value):
                yield value, Home(node, position, start=start)


def _nbytes(value: Value) -> int:
    """An open extent counts as any number."""
    nbytes = value.type.nbytes
    return int(dims.evaluate(nbytes, dict.fromkeys(dims.dim_vars(nbytes), OPEN_EXTENT)))


def _closed(node: Node, index: int) -> TensorType:
    type = node.types[index]
    if not type.is_complete:
        raise ShapeError(
            f"the type of {node.label} is not known: {type}; give the shape of more "
            f"inputs, or declare it"
        )
    return type
