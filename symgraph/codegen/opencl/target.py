"""OpenCL C for GPUs and CPUs, run through pyopencl."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import TargetError
from ...ir.program import Program
from ...kernel.ir import Kernel
from ...kernel.rates import Rates
from ...options import Options
from ..target import Runner
from .emit import emit
from .schedule import schedule

if TYPE_CHECKING:
    from .devices import DeviceDescription


class OpenCLTarget:
    """The device is `Options.device`, else the first GPU, else the first CPU."""

    name = "opencl"
    alignment = 128

    def available(self) -> str | None:
        try:
            from .devices import open_device
        except ImportError as error:
            return f"the package 'pyopencl' cannot be imported ({error}): pip install pyopencl"
        try:
            open_device()
        except TargetError as error:
            return str(error)
        return None

    def channel_block(self, options: Options) -> int | None:
        return None

    def rates(self, options: Options) -> Rates | None:
        return None

    def describe_devices(self) -> tuple[str, ...]:
        """A line for each device, for people."""
        return tuple(
            f"{d.selector} {d.name} ({d.platform}, {d.type}, {d.version}): {d.compute_units} "
            f"compute units, {d.global_memory >> 20} MiB" + (f": {d.usable}" if d.usable else "")
            for d in describe_devices()
        )

    def schedule(
        self, kernel: Kernel, options: Options, constants: frozenset[int] = frozenset()
    ) -> Kernel:
        from .devices import open_device

        return schedule(kernel, open_device(options.device).facts, options.level)

    def emit(self, program: Program, options: Options) -> str:
        return emit(program)

    def load(self, program: Program, text: str, options: Options) -> Runner:
        from .devices import open_device
        from .runtime import OpenCLRunner

        return OpenCLRunner(program, text, open_device(options.device))


def describe_devices() -> list[DeviceDescription]:
    """Every OpenCL device of this machine.

    Raises: TargetError where there is no platform, ImportError where there is no pyopencl.
    """
    from . import devices

    return devices.describe_devices()


TARGET = OpenCLTarget()
