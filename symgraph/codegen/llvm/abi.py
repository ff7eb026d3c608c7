"""The binary interface of compiled programs: what C callers and Python pass.

    int32_t NAME_run(const NAME_inputs *in, const NAME_outputs *out, void *workspace,
                     const sg_context *context);

`NAME_inputs` holds one pointer for each input port, in order, then one int64_t for each open
extent, in the program's order.  `NAME_outputs` holds one pointer for each output port.  The
workspace is aligned to 64 bytes and as large as `WorkspacePlan.nbytes` says.  Fields are only ever
added at the end of `sg_context`; `size` says how much of it the caller knows.
"""

from __future__ import annotations

import ctypes

ALIGNMENT = 64
"""Bytes to which the workspace, the constants and every buffer in them are aligned."""

OK = 0
BAD_CONTEXT = 1
"""The context is missing, or from an older header than the object needs."""

POINTER_BYTES = 8


class Context(ctypes.Structure):
    """sg_context; see CONTEXT_HEADER."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("parallel_for", ctypes.c_void_p),
        ("pool", ctypes.c_void_p),
        ("threads", ctypes.c_int64),
        ("constants", ctypes.c_void_p),
    )


CONTEXT_TYPE = "%sg_context = type { i32, i32, ptr, ptr, i64, ptr }"
"""The same struct in LLVM IR."""

CONTEXT_FIELDS = {name: number for number, (name, _) in enumerate(Context._fields_)}
CONTEXT_BYTES = ctypes.sizeof(Context)

CONTEXT_HEADER = """\
/* What a program is given besides its arrays.  Zero everything, set size, then what you need.

   parallel_for  may be NULL: everything then runs on the calling thread.  It must call
                 task(data, index, thread) for every index in 0 .. count-1, in any order and on any
                 threads, and return when all have returned; thread is ignored.
   pool          passed to parallel_for as it is.
   threads       into how many parts work is cut, at most; 0 and 1 mean no parallel_for.  The
                 workspace must be as large as this number needs.
   constants     the program's constants, aligned to 64 bytes; may be NULL where it has none.  */
typedef struct sg_context {
  uint32_t size; /* sizeof(sg_context) */
  uint32_t flags; /* 0 */
  void (*parallel_for)(void *pool, void (*task)(void *data, int64_t index, int64_t thread),
                       void *data, int64_t count);
  void *pool;
  int64_t threads;
  const void *constants;
} sg_context;
"""


def run_symbol(name: str) -> str:
    """The entry of a program without host operators."""
    return f"{name}_run"


def segment_symbol(name: str, segment: int) -> str:
    """The entry of one segment of a program with host operators."""
    return f"{name}_segment_{segment}"
