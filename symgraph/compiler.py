"""`compile`: the one page that shows every stage in order.

Symbol -> Graph[typed] -> Graph[primitive] -> Graph[canonical] -> Graph[fused] -> lower
-> Program of naive kernels -> target.schedule -> recompute -> order_steps -> plan_memory
-> target.emit -> target.load
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from .codegen.content import package_digest
from .codegen.executable import Executable
from .codegen.interp.evaluate import Evaluator
from .codegen.native import NativeEngine
from .codegen.program_store import ProgramStore, store_for
from .codegen.target import Built, StorableTarget, Target, find_target
from .errors import InputError, ShapeError, TargetError
from .garbage import give_back, seldom_collected
from .ir.graph import Graph, Inference
from .ir.memory_report import MemoryReport
from .ir.node import Node
from .ir.op import Variable
from .ir.program import Check, KernelStep, Leaf, Port, Program, ProgramBuffer, map_leaves
from .ir.release import gather_constants, release_graph
from .ir.symbol import Expression, Group, Symbol, group, output_names
from .ir.tensor_type import as_shape
from .kernel.dims import DimVar, dim_vars
from .kernel.dtypes import as_dtype
from .kernel.ir import Kernel
from .kernel.memory import Means, PlanStore
from .kernel.printer import text_without_names
from .kernel.verify import verify_kernel
from .lower import KnownKernels, lower, node_kernel
from .lower.kernels import identifier
from .options import Options, from_environment
from .passes import arrangement, canonical, preparation
from .passes.bind_parameters import BindParameters
from .passes.block_estimates import Cost
from .passes.bring_together import BringTogether
from .passes.compare import compare_graphs, shape_at
from .passes.forms_at_peak import forms_at_peak
from .passes.fuse_over_blocks import FuseOverBlocks
from .passes.infer_types import InferTypes
from .passes.manager import Dump, Fact, Pass, Pipeline
from .passes.order_steps import OrderSteps
from .passes.pack_constants import PackConstants
from .passes.plan_memory import PlanMemory
from .passes.recompute import Recompute
from .passes.settle_updates import SettleUpdates
from .progress import Progress

Array = np.ndarray[Any, np.dtype[Any]]


def compile(
    outputs: Symbol | Group | Sequence[Symbol],
    *,
    params: Mapping[str, Any] | None = None,
    target: str | None = None,
    training: bool = False,
    updates: Mapping[str, Symbol] | None = None,
    shapes: Mapping[str, Any] | None = None,
    dtypes: Mapping[str, Any] | None = None,
    name: str = "model",
    passes: Sequence[Pass] = (),
    options: Options | None = None,
    **changes: Any,
) -> Executable:
    """Compile symbols into a callable over numpy arrays.

    params    arrays for parameters and state by name; the rest are passed at each call.  A mapping
              that makes them when they are asked for, such as an open `.npz` file, is asked once,
              and each array is given back as soon as it is folded or packed
    training  keep the training form (dropout, batch statistics) and update the state
    name      of the program and what is shown of it; what no language takes in names becomes _
    updates   next values of variables by name, written over their arrays at each call
    shapes    shapes of variables that override their own
    passes    passes of your own, run on the canonical graph before fusion
    Further keywords are fields of `Options`.

    Raises: ShapeError, DTypeError, InputError, TargetError, before anything runs.
    """
    chosen = (options if options is not None else from_environment()).with_(**changes)
    if target is not None:
        chosen = chosen.with_(target=target)
    expression = outputs if isinstance(outputs, Expression) else group(outputs)
    build = Build(
        with_updates(expression.graph, dict(updates or {})),
        dict(params or {}),
        training,
        dict(shapes or {}),
        dict(dtypes or {}),
        identifier(name),
        chosen,
        tuple(passes),
        params_are_own=True,
        progress=Progress(f"symgraph: compiling {name}"),
    )
    with build.progress, seldom_collected():
        return build.run()


def memory_report(
    model: Executable | Symbol | Group | Sequence[Symbol], /, **extents: int
) -> MemoryReport:
    """What a network needs while it runs: planned, lower bound, naive, what is alive at the peak.

    Symbols are compiled with the default options; `extents` are values of open extents.

    Raises: InputError for an extent that the network does not have.
    """
    executable = model if isinstance(model, Executable) else compile(model)
    return executable.memory_report(**extents)


@dataclass(frozen=True)
class Build:
    """One compilation: what is compiled, and how."""

    graph: Graph
    params: Mapping[str, Any]
    training: bool
    shapes: Mapping[str, Any]
    dtypes: Mapping[str, Any]
    name: str
    options: Options
    passes: tuple[Pass, ...] = ()
    keep_recipes: bool = False
    """Constants remember how they follow from parameters, and no pass looks at their numbers."""
    params_are_own: bool = False
    """`params` is a dict that nobody else looks at: what is bound is taken out of it, so that an
    array goes as soon as nothing follows from it any longer."""
    progress: Progress = field(default_factory=lambda: Progress("symgraph: compiling"))

    def run(self) -> Executable:
        target = usable_target(self.options.target)
        if not isinstance(target, StorableTarget):
            program = gather_constants(self.program(target), target.alignment)
            text = target.emit(program, self.options)
            runner = target.load(program, text, self.options)
            return Executable(program, runner, text, self.bound(program), target.name)
        store = self.store(target)
        found = None if store is None else store.load()
        program, built = self.made(target, store) if found is None else found
        runner = target.start(program, built, self.options)
        emitted = partial(target.emit, program, self.options)
        return Executable(program, runner, emitted, self.bound(program), target.name)

    def store(self, target: Target) -> ProgramStore | None:
        """Where the finished program is, once it has been made; None where it is not kept."""
        if self.passes or self.keep_recipes:
            return None
        shapes = tuple((name, as_shape(shape, name)) for name, shape in self.shapes.items())
        dtypes = tuple((name, as_dtype(dtype)) for name, dtype in self.dtypes.items())
        settings = (self.name, self.training, shapes, dtypes)
        return store_for(self.graph, self.constants(self.graph), settings, target, self.options)

    def made(self, target: StorableTarget, store: ProgramStore | None) -> tuple[Program, Built]:
        """The finished program, kept for the next time; constants are gathered while its code is
        made."""
        start = time.perf_counter()
        program = self.program(target)
        self.progress.at("code")
        text = target.emit(program, self.options)
        skeleton = program.with_(constants=())
        waiting = [program]
        del program  # so that arrays are given back as they are copied
        with ThreadPoolExecutor(1) as pool:
            gathering = pool.submit(lambda: gather_constants(waiting.pop(), target.alignment))
            built = target.build(skeleton, text, self.options)
            program = gathering.result()
        if store is not None:
            store.save(program, built, time.perf_counter() - start)
        return program, built

    def program(self, target: Target) -> Program:
        """Every stage up to the planned program of scheduled kernels."""
        dump = Dump(self.options.dump)
        # Passed on without a name, so that arrays are given back as they are packed.
        waiting = [self.lowered(target, dump)]
        give_back()
        waiting.append(schedule(waiting.pop(), target, self.options, self.progress))
        program = PackConstants(target.alignment).run(waiting.pop())
        dump.write("schedule", program)
        for planning in self.planning(target):
            self.progress.at(planning.name)
            program = planning.run(program)
            dump.write(planning.name, program)
        return program

    def lowered(self, target: Target, dump: Dump) -> Program:
        """The program of naive kernels over blocks; where forms of operators make its peak, lowered
        again without them, if that is better."""
        self.progress.at("passes")
        graph = with_state_updates(self.graph) if self.training else self.graph
        inference = InferTypes(self.shapes, self.dtypes, self.constants(graph)).inference(graph)
        # What inference could not decide about named extents is checked at each call.
        checks = [Check(*condition) for condition in inference.constraints]
        waiting, facts, stopped = self.prepared(graph, inference, dump)
        interface = interface_of(waiting[0])
        common = Pipeline(canonical(self.options.level, self.training, self.passes), facts)
        # Passed on without a name, so that arrays go when they are folded into others.
        before, stopped = self.optimised(common, waiting.pop, dump, stopped)
        fuse = self.fusion(target)
        kernels: KnownKernels = {}

        def naive(plain: frozenset[str]) -> tuple[Program, Cost | None]:
            passes = Pipeline(self.arrangement(target, plain), common.after)
            graph, _ = self.optimised(passes, lambda: before, dump, stopped)
            self.progress.at("lower")
            program = lower(graph, self.name, checks, output_names(self.graph), kernels)
            program = release_graph(SettleUpdates().run(with_interface(program, interface)))
            dump.write("lower", program)
            return self.over_blocks(program, fuse)

        return _with_fewer_forms(naive)

    def fusion(self, target: Target) -> FuseOverBlocks | None:
        """What fuses kernels over blocks, for targets that say what traffic costs."""
        rates = target.rates(self.options)
        wanted = self.options.level >= 2 and FuseOverBlocks.name not in self.options.disable
        return None if rates is None or not wanted else FuseOverBlocks(rates)

    def over_blocks(
        self, program: Program, fuse: FuseOverBlocks | None
    ) -> tuple[Program, Cost | None]:
        """The program with kernels fused over blocks, and its cost."""
        self.progress.at(FuseOverBlocks.name)
        if fuse is None:
            return program, None
        return fuse.judged(BringTogether().run(program))

    def planning(self, target: Target) -> tuple[Recompute | OrderSteps | PlanMemory, ...]:
        """The passes over the scheduled program, in order."""
        effort, budget = self.options.planning_effort, self.options.memory_budget
        ordering = (OrderSteps(target.alignment, effort),)
        placing = (PlanMemory(target.alignment, self.options.verify, effort, self.means()),)
        last = (*(() if OrderSteps.name in self.options.disable else ordering), *placing)
        return last if budget is None else (Recompute(budget, target.alignment, last), *last)

    def means(self) -> Means:
        """What searches for placements: machine code, and the plans of earlier searches."""
        folder, sources = self.options.cache, package_digest()
        kept = None if folder is None or sources is None else PlanStore(folder, sources)
        return Means(NativeEngine(folder), kept)

    def prepared(
        self, graph: Graph, inference: Inference, dump: Dump
    ) -> tuple[list[Graph], Fact, bool]:
        """The graph as every level needs it, its arrays bound, as the only item of a list; what
        holds of it; whether to stop here."""
        constants = self.constants(graph)
        if self.params_are_own and BindParameters.name not in self.options.disable:
            assert isinstance(self.params, dict)
            for name in constants:
                del self.params[name]
        given = preparation(
            self.training, self.shapes, self.dtypes, constants, self.keep_recipes, inference
        )
        passes = Pipeline(given)
        prepared, stops = self.optimised(passes, lambda: graph, dump, False)
        return [prepared], passes.after, stops

    def optimised(
        self, passes: Pipeline, graph: Callable[[], Graph], dump: Dump, stopped: bool
    ) -> tuple[Graph, bool]:
        """The graph after the passes, and whether the last one to run was among them or before."""
        if stopped:
            return graph(), True
        new, report = passes.run(graph(), self.options, self.comparison(), dump)
        return new, self.options.stop_after in [name for name, _, _ in report.entries]

    def arrangement(self, target: Target, plain: frozenset[str]) -> tuple[Pass, ...]:
        """The passes that arrange the canonical graph; operators named by `plain` keep their
        form."""
        block = target.channel_block(self.options)
        rates, tolerance = target.rates(self.options), self.options.tolerance
        return arrangement(self.options.level, self.training, block, rates, tolerance, plain)

    def comparison(self) -> Callable[[Graph, Graph], str | None] | None:
        """What finds a pass that changes numbers, at the highest level of verification."""
        if self.options.verify < 3:
            return None
        return partial(compare_graphs, evaluate=evaluate_node)

    def constants(self, graph: Graph) -> dict[str, Array]:
        """The arrays that become constants: in training, parameters stay inputs."""
        return {} if self.training else self.arrays(graph)

    def arrays(self, graph: Graph) -> dict[str, Array]:
        """The given parameters, checked against the graph's variables."""
        known = {graph.names[n] for n in graph.variables}
        unknown = sorted(set(self.params) - known)
        if unknown and not any(name in known for name in self.params):
            raise InputError(
                f"compile: params has {unknown[0]!r}, but the graph has no such "
                f"variable; it has {', '.join(sorted(known)) or 'none'}"
            )
        return {name: np.asarray(self.params[name]) for name in self.params if name in known}

    def bound(self, program: Program) -> dict[str, Array]:
        """The given arrays that are still inputs of the program (in training they stay so)."""
        free = {p.name: p for p in program.inputs}
        result: dict[str, Array] = {}
        for name, value in self.params.items():
            if name in free:
                result[name] = np.array(value, dtype=as_dtype(free[name].type.dtype).numpy)
        return result


MOST_HELD = 128 * 1024 * 1024
"""Bytes of constants of a program that is held while another one is tried; a larger one is lowered
again."""


def _with_fewer_forms(
    naive: Callable[[frozenset[str]], tuple[Program, Cost | None]],
) -> Program:
    """What `naive` lowers, given the operators that keep their form: none, or those whose forms
    make the peak where that is better."""
    program, cost = naive(frozenset())
    plain = frozenset() if cost is None else forms_at_peak(program, cost)
    if cost is None or not plain:
        return program
    nbytes = [data.buffer.type.nbytes for data in program.constants]
    held = [program] if sum(n for n in nbytes if isinstance(n, int)) <= MOST_HELD else []
    del program
    other, new = naive(plain)
    if new is not None and new.weighed < cost.weighed:
        return other
    del other
    return held.pop() if held else naive(frozenset())[0]


def evaluate_node(
    node: Node, arrays: Sequence[Array], sizes: Mapping[str, int]
) -> tuple[Array, ...]:
    """The outputs of one node by interpreting its kernel: for operators without a reference."""
    kernel, used = node_kernel(node, "node", node.label)
    given = dict(zip(node.inputs, arrays, strict=True))
    outputs = [np.zeros(shape_at(t, sizes), as_dtype(t.dtype).numpy) for t in node.types]
    pairs = zip(kernel.params, [*(given[v] for v in used), *outputs], strict=True)
    Evaluator(kernel, dict(pairs), sizes).run()
    return tuple(outputs)


def usable_target(name: str) -> Target:
    """The target, when it can be used here.  Raises: TargetError with the reason."""
    target = find_target(name)
    reason = target.available()
    if reason is not None:
        raise TargetError(f"target {name!r} cannot be used here: {reason}")
    return target


def with_updates(graph: Graph, updates: Mapping[str, Symbol]) -> Graph:
    """The graph with next values of variables as further outputs.  Raises: InputError."""
    new = Graph(graph.outputs, [(name, symbol.value) for name, symbol in updates.items()])
    variables = {new.names[n]: n for n in new.variables}
    for name, symbol in updates.items():
        if name not in variables:
            known = ", ".join(variables) or "none"
            raise InputError(
                f"compile: updates has {name!r}, but the graph has no such variable; it has {known}"
            )
        old = variables[name].types[0].shape
        if old is not None and symbol.shape is not None and len(old) != len(symbol.shape):
            raise InputError(
                f"compile: the next value of {name!r} has shape {symbol.shape}, it has {old}"
            )
    return new


def with_state_updates(graph: Graph) -> Graph:
    """The graph with the next value of every auxiliary variable that its operators carry."""
    updates = dict(graph.updates)
    for node in graph.nodes:
        names = node.op.argument_names(len(node.inputs))
        for argument, output in node.op.state:
            variable = node.inputs[names.index(argument)].node
            if isinstance(variable.op, Variable) and variable.op.role == "auxiliary":
                updates[graph.names[variable]] = node[node.op.output_names.index(output)]
    return Graph(graph.outputs, tuple(updates.items()))


@dataclass(frozen=True)
class Interface:
    """What the caller of a graph sees of it, without the arrays that its nodes hold."""

    variables: tuple[tuple[str, Node], ...]
    extents: tuple[tuple[DimVar, str], ...]
    """Every open extent, with the first node that has it, for people."""


def interface_of(graph: Graph) -> Interface:
    """The variables of a graph and its open extents."""
    extents: dict[DimVar, str] = {}
    for node in graph.nodes:
        for type in node.types:
            for var in (v for d in type.shape or () for v in dim_vars(d) if v not in extents):
                place = f"  declared at {node.origin}" if str(node.origin) else ""
                extents[var] = f"{graph.names[node]}: {type}{place}"
    variables = tuple((graph.names[node], node) for node in graph.variables)
    return Interface(variables, tuple(extents.items()))


def with_interface(program: Program, interface: Interface) -> Program:
    """The program with the inputs of the graph before it was optimised, in that order.

    Passes change the order in which variables are first used and may leave some unused; the
    interface is the same at every optimisation level.  Raises: ShapeError naming the first node
    with an extent that no input tells.
    """
    ports = {p.name: p for p in program.inputs}
    found: list[Port] = []
    for name, node in interface.variables:
        if name in ports:
            found.append(ports[name])
        elif isinstance(node.op, Variable) and node.op.role == "input":
            found.append(Port(name, ProgramBuffer(name, node.types[0], "input", source=name)))
    extents = {v for p in found for d in p.type.shape or () for v in dim_vars(d)}
    for var, place in interface.extents:
        if var not in extents:
            raise ShapeError(
                f"the extent {var.name} follows from no input:\n"
                f"  {place}\n"
                f"  name it in the shape of an input, or give a number for it"
            )
    names = tuple(sorted(extents, key=lambda v: v.name))
    return program.with_(inputs=tuple(found), dims=names)


def schedule(
    program: Program, target: Target, options: Options, progress: Progress | None = None
) -> Program:
    """Every kernel arranged for the target; equal kernels of equal constants are arranged once."""
    done: dict[tuple[str, frozenset[int]], Kernel] = {}
    originals: dict[tuple[Kernel, frozenset[int]], Kernel] = {}
    packs = "pack_constants" not in options.disable

    def scheduled(step: Leaf) -> Leaf:
        if not isinstance(step, KernelStep):
            return step
        kernel = step.kernel
        places = enumerate(step.reads) if packs else ()
        constants = frozenset(n for n, b in places if b.root.place == "constant" and b.is_whole)
        if (kernel, constants) not in originals:
            key = text_without_names(kernel), constants
            if key not in done:
                if progress is not None:
                    progress.at(f"schedule {step.label}")
                verify_kernel(kernel, options.verify)
                done[key] = target.schedule(kernel, options, constants)
                verify_kernel(done[key], options.verify)
            originals[kernel, constants] = done[key]
        return replace(step, kernel=originals[kernel, constants])

    return program.with_(steps=map_leaves(program.steps, scheduled))
