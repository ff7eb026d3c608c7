"""What a shipped object says about a broken rule.

    const char *NAME_strerror(int32_t code)
    int32_t NAME_explain(inputs, outputs, workspace, context, char *text, size_t size)

NAME_strerror is constant text.  NAME_explain tests a call as NAME_run would and writes the message
with the values that were found; it needs no library and allocates nothing.
"""

from __future__ import annotations

from .caller import POINTERS
from .contract import Apart, Detail, Shipped, check_symbol
from .texts import string_table

WORDS = ("got ", ", ", " and ", ", need ", ": ", " overlap, ", "NULL", "address 0x", "-")
_GOT, _COMMA, _AND, _NEED, _COLON, _OVERLAP, _NULL, _ADDRESS, _MINUS = range(len(WORDS))


def messages_text(shipped: Shipped) -> str:
    """Every message in one string and a table of offsets, so that nothing needs relocation."""
    p = shipped.prefix
    texts = [message.text for message in shipped.messages]
    last = len(texts)
    return f"""\
{string_table(f"{p}_message", [*texts, f"unknown error code of {p}"])}
define ptr @{p}_strerror(i32 %code) nounwind {{
  %known = icmp ult i32 %code, {last}
  %row = select i1 %known, i32 %code, i32 {last}
  %message = call ptr @{p}_message_text(i32 %row)
  ret ptr %message
}}
{_explain_text(shipped)}"""


def _explain_text(shipped: Shipped) -> str:
    p, word = shipped.prefix, f"i{shipped.pointer_bits}"
    details = ", ".join(f"i32 {m.split << 3 | m.detail}" for m in shipped.messages)
    labels = [area.label for test in shipped.tests if isinstance(test, Apart)
              for area in (*test.written, *test.read)]  # fmt: skip
    used = {message.detail for message in shipped.messages} - {Detail.NONE}
    cases = " ".join(f"i32 {d.value}, label %detail{d.value}" for d in sorted(used))
    bodies = "".join(_detail_text(p, detail) for detail in sorted(used))
    return f"""\
@{p}_message_details = internal constant [{len(shipped.messages)} x i32] [{details}]
{string_table(f"{p}_word", WORDS)}
{string_table(f"{p}_area", labels)}
define i32 @{p}_explain({POINTERS}, ptr %text, {word} %size) nounwind {{
entry:
  %detail = alloca [2 x i64], align 8
  %writer = alloca [2 x ptr], align 8
  %code = call i32 @{check_symbol(p)}({POINTERS}, ptr %detail)
  %no.room = icmp eq {word} %size, 0
  %no.text = icmp eq ptr %text, null
  %nowhere = or i1 %no.room, %no.text
  br i1 %nowhere, label %done, label %open
open:
  store ptr %text, ptr %writer
  %most = sub {word} %size, 1
  %last = getelementptr i8, ptr %text, {word} %most
  %last.place = getelementptr ptr, ptr %writer, i32 1
  store ptr %last, ptr %last.place
  %message = call ptr @{p}_message_text(i32 %code)
  %row.place = getelementptr [{len(shipped.messages)} x i32], ptr @{p}_message_details, i32 0, \
i32 %code
  %row = load i32, ptr %row.place
  %kind = and i32 %row, 7
  %split = lshr i32 %row, 3
  call void @{p}_put(ptr %writer, ptr %message, i32 %split)
  %got.place = getelementptr i64, ptr %detail, i32 0
  %need.place = getelementptr i64, ptr %detail, i32 1
  switch i32 %kind, label %rest [ {cases} ]
{bodies}rest:
  %tail = getelementptr i8, ptr %message, i32 %split
  call void @{p}_put(ptr %writer, ptr %tail, i32 -1)
  %end = load ptr, ptr %writer
  store i8 0, ptr %end
  br label %done
done:
  ret i32 %code
}}
{_PUT.replace("@P_", f"@{p}_")}"""


def _detail_text(p: str, detail: Detail) -> str:
    """The block that writes one kind of detail."""
    lines: list[str] = [f"detail{detail.value}:"]
    number = detail.value * 10

    def put(*parts: int | str) -> None:
        for part in parts:
            nonlocal number
            number += 1
            if isinstance(part, int):
                lines.append(f"  call void @{p}_put_word(ptr %writer, i32 {part})")
                continue
            field, kind = part.split(":")
            lines.append(f"  %v{number} = load i64, ptr %{field}.place")
            lines.append(f"  call void @{p}_put_{kind}(ptr %writer, i64 %v{number})")

    match detail:
        case Detail.NUMBER:
            put(_GOT, "got:number", _COMMA)
        case Detail.NUMBERS:
            put(_GOT, "got:number", _AND, "need:number", _COMMA)
        case Detail.NEED:
            put(_GOT, "got:number", _NEED, "need:number", _COLON)
        case Detail.ADDRESS:
            put(_GOT, "got:address", _COMMA)
        case Detail.AREAS:
            put("got:area", _AND, "need:area", _OVERLAP)
    return "\n".join([*lines, "  br label %rest", ""])


# A writer is the place of the next byte and that of the last one, which stays free for the zero.
_PUT = f"""
define internal void @P_put(ptr %writer, ptr %from, i32 %most) nounwind noinline {{
entry:
  %next.first = load ptr, ptr %writer
  %last.place = getelementptr ptr, ptr %writer, i32 1
  %last = load ptr, ptr %last.place
  br label %byte
byte:
  %next = phi ptr [%next.first, %entry], [%next.more, %copy]
  %i = phi i32 [0, %entry], [%i.more, %copy]
  %place = getelementptr i8, ptr %from, i32 %i
  %enough = icmp eq i32 %i, %most
  br i1 %enough, label %done, label %read
read:
  %c = load i8, ptr %place
  %zero = icmp eq i8 %c, 0
  %full = icmp eq ptr %next, %last
  %stop = or i1 %zero, %full
  br i1 %stop, label %done, label %copy
copy:
  store i8 %c, ptr %next
  %next.more = getelementptr i8, ptr %next, i32 1
  %i.more = add i32 %i, 1
  br label %byte
done:
  store ptr %next, ptr %writer
  ret void
}}

define internal void @P_put_word(ptr %writer, i32 %row) nounwind noinline {{
  %text = call ptr @P_word_text(i32 %row)
  call void @P_put(ptr %writer, ptr %text, i32 -1)
  ret void
}}

@P_powers = internal constant [20 x i64] [{", ".join(f"i64 {10**k}" for k in range(19, -1, -1))}]

define internal void @P_put_number(ptr %writer, i64 %value) nounwind noinline {{
entry:
  %text = alloca [24 x i8], align 8
  %negative = icmp slt i64 %value, 0
  br i1 %negative, label %minus, label %plus
minus:
  call void @P_put_word(ptr %writer, i32 {_MINUS})
  %size = sub i64 0, %value
  br label %plus
plus:
  %whole = phi i64 [%value, %entry], [%size, %minus]
  br label %power
power:
  %k = phi i32 [0, %plus], [%k.next, %write]
  %left = phi i64 [%whole, %plus], [%rest, %write]
  %count = phi i32 [0, %plus], [%count.next, %write]
  %p.place = getelementptr [20 x i64], ptr @P_powers, i32 0, i32 %k
  %p = load i64, ptr %p.place
  br label %digit
digit:
  %rest = phi i64 [%left, %power], [%less, %take]
  %d = phi i8 [48, %power], [%d.next, %take]
  %enough = icmp uge i64 %rest, %p
  br i1 %enough, label %take, label %write
take:
  %less = sub i64 %rest, %p
  %d.next = add i8 %d, 1
  br label %digit
write:
  %zero = icmp eq i8 %d, 48
  %first = icmp eq i32 %count, 0
  %not.last = icmp ne i32 %k, 19
  %leading = and i1 %zero, %first
  %skip = and i1 %leading, %not.last
  %place = getelementptr i8, ptr %text, i32 %count
  store i8 %d, ptr %place
  %count.more = add i32 %count, 1
  %count.next = select i1 %skip, i32 %count, i32 %count.more
  %k.next = add i32 %k, 1
  %again = icmp ult i32 %k.next, 20
  br i1 %again, label %power, label %done
done:
  call void @P_put(ptr %writer, ptr %text, i32 %count.next)
  ret void
}}

define internal void @P_put_address(ptr %writer, i64 %value) nounwind noinline {{
entry:
  %text = alloca [16 x i8], align 8
  %null = icmp eq i64 %value, 0
  br i1 %null, label %none, label %some
none:
  call void @P_put_word(ptr %writer, i32 {_NULL})
  ret void
some:
  call void @P_put_word(ptr %writer, i32 {_ADDRESS})
  br label %digit
digit:
  %k = phi i32 [0, %some], [%k.next, %digit]
  %left = phi i64 [%value, %some], [%left.next, %digit]
  %count = phi i32 [0, %some], [%count.next, %digit]
  %high = lshr i64 %left, 60
  %d = trunc i64 %high to i8
  %letter = icmp ugt i8 %d, 9
  %base = select i1 %letter, i8 87, i8 48
  %c = add i8 %d, %base
  %zero = icmp eq i8 %d, 0
  %first = icmp eq i32 %count, 0
  %skip = and i1 %zero, %first
  %place = getelementptr i8, ptr %text, i32 %count
  store i8 %c, ptr %place
  %count.more = add i32 %count, 1
  %count.next = select i1 %skip, i32 %count, i32 %count.more
  %left.next = shl i64 %left, 4
  %k.next = add i32 %k, 1
  %again = icmp ult i32 %k.next, 16
  br i1 %again, label %digit, label %done
done:
  call void @P_put(ptr %writer, ptr %text, i32 %count.next)
  ret void
}}

define internal void @P_put_area(ptr %writer, i64 %row) nounwind noinline {{
  %short = trunc i64 %row to i32
  %text = call ptr @P_area_text(i32 %short)
  call void @P_put(ptr %writer, ptr %text, i32 -1)
  ret void
}}
"""
