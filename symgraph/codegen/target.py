"""What a target is: three steps from a program of naive kernels to something that runs.

A target is one folder `symgraph/codegen/<name>/` whose `target.py` holds `TARGET`; one defined
elsewhere is made known with `register_target`.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import TargetError
from ..ir.program import Program
from ..kernel.ir import Kernel
from ..kernel.rates import Rates
from ..options import Options

Array = np.ndarray[Any, np.dtype[Any]]


class Runner(Protocol):
    """A loaded program."""

    def run(
        self, inputs: Sequence[Array], outputs: Sequence[Array], dims: Mapping[str, int]
    ) -> Sequence[int] | None:
        """Fill `outputs` (one array for each output port) from `inputs` (one for each input port).

        All arrays are C-contiguous, of the ports' dtypes, and checked.  Safe from many threads.

        Returns the nanoseconds of each step when loaded with `Options.profile`, by targets that
        can tell.
        """

    def scratch_nbytes(self, dims: Mapping[str, int]) -> int:
        """Bytes that the kernels need beside the arena while they run, all threads together."""


class Target(Protocol):
    """A code generator.  `emit` is pure: the same program and options give the same text."""

    name: str
    alignment: int

    def available(self) -> str | None:
        """None when the target can be used on this machine, else the reason why not."""

    def channel_block(self, options: Options) -> int | None:
        """How many channels of an image should lie together; None for the plain layout."""

    def rates(self, options: Options) -> Rates | None:
        """What work and traffic cost, for the choice among equivalent forms of operators; None to
        keep every operator as it is."""

    def schedule(
        self, kernel: Kernel, options: Options, constants: frozenset[int] = frozenset()
    ) -> Kernel:
        """The kernel rearranged for this machine; equal results within rounding.

        The inputs at the positions in `constants` are constants of the program: the result may read
        them packed (`Kernel.packings`).
        """

    def emit(self, program: Program, options: Options) -> str:
        """The program as text in the target's language."""

    def load(self, program: Program, text: str, options: Options) -> Runner:
        """Make the text runnable in this process."""


@dataclass(frozen=True, slots=True)
class Built:
    """What a target needs beside a program to run it: machine code, and frozen data about it."""

    body: bytes
    layout: Any


@runtime_checkable
class StorableTarget(Target, Protocol):
    """A target whose finished programs can be kept on disk: `load` in two halves."""

    def code_key(self, options: Options) -> str:
        """All that machine code depends on beside the program and the options."""

    def build(self, program: Program, text: str, options: Options) -> Built:
        """Machine code for the text."""

    def start(self, program: Program, built: Built, options: Options) -> Runner:
        """Make what was built runnable in this process."""


_registered: dict[str, Target] = {}


def register_target(target: Target) -> None:
    """Make a target known by its name."""
    _registered[target.name] = target


def unregister_target(name: str) -> None:
    """Forget a target made known with `register_target`."""
    _registered.pop(name, None)


def target_names() -> tuple[str, ...]:
    """Every known target, the built-in ones included."""
    return tuple(sorted({*_folders(), *_registered}))


@cache
def _folders() -> tuple[str, ...]:
    """The targets that are folders here: looked for once, not by every compilation."""
    package = importlib.import_module(__package__)
    return tuple(
        m.name
        for m in pkgutil.iter_modules(package.__path__)
        if m.ispkg and importlib.util.find_spec(f"{__package__}.{m.name}.target")
    )


def find_target(name: str) -> Target:
    """The target of that name.  Raises: TargetError, listing the known ones."""
    if name in _registered:
        return _registered[name]
    if name in target_names():
        module = importlib.import_module(f"{__package__}.{name}.target")
        target: Target = module.TARGET
        return target
    raise TargetError(f"unknown target {name!r}; known are {', '.join(target_names())}")
