"""Planned bytes of the known networks: arena, lower bound, ratio, proof, and the time to plan.

The lower bound holds for the order of steps; `order` says how far no order can be better: `least`
where that is proved, else the gap between the peak of the order and what every order needs.

python -m benchmarks.memory.networks [NETWORK ...] [--batch 1] [--training] [--effort 1]

Without names: all networks, then the training steps of `TRAINED`.
"""

from __future__ import annotations

import argparse
import time

import symgraph as sg
from symgraph.codegen.executable import Executable
from symgraph.kernel.memory import forget_plans
from symgraph.models import KNOWN
from symgraph.passes.order_steps import OrderSteps, best_order
from symgraph.passes.plan_memory import PlanMemory
from symgraph.train.step import build_step
from symgraph.train.task import Task

TRAINED = ("lenet5", "resnet18", "lstm")


def compiled(name: str, batch: int, training: bool, effort: float = 1.0) -> Executable:
    """The network, or its training step by momentum, for one batch size."""
    net = KNOWN[name]()
    data = [s for s in net.variables if s not in (*net.parameters, *net.auxiliaries)]
    shapes = {s.name: (batch, *s.shape[1:]) for s in data}
    if not training:
        return sg.compile(net, shapes=shapes, target="interp", planning_effort=effort)
    loss = sg.cross_entropy(net, sg.var("label", ("N",), "int32"))
    shapes["label"] = (batch,)
    params = Task.of(loss, None, ()).initial(0, {}, shapes)
    step = build_step(loss, params, sg.train.SGD(momentum=0.9))
    return step.compile(params, shapes=shapes, target="interp", planning_effort=effort)


def line(name: str, batch: int, training: bool, effort: float) -> str:
    """One row of the table; the time is that of ordering and placing alone."""
    f = compiled(name, batch, training, effort)
    forget_plans()
    start = time.perf_counter()
    PlanMemory(effort=effort).run(OrderSteps(effort=effort).run(f.program.with_(plan=None)))
    seconds = time.perf_counter() - start
    order = best_order(f.program)
    gap = "least" if order.proved else f"{order.peak / order.bound - 1:+.1%}"
    report = f.memory_report()
    kind = "training" if training else "inference"
    proved = "yes" if report.proved else "no"
    return (
        f"{name:14} {kind:9} {report.steps:5} {report.planned:14,} {report.lower_bound:14,} "
        f"{report.naive:15,} {report.ratio:7.4f} {proved:6} {gap:>6} {seconds:7.3f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--training", action="store_true")
    parser.add_argument("--effort", type=float, default=1.0, help="as planning_effort of compile")
    given = parser.parse_args()
    print(
        f"{'network':14} {'kind':9} {'steps':>5} {'planned':>14} {'lower bound':>14} "
        f"{'naive':>15} {'ratio':>7} proved {'order':>6} seconds"
    )
    rows = [(name, given.training) for name in given.networks or KNOWN]
    if not given.networks and not given.training:
        rows += [(name, True) for name in TRAINED]
    for name, training in rows:
        print(line(name, given.batch, training, given.effort), flush=True)


if __name__ == "__main__":
    main()
