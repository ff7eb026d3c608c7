"""The cache of whole programs: a hit is the same program, a miss is any difference that matters."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import files as files_module
from symgraph.codegen import program_store
from symgraph.codegen.content import array_digest, damage_sum
from symgraph.compiler import Build
from symgraph.errors import InputError
from symgraph.files import shrink_folder
from symgraph.ir.apply import apply
from symgraph.ir.op import Op
from symgraph.kernel.compute import compute
from symgraph.options import Options

Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(autouse=True)
def keep_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_store, "KEEP_FROM_SECONDS", 0.0)


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(cache=str(tmp_path / "cache"))


class Stages:
    """Counts the programs that were made, not read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        original = Build.program

        def counted(build: Build, target: Any) -> Any:
            self.count += 1
            return original(build, target)

        monkeypatch.setattr(Build, "program", counted)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stages]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield Stages(monkeypatch)


def network(units: int = 7, slope: float = 0.1) -> sg.Symbol:
    x = sg.var("x", ("N", 3, 11, 9))
    h = sg.leaky_relu(sg.conv2d(x, 5, kernel_size=3, name="conv"), slope)
    return sg.linear(sg.flatten(h), units, name="head")


def bound(symbol: sg.Symbol, seed: int = 1) -> dict[str, Array]:
    return dict(sg.init(symbol, seed=seed))


def image(count: int = 2) -> Array:
    return np.random.default_rng(5).standard_normal((count, 3, 11, 9)).astype(np.float32)


def files(options: Options) -> list[Path]:
    assert options.cache is not None
    return sorted(Path(options.cache).rglob("*.program"))


def test_the_second_time_nothing_is_made_and_everything_is_the_same(
    options: Options, made: Stages
) -> None:
    params = bound(network())
    first = sg.compile(network(), params=params, options=options)
    second = sg.compile(network(), params=params, options=options)
    assert made.count == 1
    assert len(files(options)) == 1
    np.testing.assert_array_equal(first(image()), second(image()))
    np.testing.assert_array_equal(first(image(0)), second(image(0)))
    assert str(second.program) == str(first.program)
    assert second.text == first.text
    assert second.memory_report(N=3) == first.memory_report(N=3)
    assert second.inputs == first.inputs
    np.testing.assert_array_equal(second.with_threads(1)(image()), first(image()))


def test_constants_are_mapped_not_copied(options: Options, made: Stages) -> None:
    params = bound(network())
    for _ in range(2):
        found = sg.compile(network(), params=params, options=options)
    arrays = [c.array for c in found.program.constants]
    assert arrays
    assert not any(a.flags.writeable or a.flags.owndata for a in arrays)
    first = arrays[0].__array_interface__["data"][0]
    assert found._runner._constants.address == first  # type: ignore[attr-defined]


def _changes() -> dict[str, dict[str, Any]]:
    other = bound(network())
    other["head_bias"] = other["head_bias"].copy()
    other["head_bias"][3] = np.nextafter(np.float32(0), np.float32(1))
    fewer = bound(network())
    del fewer["head_bias"]
    wide = {k: v.astype(np.float64) for k, v in bound(network()).items()}
    return {
        "one bit of a parameter": {"params": other},
        "a parameter less": {"params": fewer},
        "dtypes": {"params": wide, "dtypes": {"x": "float64"}},
        "attribute": {"symbol": network(slope=0.2)},
        "name": {"name": "other"},
        "level": {"level": 1},
        "cpu": {"cpu": "x86-64"},
        "profile": {"profile": True},
        "extent": {"shapes": {"x": (2, 3, 11, 9)}},
        "training": {"training": True},
        "algorithms": {"algorithms": "direct"},
    }


@pytest.mark.parametrize("change", _changes(), ids=str)
def test_every_difference_that_matters_is_another_program(
    options: Options, made: Stages, change: str
) -> None:
    given: dict[str, Any] = {"params": bound(network()), "options": options}
    sg.compile(network(), **given)
    changed = {**given, **_changes()[change]}
    sg.compile(changed.pop("symbol", network()), **changed)
    assert made.count == 2
    assert len(files(options)) == 2


@pytest.mark.parametrize("change", [{"threads": 1}, {"cache_bytes": 1 << 30}], ids=str)
def test_what_does_not_matter_is_the_same_program(
    options: Options, made: Stages, change: dict[str, Any]
) -> None:
    params = bound(network())
    sg.compile(network(), params=params, options=options)
    again = sg.compile(network(), params=params, options=options, **change)
    assert made.count == 1
    assert again(image()).shape == (2, 7)


def declared_at(line: int) -> sg.Symbol:
    """A network that somebody declares from that line of net.py on, of height 3 or more."""
    source = "\n" * (line - 1) + (
        "x = sg.var('x', ('N', 3, 'H', 9))\n"
        "y = sg.exp(x, name='first')\n"
        "z = sg.conv2d(y, 4, kernel_size=3, name='second')\n"
    )
    scope: dict[str, Any] = {"sg": sg}
    exec(compile(source, "/somewhere/net.py", "exec"), scope)
    found: sg.Symbol = scope["z"]
    return found


def test_lines_are_those_of_the_graph_at_hand(options: Options, made: Stages) -> None:
    params = bound(declared_at(4))
    first = sg.compile(declared_at(4), params=params, options=options)
    second = sg.compile(declared_at(30), params=params, options=options)
    assert made.count == 1
    small = np.zeros((1, 3, 2, 9), np.float32)
    for found, line in ((first, 6), (second, 32)):
        assert {s.origin for s in found.program.timeline} == {f"net.py:{line - n}" for n in (0, 1)}
        with pytest.raises(InputError, match=rf"declared at net.py:{line}\b"):
            found(small)


@pytest.mark.parametrize("place", ["start", "head", "code", "data"])
@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_a_damaged_file_is_made_again(
    options: Options, monkeypatch: pytest.MonkeyPatch, place: str, damage: str
) -> None:
    made, params = Stages(monkeypatch), bound(network())
    expected = sg.compile(network(), params=params, options=options)(image())
    (path,) = files(options)
    whole = path.read_bytes()
    code = whole.index(b"\x7fELF")
    at = {"start": 0, "head": 200, "code": code + 99, "data": len(whole) - 5000}[place]
    broken = bytearray(whole)
    broken[at] ^= 4
    path.write_bytes(bytes(broken) if damage == "flip" else whole[:at])
    with pytest.warns(RuntimeWarning, match="damaged program.*made again"):
        found = sg.compile(network(), params=params, options=options)
    assert made.count == 2
    np.testing.assert_array_equal(found(image()), expected)
    assert path.read_bytes() == whole
    sg.compile(network(), params=params, options=options)
    assert made.count == 2


@dataclass(frozen=True)
class Doubled(Op):
    """Somebody else's operator."""

    name = "doubled_elsewhere"

    def infer_shape(self, u: Any, x: Any) -> Any:
        return (x,)

    def forward(self, x: Any) -> Any:
        return compute(x.shape, lambda *i: x[i] + x[i])


def test_operators_of_others_are_not_kept(options: Options, made: Stages) -> None:
    x = sg.var("x", (3, 5))
    for _ in range(2):
        symbol = apply(Doubled(), x)
        found = sg.compile(symbol, options=options)
        np.testing.assert_array_equal(found(np.ones((3, 5), np.float32)), np.full((3, 5), 2.0))
    assert made.count == 2
    assert not files(options)


def test_quick_programs_and_those_being_looked_at_are_not_kept(
    options: Options, made: Stages, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for change in ({"dump": str(tmp_path / "dump")}, {"verify": 3}, {"cache": None}):
        sg.compile(network(), params=bound(network()), options=options, **change)
    monkeypatch.setattr(program_store, "KEEP_FROM_SECONDS", 1e9)
    sg.compile(network(), params=bound(network()), options=options)
    assert not files(options)


def test_state_and_updates_are_the_callers_own(options: Options, made: Stages) -> None:
    x, total = sg.var("x", (3, 4)), sg.var("total", (3, 4))
    for _ in range(2):
        run = sg.compile(
            sg.sum(x),
            updates={"total": total + x},
            params={"total": np.zeros((3, 4), np.float32)},
            training=True,
            options=options,
        )
        run(np.ones((3, 4), np.float32))
        run(np.ones((3, 4), np.float32))
        np.testing.assert_array_equal(run.parameters["total"], np.full((3, 4), 2.0))
    assert made.count == 1


def test_profiled_programs_and_other_types(options: Options, made: Stages) -> None:
    scalar = sg.sum(sg.var("v", (), "int64") * 3)
    for _ in range(2):
        run = sg.compile(scalar, options=options, profile=True)
        assert run(np.array(14, np.int64)) == 42
        assert all(step.nodes for step in run.profile(np.array(14, np.int64)))
    assert made.count == 1


def test_files_longest_unused_go_first(options: Options, made: Stages) -> None:
    symbols = [network(units) for units in (2, 3, 4)]
    for symbol in symbols[:2]:
        sg.compile(symbol, params=bound(symbol), options=options)
    old = files(options)
    for n, path in enumerate(old):
        os.utime(path, (n, n))
    # The oldest is used: the other one must go.
    used = [s for s in symbols[:2] if _uses(s, options, old[0])]
    assert len(used) == 1
    size = sum(p.stat().st_size for p in Path(str(options.cache)).rglob("*") if p.is_file())
    small = options.with_(cache_bytes=size)
    sg.compile(symbols[2], params=bound(symbols[2]), options=small)
    assert old[0].exists()
    assert not old[1].exists()
    nothing = options.with_(cache_bytes=100)
    sg.compile(network(9), params=bound(network(9)), options=nothing)
    assert len(files(options)) <= 2


def _uses(symbol: sg.Symbol, options: Options, path: Path) -> bool:
    before = path.stat().st_mtime
    os_times = {p: p.stat().st_mtime for p in files(options)}
    sg.compile(symbol, params=bound(symbol), options=options)
    if path.stat().st_mtime != before:
        return True
    for other, stamp in os_times.items():
        os.utime(other, (stamp, stamp))
    return False


def test_an_empty_file_is_made_again(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Stages(monkeypatch)
    sg.compile(network(), params=bound(network()), options=options)
    files(options)[0].write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="damaged program"):
        sg.compile(network(), params=bound(network()), options=options)
    assert made.count == 2


ANOTHER_PROCESS = """
import warnings
warnings.simplefilter("error")
from tests.codegen import test_program_store as here
here.program_store.KEEP_FROM_SECONDS = 0.0
here.Build.program = lambda *_: exit("made again")
run = here.sg.compile(here.network(), params=here.bound(here.network()), cache=CACHE)
print(run(here.image()).tobytes().hex())
"""


def test_another_process_finds_the_program(options: Options, made: Stages) -> None:
    """Names are hashed with another seed there."""
    run = sg.compile(network(), params=bound(network()), options=options)
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS.replace("CACHE", repr(options.cache))],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": "."},
    )  # fmt: skip
    assert done.stdout.strip() == run(image()).tobytes().hex(), done.stderr


AT_ONCE = """
import sys, warnings
warnings.simplefilter("error")
from tests.codegen import test_program_store as here
here.program_store.KEEP_FROM_SECONDS = 0.0
net, params = here.network(), here.bound(here.network())
print("ready", flush=True)
sys.stdin.readline()
run = here.sg.compile(net, params=params, cache=CACHE)
print(run(here.image()).tobytes().hex())
"""


def started(code: str, options: Options) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code.replace("CACHE", repr(options.cache))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip


def test_processes_that_make_one_program_at_once(options: Options) -> None:
    """Each of them is right without a warning, and one whole file is left."""
    processes = [started(AT_ONCE, options) for _ in range(2)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [process.communicate() for process in processes]
    expected = sg.compile(network(), params=bound(network()), cache=None)(image())
    assert [out.strip() for out, _ in found] == [expected.tobytes().hex()] * 2, found
    assert options.cache is not None
    left = [p.suffix for p in Path(options.cache).rglob("*") if p.is_file()]
    assert sorted(left) == [".o", ".program"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = sg.compile(network(), params=bound(network()), options=options)
    np.testing.assert_array_equal(run(image()), expected)


NO_ROOM = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
"""


@pytest.mark.parametrize("room", [0, 700, 9000])
def test_a_disk_that_is_full_keeps_nothing_half_written(options: Options, room: int) -> None:
    process = started(NO_ROOM.replace("ROOM", str(room)) + AT_ONCE, options)
    out, error = process.communicate("go\n")
    expected = sg.compile(network(), params=bound(network()), cache=None)(image())
    assert out.split() == ["ready", expected.tobytes().hex()], error
    assert options.cache is not None
    left = [p.name for p in Path(options.cache).rglob("*") if p.is_file()]
    assert all(name.endswith(".o") for name in left) and len(left) <= (room == 9000), left


def test_files_that_go_meanwhile_do_not_matter(
    options: Options, made: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process empties the folder between the listing and the look at each file."""
    listed = files_module.files_below

    def gone(folder: Any) -> list[Path]:
        return [*listed(folder), Path(folder) / "gone.program"]

    monkeypatch.setattr(files_module, "files_below", gone)
    run = sg.compile(network(), params=bound(network()), options=options)
    assert shrink_folder(Path(str(options.cache)), 0) == 0
    assert run(image()).shape == (2, 7)


def test_a_program_for_another_processor_is_another_one(options: Options, made: Stages) -> None:
    own = sg.compile(network(), params=bound(network()), options=options)(image())
    for _ in range(2):
        plain = sg.compile(network(), params=bound(network()), options=options, cpu="x86-64")
        np.testing.assert_allclose(plain(image()), own, rtol=1e-4, atol=1e-5)
    assert (made.count, len(files(options))) == (2, 2)


def test_a_folder_that_cannot_be_written_to_keeps_nothing(tmp_path: Path, made: Stages) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    found = sg.compile(network(), params=bound(network()), cache=str(blocked))
    assert found(image()).shape == (2, 7)


@pytest.mark.parametrize("size", [0, 1, 7, 8, 65536, 65543, (4 << 20) + 3, 9 << 20])
def test_digests_see_every_byte(size: int) -> None:
    array = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
    before = array_digest([array]), damage_sum(array)
    assert (array_digest([array.copy()]), damage_sum(array.copy())) == before
    for at in {0, size // 2, size - 1} if size else ():
        array[at] ^= 1
        assert array_digest([array]) != before[0]
        assert damage_sum(array) != before[1]
        array[at] ^= 1


def test_digests_tell_types_shapes_and_order_apart() -> None:
    a, b = np.arange(6, dtype=np.float32), np.arange(6, dtype=np.float32) + 1
    found = [
        array_digest(arrays)
        for arrays in ([a], [a.reshape(2, 3)], [a.view(np.int32)], [a, b], [b, a], [a.T, a], [])
    ]
    assert len(set(found)) == len(found)
    assert array_digest([a.reshape(2, 3).T]) != array_digest([a.reshape(3, 2)])
