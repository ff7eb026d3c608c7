"""Order the steps of a program so that the fewest bytes are alive at once.

The given order is kept where nothing better is found, so a chain costs nothing and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..ir.program import Program
from .order_problem import OrderProblem
from .order_search import Order, search_order

WORK_LIMIT = 120_000
"""Steps tried from states, about a third of a second, and again as many in narrow levels."""


@dataclass(frozen=True)
class OrderSteps:
    """a = f(x); b = f(y); c = g(a); d = g(b)   ->   a = f(x); c = g(a); b = f(y); d = g(b)

    where c is smaller than a.
    """

    alignment: int = 64
    effort: float = 1.0
    name: ClassVar[str] = "order_steps"

    def run(self, program: Program) -> Program:
        """Updates over inputs and the order of host calls are kept."""
        order = best_order(program, self.alignment, round(WORK_LIMIT * self.effort)).order
        if order == tuple(range(len(program.steps))):
            return program
        return program.with_(steps=tuple(program.steps[n] for n in order))


def best_order(program: Program, alignment: int = 64, work_limit: int = WORK_LIMIT) -> Order:
    """The order of a program's steps with the lowest peak that is found within the limit."""
    return search_order(OrderProblem.of(program, alignment), work_limit)


def alive_at_steps(program: Program, alignment: int = 64) -> list[int]:
    """The bytes alive in each step in the given order."""
    problem = OrderProblem.of(program, alignment, given=True)
    done = alive = 0
    found: list[int] = []
    for step in range(len(program.steps)):
        during, after = problem.during(done, step)
        found.append(alive + during)
        alive += after
        done |= 1 << step
    return found


def peak_of(program: Program, alignment: int = 64) -> tuple[int, int]:
    """The first step at which the most bytes are alive in the given order, and how many."""
    found = alive_at_steps(program, alignment)
    peak = max(found, default=0)
    return (found.index(peak), peak) if peak else (0, 0)


def eagerly(program: Program, alignment: int = 64) -> Program:
    """The given order, but steps that free at least as much as they take come as soon as they can.

    A fast order, good where values pile up that wait for a step that could have run long before.
    """
    problem = OrderProblem.of(program, alignment)
    left = dict.fromkeys(range(len(program.steps)))
    done, order = 0, []
    while left:
        ready = [n for n in left if not problem.before[n] & ~done]
        free = [n for n in ready if problem.during(done, n)[1] <= 0]
        step = free[0] if free else ready[0]
        order.append(step)
        done |= 1 << step
        del left[step]
    return program.with_(steps=tuple(program.steps[n] for n in order))
