"""Calls from Python without marshalling: one native function that checks arrays and runs a program.

    function([workspace,] input, ..., output, ...) -> bool

The function is built once for each process, in LLVM IR, with CPython's fast calling convention.
What differs among programs and shapes is in a table of 64-bit words, the function's `self`:

    0  arrays           6  True                  12  PyErr_SetString
    1  inputs           7  False                 13  what to raise
    2  extents          8  release the lock?     14  and its text
    3  entry            9  PyEval_SaveThread     15  arguments before the arrays
    4  context         10  PyEval_RestoreThread  16  workspace, if that is none
    5  numpy.ndarray   11  Py_IncRef             17  whether that is in use
                                                 18  what to call then, or none
                                                 19  PyObject_Vectorcall
                                                 20  the extents, one word each, then for each array
                                                     its dtype, flags, rank and shape

An array that is not exactly of the type that the table names makes it return False, before anything
has run.  A short call keeps Python's lock, so that nothing else can use its workspace meanwhile.  A
long one lets the lock go: its caller passes a workspace that no other call uses, or it notes that
its own is in use, and while it is, another function is called instead.  Who notes and looks has the
lock.  Where this Python does not lay out objects as expected, there is no function.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import numpy as np

from ...errors import InternalError
from .machine import initialise
from .objects import make_engine

Array = np.ndarray[Any, np.dtype[Any]]

C_CONTIGUOUS, ALIGNED, WRITEABLE = 0x1, 0x100, 0x400
"""Bits of an array's flags."""

TYPE, DATA, RANK, SHAPE, DTYPE, FLAGS = 8, 16, 24, 32, 56, 64
"""Bytes from the start of an array object to its fields."""

HEADER = 20
FASTCALL = 0x80
_FAILED = ctypes.c_char_p(b"a compiled program refused its context")

_TEXT = f"""
define ptr @sg_call(ptr %self, ptr %args, i64 %given) nounwind {{
start:
  %table_p = getelementptr i8, ptr %self, i64 {DATA}
  %table = load ptr, ptr %table_p
  %count = load i64, ptr %table
  %inputs_p = getelementptr i64, ptr %table, i64 1
  %inputs = load i64, ptr %inputs_p
  %extents_p = getelementptr i64, ptr %table, i64 2
  %extents = load i64, ptr %extents_p
  %type_p = getelementptr i64, ptr %table, i64 5
  %type = load ptr, ptr %type_p
  %skip_p = getelementptr i64, ptr %table, i64 15
  %skip = load i64, ptr %skip_p
  %wanted = add i64 %count, %skip
  %words = add i64 %count, %extents
  %places = alloca i64, i64 %words
  %out = getelementptr i64, ptr %places, i64 %inputs
  %out_places = getelementptr i64, ptr %out, i64 %extents
  %sizes = getelementptr i64, ptr %table, i64 {HEADER}
  %first = getelementptr i64, ptr %sizes, i64 %extents
  %right = icmp eq i64 %given, %wanted
  br i1 %right, label %sized, label %no
sized:
  %e = phi i64 [0, %start], [%e_next, %size]
  %more_sizes = icmp slt i64 %e, %extents
  br i1 %more_sizes, label %size, label %array
size:
  %size_p = getelementptr i64, ptr %sizes, i64 %e
  %size_v = load i64, ptr %size_p
  %size_q = getelementptr i64, ptr %out, i64 %e
  store i64 %size_v, ptr %size_q
  %e_next = add i64 %e, 1
  br label %sized
array:
  %n = phi i64 [0, %sized], [%n_next, %good]
  %row = phi ptr [%first, %sized], [%row_next, %good]
  %is_array = icmp slt i64 %n, %count
  br i1 %is_array, label %check, label %run
check:
  %n_next = add i64 %n, 1
  %at = add i64 %n, %skip
  %arg_p = getelementptr ptr, ptr %args, i64 %at
  %arg = load ptr, ptr %arg_p
  %its_type_p = getelementptr i8, ptr %arg, i64 {TYPE}
  %its_type = load ptr, ptr %its_type_p
  %is_ndarray = icmp eq ptr %its_type, %type
  br i1 %is_ndarray, label %fields, label %no
fields:
  %its_dtype_p = getelementptr i8, ptr %arg, i64 {DTYPE}
  %its_dtype = load i64, ptr %its_dtype_p
  %dtype = load i64, ptr %row
  %same_dtype = icmp eq i64 %its_dtype, %dtype
  %its_flags_p = getelementptr i8, ptr %arg, i64 {FLAGS}
  %its_flags = load i32, ptr %its_flags_p
  %flags_p = getelementptr i64, ptr %row, i64 1
  %flags = load i64, ptr %flags_p
  %flags32 = trunc i64 %flags to i32
  %both = and i32 %its_flags, %flags32
  %same_flags = icmp eq i32 %both, %flags32
  %its_rank_p = getelementptr i8, ptr %arg, i64 {RANK}
  %its_rank32 = load i32, ptr %its_rank_p
  %its_rank = sext i32 %its_rank32 to i64
  %rank_p = getelementptr i64, ptr %row, i64 2
  %rank = load i64, ptr %rank_p
  %same_rank = icmp eq i64 %its_rank, %rank
  %two = and i1 %same_dtype, %same_flags
  %three = and i1 %two, %same_rank
  %shape = getelementptr i64, ptr %row, i64 3
  %row_next = getelementptr i64, ptr %shape, i64 %rank
  %its_shape_p = getelementptr i8, ptr %arg, i64 {SHAPE}
  %its_shape = load ptr, ptr %its_shape_p
  br i1 %three, label %axis, label %no
axis:
  %a = phi i64 [0, %fields], [%a_next, %compare]
  %is_axis = icmp slt i64 %a, %rank
  br i1 %is_axis, label %compare, label %good
compare:
  %its_extent_p = getelementptr i64, ptr %its_shape, i64 %a
  %its_extent = load i64, ptr %its_extent_p
  %extent_p = getelementptr i64, ptr %shape, i64 %a
  %extent = load i64, ptr %extent_p
  %a_next = add i64 %a, 1
  %same_extent = icmp eq i64 %its_extent, %extent
  br i1 %same_extent, label %axis, label %no
good:
  %data_p = getelementptr i8, ptr %arg, i64 {DATA}
  %data = load i64, ptr %data_p
  %is_output = icmp sge i64 %n, %inputs
  %behind = select i1 %is_output, i64 %extents, i64 0
  %place = add i64 %n, %behind
  %place_p = getelementptr i64, ptr %places, i64 %place
  store i64 %data, ptr %place_p
  br label %array
run:
  %other_p = getelementptr i64, ptr %table, i64 18
  %other = load ptr, ptr %other_p
  %busy_p = getelementptr i64, ptr %table, i64 17
  %busy = load i64, ptr %busy_p
  %is_busy = icmp ne i64 %busy, 0
  br i1 %is_busy, label %elsewhere, label %take
elsewhere:
  %vectorcall_p = getelementptr i64, ptr %table, i64 19
  %vectorcall = load ptr, ptr %vectorcall_p
  %done_there = call ptr %vectorcall(ptr %other, ptr %args, i64 %given, ptr null)
  ret ptr %done_there
take:
  %guards = icmp ne ptr %other, null
  %in_use = zext i1 %guards to i64
  store i64 %in_use, ptr %busy_p
  %own_p = getelementptr i64, ptr %table, i64 16
  %has_own = icmp eq i64 %skip, 0
  br i1 %has_own, label %enter, label %passed
passed:
  %workspace_o = load ptr, ptr %args
  %workspace_p = getelementptr i8, ptr %workspace_o, i64 {DATA}
  br label %enter
enter:
  %from = phi ptr [%own_p, %take], [%workspace_p, %passed]
  %workspace = load ptr, ptr %from
  %entry_p = getelementptr i64, ptr %table, i64 3
  %entry = load ptr, ptr %entry_p
  %context_p = getelementptr i64, ptr %table, i64 4
  %context = load ptr, ptr %context_p
  %release_p = getelementptr i64, ptr %table, i64 8
  %release = load i64, ptr %release_p
  %held = icmp eq i64 %release, 0
  br i1 %held, label %keep, label %let_go
keep:
  %status_k = call i32 %entry(ptr %places, ptr %out_places, ptr %workspace, ptr %context)
  br label %done
let_go:
  %save_p = getelementptr i64, ptr %table, i64 9
  %save = load ptr, ptr %save_p
  %state = call ptr %save()
  %status_r = call i32 %entry(ptr %places, ptr %out_places, ptr %workspace, ptr %context)
  %restore_p = getelementptr i64, ptr %table, i64 10
  %restore = load ptr, ptr %restore_p
  call void %restore(ptr %state)
  br label %done
done:
  %status = phi i32 [%status_k, %keep], [%status_r, %let_go]
  store i64 0, ptr %busy_p
  %fine = icmp eq i32 %status, 0
  br i1 %fine, label %yes, label %bad
bad:
  %raise_p = getelementptr i64, ptr %table, i64 12
  %raise = load ptr, ptr %raise_p
  %kind_p = getelementptr i64, ptr %table, i64 13
  %kind = load ptr, ptr %kind_p
  %text_p = getelementptr i64, ptr %table, i64 14
  %text = load ptr, ptr %text_p
  call void %raise(ptr %kind, ptr %text)
  ret ptr null
yes:
  br label %answer
no:
  br label %answer
answer:
  %which = phi i64 [6, %yes], [7, %no]
  %answer_p = getelementptr i64, ptr %table, i64 %which
  %result = load ptr, ptr %answer_p
  %incref_p = getelementptr i64, ptr %table, i64 11
  %incref = load ptr, ptr %incref_p
  call void %incref(ptr %result)
  ret ptr %result
}}
"""


class _Method(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


@cache
def _method() -> _Method | None:
    """The native function, built once; None where objects are not laid out as expected."""
    if not is_supported():
        return None
    initialise()
    module = llvm.parse_assembly(_TEXT)
    module.verify()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(opt=2)
    engine = make_engine(module, machine)
    engine.finalize_object()
    address = int(engine.get_function_address("sg_call"))
    # Function objects may be called until the very end of the process: it is never freed.
    engine.detach()
    return _Method(b"call", address, FASTCALL, None)


@cache
def is_supported() -> bool:
    """Whether array objects look as the native function expects them."""
    gil = getattr(sys, "_is_gil_enabled", None)
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return False
    if (gil is not None and not gil()) or sys.platform not in ("linux", "darwin"):
        return False
    if np.ndarray.__basicsize__ < FLAGS + 4 or hasattr(sys, "gettotalrefcount"):
        return False
    for array in (np.zeros((3, 5), np.float32), np.zeros((2, 7, 4), np.int8)[:, ::2]):
        start = id(array)

        def word(offset: int, start: int = start) -> int:
            return ctypes.c_int64.from_address(start + offset).value

        rank = ctypes.c_int32.from_address(start + RANK).value
        if rank != array.ndim or word(TYPE) != id(np.ndarray) or word(DTYPE) != id(array.dtype):
            return False
        extents = (ctypes.c_int64 * rank).from_address(word(SHAPE))
        if tuple(extents) != array.shape or word(DATA) != array.ctypes.data:
            return False
        if ctypes.c_int32.from_address(start + FLAGS).value != array.flags.num:
            return False
    return True


def _function_address(name: str) -> int:
    return int(ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0)


def native_call(
    entry: int,
    context: int,
    inputs: Sequence[Array],
    outputs: Sequence[Array],
    extents: Sequence[int],
    workspace: int | None,
    owners: Any,
    instead: Callable[..., bool] | None = None,
) -> Callable[..., bool] | None:
    """The function for arrays of exactly these types; None where there is none.

    With the address of a workspace the call keeps Python's lock; without one it takes an array of
    bytes as its first argument, and lets the lock go.  With both a workspace and a function to call
    `instead`, while another call uses that workspace, it lets the lock go too.  The function keeps
    `owners` alive: of the code, the context and the workspace.
    """
    method = _method()
    if method is None:
        return None
    words = [len(inputs) + len(outputs), len(inputs), len(extents), entry, context]
    lets_go = workspace is None or instead is not None
    words += [id(np.ndarray), id(True), id(False), int(lets_go)]
    names = ("PyEval_SaveThread", "PyEval_RestoreThread", "Py_IncRef", "PyErr_SetString")
    words += [_function_address(name) for name in names]
    words += [id(InternalError), ctypes.cast(_FAILED, ctypes.c_void_p).value or 0]
    words += [int(workspace is None), workspace or 0, 0, 0 if instead is None else id(instead)]
    words += [_function_address("PyObject_Vectorcall"), *extents]
    needed = C_CONTIGUOUS | ALIGNED
    for array in inputs:
        words += [id(array.dtype), needed, array.ndim, *array.shape]
    for array in outputs:
        words += [id(array.dtype), needed | WRITEABLE, array.ndim, *array.shape]
    create = ctypes.PYFUNCTYPE(
        ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.py_object
    )(("PyCFunction_NewEx", ctypes.pythonapi))
    table = np.array(words, np.int64)
    # What stands in the place of the function's module lives as long as the function does; so must
    # its definition, of which threads that come here first at the same time make one each.
    kept = (owners, instead, method, tuple(array.dtype for array in (*inputs, *outputs)))
    function: Callable[..., bool] = create(ctypes.addressof(method), table, kept)
    return function
