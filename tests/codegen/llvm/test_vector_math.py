"""The vector math against numpy in extended precision, on every kind of x86, and as objects."""

from __future__ import annotations

from functools import lru_cache

import llvmlite.binding as llvm
import numpy as np
import pytest

from symgraph.codegen.llvm.vector_math import (
    FUNCTIONS,
    MathFeatures,
    features_of,
    function_name,
    function_text,
)

from .math_harness import AVX2, BASELINE, Machine, Runner, host, loop_text, parse
from .math_reference import HAS_EXTENDED, REFERENCES, pairs, samples, ulp_errors

DTYPES = ("float32", "float64")
IS_X86 = llvm.get_process_triple().startswith("x86_64")
HOSTS = {"host": host, "baseline": lambda: BASELINE, "avx2": lambda: AVX2}
needs_extended = pytest.mark.skipif(not HAS_EXTENDED, reason="needs an 80-bit long double")


def machine_of(name: str) -> Machine:
    if name == "host":
        return host()
    if not IS_X86 or (name == "avx2" and not llvm.get_host_cpu_features().get("avx2")):
        pytest.skip("needs this kind of x86 to run on")
    return HOSTS[name]()


def inputs(name: str, dtype: str) -> tuple[np.ndarray, ...]:
    return (samples(dtype),) if len(FUNCTIONS[name].arguments) == 1 else pairs(dtype)


def assert_within(
    name: str, dtype: str, got: np.ndarray, arguments: tuple[np.ndarray, ...]
) -> None:
    with np.errstate(all="ignore"):
        want = REFERENCES[name](*(part.astype(np.longdouble) for part in arguments))
    assert_errors(name, dtype, got, want, arguments)


@lru_cache(1)
def expected(name: str, dtype: str) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """The usual arguments and what the function is there: one after the other on every machine."""
    arguments = inputs(name, dtype)
    with np.errstate(all="ignore"):
        return arguments, REFERENCES[name](*(part.astype(np.longdouble) for part in arguments))


def assert_errors(
    name: str, dtype: str, got: np.ndarray, want: np.ndarray, arguments: tuple[np.ndarray, ...]
) -> None:
    errors = ulp_errors(got, want)
    bound = FUNCTIONS[name].ulp32 if dtype == "float32" else FUNCTIONS[name].ulp64
    worst = int(np.argmax(errors))
    place = [repr(part[worst]) for part in arguments]
    assert errors[worst] <= bound, f"{name}({place}) = {got[worst]!r}, not {want[worst]!r}"


@needs_extended
@pytest.mark.parametrize("machine", sorted(HOSTS))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_error_bound(machine: str, name: str, dtype: str) -> None:
    arguments, want = expected(name, dtype)
    lanes = 16 if dtype == "float32" else 8
    got = Runner(name, dtype, lanes, machine_of(machine), None)(*arguments)
    assert_errors(name, dtype, got, want, arguments)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
@pytest.mark.parametrize("machine", ["host", "baseline"])
def test_lanes_give_equal_bits(machine: str, name: str, dtype: str) -> None:
    chosen = machine_of(machine)
    arguments = [part[::7] for part in inputs_with_integers(name, dtype)]
    results = [Runner(name, dtype, lanes, chosen, None)(*arguments) for lanes in (1, 4, 8, 16)]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
        numbers = ~np.isnan(other)
        np.testing.assert_array_equal(np.signbit(results[0])[numbers], np.signbit(other)[numbers])


def inputs_with_integers(name: str, dtype: str) -> list[np.ndarray]:
    kinds = FUNCTIONS[name].arguments
    if kinds == ("float", "int"):
        x = samples(dtype)
        return [x, np.random.default_rng(3).integers(-3000, 3000, x.size).astype(int_of(dtype))]
    if len(kinds) == 3:
        first, second = pairs(dtype)
        return [first, second, first[::-1].copy()]
    return list(inputs(name, dtype))


def int_of(dtype: str) -> str:
    return "int32" if dtype == "float32" else "int64"


@needs_extended
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_short_reduction_holds_below_2_25(name: str, dtype: str) -> None:
    x = samples(dtype)
    x = x[~(np.abs(x) > 2.0**25)]
    features = MathFeatures(full_range_trigonometry=False)
    assert_within(name, dtype, Runner(name, dtype, 4, host(), features)(x), (x,))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("machine", sorted(HOSTS))
def test_large_neighbours_change_no_bit(machine: str, name: str, dtype: str) -> None:
    """Lanes of large arguments, infinities and NaN take another way, their neighbours do not."""
    x = np.linspace(-3000, 3000, 1600).astype(dtype)
    mixed = x.copy()
    mixed[::5] = np.resize([1e5, -1e30, 2.0**26, np.inf, np.nan, -(2.0**13), 8192.5], 320)
    run = Runner(name, dtype, 8, machine_of(machine), None)
    plain, beside = run(x), run(mixed)
    kept = np.arange(x.size) % 5 != 0
    np.testing.assert_array_equal(plain[kept], beside[kept])
    with np.errstate(invalid="ignore"):
        want = getattr(np, name)(mixed.astype("float64"))
    np.testing.assert_allclose(beside, want, rtol=3e-6 if dtype == "float32" else 1e-14)
    assert not np.signbit(beside[np.isnan(beside)]).any()


@needs_extended
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("machine", sorted(HOSTS))
def test_float32_beside_multiples_of_pi_halves_within_the_short_reduction(
    machine: str, name: str
) -> None:
    multiples = np.arange(-5300, 5301) * (np.pi / 2)
    x = np.concatenate([multiples, np.nextafter(multiples.astype("float32"), 1e9)])
    x = np.concatenate([x, np.arange(-5300, 5300) * (np.pi / 2) + np.pi / 4]).astype("float32")
    assert_within(name, "float32", Runner(name, "float32", 16, machine_of(machine), None)(x), (x,))


@needs_extended
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_float32_beside_every_multiple_of_pi_halves(name: str) -> None:
    rng = np.random.default_rng(4)
    multiples = np.rint(np.exp2(rng.uniform(0, 45, 60000))) * (np.pi / 2)
    x = np.concatenate([multiples, np.exp2(rng.uniform(0, 128, 60000))]).astype("float32")
    assert_within(name, "float32", Runner(name, "float32", 16, host(), None)(x), (x,))


@needs_extended
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_float64_where_reduction_is_hardest(name: str) -> None:
    # The float64 that comes closest to a multiple of pi/2, and numbers of every size.
    rng = np.random.default_rng(5)
    hardest = 6381956970095103 * 2.0**797
    multiples = np.rint(np.exp2(rng.uniform(0, 62, 30000))) * (np.pi / 2)
    x = np.concatenate([[hardest, 1e22, 1.7e308], multiples, np.exp2(rng.uniform(0, 1024, 30000))])
    assert_within(name, "float64", Runner(name, "float64", 8, host(), None)(x), (x,))


@pytest.mark.parametrize("dtype", DTYPES)
def test_ldexp_rounds_once(dtype: str) -> None:
    x, n = inputs_with_integers("ldexp", dtype)
    with np.errstate(all="ignore"):
        want = np.ldexp(x, n)
    np.testing.assert_array_equal(Runner("ldexp", dtype, 4, host(), None)(x, n), want)


@pytest.mark.parametrize("dtype", DTYPES)
def test_fma_rounds_once_where_the_target_can(dtype: str) -> None:
    epsilon = np.finfo(dtype).eps
    one = np.array([1 + epsilon], dtype)
    fused, separate = (
        Runner("fma", dtype, 1, host(), MathFeatures(fma=has_fma))(one, one, -(one * one))
        for has_fma in (host().features.fma, False)
    )
    assert separate[0] == 0
    assert fused[0] == (epsilon * epsilon if host().features.fma else 0)


OBJECT_MACHINES = (
    BASELINE,
    AVX2,
    Machine("avx512", BASELINE.triple, "x86-64-v4", "+avx512f,+avx512dq,+avx512vl,+fma,+avx"),
    Machine("aarch64", "aarch64-unknown-linux-gnu", "", "+neon"),
    Machine("riscv64", "riscv64-unknown-linux-gnu", "", "+m,+f,+d"),
    Machine("armv7", "armv7-unknown-linux-gnueabihf", "", "+neon,+vfp3"),
    Machine("wasm32", "wasm32-unknown-unknown", "", ""),
    Machine("wasm32-simd", "wasm32-unknown-unknown", "", "+simd128"),
)


@pytest.mark.parametrize("machine", OBJECT_MACHINES, ids=lambda machine: machine.name)
def test_objects_call_nothing(machine: Machine) -> None:
    """Scalars, and vectors of which the widest are longer than the machine's registers."""
    for lanes in (1, 4, 16) if "avx" in machine.name else (1, 4):
        texts = []
        for name in FUNCTIONS:
            for dtype in DTYPES:
                text = loop_text(name, dtype, lanes, machine.features)
                text = text.replace("@sg_reduce_far", f"@{name}_reduce_far")
                texts.append(text.replace("@run(", f"@run_{name}_{dtype}("))
        assert undefined_symbols(join(texts), machine) == set()


def join(texts: list[str]) -> str:
    """One module of several, with every `declare` line once."""
    lines = [line for text in texts for line in text.splitlines()]
    declarations = dict.fromkeys(line for line in lines if line.startswith("declare"))
    rest = [line for line in lines if not line.startswith("declare")]
    return "\n".join([*declarations, *rest]) + "\n"


def undefined_symbols(text: str, machine: Machine) -> set[str]:
    """Symbols that the object of this module needs from elsewhere."""
    data = machine.target_machine().emit_object(parse(text, machine))
    return elf_undefined(data) if data[:4] == b"\x7fELF" else wasm_imports(data)


def elf_undefined(data: bytes) -> set[str]:
    """The undefined symbols of an ELF object, little endian, 32 or 64 bits."""
    is_wide = data[4] == 2
    word = 8 if is_wide else 4

    def number(offset: int, size: int) -> int:
        return int.from_bytes(data[offset : offset + size], "little")

    table = number(0x28 if is_wide else 0x20, word)
    entry, count = (number(offset, 2) for offset in ((0x3A, 0x3C) if is_wide else (0x2E, 0x30)))
    names: set[str] = set()
    for header in range(table, table + count * entry, entry):
        if number(header + 4, 4) != 2:  # the symbol table
            continue
        offset, size = (number(header + 8 + k * word, word) for k in (2, 3))
        link = number(header + 8 + 4 * word, 4)
        strings = number(table + link * entry + 8 + 2 * word, word)
        step, section = (24, 6) if is_wide else (16, 14)
        for symbol in range(offset + step, offset + size, step):
            if number(symbol + section, 2) == 0:
                start = strings + number(symbol, 4)
                names.add(data[start : data.index(b"\0", start)].decode())
    return names


def wasm_imports(data: bytes) -> set[str]:
    """The names of imported functions of a WebAssembly object: library calls are imports."""
    position, names = 8, set()
    while position < len(data):
        kind, position = data[position], position + 1
        size, position = leb128(data, position)
        if kind == 2:
            names |= wasm_import_names(data, position)
        position += size
    return names


def wasm_import_names(data: bytes, position: int) -> set[str]:
    count, position = leb128(data, position)
    names = set()
    for _ in range(count):
        length, position = leb128(data, position)
        position += length
        length, position = leb128(data, position)
        name, position = data[position : position + length].decode(), position + length
        kind, position = data[position], position + 1
        if kind == 0:
            names.add(name)
            _, position = leb128(data, position)
        elif kind == 2:  # a memory: flags and its least size
            position += 1
            _, position = leb128(data, position)
        elif kind == 3:  # a global: its type and whether it can change
            position += 2
        elif kind == 1:  # a table: element type, flags, its least size
            position += 2
            _, position = leb128(data, position)
    return names


def leb128(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def test_undefined_symbols_are_found() -> None:
    text = "declare float @expf(float)\ndefine float @f(float %x) {\n"
    text += "  %y = call float @expf(float %x)\n  ret float %y\n}\n"
    for machine in OBJECT_MACHINES:
        assert "expf" in undefined_symbols(text, machine), machine.name


def test_text_is_the_same_every_time() -> None:
    for name in FUNCTIONS:
        texts = {function_text(name, "float32", 8, MathFeatures()) for _ in range(2)}
        assert len(texts) == 1


def test_constants_without_splat_give_the_same_bits() -> None:
    x = samples("float32")[::11]
    plain = Runner("exp", "float32", 8, host(), MathFeatures(splat_constants=False))
    splat = Runner("exp", "float32", 8, host(), MathFeatures())
    np.testing.assert_array_equal(plain(x), splat(x))
    assert "splat" not in function_text("exp", "float32", 8, MathFeatures(splat_constants=False))


def test_function_text_defines_function_name() -> None:
    text = function_text("tanh", "float64", 4, MathFeatures())
    assert f"define internal <4 x double> @{function_name('tanh', 'float64', 4)}" in text


def test_features_of_targets() -> None:
    assert features_of("x86_64", ["+sse2"]) == MathFeatures()
    assert features_of("x86_64", ["+avx2", "+fma", "+avx"]).fma
    assert not features_of("x86_64", ["+avx2", "-fma"]).fma
    assert features_of("riscv64", ["+f", "+d"]).fma
    assert features_of("aarch64", []).native_round
    assert features_of("wasm32", []) == MathFeatures()
