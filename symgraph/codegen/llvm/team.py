"""How the threads of one call go through a program together: the native code and its protocol.

A program is a sequence of stages; a stage is a number of chunks that may run at the same time, on
any threads.  Every thread runs the same function over all stages and asks `sg_team_next` for chunks
until it says that there are none left and that all of them are done.

    part t of an item with C chunks on T threads = its chunks ceil(t*C/T) .. ceil((t+1)*C/T) - 1
    part t of a stage = part t of each of its items, one after the other

A thread takes the chunks of its own part, in order, and then what is left of other parts.  So a
thread that comes late, or is kept from its processor, holds nobody up that it has taken nothing
from; and where `parallel_for` calls the threads' functions one after the other, the first one does
everything and the others find nothing left.  Nothing is asked of `parallel_for` but that it calls
every index.  Which thread computes a chunk never changes what it computes.

Each thread has a line of memory with two words: `taken`, the number of chunks taken from its part,
by whomever; and `done`, how many chunks this thread has finished, written by it alone.  Both only
grow, over all stages of a call: a stage starts at `base` in every part, and is over when the `done`
of all threads add up to the chunks of all stages so far.  Before it waits, a thread takes the first
chunk of its part in the next stage, while it has the line: that saves fetching the line again.

Words are compared by their difference, so that they may wrap.  Waiting is looking, first at once,
then with pauses; a caller that names a function `relax` gets it called between further looks.
"""

from __future__ import annotations

from string import Template

from .builder import ModuleBuilder
from .machine import Machine

LINE = 128
"""Bytes at the start of each thread's own memory for its words: no other thread writes near."""

TAKEN, DONE = 0, 4
"""Offsets in a line."""

MEMBER = {"lines": 0, "stride": 8, "relax": 16, "pool": 24, "slot": 32, "parts": 36, "base": 40,
          "total": 44, "finished": 48, "visited": 52, "held": 56}  # fmt: skip
"""Offsets of what a thread knows of the team; only this thread reads or writes it."""

MEMBER_BYTES = 64

PLAIN_LOOKS = 2000
"""How often to look before the first pause: a few microseconds."""

PAUSED_LOOKS = 600
"""How often to look, pausing each time, before each call of `relax`: some ten microseconds."""

NEXT = "sg_team_next"

_PAUSES = {
    "x86_64": ("declare void @llvm.x86.sse2.pause()", "call void @llvm.x86.sse2.pause()"),
    "aarch64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
    "arm64": ("declare void @llvm.aarch64.hint(i32)", "call void @llvm.aarch64.hint(i32 1)"),
}

_NEXT = Template("""\
define internal i64 @sg_team_start(i64 %chunks, i64 %part, i64 %parts) nounwind {
  %scaled = mul i64 %chunks, %part
  %ahead = add i64 %scaled, %parts
  %rounding = sub i64 %ahead, 1
  %start = udiv i64 %rounding, %parts
  ret i64 %start
}

define internal i64 @sg_team_next(ptr %me, ptr %counts, i64 %items) nounwind noinline {
entry:
  %lines = load ptr, ptr %me, align 8
  %stride_p = getelementptr i8, ptr %me, i32 $stride
  %stride = load i64, ptr %stride_p, align 8
  %slot_p = getelementptr i8, ptr %me, i32 $slot
  %slot = load i32, ptr %slot_p, align 4
  %parts_p = getelementptr i8, ptr %me, i32 $parts
  %parts = load i32, ptr %parts_p, align 4
  %base_p = getelementptr i8, ptr %me, i32 $base
  %base = load i32, ptr %base_p, align 4
  %finished_p = getelementptr i8, ptr %me, i32 $finished
  %finished = load i32, ptr %finished_p, align 4
  %visited_p = getelementptr i8, ptr %me, i32 $visited
  %visited = load i32, ptr %visited_p, align 4
  %held_p = getelementptr i8, ptr %me, i32 $held
  %held = load i32, ptr %held_p, align 4
  %slot64 = zext i32 %slot to i64
  %parts64 = zext i32 %parts to i64
  %own_offset = mul i64 %slot64, %stride
  %own = getelementptr i8, ptr %lines, i64 %own_offset
  %has_held = icmp ne i32 %held, 0
  br i1 %has_held, label %holding, label %look
holding:
  store i32 0, ptr %held_p, align 4
  br label %look
look:
  %v = phi i32 [%visited, %entry], [%visited, %holding], [%v_next, %empty]
  %is_held = phi i1 [false, %entry], [true, %holding], [false, %empty]
  %out = icmp uge i32 %v, %parts
  br i1 %out, label %leave, label %visit
visit:
  %ahead = add i32 %slot, %v
  %wraps = icmp uge i32 %ahead, %parts
  %behind = sub i32 %ahead, %parts
  %part = select i1 %wraps, i32 %behind, i32 %ahead
  %part64 = zext i32 %part to i64
  %part_after = add i64 %part64, 1
  br label %count_item
count_item:
  %ci = phi i64 [0, %visit], [%ci_next, %count_item]
  %so_many = phi i64 [0, %visit], [%so_many_next, %count_item]
  %ci_p = getelementptr i64, ptr %counts, i64 %ci
  %ci_chunks = load i64, ptr %ci_p, align 8
  %ci_start = call i64 @sg_team_start(i64 %ci_chunks, i64 %part64, i64 %parts64)
  %ci_end = call i64 @sg_team_start(i64 %ci_chunks, i64 %part_after, i64 %parts64)
  %ci_count = sub i64 %ci_end, %ci_start
  %so_many_next = add i64 %so_many, %ci_count
  %ci_next = add i64 %ci, 1
  %ci_more = icmp ult i64 %ci_next, %items
  br i1 %ci_more, label %count_item, label %counted
counted:
  %count = trunc i64 %so_many_next to i32
  br i1 %is_held, label %own_first, label %shared
own_first:
  %any = icmp sgt i32 %count, 0
  br i1 %any, label %got, label %shared
shared:
  %offset = mul i64 %part64, %stride
  %line = getelementptr i8, ptr %lines, i64 %offset
  br label %try
try:
  %old = load atomic i32, ptr %line monotonic, align 4
  %since = sub i32 %old, %base
  %is_before = icmp slt i32 %since, 0
  %number = select i1 %is_before, i32 0, i32 %since
  %is_left = icmp slt i32 %number, %count
  br i1 %is_left, label %take, label %empty
take:
  %now = add i32 %base, %number
  %after = add i32 %now, 1
  %pair = cmpxchg ptr %line, i32 %old, i32 %after acquire monotonic
  %won = extractvalue {i32, i1} %pair, 1
  br i1 %won, label %got, label %try
got:
  %taken = phi i32 [0, %own_first], [%number, %take]
  %more_finished = add i32 %finished, 1
  store i32 %more_finished, ptr %finished_p, align 4
  store i32 %v, ptr %visited_p, align 4
  %taken64 = zext i32 %taken to i64
  br label %find_item
find_item:
  %fi = phi i64 [0, %got], [%fi_next, %not_here]
  %rest = phi i64 [%taken64, %got], [%rest_next, %not_here]
  %before = phi i64 [0, %got], [%before_next, %not_here]
  %fi_p = getelementptr i64, ptr %counts, i64 %fi
  %fi_chunks = load i64, ptr %fi_p, align 8
  %fi_start = call i64 @sg_team_start(i64 %fi_chunks, i64 %part64, i64 %parts64)
  %fi_end = call i64 @sg_team_start(i64 %fi_chunks, i64 %part_after, i64 %parts64)
  %fi_count = sub i64 %fi_end, %fi_start
  %is_here = icmp ult i64 %rest, %fi_count
  br i1 %is_here, label %here, label %not_here
not_here:
  %rest_next = sub i64 %rest, %fi_count
  %before_next = add i64 %before, %fi_chunks
  %fi_next = add i64 %fi, 1
  br label %find_item
here:
  %in_item = add i64 %fi_start, %rest
  %chunk = add i64 %before, %in_item
  ret i64 %chunk
empty:
  %v_next = add i32 %v, 1
  br label %look
leave:
  br label %sum_item
sum_item:
  %si = phi i64 [0, %leave], [%si_next, %sum_item]
  %chunks = phi i64 [0, %leave], [%chunks_next, %sum_item]
  %longest = phi i64 [0, %leave], [%longest_next, %sum_item]
  %si_p = getelementptr i64, ptr %counts, i64 %si
  %si_chunks = load i64, ptr %si_p, align 8
  %chunks_next = add i64 %chunks, %si_chunks
  %si_longest = call i64 @sg_team_start(i64 %si_chunks, i64 1, i64 %parts64)
  %longest_next = add i64 %longest, %si_longest
  %si_next = add i64 %si, 1
  %si_more = icmp ult i64 %si_next, %items
  br i1 %si_more, label %sum_item, label %item_sums
item_sums:
  %is_empty = icmp eq i64 %longest_next, 0
  %most64 = select i1 %is_empty, i64 1, i64 %longest_next
  %most = trunc i64 %most64 to i32
  %new_base = add i32 %base, %most
  %mine = load atomic i32, ptr %own monotonic, align 4
  %lead = sub i32 %mine, %new_base
  %is_free = icmp sle i32 %lead, 0
  br i1 %is_free, label %hold, label %publish
hold:
  %first_next = add i32 %new_base, 1
  %hold_pair = cmpxchg ptr %own, i32 %mine, i32 %first_next acquire monotonic
  %hold_won = extractvalue {i32, i1} %hold_pair, 1
  br i1 %hold_won, label %holds, label %publish
holds:
  store i32 1, ptr %held_p, align 4
  br label %publish
publish:
  %done_p = getelementptr i8, ptr %own, i32 $DONE
  store atomic i32 %finished, ptr %done_p release, align 4
  %total_p = getelementptr i8, ptr %me, i32 $total
  %total_before = load i32, ptr %total_p, align 4
  %chunks32 = trunc i64 %chunks_next to i32
  %total = add i32 %total_before, %chunks32
  store i32 %total, ptr %total_p, align 4
  store i32 %new_base, ptr %base_p, align 4
  store i32 0, ptr %visited_p, align 4
  br label %wait
wait:
  %looks = phi i32 [0, %publish], [%looks_next, %again], [%looks_next, %pause], [$plain, %relaxed]
  br label %sum
sum:
  %t = phi i64 [0, %wait], [%t_next, %sum]
  %so_far = phi i32 [0, %wait], [%so_far_next, %sum]
  %t_offset = mul i64 %t, %stride
  %t_line = getelementptr i8, ptr %lines, i64 %t_offset
  %t_done_p = getelementptr i8, ptr %t_line, i32 $DONE
  %t_done = load atomic i32, ptr %t_done_p acquire, align 4
  %so_far_next = add i32 %so_far, %t_done
  %t_next = add i64 %t, 1
  %more = icmp ult i64 %t_next, %parts64
  br i1 %more, label %sum, label %summed
summed:
  %missing = sub i32 %so_far_next, %total
  %is_over = icmp sge i32 %missing, 0
  br i1 %is_over, label %over, label %not_over
not_over:
  %looks_next = add i32 %looks, 1
  %is_plain = icmp slt i32 %looks_next, $plain
  br i1 %is_plain, label %again, label %slow
again:
  br label %wait
slow:
  %is_patient = icmp slt i32 %looks_next, $patience
  br i1 %is_patient, label %pause, label %tired
pause:
  $pause
  br label %wait
tired:
  %relax_p = getelementptr i8, ptr %me, i32 $relax
  %relax = load ptr, ptr %relax_p, align 8
  %has_relax = icmp ne ptr %relax, null
  br i1 %has_relax, label %call_relax, label %relaxed
call_relax:
  %pool_p = getelementptr i8, ptr %me, i32 $pool
  %pool = load ptr, ptr %pool_p, align 8
  call void %relax(ptr %pool)
  br label %relaxed
relaxed:
  br label %wait
over:
  ret i64 -1
}
""")


def declare_next(module: ModuleBuilder, machine: Machine) -> str:
    """The name of `i64 (ptr member, ptr counts, i64 items)`, put into the module once.

    It returns the number of a chunk to run, or -1 when the stage is over.  `counts` has how many
    chunks each item has; they are numbered through all items.
    """
    declaration, pause = _PAUSES.get(machine.triple.split("-")[0], ("", ""))
    if declaration:
        module.declare(declaration)
    offsets = {k: v for k, v in MEMBER.items() if k != "lines"}
    # "pause" is the instruction here; every other name is an offset or a number.
    text = _NEXT.substitute(
        offsets, DONE=DONE, pause=pause, plain=PLAIN_LOOKS, patience=PLAIN_LOOKS + PAUSED_LOOKS
    )
    module.helper(NEXT, text)
    return NEXT
