"""The thread pool's memory layout and its native code, as LLVM IR text.

Owns: the offsets and the protocol between callers and workers; pool.py owns the threads.

Every worker has a mailbox with a state: idle, taken, stopped, or the address of a job (plus 1, so
that it is odd).  A caller puts its job into the mailboxes of idle workers, as many as it has use
for, so that several callers share a pool, and works itself.  A worker changes the address to
"taken".  Indices are handed out one at a time, the first one to the caller.  When none is left, the
caller takes its job out of the mailboxes where it still is: it never waits for a sleeping worker to
wake up, only for those at work.

A job lies in the caller's stack and counts the workers that may still look at it; a worker counts
itself off after it has declared itself idle again, and touches the job no more.

Sleeping: a worker counts itself as a sleeper, looks once more and then waits on the futex; a caller
changes the state and then looks at the count.  Both are sequentially consistent, so that at least
one of them sees the other.  A sleeping caller sets a bit in its count of workers, which whoever
counts itself off last finds there.
"""

from __future__ import annotations

from string import Template

# Offsets in bytes. 128 keep words of different writers out of each other's cache lines, and out of
# the pairs of lines that are fetched together.
LINE = 128
THREADS = 0  # i64: how many there are with the caller; 0 when closed and in a forked child
PLAIN_SPINS = 8  # i64: how often to look at a word before the first pause
PAUSED_SPINS = 16  # i64: how often to look, pausing each time, before sleeping
MAILBOXES = LINE  # one for each worker: thread k has number k - 1
MAILBOX = LINE  # i64 state, i32 sleepers, i64 thread, ptr pool
SLEEPERS, THREAD, POOL = 8, 16, 24
IDLE, TAKEN, STOPPED = 0, 2, 4  # a posted job is odd

FUTEX_NUMBERS = {"x86_64": 202, "aarch64": 98, "riscv64": 98}
YIELD_NUMBERS = {"x86_64": 24, "aarch64": 124, "riscv64": 124}
PAUSES = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}

INLINE_ONLY = """
define void @sg_parallel_for(ptr %pool, ptr %task, ptr %data, i64 %count) {
entry:
  %some = icmp sgt i64 %count, 0
  br i1 %some, label %body, label %done
body:
  %index = phi i64 [0, %entry], [%next, %body]
  call void %task(ptr %data, i64 %index, i64 0)
  %next = add i64 %index, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %body, label %done
done:
  ret void
}
"""

ASLEEP = 1 << 30

# A job is {ptr task, ptr data, i64 count, i64 next, i32 workers}.
THREADED = Template("""
$pause_declaration
declare i64 @syscall(i64, ...)

; Looks at a word until some bit of the mask is not as in %old, or it has looked long enough.
define internal i1 @sg_spin(ptr %pool, ptr %word, i32 %mask, i32 %old) {
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
  %masked = and i32 %now, %mask
  %changed = icmp ne i32 %masked, %old
  br i1 %changed, label %done, label %spun
spun:
  %next = add i64 %spin, 1
  %is_plain = icmp slt i64 %spin, %plain
  br i1 %is_plain, label %again, label %may_pause
again:
  br label %look
may_pause:
  %is_paused = icmp slt i64 %spin, %both
  br i1 %is_paused, label %pause, label %tired
pause:
  $pause
  %low_bits = and i64 %spin, 31
  %is_turn = icmp eq i64 %low_bits, 0
  br i1 %is_turn, label %yield, label %look
yield:
  ; The thread that is waited for may be queued behind this one on the same processor.
  call void @sg_relax(ptr %pool)
  br label %look
tired:
  ret i1 false
done:
  ret i1 true
}

define internal void @sg_wait_for_job(ptr %pool, ptr %mailbox) {
entry:
  %seen = call i1 @sg_spin(ptr %pool, ptr %mailbox, i32 -1, i32 $IDLE)
  br i1 %seen, label %done, label %doze
doze:
  %sleepers = getelementptr i8, ptr %mailbox, i64 $SLEEPERS
  store atomic i32 1, ptr %sleepers seq_cst, align 4
  br label %recheck
recheck:
  %now = load atomic i64, ptr %mailbox seq_cst, align 8
  %is_idle = icmp eq i64 %now, $IDLE
  br i1 %is_idle, label %sleep, label %awake
sleep:
  %ignored = call i64 (i64, ...) @syscall(i64 $futex, ptr %mailbox, i64 128, i32 $IDLE, ptr null)
  br label %recheck
awake:
  store atomic i32 0, ptr %sleepers seq_cst, align 4
  br label %done
done:
  ret void
}

define internal void @sg_wait_for_workers(ptr %pool, ptr %workers) {
entry:
  %now = load atomic i32, ptr %workers acquire, align 4
  %none = icmp eq i32 %now, 0
  br i1 %none, label %done, label %look
look:
  %old = load atomic i32, ptr %workers acquire, align 4
  %is_over = icmp eq i32 %old, 0
  br i1 %is_over, label %done, label %spin
spin:
  %seen = call i1 @sg_spin(ptr %pool, ptr %workers, i32 -1, i32 %old)
  br i1 %seen, label %look, label %doze
doze:
  %before = atomicrmw or ptr %workers, i32 $ASLEEP seq_cst
  %bits = or i32 %before, $ASLEEP
  %left = and i32 %before, $COUNT
  %all_left = icmp eq i32 %left, 0
  br i1 %all_left, label %done, label %sleep
sleep:
  %ignored = call i64 (i64, ...) @syscall(i64 $futex, ptr %workers, i64 128, i32 %bits, ptr null)
  br label %doze
done:
  ret void
}

define void @sg_relax(ptr %pool) {
  %yielded = call i64 (i64, ...) @syscall(i64 $sched_yield)
  ret void
}

; Puts a value into an idle mailbox; false when its worker is not idle.
define internal i1 @sg_post(ptr %mailbox, i64 %value) {
entry:
  %pair = cmpxchg ptr %mailbox, i64 $IDLE, i64 %value seq_cst monotonic
  %won = extractvalue {i64, i1} %pair, 1
  br i1 %won, label %look, label %done
look:
  %sleepers_p = getelementptr i8, ptr %mailbox, i64 $SLEEPERS
  %sleepers = load atomic i32, ptr %sleepers_p seq_cst, align 4
  %is_awake = icmp eq i32 %sleepers, 0
  br i1 %is_awake, label %done, label %wake
wake:
  %ignored = call i64 (i64, ...) @syscall(i64 $futex, ptr %mailbox, i64 129, i64 1)
  br label %done
done:
  ret i1 %won
}

define internal void @sg_run(ptr %job, i64 %thread) {
entry:
  %task = load ptr, ptr %job
  %data_p = getelementptr i8, ptr %job, i64 8
  %data = load ptr, ptr %data_p
  %count_p = getelementptr i8, ptr %job, i64 16
  %count = load i64, ptr %count_p
  %next_p = getelementptr i8, ptr %job, i64 24
  br label %ask
ask:
  %index = atomicrmw add ptr %next_p, i64 1 monotonic
  %some = icmp slt i64 %index, %count
  br i1 %some, label %work, label %done
work:
  call void %task(ptr %data, i64 %index, i64 %thread)
  br label %ask
done:
  ret void
}

define ptr @sg_pool_worker(ptr %mailbox) {
entry:
  %thread_p = getelementptr i8, ptr %mailbox, i64 $THREAD
  %thread = load i64, ptr %thread_p
  %pool_p = getelementptr i8, ptr %mailbox, i64 $POOL
  %pool = load ptr, ptr %pool_p
  br label %look
look:
  %state = load atomic i64, ptr %mailbox acquire, align 8
  switch i64 %state, label %take [i64 $IDLE, label %wait i64 $STOPPED, label %end]
wait:
  call void @sg_wait_for_job(ptr %pool, ptr %mailbox)
  br label %look
take:
  %pair = cmpxchg ptr %mailbox, i64 %state, i64 $TAKEN acquire monotonic
  %won = extractvalue {i64, i1} %pair, 1
  br i1 %won, label %work, label %look
work:
  %address = sub i64 %state, 1
  %job = inttoptr i64 %address to ptr
  call void @sg_run(ptr %job, i64 %thread)
  store atomic i64 $IDLE, ptr %mailbox seq_cst, align 8
  %workers_p = getelementptr i8, ptr %job, i64 32
  %workers = atomicrmw sub ptr %workers_p, i32 1 seq_cst
  %is_last = icmp eq i32 %workers, $LAST_ASLEEP
  br i1 %is_last, label %wake, label %look
wake:
  %ignored = call i64 (i64, ...) @syscall(i64 $futex, ptr %workers_p, i64 129, i64 1)
  br label %look
end:
  ret ptr null
}

define i32 @sg_pool_stop(ptr %mailbox) {
  %won = call i1 @sg_post(ptr %mailbox, i64 $STOPPED)
  %result = zext i1 %won to i32
  ret i32 %result
}

define void @sg_parallel_for(ptr %pool, ptr %task, ptr %data, i64 %count) {
entry:
  %job = alloca [5 x i64], align 64
  %some = icmp sgt i64 %count, 0
  br i1 %some, label %prepare, label %nothing
nothing:
  ret void
prepare:
  %threads = load atomic i64, ptr %pool acquire, align 8
  store ptr %task, ptr %job
  %data_p = getelementptr i8, ptr %job, i64 8
  store ptr %data, ptr %data_p
  %count_p = getelementptr i8, ptr %job, i64 16
  store i64 %count, ptr %count_p
  %next_p = getelementptr i8, ptr %job, i64 24
  store i64 1, ptr %next_p
  %workers_p = getelementptr i8, ptr %job, i64 32
  store i32 0, ptr %workers_p
  %address = ptrtoint ptr %job to i64
  %posted = add i64 %address, 1
  br label %ask
ask:
  %k = phi i64 [1, %prepare], [%k_next, %asked]
  %free = phi i64 [%count, %prepare], [%free_next, %asked]
  %is_thread = icmp slt i64 %k, %threads
  %is_wanted = icmp sgt i64 %free, 1
  %asks = and i1 %is_thread, %is_wanted
  br i1 %asks, label %claim, label %work
claim:
  %offset = mul i64 %k, $MAILBOX
  %mailbox = getelementptr i8, ptr %pool, i64 %offset
  %counted = atomicrmw add ptr %workers_p, i32 1 monotonic
  %won = call i1 @sg_post(ptr %mailbox, i64 %posted)
  br i1 %won, label %asked, label %uncount
uncount:
  %uncounted = atomicrmw sub ptr %workers_p, i32 1 monotonic
  br label %asked
asked:
  %one = zext i1 %won to i64
  %free_next = sub i64 %free, %one
  %k_next = add i64 %k, 1
  br label %ask
work:
  call void %task(ptr %data, i64 0, i64 0)
  call void @sg_run(ptr %job, i64 0)
  br label %collect
collect:
  %j = phi i64 [1, %work], [%j_next, %collected]
  %is_asked = icmp slt i64 %j, %k
  br i1 %is_asked, label %look, label %finish
look:
  %j_offset = mul i64 %j, $MAILBOX
  %j_mailbox = getelementptr i8, ptr %pool, i64 %j_offset
  %state = load atomic i64, ptr %j_mailbox monotonic, align 8
  %is_there = icmp eq i64 %state, %posted
  br i1 %is_there, label %take_back, label %collected
take_back:
  %pair = cmpxchg ptr %j_mailbox, i64 %posted, i64 $IDLE seq_cst monotonic
  %taken_back = extractvalue {i64, i1} %pair, 1
  br i1 %taken_back, label %count_off, label %collected
count_off:
  %off = atomicrmw sub ptr %workers_p, i32 1 monotonic
  br label %collected
collected:
  %j_next = add i64 %j, 1
  br label %collect
finish:
  call void @sg_wait_for_workers(ptr %pool, ptr %workers_p)
  ret void
}
""")


def inline_text() -> str:
    """`sg_parallel_for` for systems without the pool: the caller runs every index."""
    return INLINE_ONLY


def threaded_text(architecture: str) -> str:
    """The whole pool for Linux on one of the architectures of FUTEX_NUMBERS."""
    declaration, call = PAUSES.get(architecture, ("", ""))
    return THREADED.substitute(
        pause_declaration=declaration,
        pause=call,
        futex=FUTEX_NUMBERS[architecture],
        sched_yield=YIELD_NUMBERS[architecture],
        PLAIN_SPINS=PLAIN_SPINS,
        PAUSED_SPINS=PAUSED_SPINS,
        MAILBOX=MAILBOX,
        SLEEPERS=SLEEPERS,
        THREAD=THREAD,
        POOL=POOL,
        IDLE=IDLE,
        TAKEN=TAKEN,
        STOPPED=STOPPED,
        ASLEEP=ASLEEP,
        COUNT=ASLEEP - 1,
        LAST_ASLEEP=ASLEEP + 1,
    )
