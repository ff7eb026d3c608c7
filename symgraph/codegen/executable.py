"""The callable that `compile` returns: checks every array before anything runs.

Bound inputs (parameters and state given at compile time) need not be passed; every other input is
passed by name or position.  Open extents are read off the arrays, and must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ..errors import InputError, TargetError
from ..ir.arguments import explained
from ..ir.memory_report import MemoryReport, memory_report
from ..ir.program import MemoryPlan, Port, Program
from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.dtypes import as_dtype
from .profile import StepTime, step_times
from .target import Runner

Array = np.ndarray[Any, np.dtype[Any]]


MOST_PREPARED = 64
"""Sizes for which the short way is remembered."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A call for arrays of certain types: `call` takes the arrays of all input and output ports and
    returns False, having done nothing, when they are of others.

    `plain` says that those are the arrays of the call: nothing is bound, nothing updated; `single`
    is then the result's shape and dtype where there is only one.
    """

    call: Callable[..., bool]
    names: tuple[str, ...]
    name_set: frozenset[str]
    ports: tuple[str, ...]
    results: list[tuple[tuple[int, ...], np.dtype[Any]]]
    plain: bool
    single: tuple[tuple[int, ...], np.dtype[Any]] | None


class Executable:
    """A compiled graph.

    Call it with the inputs as keywords or in order; it returns the output array, or a tuple of
    them for several outputs.  `out=` receives the results in place.
    """

    def __init__(
        self,
        program: Program,
        runner: Runner,
        text: str | Callable[[], str],
        bound: Mapping[str, Array] | None = None,
        target: str = "",
    ) -> None:
        self.program = program
        self.target = target
        self._text = text
        self._runner = runner
        self._bound = dict(bound or {})
        self._free = tuple(p for p in program.inputs if p.name not in self._bound)
        self._results = tuple(p for p in program.outputs if not p.updates)
        self._prepared: _Prepared | None = None
        self._known: dict[tuple[tuple[str, int], ...], _Prepared | None] = {}
        self._numpy = {p: as_dtype(p.type.dtype).numpy for p in (*program.inputs, *program.outputs)}

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def text(self) -> str:
        """The program in the target's language; made when first asked for where it was not needed
        to load the program."""
        if not isinstance(self._text, str):
            self._text = self._text()
        return self._text

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs that a call must give, in order."""
        return tuple(p.name for p in self._free)

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(p.name for p in self._results)

    @property
    def parameters(self) -> Mapping[str, Array]:
        """The arrays bound at compile time, by name; state is updated in place."""
        return self._bound

    @property
    def spills(self) -> Mapping[str, int]:
        """How often each kernel's phase has a vector register on the stack, those that do; nothing
        for targets that cannot tell."""
        found: Mapping[str, int] = getattr(self._runner, "spills", {})
        return found

    @property
    def memory(self) -> MemoryPlan | None:
        """The plan of the arena."""
        return self.program.plan

    @explained
    def memory_report(self, **extents: int) -> MemoryReport:
        """The plan at these extents: planned, lower bound, naive, what is alive at the peak and
        why.  Raises: InputError for an unknown extent."""
        plain = memory_report(self.program, extents)
        scratch = self._runner.scratch_nbytes(plain.extents)
        return replace(plain, scratch=scratch)

    def __call__(self, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        prepared = self._prepared
        if prepared is not None:
            if prepared.single is not None:
                # `call` itself looks at everything: how many arrays there are, and their types.
                result = np.empty(*prepared.single) if out is None else out
                if not kwargs:
                    if prepared.call(*args, result):
                        return result
                elif (
                    not args
                    and kwargs.keys() == prepared.name_set
                    and prepared.call(*[kwargs[name] for name in prepared.names], result)
                ):
                    return result
            else:
                done = self._repeat(prepared, args, out, kwargs)
                if done is not None:
                    return done[0] if len(done) == 1 else tuple(done)
        given = self._match(args, kwargs)
        arrays, env = self._check_inputs(given)
        results = self._allocate(env, out)
        self._run(arrays, results, env)
        self._prepared = self._prepare(arrays, self._written(arrays, results), env)
        return results[0] if len(results) == 1 else tuple(results)

    @explained
    def with_threads(self, threads: int) -> Executable:
        """The same program on another number of threads, 0 for one per processor.

        Code, constants, parameters and state are shared, so that this costs next to nothing and
        each call may choose; results are the same bits.

        Raises: InputError for a negative number, TargetError for targets without threads.
        """
        if threads < 0:
            raise InputError(f"{self.name}: with_threads needs a number >= 0, got {threads}")
        change = getattr(self._runner, "with_threads", None)
        if change is None:
            raise TargetError(
                f"{self.name}: target {self.target!r} does not choose threads for a call; "
                f"compile for llvm, or give threads= to symgraph.load"
            )
        return Executable(self.program, change(threads), self._text, self._bound, self.target)

    @explained
    def bind(self, inputs: Mapping[str, Any], out: Any) -> Callable[[], None]:
        """A call without arguments that reads these arrays and writes those, every time.

        The arrays are checked here; what is in them may change between calls.

        Raises: InputError as a call does, and for an input that is not a C-contiguous array.
        """
        given = self._match((), inputs)
        arrays, env = self._check_inputs(given)
        for port, array in zip(self.program.inputs, arrays, strict=True):
            if array is not given.get(port.name, array):
                raise InputError(
                    f"{self.name}: bind needs input {port.name!r} as a C-contiguous array of dtype "
                    f"{self._numpy[port]}: what it had to copy would not follow the original"
                )
        outputs = self._written(arrays, self._allocate(env, out))
        prepared = self._prepare(arrays, outputs, env)
        if prepared is None:
            return partial(_run_bound, self._runner, arrays, outputs, env)
        return partial(_call_bound, prepared.call, (*arrays, *outputs))

    @explained
    def profile(self, *args: Any, repeat: int = 10, **kwargs: Any) -> tuple[StepTime, ...]:
        """Every step's least time over `repeat` calls, in the order in which they run.

        Needs a program compiled with the option `profile=True`.  Raises: InputError, TargetError.
        """
        arrays, env = self._check_inputs(self._match(args, kwargs))
        results = self._allocate(env, None)
        rounds = [self._run(arrays, results, env) for _ in range(max(1, repeat))]
        if not rounds[0]:
            raise TargetError(
                f"{self.name}: target {self.target!r} did not time its steps: compile with "
                f"profile=True, for one of the targets llvm and interp"
            )
        least = [min(times) for times in zip(*(r or () for r in rounds), strict=True)]
        return step_times(self.program, least, env)

    def _run(
        self, arrays: Sequence[Array], results: Sequence[Array], env: dict[str, int]
    ) -> Sequence[int] | None:
        return self._runner.run(arrays, self._written(arrays, results), env)

    def _written(self, arrays: Sequence[Array], results: Sequence[Array]) -> list[Array]:
        """The array of each output port."""
        by_name = dict(zip((p.name for p in self.program.inputs), arrays, strict=True))
        remaining = iter(results)
        return [by_name[p.updates] if p.updates else next(remaining) for p in self.program.outputs]

    def _repeat(
        self, prepared: _Prepared, args: Sequence[Any], out: Any, kwargs: Mapping[str, Any]
    ) -> list[Array] | None:
        """The results, when the arrays are of the types of an earlier call; else None."""
        names = prepared.names
        if kwargs:
            if args or len(kwargs) != len(names):
                return None
            try:
                args = [kwargs[name] for name in names]
            except KeyError:
                return None
        elif len(args) != len(names):
            return None
        if out is None:
            results = [np.empty(shape, dtype) for shape, dtype in prepared.results]
        else:
            results = list(out) if isinstance(out, (tuple, list)) else [out]
            if len(results) != len(prepared.results):
                return None
        if prepared.plain:
            return results if prepared.call(*args, *results) else None
        given = dict(zip(names, args, strict=True))
        arrays = [given[n] if n in given else self._bound[n] for n in prepared.ports]
        return results if prepared.call(*arrays, *self._written(arrays, results)) else None

    def _prepare(
        self, arrays: Sequence[Array], outputs: Sequence[Array], env: Mapping[str, int]
    ) -> _Prepared | None:
        """The short way for arrays of these types, where the target has one."""
        key = tuple(sorted(env.items()))
        if key not in self._known:
            prepare = getattr(self._runner, "prepare", None)
            call = None if prepare is None else prepare(arrays, outputs, env)
            pairs = zip(outputs, self.program.outputs, strict=True)
            results = [(a.shape, a.dtype) for a, port in pairs if not port.updates]
            ports = tuple(p.name for p in self.program.inputs)
            plain = not self._bound and len(results) == len(outputs)
            single = results[0] if plain and len(results) == 1 else None
            made = None
            if call is not None:
                names = self.inputs
                made = _Prepared(call, names, frozenset(names), ports, results, plain, single)
            if len(self._known) >= MOST_PREPARED:
                self._known.clear()
            self._known[key] = made
        return self._known[key]

    def _match(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        names = self.inputs
        if len(args) > len(names):
            raise InputError(
                f"{self.name}: takes {len(names)} inputs ({', '.join(names)}), got "
                f"{len(args)} positional ones"
            )
        given = dict(zip(names, args, strict=False))
        for name, array in kwargs.items():
            if name in given:
                raise InputError(f"{self.name}: input {name!r} is given twice")
            if name not in names and name not in self._bound:
                raise InputError(
                    f"{self.name}: there is no input {name!r}; the inputs are "
                    f"{', '.join(names) or 'none'}"
                )
            given[name] = array
        missing = [n for n in names if n not in given]
        if missing:
            raise InputError(
                f"{self.name}: missing input {', '.join(missing)}: pass it, or give "
                f"it as params= when compiling"
            )
        return given

    def _check_inputs(self, given: Mapping[str, Any]) -> tuple[list[Array], dict[str, int]]:
        env: dict[str, int] = {}
        seen: dict[str, str] = {}
        arrays: list[Array] = []
        for port in self.program.inputs:
            array = given[port.name] if port.name in given else self._bound[port.name]
            arrays.append(self._check_array(port, array))
        for port, array in zip(self.program.inputs, arrays, strict=True):
            self._bind_dims(port, array, env, seen)
        self._solve_dims(arrays, env, seen)
        for port, array in zip(self.program.inputs, arrays, strict=True):
            self._check_shape(port, array, env, seen)
        for check in self.program.checks:
            left, right = _value(check.left, env), _value(check.right, env)
            holds = left == right if check.relation == "==" else left >= right
            if not holds:
                raise InputError(
                    f"{self.name}: {check.message}: {left} {check.relation} {right} "
                    f"does not hold for {_env_text(env)}"
                )
        return arrays, env

    def _check_array(self, port: Port, array: Any) -> Array:
        updated = any(p.updates == port.name for p in self.program.outputs)
        if not isinstance(array, np.ndarray):
            if updated:
                raise InputError(
                    f"{self.name}: input {port.name!r} is updated in place and must "
                    f"be a numpy array, got {type(array).__name__}"
                )
            try:
                array = _from_python(array, self._numpy[port])
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"{self.name}: input {port.name!r} must be an array of {self._numpy[port]} "
                    f"with {len(port.type.shape or ())} axes, got {type(array).__name__}: {error}"
                ) from error
        expected = self._numpy[port]
        if array.dtype != expected:
            raise InputError(
                f"{self.name}: input {port.name!r} must have dtype {expected}, got {array.dtype}; "
                f"convert it with .astype({expected.name!r})"
            )
        shape = port.type.shape
        assert shape is not None
        if array.ndim != len(shape):
            raise InputError(
                f"{self.name}: input {port.name!r} must have {len(shape)} axes "
                f"{dims.dim_text(shape)}, got {array.ndim} {array.shape}"
            )
        if updated and not (array.flags.c_contiguous and array.flags.writeable):
            raise InputError(
                f"{self.name}: input {port.name!r} is updated in place and must be "
                f"writeable and C-contiguous"
            )
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def _bind_dims(
        self, port: Port, array: Array, env: dict[str, int], seen: dict[str, str]
    ) -> None:
        assert port.type.shape is not None
        for axis, (extent, actual) in enumerate(zip(port.type.shape, array.shape, strict=True)):
            if isinstance(extent, DimVar) and extent.name not in env:
                env[extent.name] = actual
                seen[extent.name] = f"{port.name}.shape[{axis}]"

    def _solve_dims(
        self, arrays: Sequence[Array], env: dict[str, int], seen: dict[str, str]
    ) -> None:
        """Extents that occur in no shape alone: 4*L of 20 elements tells that L is 5."""
        missing = {v.name for v in self.program.dims} - set(env)
        while missing:
            before = set(missing)
            for port, array in zip(self.program.inputs, arrays, strict=True):
                for axis, extent in enumerate(port.type.shape or ()):
                    own = {v.name for v in dims.dim_vars(extent)} & missing
                    step = dims.coefficient(extent, DimVar(min(own))) if len(own) == 1 else None
                    if not isinstance(step, int) or step == 0:
                        continue
                    name = own.pop()
                    rest = array.shape[axis] - _value(extent, {**env, name: 0})
                    if rest % step or rest // step < 0:
                        raise InputError(
                            f"{self.name}: input {port.name!r} axis {axis} must be {extent} for "
                            f"some {name} >= 0, got {array.shape[axis]}"
                        )
                    env[name], seen[name] = rest // step, f"{port.name}.shape[{axis}] = {extent}"
                    missing.discard(name)
            if missing == before:
                raise InputError(
                    f"{self.name}: the extent {min(missing)} does not follow from the shapes of "
                    f"the inputs; name it alone in the shape of one of them"
                )

    def _check_shape(
        self, port: Port, array: Array, env: dict[str, int], seen: dict[str, str]
    ) -> None:
        assert port.type.shape is not None
        for axis, (extent, actual) in enumerate(zip(port.type.shape, array.shape, strict=True)):
            expected = _value(extent, env)
            if expected != actual:
                source = seen.get(str(extent))
                why = f" ({extent} = {expected} from {source})" if source else ""
                raise InputError(
                    f"{self.name}: input {port.name!r} axis {axis} must be {expected}{why}, got "
                    f"{actual}: need {dims.dim_text(port.type.shape)}, got {array.shape}"
                )

    def _allocate(self, env: Mapping[str, int], out: Any) -> list[Array]:
        shapes = [self._output_shape(p, env) for p in self._results]
        if out is None:
            return [np.empty(s, self._numpy[p]) for p, s in zip(self._results, shapes, strict=True)]
        given = list(out) if isinstance(out, (tuple, list)) else [out]
        if len(given) != len(self._results):
            raise InputError(
                f"{self.name}: out= needs {len(self._results)} arrays, got {len(given)}"
            )
        for port, shape, array in zip(self._results, shapes, given, strict=True):
            fits = isinstance(array, np.ndarray) and array.shape == shape
            if not fits or array.dtype != self._numpy[port]:
                got = getattr(array, "shape", type(array).__name__)
                raise InputError(
                    f"{self.name}: out= for {port.name!r} must be a "
                    f"{self._numpy[port]} array of shape {shape}, got {got}"
                )
            if not (array.flags.c_contiguous and array.flags.writeable):
                raise InputError(
                    f"{self.name}: out= for {port.name!r} must be writeable and C-contiguous"
                )
        return given

    def _output_shape(self, port: Port, env: Mapping[str, int]) -> tuple[int, ...]:
        assert port.type.shape is not None
        shape = tuple(_value(d, env) for d in port.type.shape)
        if any(n < 0 for n in shape):
            raise InputError(
                f"{self.name}: output {port.name!r} would have shape {shape} for "
                f"{_env_text(env)}: the inputs are too small"
            )
        return shape

    def __repr__(self) -> str:
        ins = ", ".join(f"{p.name}: {p.type}" for p in self._free)
        outs = ", ".join(f"{p.name}: {p.type}" for p in self._results)
        return f"<Executable {self.name}({ins}) -> {outs} on {self.target}>"


def _call_bound(call: Callable[..., bool], arrays: Sequence[Array]) -> None:
    if not call(*arrays):
        raise InputError("bind: an array was reshaped or made read-only after it had been bound")


def _run_bound(
    runner: Runner, arrays: Sequence[Array], outputs: Sequence[Array], env: Mapping[str, int]
) -> None:
    runner.run(arrays, outputs, env)


def _value(dim: Dim, env: Mapping[str, int]) -> int:
    return int(dims.evaluate(dim, {DimVar(k): v for k, v in env.items()}))


def _from_python(value: Any, dtype: np.dtype[Any]) -> Array:
    """Numbers and nested lists, in the expected dtype where that loses nothing in kind."""
    array = np.asarray(value)
    if array.dtype.kind in "iufb" and np.can_cast(array.dtype, dtype, casting="same_kind"):
        return array.astype(dtype)
    return array


def _env_text(env: Mapping[str, int]) -> str:
    return ", ".join(f"{k}={v}" for k, v in sorted(env.items())) or "these inputs"
