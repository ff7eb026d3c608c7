"""The C header of an artefact: C99 and C++, no include but stdint.h and stddef.h."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..kernel import dims
from ..kernel.dims import Dim, DimVar
from ..kernel.dtypes import DType
from .formula import HELPERS, c_text
from .header_layout import context_layout, interface_layout
from .names import unique_identifiers
from .rules import Rule
from .signature import Signature, Tensor

ABI_VERSION = 1

C_TYPES = {
    "float16": "sg_float16",
    "bfloat16": "sg_bfloat16",
    "float32": "float",
    "float64": "double",
    "bool": "uint8_t",
}

CONTEXT = """\
#ifndef SYMGRAPH_CONTEXT
#define SYMGRAPH_CONTEXT
typedef uint16_t sg_float16;  /* the bits of an IEEE 754 binary16 number (_Float16) */
typedef uint16_t sg_bfloat16; /* the upper half of the bits of a float */

/* What a call may use besides its arrays.  Initialise it with SG_CONTEXT(workspace_bytes): then
   everything runs on the calling thread.

   size             sizeof(sg_context)
   flags            0; for objects with several versions also 1 to 4, the x86-64 level to use
   parallel_for     NULL, or a function that calls task(data, index, thread) once for each index in
                    0 .. count-1, in any order and on any threads, and returns when all have
                    returned; `thread` is not used.  It is called at most once in a call, with
                    count = threads: each task goes through the whole model and takes what is left
                    to do, so that tasks may also run one after the other.  Tasks that run at the
                    same time wait for each other by looking; give each a processor
   pool             passed on to parallel_for
   threads          how many tasks, at most; the results do not depend on it, the workspace may
   constants        the weights, where the header of the model says so; else NULL
   workspace_bytes  how many bytes `workspace` points to */
typedef struct sg_context {
    uint32_t size;
    uint32_t flags;
    void (*parallel_for)(void *pool, void (*task)(void *data, int64_t index, int64_t thread),
        void *data, int64_t count);
    void *pool;
    int64_t threads;
    const void *constants;
    uint64_t workspace_bytes;
} sg_context;

#define SG_CONTEXT(workspace_bytes) \\
    { sizeof(sg_context), 0, NULL, NULL, 1, NULL, (workspace_bytes) }
#endif
"""

PROLOGUE = """\
#if defined(__cplusplus)
#define SYMGRAPH_STATIC_ASSERT(condition, text) static_assert(condition, text)
#define SYMGRAPH_ALIGNOF(type) alignof(type)
#define SYMGRAPH_CONSTEXPR constexpr
#elif defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define SYMGRAPH_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#define SYMGRAPH_ALIGNOF(type) _Alignof(type)
#define SYMGRAPH_CONSTEXPR
#else /* C99 has no assertions: a declaration of nothing stands for each */
#define SYMGRAPH_STATIC_ASSERT(condition, text) struct symgraph_static_assert
#define SYMGRAPH_CONSTEXPR
#endif
"""


def c_type(dtype: DType) -> str:
    """How an element is spelled in C."""
    return C_TYPES.get(dtype.name) or f"{dtype.name}_t"


def header_text(
    signature: Signature,
    rules: Sequence[Rule],
    *,
    model_hash: str,
    weights: str,
    description: str = "",
    selftest: int | None = None,
    stack: Mapping[str, Any] | None = None,
    pointer_bytes: int = 8,
) -> str:
    """The whole header."""
    p, upper = signature.prefix, signature.prefix.upper()
    parts = [
        _banner(signature, model_hash, weights, description),
        f"#ifndef {upper}_SYMGRAPH_H\n#define {upper}_SYMGRAPH_H\n",
        "#include <stddef.h>\n#include <stdint.h>\n",
        _once("SYMGRAPH_STATIC_ASSERT", PROLOGUE),
        HELPERS,
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        CONTEXT,
        context_layout(pointer_bytes),
        _constants(signature, model_hash, weights),
        _structs(signature),
        interface_layout(signature, pointer_bytes),
        _interface(signature),
        _workspace(signature),
        _stack(upper, stack),
        _errors(signature, rules),
        _functions(p, upper),
        _level_function(signature),
        "" if selftest is None else _selftest_functions(p, upper, selftest),
        "#ifdef __cplusplus\n}\n#endif\n",
        f"#endif /* {upper}_SYMGRAPH_H */\n",
    ]
    return "\n".join(parts)


def _once(macro: str, text: str) -> str:
    return f"#ifndef {macro}\n{text}#endif\n"


def comment(text: str) -> str:
    """Text that may stand in a comment or a string of C."""
    return text.replace('"', "'").replace("*/", "* /").replace("\\", "/")


def _banner(signature: Signature, model_hash: str, weights: str, description: str) -> str:
    p = signature.prefix
    lines = [f"{p}: a compiled model. Written by symgraph; do not edit.", ""]
    if description:
        lines += [description, ""]
    for word, tensors in (("input", signature.inputs), ("output", signature.outputs)):
        for tensor in tensors:
            lines.append(f"{word} {tensor.name}: {tensor}")
    lines += ["", f"model {model_hash}", f"weights {weights}, {signature.weights_nbytes} bytes"]
    body = "\n".join(f" * {comment(line)}".rstrip() for line in lines)
    return f"/*\n{body}\n */"


def _constants(signature: Signature, model_hash: str, weights: str) -> str:
    upper = signature.prefix.upper()
    lines = [
        f"#define {upper}_ABI_VERSION {ABI_VERSION}",
        f'#define {upper}_MODEL_HASH "{model_hash}"',
        f"#define {upper}_WORKSPACE_ALIGNMENT {signature.alignment}",
        f"#define {upper}_WEIGHTS_BYTES UINT64_C({signature.weights_nbytes})",
    ]
    if weights == "file":
        lines.append(
            f"/* context.constants: the mapped file {signature.prefix}.weights, read-only. */"
        )
    if weights == "pointer":
        lines.append(
            f"/* context.constants: {upper}_WEIGHTS_BYTES bytes, aligned to {signature.alignment}, "
            f"read-only; the arrays lie at: */"
        )
        names = unique_identifiers([w.name for w in signature.weights], fallback="w")
        for weight, name in zip(signature.weights, names, strict=True):
            shape = dims.dim_text(weight.shape)
            if weight.packing is not None:
                shape += f" packed {dims.dim_text(weight.packing.shape)}"
            lines.append(
                f"#define {upper}_WEIGHT_{name.upper()}_OFFSET UINT64_C({weight.offset}) "
                f"/* {comment(weight.name)}: {weight.dtype.name}{shape} */"
            )
    for extent in signature.extents:
        name = f"{upper}_{extent.field.upper()}"
        lines.append(f"#define {name}_MIN INT64_C({extent.low})")
        lines.append(f"#define {name}_MAX INT64_C({extent.high})")
    lines += _largest_sizes(signature)
    return "\n".join(lines) + "\n"


def _largest_sizes(signature: Signature) -> list[str]:
    """Sizes for arrays that are declared before the extents are known."""
    upper, lines = signature.prefix.upper(), []
    nbytes = signature.largest(signature.needed)
    if nbytes is not None:
        lines.append("/* Enough for all legal extents, on one thread: bytes, and elements. */")
        lines.append(f"#define {upper}_WORKSPACE_MAX {nbytes}")
    for tensor in (*signature.inputs, *signature.results):
        nelems = signature.largest(tensor.nelems)
        if nelems is not None:
            lines.append(f"#define {upper}_{tensor.field.upper()}_ELEMENTS_MAX {nelems}")
    return lines


def _structs(signature: Signature) -> str:
    updated = {t.updates for t in signature.outputs if t.updates}
    inputs = [_pointer(t, t.name not in updated) for t in signature.inputs]
    for extent in signature.extents:
        note = f"/* extent {comment(extent.name)}: {extent.low} to {extent.high} */"
        inputs.append(f"    int64_t {extent.field}; {note}")
    outputs = [_pointer(t, False) for t in signature.results]
    return "\n".join(
        [
            *_struct(f"{signature.prefix}_inputs", inputs),
            "",
            *_struct(f"{signature.prefix}_outputs", outputs),
            "",
        ]
    )


def _struct(name: str, fields: list[str]) -> list[str]:
    empty = ["    int64_t unused; /* C has no empty structs */"]
    return [f"typedef struct {name} {{", *(fields or empty), f"}} {name};"]


def _pointer(tensor: Tensor, is_const: bool) -> str:
    const = "const " if is_const else ""
    updated = "" if is_const or tensor.role == "output" else "; holds its next value after the call"
    origin = f"; {tensor.origin}" if tensor.origin else ""
    note = f"{tensor.role} {tensor.name}: {tensor}{updated}{origin}"
    return f"    {const}{c_type(tensor.dtype)} *{tensor.field}; /* {comment(note)} */"


def _interface(signature: Signature) -> str:
    """A symbol that only the object with this interface defines."""
    name = interface_symbol(signature)
    return f"""\
/* Only the object that this header was written with defines this symbol: with another one the
   program does not link. */
extern const int32_t {name};
#if defined(__GNUC__)
__attribute__((used)) static const int32_t *const {signature.prefix}_interface = &{name};
#endif
"""


def interface_symbol(signature: Signature) -> str:
    """It changes with everything that a caller of the object relies on."""
    tensors = [[t.field, str(t), t.updates] for t in (*signature.inputs, *signature.outputs)]
    extents = [[e.field, e.low, e.high] for e in signature.extents]
    sizes = [str(signature.workspace), str(signature.thread_workspace), signature.weights_nbytes]
    known = json.dumps([ABI_VERSION, tensors, extents, sizes])
    return f"{signature.prefix}_interface_{hashlib.sha256(known.encode()).hexdigest()[:8]}"


def formula_function(
    signature: Signature,
    name: str,
    result: str,
    dim: Dim,
    further: Mapping[str, str] | None = None,
) -> str:
    """A static inline function of the open extents (and of `further` ones), in closed form."""
    fields = {**signature.fields, **(further or {})}
    arguments = ", ".join(f"int64_t {field}" for field in fields.values()) or "void"
    used = {variable.name for variable in dims.dim_vars(dim)}
    unused = "".join(f"(void){field}, " for name, field in fields.items() if name not in used)
    return (
        f"static inline SYMGRAPH_CONSTEXPR {result} {name}({arguments})\n"
        f"{{ return {unused}({result})({c_text(dim, fields)}); }}\n"
    )


def _workspace(signature: Signature) -> str:
    p, threads = signature.prefix, DimVar("threads")
    shared = dims.add(signature.workspace, dims.mul(signature.thread_workspace, threads))
    text = ["/* Bytes of workspace that a call with these extents needs; exact. */\n"]
    text.append(formula_function(signature, f"{p}_workspace_bytes", "size_t", signature.needed))
    text.append("/* As above, with context.parallel_for and context.threads given. */\n")
    name = f"{p}_workspace_bytes_threads"
    text.append(formula_function(signature, name, "size_t", shared, {"threads": "threads_"}))
    text.append("/* Numbers of elements. */\n")
    for tensor in (*signature.inputs, *signature.results):
        name = f"{p}_{tensor.field}_elements"
        text.append(formula_function(signature, name, "size_t", tensor.nelems))
    return "".join(text)


def _stack(upper: str, stack: Mapping[str, Any] | None) -> str:
    if stack is None or stack["nbytes"] is None:
        return ""
    text = f"""\
/* Bytes of stack that no function of the object exceeds (the self-test aside), without what
   context.parallel_for itself uses; and that no task does which it is given. */
#define {upper}_STACK_BYTES {stack["nbytes"]}
"""
    if stack["task_nbytes"] is not None:
        text += f"#define {upper}_TASK_STACK_BYTES {stack['task_nbytes']}\n"
    if stack["selftest_nbytes"] is not None:
        text += f"#define {upper}_SELFTEST_STACK_BYTES {stack['selftest_nbytes']}\n"
    return text


def _errors(signature: Signature, rules: Sequence[Rule]) -> str:
    upper = signature.prefix.upper()
    lines = [f"typedef enum {signature.prefix}_error {{", f"    {upper}_OK = 0,"]
    for rule in rules:
        end = "," if rule is not rules[-1] else ""
        lines.append(
            f"    {upper}_ERROR_{rule.name} = {rule.code}{end} /* {comment(rule.message)} */"
        )
    return "\n".join([*lines, f"}} {signature.prefix}_error;", ""])


def _functions(p: str, upper: str) -> str:
    return f"""\
/* Compute the outputs from the inputs.  Returns {upper}_OK, or the first rule that does not hold:
   then nothing was written.  No allocation, no global state, no system call: any number of threads
   may call it at once, each with a workspace of its own.  Outputs and the workspace must not
   overlap each other or the inputs. */
int32_t {p}_run(const {p}_inputs *inputs, const {p}_outputs *outputs, void *workspace,
    const sg_context *context);

/* The rule that an error code stands for; never NULL. */
const char *{p}_strerror(int32_t code);

/* What {p}_run would return for this call, and why, with the values that it has: "input 'x' dim 0:
   got 225, need a multiple of 16".  Writes at most `size` bytes, the terminating zero included;
   allocates nothing and needs no library. */
int32_t {p}_explain(const {p}_inputs *inputs, const {p}_outputs *outputs, const void *workspace,
    const sg_context *context, char *text, size_t size);

/* Bytes of workspace for the extents in `inputs`, which must be legal: {p}_workspace_bytes as a
   function, for callers that cannot use this header. */
int64_t {p}_workspace_needed(const {p}_inputs *inputs, int64_t threads);
"""


def _level_function(signature: Signature) -> str:
    if not signature.asks_processor:
        return ""
    p = signature.prefix
    levels = ", ".join(str(level) for level in sorted(signature.levels))
    what = f"has versions for the levels {levels}" if levels else (
        f"needs level {signature.processor}"
    )  # fmt: skip
    return f"""\
/* The level of x86-64 that this processor and system have: 1 (the baseline) to 4 (AVX-512).  The
   object {what}.  The processor is asked once; context.flags may say what it can do, and then it
   is not asked. */
int32_t {p}_isa(void);
"""


def _selftest_functions(p: str, upper: str, nbytes: int) -> str:
    return f"""\
/* Runs a seeded case and compares a checksum after each operator with the compiler's own result.
   Returns 0 when all are right, the number of the first operator that is wrong, or
     -1  the workspace is missing, not aligned or smaller than {upper}_SELFTEST_BYTES
     -2  context.constants is missing or not aligned, or a file of other weights than the export's
     -3  the processor is below the one that the object was compiled for */
#define {upper}_SELFTEST_BYTES {nbytes}
int32_t {p}_selftest(void *workspace, const sg_context *context);

/* The operator of a result of {p}_selftest. */
const char *{p}_selftest_name(int32_t code);
"""
