"""The thread pool's memory layout and its native code, as LLVM IR text.

Owns: the offsets and the protocol between caller and workers; pool.py owns the threads.

Every worker has a mailbox with two words that only ever grow: the caller bumps `request`, the
worker sets `answer` to the request it has finished. A worker reads the task only between the two,
and the caller returns only after all answers, so the task never changes under a reader. One caller
at a time owns the workers; whoever finds them taken (another thread, or a task that itself calls
`parallel_for`) runs all indices itself, so that nothing ever waits for the lock.

Sleeping: the waiter raises its flag, looks once more and then waits on the futex; the other side
changes the word and then looks at the flag. Both are sequentially consistent, so that at least
one of them sees the other.
"""

from __future__ import annotations

from string import Template

# Offsets in bytes. 128 keep words of different writers out of each other's cache lines, and out of
# the pairs of lines that are fetched together.
LINE = 128
LOCK = 0  # i32: 1 while a caller owns the workers
THREADS = LINE  # i64: how many there are with the caller; 0 when closed and in a forked child
PLAIN_SPINS = LINE + 8  # i64: how often to look at a word before the first pause
PAUSED_SPINS = LINE + 16  # i64: how often to look, pausing each time, before sleeping
STOP = LINE + 24  # i32: 1 tells woken workers to end
TASK = 2 * LINE  # ptr task, ptr data, i64 count, i64 participants
MAILBOXES = 3 * LINE  # one for each worker: thread k has number k - 1
MAILBOX = 2 * LINE  # i32 request, i32 sleeping, i64 thread, ptr pool; LINE on: the answer
ANSWER = LINE  # i32 answer, i32 sleeping

FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
YIELD_NUMBERS = {"x86_64": 24, "aarch64": 124, "riscv64": 124}
PAUSES = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}

RANGE = """
define internal void @sg_run_range(ptr %task, ptr %data, i64 %begin, i64 %end, i64 %thread) {
entry:
  %some = icmp slt i64 %begin, %end
  br i1 %some, label %body, label %done
body:
  %index = phi i64 [%begin, %entry], [%next, %body]
  call void %task(ptr %data, i64 %index, i64 %thread)
  %next = add i64 %index, 1
  %more = icmp slt i64 %next, %end
  br i1 %more, label %body, label %done
done:
  ret void
}
"""

INLINE_ONLY = """
define void @sg_parallel_for(ptr %pool, ptr %task, ptr %data, i64 %count) {
  call void @sg_run_range(ptr %task, ptr %data, i64 0, i64 %count, i64 0)
  ret void
}
"""

THREADED = Template("""
$pause_declaration
declare i64 @syscall(i64, ...)

define internal void @sg_wait(ptr %pool, ptr %word, i32 %old) {
entry:
  %plain_p = getelementptr i8, ptr %pool, i64 $PLAIN_SPINS
  %plain = load i64, ptr %plain_p
  %paused_p = getelementptr i8, ptr %pool, i64 $PAUSED_SPINS
  %paused = load i64, ptr %paused_p
  %both = add i64 %plain, %paused
  br label %look
look:
  %spin = phi i64 [0, %entry], [%next, %again], [%next, %pause], [%next, %yield]
  %now = load atomic i32, ptr %word acquire, align 4
  %changed = icmp ne i32 %now, %old
  br i1 %changed, label %done, label %spun
spun:
  %next = add i64 %spin, 1
  %is_plain = icmp slt i64 %spin, %plain
  br i1 %is_plain, label %again, label %may_pause
again:
  br label %look
may_pause:
  %is_paused = icmp slt i64 %spin, %both
  br i1 %is_paused, label %pause, label %doze
pause:
  $pause
  %low_bits = and i64 %spin, 31
  %is_turn = icmp eq i64 %low_bits, 0
  br i1 %is_turn, label %yield, label %look
yield:
  ; The thread that is waited for may be queued behind this one on the same processor.
  %yielded = call i64 (i64, ...) @syscall(i64 $sched_yield)
  br label %look
doze:
  %flag = getelementptr i8, ptr %word, i64 4
  store atomic i32 1, ptr %flag seq_cst, align 4
  br label %recheck
recheck:
  %again_now = load atomic i32, ptr %word seq_cst, align 4
  %has_changed = icmp ne i32 %again_now, %old
  br i1 %has_changed, label %awake, label %sleep
sleep:
  %ignored = call i64 (i64, ...) @syscall(i64 $futex, ptr %word, i64 128, i32 %old, ptr null)
  br label %recheck
awake:
  store atomic i32 0, ptr %flag seq_cst, align 4
  br label %done
done:
  ret void
}

define void @sg_post(ptr %word, i32 %value) {
entry:
  store atomic i32 %value, ptr %word seq_cst, align 4
  %flag = getelementptr i8, ptr %word, i64 4
  %sleeping = load atomic i32, ptr %flag seq_cst, align 4
  %is_awake = icmp eq i32 %sleeping, 0
  br i1 %is_awake, label %done, label %wake
wake:
  %ignored = call i64 (i64, ...) @syscall(i64 $futex, ptr %word, i64 129, i64 1)
  br label %done
done:
  ret void
}

define internal void @sg_run_share(ptr %pool, i64 %thread) {
  %task_p = getelementptr i8, ptr %pool, i64 $TASK
  %data_p = getelementptr i8, ptr %task_p, i64 8
  %count_p = getelementptr i8, ptr %task_p, i64 16
  %participants_p = getelementptr i8, ptr %task_p, i64 24
  %task = load ptr, ptr %task_p
  %data = load ptr, ptr %data_p
  %count = load i64, ptr %count_p
  %participants = load i64, ptr %participants_p
  %first = mul i64 %count, %thread
  %begin = sdiv i64 %first, %participants
  %last = add i64 %first, %count
  %end = sdiv i64 %last, %participants
  call void @sg_run_range(ptr %task, ptr %data, i64 %begin, i64 %end, i64 %thread)
  ret void
}

define ptr @sg_pool_worker(ptr %mailbox) {
entry:
  %thread_p = getelementptr i8, ptr %mailbox, i64 8
  %thread = load i64, ptr %thread_p
  %pool_p = getelementptr i8, ptr %mailbox, i64 16
  %pool = load ptr, ptr %pool_p
  %answer = getelementptr i8, ptr %mailbox, i64 $ANSWER
  %stop_p = getelementptr i8, ptr %pool, i64 $STOP
  br label %next
next:
  %seen = phi i32 [0, %entry], [%request, %work]
  call void @sg_wait(ptr %pool, ptr %mailbox, i32 %seen)
  %request = load atomic i32, ptr %mailbox acquire, align 4
  %stop = load atomic i32, ptr %stop_p acquire, align 4
  %goes_on = icmp eq i32 %stop, 0
  br i1 %goes_on, label %work, label %end
work:
  call void @sg_run_share(ptr %pool, i64 %thread)
  call void @sg_post(ptr %answer, i32 %request)
  br label %next
end:
  ret ptr null
}

define i32 @sg_pool_try_lock(ptr %pool) {
  %pair = cmpxchg ptr %pool, i32 0, i32 1 acquire monotonic
  %won = extractvalue {i32, i1} %pair, 1
  %result = zext i1 %won to i32
  ret i32 %result
}

define void @sg_pool_unlock(ptr %pool) {
  store atomic i32 0, ptr %pool release, align 4
  ret void
}

define void @sg_parallel_for(ptr %pool, ptr %task, ptr %data, i64 %count) {
entry:
  %threads_p = getelementptr i8, ptr %pool, i64 $THREADS
  %hint = load atomic i64, ptr %threads_p monotonic, align 8
  %has_workers = icmp sgt i64 %hint, 1
  %has_work = icmp sgt i64 %count, 1
  %worth = and i1 %has_workers, %has_work
  br i1 %worth, label %try, label %inline
try:
  %won = call i32 @sg_pool_try_lock(ptr %pool)
  %is_free = icmp ne i32 %won, 0
  br i1 %is_free, label %own, label %inline
inline:
  call void @sg_run_range(ptr %task, ptr %data, i64 0, i64 %count, i64 0)
  ret void
own:
  ; Only under the lock is the number of threads sure: the pool may have been closed since.
  %threads = load atomic i64, ptr %threads_p monotonic, align 8
  %is_open = icmp sgt i64 %threads, 1
  br i1 %is_open, label %share, label %closed
closed:
  call void @sg_pool_unlock(ptr %pool)
  br label %inline
share:
  %is_few = icmp slt i64 %count, %threads
  %participants = select i1 %is_few, i64 %count, i64 %threads
  %task_p = getelementptr i8, ptr %pool, i64 $TASK
  %data_p = getelementptr i8, ptr %task_p, i64 8
  %count_p = getelementptr i8, ptr %task_p, i64 16
  %participants_p = getelementptr i8, ptr %task_p, i64 24
  store ptr %task, ptr %task_p
  store ptr %data, ptr %data_p
  store i64 %count, ptr %count_p
  store i64 %participants, ptr %participants_p
  %workers = sub i64 %participants, 1
  br label %ask
ask:
  %k = phi i64 [0, %share], [%k_next, %ask]
  %offset = mul i64 %k, $MAILBOX
  %from_pool = add i64 %offset, $MAILBOXES
  %mailbox = getelementptr i8, ptr %pool, i64 %from_pool
  %request = load atomic i32, ptr %mailbox monotonic, align 4
  %bumped = add i32 %request, 1
  call void @sg_post(ptr %mailbox, i32 %bumped)
  %k_next = add i64 %k, 1
  %asks_on = icmp slt i64 %k_next, %workers
  br i1 %asks_on, label %ask, label %work
work:
  call void @sg_run_share(ptr %pool, i64 0)
  br label %collect
collect:
  %j = phi i64 [0, %work], [%j_next, %collect]
  %j_offset = mul i64 %j, $MAILBOX
  %j_from_pool = add i64 %j_offset, $MAILBOXES
  %j_mailbox = getelementptr i8, ptr %pool, i64 %j_from_pool
  %answer = getelementptr i8, ptr %j_mailbox, i64 $ANSWER
  %asked = load atomic i32, ptr %j_mailbox monotonic, align 4
  %before = sub i32 %asked, 1
  call void @sg_wait(ptr %pool, ptr %answer, i32 %before)
  %j_next = add i64 %j, 1
  %waits_on = icmp slt i64 %j_next, %workers
  br i1 %waits_on, label %collect, label %finish
finish:
  call void @sg_pool_unlock(ptr %pool)
  ret void
}
""")


def inline_text() -> str:
    """`sg_parallel_for` for systems without the pool: the caller runs every index."""
    return RANGE + INLINE_ONLY


def threaded_text(architecture: str) -> str:
    """The whole pool for Linux on one of the architectures of FUTEX_NUMBERS."""
    declaration, call = PAUSES.get(architecture, ("", ""))
    text = THREADED.substitute(
        pause_declaration=declaration,
        pause=call,
        futex=FUTEX_NUMBERS[architecture],
        sched_yield=YIELD_NUMBERS[architecture],
        THREADS=THREADS,
        PLAIN_SPINS=PLAIN_SPINS,
        PAUSED_SPINS=PAUSED_SPINS,
        STOP=STOP,
        TASK=TASK,
        MAILBOXES=MAILBOXES,
        MAILBOX=MAILBOX,
        ANSWER=ANSWER,
    )
    return RANGE + text
