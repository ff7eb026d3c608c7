"""A loop as steps: copies of the initial states, the body's kernels repeated, copies of the last.

    last, ys = scan(xs, h0) {h' = f(x, h); y = h'}   ->   ring[0,:] = h0[:]
                                                          repeat t < T:
                                                            ring[(t+1)%2,:] = ys[t,:] =
                                                                f(xs[t,:], ring[t%2,:])
                                                          last[:] = ring[T%2,:]

A state lives in a ring of two slots, so that a step reads one and writes the other and nothing is
ever moved.  Sequences and stacked results are read and written where they lie: the kernels of the
body take the counter of the loop as one of their dims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..errors import InternalError, ShapeError
from ..ir.compose import apply_forward, literal, literal_tensor
from ..ir.node import Node, Value
from ..ir.op import Constant, recipe_of
from ..ir.program import ConstantData, KernelStep, ProgramBuffer, RepeatStep, Step
from ..ir.scan import Scan
from ..ir.tensor_type import TensorType
from ..kernel import dims
from ..kernel.compute import Compute, Tensor, compute
from ..kernel.dims import Dim, DimVar
from ..kernel.dtypes import as_dtype
from ..kernel.in_place import in_place_positions
from ..kernel.ir import Buffer, Kernel
from ..kernel.transform.embed import Fixed, Slice, embed
from .kernels import checked_results, identifier, kernel_over, result_label, value_buffer

SLOTS = 2
"""Places for a state: the one that a step reads and the one that it writes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value lies: a buffer, or the slice of one at a place along some of its axes."""

    buffer: ProgramBuffer
    fixed: Fixed = ()

    def at(self, axis: int, place: Dim) -> Place:
        """The slice at `place` along an axis of this one."""
        rank = len(self.buffer.type.shape or ())
        held = {n for n, _ in self.fixed}
        free = [n for n in range(rank) if n not in held]
        return Place(self.buffer, tuple(sorted((*self.fixed, (free[axis], place)))))


class Names(Protocol):
    """What a loop needs of the program around it."""

    def unique(self, name: str) -> str:
        """A name that no buffer has yet."""

    def add_constant(self, data: ConstantData) -> None:
        """An array that the program carries."""


def loop_steps(
    names: Names, node: Node, label: str, ins: Sequence[Place], outs: Sequence[Sequence[Place]]
) -> list[Step]:
    """The steps of a loop whose inputs lie at `ins` and whose outputs belong at `outs`."""
    return _Loop(names, node, label).run(ins, outs)


class _Loop:
    """One loop.  `places` says where values of the body lie, `views` what is read through one."""

    def __init__(self, names: Names, node: Node, label: str) -> None:
        assert isinstance(node.op, Scan)
        self.names = names
        self.node = node
        self.op = node.op
        self.label = label
        self.count = node.op.steps([v.type for v in node.inputs])
        self.counter = DimVar(names.unique(f"{identifier(label)}_step"))
        self.places: dict[Value, Place] = {}
        self.views: dict[Value, Node] = {}
        self.targets: dict[Value, list[Place]] = {}
        self.steps: list[Step] = []

    def run(self, ins: Sequence[Place], outs: Sequence[Sequence[Place]]) -> list[Step]:
        sequences, initial, captured = self.op.split(ins)
        rings = [self._ring(name) for name in self.op.states]
        self._variables(sequences, rings, captured)
        self._results(rings, outs[len(rings) :])
        before: list[Step] = [
            self._copy(place, Place(ring).at(0, 0), name)
            for name, place, ring in zip(self.op.states, initial, rings, strict=True)
        ]
        for node in self.op.body.nodes:
            self._node(node)
        self._left_over()
        loop = RepeatStep(self.counter, self.count, tuple(self.steps), self.label, self.node)
        last = dims.mod(self.count, SLOTS)
        after: list[Step] = [
            self._copy(Place(ring).at(0, last), place, name)
            for name, ring, places in zip(self.op.states, rings, outs, strict=False)
            for place in places
        ]
        after += [
            self._copy(places[0], place, "result")
            for places in outs[len(rings) :]
            for place in places[1:]
        ]
        return [*before, loop, *after]

    # -- where things lie --------------------------------------------------------------------------

    @property
    def _time(self) -> Dim:
        """The place along the axis of steps that the counter stands for."""
        if not self.op.reverse:
            return self.counter
        return dims.add(dims.add(self.count, -1), dims.mul(self.counter, -1))

    def _ring(self, name: str) -> ProgramBuffer:
        value = self.node.inputs[len(self.op.sequences) + self.op.states.index(name)]
        type = value.type
        assert type.shape is not None
        return ProgramBuffer(
            self.names.unique(f"{self.label}_{name}"), TensorType((SLOTS, *type.shape), type.dtype),
            "arena", source=f"{self.label} {name}", origin=str(self.node.origin),
        )  # fmt: skip

    def _variables(
        self, sequences: Sequence[Place], rings: Sequence[ProgramBuffer], captured: Sequence[Place]
    ) -> None:
        found: dict[str, Place] = {}
        for name, axis, place in zip(self.op.sequences, self.op.axes, sequences, strict=True):
            found[name] = place.at(axis, self._time)
        for name, ring in zip(self.op.states, rings, strict=True):
            found[name] = Place(ring).at(0, dims.mod(self.counter, SLOTS))
        found.update(zip(self.op.captured, captured, strict=True))
        for name, node in self.op.variables().items():
            self.places[node[0]] = found[name]

    def _results(self, rings: Sequence[ProgramBuffer], stacks: Sequence[Sequence[Place]]) -> None:
        """Where the body's outputs are to be written."""
        other = dims.mod(dims.add(self.counter, 1), SLOTS)
        for value, ring in zip(self.op.next_states, rings, strict=True):
            self.targets.setdefault(value, []).append(Place(ring).at(0, other))
        for value, axis, places in zip(self.op.stacked, self.op.output_axes, stacks, strict=True):
            self.targets.setdefault(value, []).append(places[0].at(axis, self._time))

    # -- the body ----------------------------------------------------------------------------------

    def _node(self, node: Node) -> None:
        label = f"{self.label}_{self.op.body.names[node]}"
        if node.is_variable or literal(node[0]) is not None:
            return
        if isinstance(node.op, Constant):
            self.places[node[0]] = Place(self._constant(node, label))
        elif node.op.is_view:
            self._view(node, label)
        elif node.op.is_host:
            raise InternalError(f"{label}: host operators cannot run inside a loop")
        elif isinstance(node.op, Scan):
            ins = [self._place(v, label) for v in node.inputs]
            outs = [self._destinations(v, label) for v in node.values]
            self.steps += loop_steps(self.names, node, label, ins, outs)
        else:
            self._kernel(node, label)

    def _constant(self, node: Node, label: str) -> ProgramBuffer:
        assert isinstance(node.op, Constant)
        buffer = ProgramBuffer(self.names.unique(label), node.types[0], "constant", source=label)
        self.names.add_constant(ConstantData(buffer, node.op.value, recipe=recipe_of(node)))
        return buffer

    def _view(self, node: Node, label: str) -> None:
        """A view of a whole buffer is one; of a slice it is read through its index expression."""
        (source, value) = node.inputs[0], node[0]
        place = self.places.get(source)
        if place is None or place.fixed:
            self.views[value] = node
            return
        buffer = ProgramBuffer(
            self.names.unique(label), node.types[0], place.buffer.root.place, place.buffer, label
        )
        self.places[value] = Place(buffer)

    def _destinations(self, value: Value, label: str) -> list[Place]:
        """Where a value is written: its targets, or a buffer of its own."""
        found = self.targets.get(value)
        if found is None:
            found = [Place(self._temporary(value, label))]
        self.places[value] = found[0]
        return found

    def _temporary(self, value: Value, label: str) -> ProgramBuffer:
        type = value.node.types[value.index]
        if not type.is_complete:
            raise ShapeError(f"the type of {label} is not known: {type}")
        several = value.node.op.output_count > 1
        name = f"{label}_{value.node.op.output_names[value.index]}" if several else label
        return ProgramBuffer(
            self.names.unique(name), type, "arena", source=name, origin=str(value.node.origin)
        )

    def _kernel(self, node: Node, label: str) -> None:
        used: dict[Value, Buffer] = {}
        results = checked_results(node, [self._tensor(v, used) for v in node.inputs])
        pairs: list[tuple[Place, Buffer, Compute]] = []
        for value, result in zip(node.values, results, strict=True):
            for place in self._destinations(value, label):
                pairs.append((place, value_buffer(value, result_label(value)), result))
        self._step(used, pairs, label, node)

    def _tensor(self, value: Value, used: dict[Value, Buffer]) -> Tensor:
        """What an expression reads for a value; buffers are noted in `used`."""
        number = literal(value)
        if number is not None:
            return literal_tensor(number)
        if value in self.views:
            node = self.views[value]
            (made,) = apply_forward(node, [self._tensor(v, used) for v in node.inputs])
            return made
        if value not in used:
            used[value] = value_buffer(value, identifier(value.node.label))
        return used[value]

    def _step(
        self,
        used: Mapping[Value, Buffer],
        pairs: Sequence[tuple[Place, Buffer, Compute]],
        label: str,
        node: Node | None,
    ) -> None:
        outputs = [(buffer, result) for _, buffer, result in pairs]
        kernel, read = kernel_over(identifier(label), used, outputs, label)
        places = [*(self.places[v] for v in read), *(place for place, _, _ in pairs)]
        self.steps.append(_placed(kernel, places, label, node))

    def _left_over(self) -> None:
        """Outputs of the body that no kernel writes: variables, numbers, constants and views."""
        for value, places in self.targets.items():
            if self.places.get(value) is not None and self.places[value] in places:
                continue
            used: dict[Value, Buffer] = {}
            tensor = self._tensor(value, used)
            copied = compute(tensor.shape, lambda *i, t=tensor: t[i], name="y")
            pairs = [(place, value_buffer(value, "y"), copied) for place in places]
            label = f"{self.label}_{self.op.body.names[value.node]}_copy"
            self._step(used, pairs, label, None)

    def _place(self, value: Value, label: str) -> Place:
        """Where a value lies; one that is read through its expression, or is a number, is stored
        first."""
        if value in self.places:
            return self.places[value]
        used: dict[Value, Buffer] = {}
        tensor = self._tensor(value, used)
        copied = compute(tensor.shape, lambda *i: tensor[i], name="y")
        place = Place(self._temporary(value, f"{label}_input"))
        self._step(used, [(place, value_buffer(value, "y"), copied)], label, None)
        self.places[value] = place
        return place

    def _copy(self, source: Place, target: Place, name: str) -> KernelStep:
        shape = _shape(source)
        dtype = as_dtype(source.buffer.type.dtype)
        x, y = Buffer("x", shape, dtype), Buffer("y", shape, dtype)
        copied = compute(shape, lambda *i: x[i], name="y")
        label = f"copy {self.label} {name}"
        kernel, _ = kernel_over(identifier(label), {0: x}, [(y, copied)], label)
        return _placed(kernel, [source, target], label, None)


def _shape(place: Place) -> tuple[Dim, ...]:
    held = {axis for axis, _ in place.fixed}
    return tuple(d for n, d in enumerate(place.buffer.type.shape or ()) if n not in held)


def _placed(kernel: Kernel, places: Sequence[Place], label: str, node: Node | None) -> KernelStep:
    """A step that runs a kernel over slices."""
    slices: dict[Buffer, Slice] = {}
    for param, place in zip(kernel.params, places, strict=True):
        if place.fixed:
            type = place.buffer.type
            assert type.shape is not None
            whole = Buffer(param.name, type.shape, as_dtype(type.dtype))
            slices[param] = Slice(whole, place.fixed)
    arguments = tuple(place.buffer for place in places)
    fixed = tuple(place.fixed for place in places) if slices else ()
    positions = in_place_positions(kernel)
    return KernelStep(embed(kernel, slices), arguments, label, positions, node, fixed)
