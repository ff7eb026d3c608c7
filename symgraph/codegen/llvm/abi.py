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
    """What a program is given besides its arrays.

    parallel_for  may be null: everything then runs on the calling thread.  It calls
                  task(data, index, thread) for every index in 0 .. count-1, in any order, on any
                  threads, at once or one after the other, and returns when all have returned.
    pool          passed to parallel_for and relax as it is.
    threads       how many threads take part, at most; 0 and 1 mean no parallel_for.  The workspace
                  must be as large as this number needs.
    constants     the program's constants, aligned to 64 bytes; may be null where it has none.
    relax         void (void *pool), may be null: called again and again by a thread that has waited
                  for another one for some time, to give up its processor for a moment.
    """

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("parallel_for", ctypes.c_void_p),
        ("pool", ctypes.c_void_p),
        ("threads", ctypes.c_int64),
        ("constants", ctypes.c_void_p),
        ("relax", ctypes.c_void_p),
    )


CONTEXT_TYPE = "%sg_context = type { i32, i32, ptr, ptr, i64, ptr, ptr }"
"""The same struct in LLVM IR."""

CONTEXT_BYTES = ctypes.sizeof(Context)


def run_symbol(name: str) -> str:
    """The entry of a program without host operators."""
    return f"{name}_run"


def segment_symbol(name: str, segment: int) -> str:
    """The entry of one segment of a program with host operators."""
    return f"{name}_segment_{segment}"
