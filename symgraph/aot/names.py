"""Names of a graph as C identifiers: legal in C and C++, unique, and stable."""

from __future__ import annotations

from collections.abc import Iterable

_C = """auto break case char const continue default do double else enum extern float for goto if
inline int long register restrict return short signed sizeof static struct switch typedef union
unsigned void volatile while"""
_CPP = """alignas alignof and and_eq asm atomic_cancel atomic_commit atomic_noexcept bitand bitor
bool catch char8_t char16_t char32_t class co_await co_return co_yield compl concept const_cast
consteval constexpr constinit decltype delete dynamic_cast explicit export false friend mutable
namespace new noexcept not not_eq nullptr operator or or_eq private protected public reflexpr
reinterpret_cast requires static_assert static_cast synchronized template this thread_local throw
true try typeid typename using virtual wchar_t xor xor_eq"""
_MACROS = """NULL EOF INFINITY NAN I linux unix errno assert stdin stdout stderr complex imaginary
noreturn"""
KEYWORDS = frozenset(f"{_C} {_CPP} {_MACROS}".split())


def identifier(name: str, fallback: str = "x") -> str:
    """A C identifier close to `name`.

    Characters that C does not allow become `_`; a leading digit gets one in front; what C or C++
    reserve (keywords, `__` anywhere, a leading `_` and capital) is changed too.
    """
    text = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
    while "__" in text:
        text = text.replace("__", "_")
    text = text.strip("_") or fallback
    if text[0].isdigit():
        text = f"{fallback}{text}"
    return f"{text}_" if text in KEYWORDS else text


def unique_identifiers(
    names: Iterable[str], taken: Iterable[str] = (), fallback: str = "x"
) -> tuple[str, ...]:
    """One identifier for each name, in order, all different from each other and from `taken`."""
    used = set(taken)
    result: list[str] = []
    for name in names:
        base = candidate = identifier(name, fallback)
        number = 2
        while candidate in used:
            candidate, number = f"{base.rstrip('_')}_{number}", number + 1
        used.add(candidate)
        result.append(candidate)
    return tuple(result)
