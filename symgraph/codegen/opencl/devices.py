"""Which OpenCL device: finding, choosing, describing, and what a schedule must know of it."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, field, replace
from typing import Any

import pyopencl as cl

from ...errors import TargetError

# pyopencl writes the wrappers it generates to a cache, and fails where that cannot be written; the
# wrappers are small and the drivers keep the compiled programs themselves.
cl._PYOPENCL_NO_CACHE = True

_TRIVIAL = "__kernel void probe(__global float *x) { x[get_global_id(0)] = 1.0f; }\n"


@dataclass(frozen=True, slots=True)
class DeviceDescription:
    """One OpenCL device.  `usable` is empty, or says why its compiler cannot be used.

    `selector` is what the option `device` takes to choose it; sizes are in bytes.
    """

    selector: str
    name: str
    platform: str
    type: str
    version: str
    global_memory: int
    local_memory: int
    max_allocation: int
    max_work_group: int
    max_work_items: tuple[int, ...]
    compute_units: int
    base_alignment: int
    has_float64: bool
    has_fused_multiply_add: bool
    float_lanes: int
    usable: str = ""


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What a schedule depends on."""

    is_cpu: bool
    compute_units: int
    max_work_group: int
    local_memory: int
    lanes: int


@dataclass(frozen=True, eq=False)
class Device:
    """An opened device."""

    handle: Any
    context: Any
    description: DeviceDescription
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def facts(self) -> DeviceFacts:
        d = self.description
        # Some CPU drivers crash the process on vectors of 16 lanes; 8 have proved safe everywhere.
        lanes = min(8, max(1, d.float_lanes))
        return DeviceFacts(
            d.type == "cpu", d.compute_units, d.max_work_group, d.local_memory, lanes
        )


def describe_devices() -> list[DeviceDescription]:
    """Every device of every platform; each compiler is tried on a trivial kernel."""
    return [_open(key).description for key in _keys()]


def open_device(selector: str | None = None) -> Device:
    """The chosen device, or the first usable one, GPUs before others.

    `selector` is "gpu", "cpu", "PLATFORM:DEVICE" by number, or part of a name.
    Raises: TargetError, listing the devices.
    """
    keys = _keys()
    if selector:
        keys = [key for key in keys if _matches(key, selector.lower())]
        if not keys:
            raise TargetError(f"no OpenCL device matches {selector!r}; {_listing()}")
    order = {"gpu": 0, "accelerator": 1, "cpu": 2}
    keys.sort(key=lambda key: order.get(_describe(key).type, 3))
    for key in keys:
        if not _open(key).description.usable:
            return _open(key)
    raise TargetError(f"no OpenCL device can be used: {_listing()}")


def _listing() -> str:
    lines = [
        f"{d.selector} {d.name} ({d.platform}, {d.type})" + (f": {d.usable}" if d.usable else "")
        for d in describe_devices()
    ]
    return "the devices are " + "; ".join(lines) if lines else "there is no OpenCL device"


def _keys() -> list[tuple[int, int]]:
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        raise TargetError(
            f"no OpenCL platform is installed ({error}): install a driver, or "
            f"pip install 'pyopencl[pocl]' for the CPU"
        ) from error
    return [(p, d) for p, platform in enumerate(platforms) for d in range(len(_devices(platform)))]


def _devices(platform: Any) -> list[Any]:
    try:
        return list(platform.get_devices())
    except cl.Error:
        # A platform without any device of its own is an error for the loader, not for us.
        return []


def _handle(key: tuple[int, int]) -> Any:
    return _devices(cl.get_platforms()[key[0]])[key[1]]


def _matches(key: tuple[int, int], selector: str) -> bool:
    d = _describe(key)
    return selector in (d.type, d.selector) or selector in f"{d.name} {d.platform}".lower()


@functools.cache
def _describe(key: tuple[int, int]) -> DeviceDescription:
    handle = _handle(key)
    kinds = {
        cl.device_type.CPU: "cpu",
        cl.device_type.GPU: "gpu",
        cl.device_type.ACCELERATOR: "accelerator",
    }
    kind = next((name for flag, name in kinds.items() if handle.type & flag), "custom")
    return DeviceDescription(
        selector=f"{key[0]}:{key[1]}",
        name=handle.name.strip(),
        platform=handle.platform.name.strip(),
        type=kind,
        version=handle.version.strip(),
        global_memory=int(handle.global_mem_size),
        local_memory=int(handle.local_mem_size),
        max_allocation=int(handle.max_mem_alloc_size),
        max_work_group=int(handle.max_work_group_size),
        max_work_items=tuple(int(n) for n in handle.max_work_item_sizes),
        compute_units=int(handle.max_compute_units),
        base_alignment=int(handle.mem_base_addr_align) // 8,
        has_float64="cl_khr_fp64" in handle.extensions or "cl_amd_fp64" in handle.extensions,
        has_fused_multiply_add=bool(handle.single_fp_config & cl.device_fp_config.FMA),
        float_lanes=int(handle.native_vector_width_float),
    )


@functools.cache
def _open(key: tuple[int, int]) -> Device:
    description = _describe(key)
    handle = _handle(key)
    context = cl.Context([handle])
    try:
        cl.Program(context, _TRIVIAL).build(cache_dir=False)  # type: ignore[arg-type]
    except cl.Error as error:
        description = replace(description, usable=build_log(error) or str(error))
    return Device(handle, context, description)


def build_log(error: Exception) -> str:
    """The compiler's own words in a build error: the lines that speak of errors, else all."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    body = [line for line in lines if "error" in line.lower() and "clBuildProgram" not in line]
    return "; ".join(body or lines[1:])


def build_options(device: Device, index_type: str) -> list[str]:
    """Options of the program build: no unsafe mathematics, whatever rounding the device offers."""
    options = [f"-DINDEX={index_type}"]
    if device.description.type != "cpu":
        options.append("-DINTERLEAVED")
    # On CPUs the builtin may be a call for each element, and cost more than it saves.
    if device.description.has_fused_multiply_add and device.description.type != "cpu":
        options.append("-DFUSED_MULTIPLY_ADD")
    config = cl.device_fp_config
    if device.handle.single_fp_config & config.CORRECTLY_ROUNDED_DIVIDE_SQRT:
        options.append("-cl-fp32-correctly-rounded-divide-sqrt")
    return options
