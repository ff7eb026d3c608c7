"""Text for pictures: widths without a font library, cutting, wrapping, escaping, units.

Widths are those of Helvetica (per mille of the font size), which Arial and Liberation Sans share.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

__all__ = ["FONT", "count_text", "cut", "escape", "nbytes_text", "printable", "text_width", "wrap"]

FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"

# Characters from space (32) to tilde (126).
_WIDTHS = (
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278,
    556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
    1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778,
    667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
    333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556,
    556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
)  # fmt: skip
_BOLD = 1.08
_FALLBACK = 1.04  # other fonts are a little wider


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of a line of text, a little on the safe side."""
    total = sum(_letter(letter) for letter in text)
    return total / 1000 * size * _FALLBACK * (_BOLD if bold else 1.0)


def _letter(letter: str) -> int:
    code = ord(letter)
    if 32 <= code < 127:
        return _WIDTHS[code - 32]
    return 1000 if unicodedata.east_asian_width(letter) in "WF" else 600


def cut(text: str, letters: int) -> str:
    """At most so many letters, the cut marked by an ellipsis in the middle (ends tell apart)."""
    if len(text) <= letters:
        return text
    tail = (letters - 1) // 2
    return f"{text[: letters - 1 - tail]}…{text[len(text) - tail :]}"


def wrap(text: str, letters: int, lines: int) -> list[str]:
    """Words in at most `lines` lines; what does not fit is replaced by an ellipsis."""
    result: list[str] = []
    for word in text.split():
        word = cut(word, letters)
        if result and len(result[-1]) + 1 + len(word) <= letters:
            result[-1] += " " + word
        elif len(result) == lines:
            result[-1] = result[-1][: letters - 2] + " …"
            break
        else:
            result.append(word)
    return result


def escape(text: str) -> str:
    """Text for XML content and attributes; characters that XML 1.0 forbids become U+FFFD."""
    allowed = printable(text)
    for plain, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        allowed = allowed.replace(plain, entity)
    return allowed


def printable(text: str) -> str:
    """The text with U+FFFD in place of the characters that neither XML nor DOT can hold."""
    return "".join(letter if _is_xml(letter) else "\ufffd" for letter in text)


def _is_xml(letter: str) -> bool:
    code = ord(letter)
    return (
        letter in "\t\n\r"
        or 0x20 <= code < 0xD800
        or (
            code >= 0xE000
            and code
            not in (
                0xFFFE,
                0xFFFF,
            )
        )
    )


def nbytes_text(nbytes: float) -> str:
    """`1536 -> 1.5 KiB`."""
    return _scaled(nbytes, 1024, ("B", "KiB", "MiB", "GiB", "TiB"))


def count_text(count: float, unit: str = "") -> str:
    """`2500000, "FLOP" -> 2.5 MFLOP`."""
    return _scaled(count, 1000, tuple(prefix + unit for prefix in ("", "k", "M", "G", "T", "P")))


def _scaled(value: float, base: int, units: Sequence[str]) -> str:
    for unit in units[:-1]:
        # Not `< base`: 1023.96 KiB would be printed as 1024.0 KiB.
        if abs(value) < base - 0.05:
            return _number(value, unit)
        value /= base
    return _number(value, units[-1])


def _number(value: float, unit: str) -> str:
    digits = f"{value:.0f}" if value == int(value) else f"{value:.1f}"
    return f"{digits} {unit}".rstrip()
