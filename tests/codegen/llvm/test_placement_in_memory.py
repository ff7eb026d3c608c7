"""Objects are loaded in one piece, however little room the process has left nearby."""

from __future__ import annotations

import subprocess
import sys

import pytest

CHILD = """
import ctypes, sys
from symgraph.codegen.llvm.machine import machine
from symgraph.codegen.llvm.objects import compile_object, load

COUNT = 1 << 16  # a table of 256 KiB, more than the holes that are left
numbers = ", ".join(f"i32 {n}" for n in range(COUNT))
text = f'''
@table = private constant [{COUNT} x i32] [{numbers}]
define i32 @look(i64 %n) {{
  %place = getelementptr [{COUNT} x i32], ptr @table, i64 0, i64 %n
  %value = load i32, ptr %place
  ret i32 %value
}}
'''
body = compile_object(text, machine(None))
load(compile_object("define i32 @f() { ret i32 1 }", machine(None)), ["f"])  # what LLVM needs

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
PRIVATE, ANONYMOUS, NO_RESERVE = 2, 32, 0x4000
GIB = 1 << 30


def reserve(nbytes):
    found = libc.mmap(None, nbytes, 0, PRIVATE | ANONYMOUS | NO_RESERVE, -1, 0)
    assert found != ctypes.c_void_p(-1).value
    return found


for size in (1 << 16, 1 << 20, 1 << 24):  # the holes that there are
    for _ in range(300):
        reserve(size)
wide = reserve(8 * GIB)
for n in range(8):  # holes for code at the upper end, none for the table within 2 GiB
    libc.munmap(wide + 8 * GIB - (n + 1) * (1 << 17), 1 << 16)
loaded = load(body, ["look"])
look = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_int64)(loaded.addresses[0])
assert [look(n) for n in (0, 1, 77, COUNT - 1)] == [0, 1, 77, COUNT - 1]
print("loaded")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="maps memory as Linux does")
def test_code_and_data_lie_near_each_other_in_a_full_address_space() -> None:
    run = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=120)
    assert run.stdout == "loaded\n", (run.returncode, run.stderr[-2000:])
