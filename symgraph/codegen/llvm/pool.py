"""A native thread pool for compiled programs: `parallel_for` as a C function pointer.

Owns: the threads, the pool's memory, and the one shared pool of the process. The native code and
its protocol are pool_ir.py's. Tasks run without Python, so a program may call `parallel_for`
whether or not its caller holds the interpreter's lock.

Linux on 64-bit x86, ARM and RISC-V. Elsewhere a pool has one thread, its caller's.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import threading
import time
import weakref
from dataclasses import dataclass, field
from functools import cache

import llvmlite.binding as llvm

from symgraph.codegen.llvm import pool_ir
from symgraph.codegen.llvm.objects import make_engine

MOST_THREADS = 256
PLAIN_SPIN_COUNT = 1000  # about two microseconds: each look is a load from the nearest cache
PAUSED_SPIN_COUNT = 2500  # about 100 microseconds where a pause takes 40 ns
MADV_WIPEONFORK = 18  # Linux 4.14; Python's mmap module does not name it
CLOSE_PATIENCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Functions:
    """Addresses in the compiled pool; only `parallel_for` exists where threads are unsupported."""

    parallel_for: int
    worker: int
    stop: int
    relax: int


def architecture() -> str:
    return str(llvm.get_process_triple()).split("-")[0]


def is_supported() -> bool:
    return sys.platform == "linux" and architecture() in pool_ir.FUTEX_NUMBERS


@cache
def functions() -> Functions:
    """Compiles the pool once per process."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    text = pool_ir.threaded_text(architecture()) if is_supported() else pool_ir.inline_text()
    module = llvm.parse_assembly(text)
    module.verify()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(opt=2)
    engine = make_engine(module, machine)
    engine.finalize_object()
    names = ("parallel_for", "pool_worker", "pool_stop", "relax")
    addresses = [int(engine.get_function_address(f"sg_{name}")) for name in names]
    # Workers may still run this code while the interpreter shuts down: it is never freed.
    engine.detach()
    return Functions(*addresses)


@dataclass(slots=True)
class Workers:
    """What is left to stop when a pool goes away; holds no reference to the pool."""

    memory: int
    threads: list[ctypes.c_ulong] = field(default_factory=list)

    def number(self, offset: int) -> ctypes.c_int64:
        return ctypes.c_int64.from_address(self.memory + offset)

    def mailbox(self, thread: int) -> int:
        return self.memory + pool_ir.MAILBOXES + (thread - 1) * pool_ir.MAILBOX


def allocate() -> int:
    """Zeroed memory that a forked child sees as zeros again, where threads are supported.

    It is never unmapped, because compiled programs may outlive the pool they were given.
    """
    size = pool_ir.MAILBOXES + MOST_THREADS * pool_ir.MAILBOX
    if not is_supported():
        buffer = ctypes.create_string_buffer(size)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(buffer))
        return ctypes.addressof(buffer)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(MADV_WIPEONFORK)
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(pages))
    return ctypes.addressof(ctypes.c_char.from_buffer(pages))


FAULTS = {
    signal.SIGSEGV,
    signal.SIGFPE,
    signal.SIGABRT,
    signal.SIGILL,
    getattr(signal, "SIGBUS", 0),
}
"""Signals that a thread raises by its own doing; blocked, they would end the process in silence."""


def start(workers: Workers, thread: int) -> None:
    """Starts one worker; other signals stay with Python's own threads, as the mask is inherited."""
    mailbox = workers.mailbox(thread)
    ctypes.c_int64.from_address(mailbox + pool_ir.THREAD).value = thread
    ctypes.c_void_p.from_address(mailbox + pool_ir.POOL).value = workers.memory
    handle = ctypes.c_ulong()
    create = ctypes.CDLL(None).pthread_create
    create.argtypes = [ctypes.c_void_p] * 4
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - FAULTS)
    try:
        status = create(ctypes.byref(handle), None, functions().worker, mailbox)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)
    if status != 0:
        raise OSError(status, f"cannot start thread {thread} of the pool: {os.strerror(status)}")
    workers.threads.append(handle)


def stop(workers: Workers) -> None:
    """Ends the workers and waits for them; in a forked child there are none left to end."""
    if workers.number(pool_ir.THREADS).value == 0:
        return
    workers.number(pool_ir.THREADS).value = 0  # no call that begins now finds a worker
    give = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(functions().stop)
    join = ctypes.CDLL(None).pthread_join
    join.argtypes = [ctypes.c_ulong, ctypes.c_void_p]
    deadline = time.monotonic() + CLOSE_PATIENCE_SECONDS
    for thread, handle in enumerate(workers.threads, start=1):
        while not give(workers.mailbox(thread)):
            if time.monotonic() > deadline:
                return  # a task is still running; the process may end around it
            time.sleep(0)
        join(handle, None)


def available_processors() -> int:
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else 1


class ThreadPool:
    """Threads that wait for `parallel_for`; the caller's own thread is one of them, number 0.

    Indices are handed out one at a time to the caller and to the threads that are idle when it
    calls: several callers share the pool.  A call that finds none idle, or happens after `close` or
    in a forked child, runs all indices on the calling thread, as thread 0.
    """

    def __init__(self, threads: int) -> None:
        if threads < 1:
            raise ValueError(f"a pool needs at least one thread, not {threads}")
        self._workers = Workers(allocate())
        self._growing = threading.Lock()
        self._workers.number(pool_ir.THREADS).value = 1
        self._finalizer = weakref.finalize(self, stop, self._workers)
        self.grow(threads)

    @property
    def parallel_for_pointer(self) -> int:
        """`void (*)(void *pool, void (*task)(void *data, int64_t index, int64_t thread),
        void *data, int64_t count)`."""
        return functions().parallel_for

    @property
    def pool_pointer(self) -> int:
        """The first argument of `parallel_for`; valid for the rest of the process."""
        return self._workers.memory

    @property
    def relax_pointer(self) -> int | None:
        """`void (*)(void *pool)`: gives up the processor for a moment."""
        return functions().relax or None

    @property
    def threads(self) -> int:
        """How many threads take part, the caller's included."""
        return max(1, self._workers.number(pool_ir.THREADS).value)

    def grow(self, threads: int) -> None:
        """Adds threads until there are `threads`; never removes any. A closed pool stays closed."""
        wanted = min(threads, MOST_THREADS) if is_supported() else 1
        workers = self._workers
        if not 0 < workers.number(pool_ir.THREADS).value < wanted:
            return
        with self._growing:
            # Spinning takes the processor from the thread it waits for when there are too few.
            is_crowded = wanted > available_processors()
            workers.number(pool_ir.PLAIN_SPINS).value = 0 if is_crowded else PLAIN_SPIN_COUNT
            workers.number(pool_ir.PAUSED_SPINS).value = 50 if is_crowded else PAUSED_SPIN_COUNT
            while 0 < workers.number(pool_ir.THREADS).value < wanted:
                start(workers, len(workers.threads) + 1)
                workers.number(pool_ir.THREADS).value += 1

    def close(self) -> None:
        """Ends the threads. The pointers stay valid and run everything on the caller's thread."""
        self._finalizer()


# One shared pool for each process that asked; keyed by process so that a forked child gets its own.
_SHARED: dict[int, ThreadPool] = {}


def get_pool(threads: int | None = None) -> ThreadPool:
    """The pool of this process, with at least `threads` threads (default: one per processor)."""
    pool = _SHARED.get(os.getpid())
    if pool is None:
        # A new pool has no threads yet, so that losing a race for the place costs nothing.
        pool = _SHARED.setdefault(os.getpid(), ThreadPool(1))
    pool.grow(available_processors() if threads is None else threads)
    return pool
