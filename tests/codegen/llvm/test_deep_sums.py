"""Deep sums in parts: where, and the same results."""

from __future__ import annotations

import numpy as np
import pytest

import symgraph as sg
from symgraph.codegen.llvm import deep_sums
from symgraph.codegen.llvm.contraction import recognise
from symgraph.codegen.llvm.deep_sums import sums_in_parts
from symgraph.codegen.llvm.machine import machine, strict_machine
from symgraph.codegen.llvm.schedule import schedule_kernel
from symgraph.kernel.dims import Dim, DimVar
from symgraph.kernel.ir import Alloc, Kernel
from symgraph.kernel.printer import kernel_text
from symgraph.kernel.rewrite import statements
from symgraph.kernel.transform.collapse import flatten_axes
from symgraph.kernel.verify import verify_kernel
from tests.kernel.transform.kernels import product

from .test_schedule import agree

N = DimVar("N")
WIDE = machine("x86-64-v4")


def parts_of(kernel: Kernel) -> tuple[Dim, ...] | None:
    """The shape of the partial results."""
    flat = flatten_axes(kernel)
    found = recognise(flat.body)
    assert found is not None
    cut = sums_in_parts(flat, found)
    if cut is None:
        return None
    verify_kernel(cut, 2)
    assert isinstance(cut.body, Alloc)
    return cut.body.buffer.shape


@pytest.mark.parametrize(
    ("sizes", "count"),
    [((256, 8192, 192), 8), ((64, 4096, 33), 4), ((40, 5000, 50), 5), ((96, 4800, 64), 5)],
)
def test_deep_sums_are_cut(sizes: tuple[int, int, int], count: int) -> None:
    assert parts_of(product(*sizes)) == (count, sizes[0], sizes[2])


@pytest.mark.parametrize(
    "sizes",
    [
        (256, 4095, 256),  # short enough
        (256, 4099, 256),  # a prime
        (1024, 8192, 2048),  # too much memory
        (16, 8192, 256),  # the right side is used 16 times only
        (256, 8192, 1),
        (N, 8192, 256),
        (256, N, 256),
    ],
)
def test_others_stay_whole(sizes: tuple[int, int, int]) -> None:
    assert parts_of(product(*sizes)) is None


def test_ordered_sums_stay_whole() -> None:
    kernel = product(64, 8192, 64)
    cut = kernel_text(schedule_kernel(kernel, WIDE, 2))
    whole = kernel_text(schedule_kernel(kernel, strict_machine(WIDE), 2))
    assert "alloc parts" in cut and "alloc parts" not in whole


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of 32 count as deep."""
    monkeypatch.setattr(deep_sums, "LEAST_SUM", 32)
    monkeypatch.setattr(deep_sums, "PART", 16)
    monkeypatch.setattr(deep_sums, "LEAST_USES", 2)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("cpu", [None, "x86-64-v3", "x86-64"])
@pytest.mark.parametrize("form", ["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("sizes", [(33, 66, 37), (17, 128, 96), (2, 45, 3)])
def test_results_agree(form: str, sizes: tuple[int, int, int], cpu: str | None) -> None:
    assert parts_of(product(*sizes, form)) is not None
    agree(product(*sizes, form), 2, cpu)


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("dtype", ["float64", "float16", "int32"])
def test_results_agree_in_other_dtypes(dtype: str) -> None:
    agree(product(35, 48, 67, "nn", dtype), 2, None)


@pytest.mark.usefixtures("shallow")
def test_what_follows_is_done_once_and_for_any_number_of_threads() -> None:
    x, w, b = sg.var("x", (3, 21, 64)), sg.var("w", (64, 40)), sg.var("b", (40,))
    net = sg.relu(sg.matmul(x, w) + b)
    rng = np.random.default_rng(1)
    shapes = {"x": (3, 21, 64), "w": (64, 40), "b": (40,)}
    given = {n: rng.normal(size=shape).astype(np.float32) for n, shape in shapes.items()}
    compiled = [sg.compile(net, threads=n, cache=None, verify=2) for n in (1, 2)]
    for f in compiled:
        bodies = [s for k in f.program.kernels for s in statements(k.body)]
        assert any(isinstance(s, Alloc) and s.buffer.name == "parts" for s in bodies)
    one, two = (f(**given) for f in compiled)
    np.testing.assert_array_equal(one, two)
    expected = np.maximum(given["x"] @ given["w"] + given["b"], 0)
    np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-4)
