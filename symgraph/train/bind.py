"""`bind`: outputs and gradients by hand, with gradients written to or added to kept arrays.

    bound = sg.bind(loss, params, grad_req={"fc1_weight": "add", "fc2_bias": "null"})
    value = bound.forward(x=images, y=labels)
    bound.backward()
    bound.grads["fc1_weight"]

"write", "add" and "null" are handled here, once: the compiled program updates the gradients'
arrays in place, by the same means by which a training step updates parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..autodiff import gradients
from ..codegen.executable import Executable
from ..compiler import compile
from ..errors import GradientError, InputError
from ..ir.symbol import Expression, Group, Symbol, var
from ..ir.tensor_type import TensorType
from .feed import Converter
from .names import pin_names

Array = np.ndarray[Any, np.dtype[Any]]
REQUESTS = ("write", "add", "null")


class Bound:
    """Symbols bound to arrays: `forward` computes outputs, `backward` gradients.

    `params` are the live arrays, auxiliary state included; `grads` the gradients' arrays by name;
    `requests` says for each of them "write" or "add".
    """

    def __init__(
        self,
        outputs: Group,
        types: Sequence[TensorType],
        params: dict[str, Array],
        grads: dict[str, Array],
        requests: Mapping[str, str],
        settings: Mapping[str, Any],
    ) -> None:
        self.outputs = outputs
        self.params = params
        self.grads = grads
        self.requests = dict(requests)
        self._types = tuple(types)
        self._settings = dict(settings)
        self._programs: dict[str, Executable] = {}
        self._saved: dict[str, Array] | None = None
        self._state: dict[str, Array] = {}

    def forward(self, *, training: bool = True, **inputs: Any) -> Any:
        """The outputs: an array, or a tuple of several.  In training form auxiliary state moves
        on, and `backward` differentiates this very call."""
        program = self._program("training" if training else "inference")
        given = Converter(program)({k: np.asarray(v) for k, v in inputs.items()})
        given |= {k: np.asarray(v) for k, v in inputs.items() if k not in given}
        # The state before the call: backward must draw the same dropout masks.
        names = [s.node.label for s in self.outputs.auxiliaries]
        state = {name: self.params[name].copy() for name in names}
        result = _call(program, {**self.params, **given}, given)
        self._saved, self._state = (given, state) if training else (None, {})
        return result

    def backward(self, out_grads: Any = None) -> Mapping[str, Array]:
        """The gradients of the last `forward(training=True)`, written to or added to `grads`.

        `out_grads` flow into the outputs, ones by default.  Returns `grads`.
        Raises: InputError without such a call before.
        """
        if self._saved is None:
            raise InputError("backward: call forward(training=True) first")
        if not self.grads:
            return self.grads
        heads = {} if out_grads is None else self._heads(out_grads)
        state = {name: array.copy() for name, array in self._state.items()}
        kept = {_gradient_name(name): self.grads[name] for name in self._names("add")}
        program = self._program("backward from outputs" if heads else "backward")
        written = [self.grads[name] for name in self._names("write")]
        arrays = {**self.params, **self._saved, **state, **heads, **kept}
        _call(program, arrays, heads, written)
        return self.grads

    def _names(self, request: str) -> list[str]:
        return [name for name in self.grads if self.requests[name] == request]

    def _heads(self, out_grads: Any) -> dict[str, Array]:
        items = list(out_grads) if isinstance(out_grads, (tuple, list)) else [out_grads]
        if len(items) != len(self.outputs):
            raise InputError(
                f"backward: {len(self.outputs)} outputs need {len(self.outputs)} out_grads, "
                f"got {len(items)}"
            )
        return {_head_name(i): np.asarray(g) for i, g in enumerate(items)}

    def _program(self, kind: str) -> Executable:
        if kind not in self._programs:
            outputs = self.outputs
            updates: dict[str, Symbol] = {}
            if kind.startswith("backward"):
                outputs, updates = self._backward_graph(kind == "backward from outputs")
            read = set(Group([*outputs, *updates.values()]).list_variables())
            shapes = self._settings["shapes"]
            self._programs[kind] = compile(
                outputs,
                training=kind != "inference",
                updates=updates,
                name=kind.replace(" ", "_"),
                **{**self._settings, "shapes": {n: s for n, s in shapes.items() if n in read}},
            )
        return self._programs[kind]

    def _backward_graph(self, from_outputs: bool) -> tuple[Group, dict[str, Symbol]]:
        """Gradients to be written as outputs, those to be added as updates of their arrays."""
        by_name = {s.node.label: s for s in self.outputs.variables}
        heads = None
        if from_outputs:
            heads = [var(_head_name(i), t.shape, t.dtype) for i, t in enumerate(self._types)]
        wanted = [by_name[name] for name in self.grads]
        found = gradients(self.outputs.symbols, wanted, heads)
        by_parameter = dict(zip(self.grads, found, strict=True))
        updates: dict[str, Symbol] = {}
        for name in self._names("add"):
            array, key = self.grads[name], _gradient_name(name)
            kept = var(key, array.shape, array.dtype, auxiliary=True)
            updates[key] = kept + by_parameter[name]
        return Group([by_parameter[name] for name in self._names("write")]), updates


def bind(
    outputs: Symbol | Group,
    params: Mapping[str, Any],
    *,
    grad_req: str | Mapping[str, str] = "write",
    grads: Mapping[str, Array] | None = None,
    shapes: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Bound:
    """Bind symbols to arrays for computing outputs and gradients step by step.

    params    arrays of all parameters and auxiliary variables; used in place where they are
              contiguous arrays of the right dtype
    grad_req  "write", "add" or "null" for every parameter, or by name (the others "write"); an
              input by name gets a gradient too
    grads     arrays to write or add the gradients to; zeros are made for those not given
    shapes    shapes of inputs and parameters that override their own
    Further keywords are those of `compile`.
    Raises: InputError, GradientError.
    """
    given = outputs.symbols if isinstance(outputs, Expression) else tuple(outputs)
    group = Group(pin_names(given))
    arrays = {name: np.require(value, requirements=["C", "W"]) for name, value in params.items()}
    known = {s.node.label: s for s in group.variables}
    requests = _requests(group, grad_req, known)
    fixed = {n: a.shape for n, a in arrays.items() if n in known}
    inferred = group.graph.infer({**dict(shapes or {}), **fixed})
    kept: dict[str, Array] = {}
    for name in requests:
        type = inferred.types[known[name].value]
        kept[name] = _gradient_array(name, type, dict(grads or {}).get(name))
    types = [inferred.types[s.value] for s in group]
    settings["shapes"] = {**dict(shapes or {}), **fixed}
    used = {n: a for n, a in arrays.items() if n in known}
    return Bound(group, types, used, kept, requests, settings)


def _requests(
    group: Group, grad_req: str | Mapping[str, str], known: Mapping[str, Symbol]
) -> dict[str, str]:
    names = [s.node.label for s in group.parameters]
    if isinstance(grad_req, str):
        requests = dict.fromkeys(names, grad_req)
    else:
        requests = {**dict.fromkeys(names, "write"), **grad_req}
    for name, request in requests.items():
        if request not in REQUESTS:
            raise InputError(
                f"bind: grad_req of {name} must be {', '.join(REQUESTS)}, got {request!r}"
            )
        if name not in known:
            raise InputError(f"bind: no variable is named {name!r}; they are {', '.join(known)}")
    return {name: request for name, request in requests.items() if request != "null"}


def _gradient_array(name: str, type: TensorType, given: Array | None) -> Array:
    shape = type.shape
    if shape is None or type.dtype is None or not all(isinstance(d, int) for d in shape):
        raise GradientError(
            f"bind: the shape of the gradient of {name} is not known: {type}; give shapes="
        )
    extents = tuple(int(d) for d in shape if isinstance(d, int))
    if given is None:
        return np.zeros(extents, type.dtype.numpy)
    if given.shape != extents or given.dtype != type.dtype.numpy:
        raise InputError(
            f"bind: the gradient of {name} needs a {type.dtype} array of shape {extents}, got "
            f"{given.dtype} {given.shape}"
        )
    return given


def _gradient_name(name: str) -> str:
    return f"{name}.gradient"


def _head_name(index: int) -> str:
    return f"output{index}.gradient"


def _call(
    program: Executable,
    arrays: Mapping[str, Array],
    must: Mapping[str, Array],
    out: Sequence[Array] | None = None,
) -> Any:
    """Call with those of the arrays that the program takes, and all of `must`."""
    taken = {p.name for p in program.program.inputs}
    return program(out=out, **{n: a for n, a in arrays.items() if n in taken or n in must})
