"""The module of a shipped object: the program, its checked entry, messages, weights, description.

    int32_t NAME_run(const NAME_inputs *, const NAME_outputs *, void *workspace, const sg_context *)
    const char *NAME_strerror(int32_t code)
    int32_t NAME_explain(inputs, outputs, workspace, context, char *text, size_t size)
    int64_t NAME_workspace_needed(const NAME_inputs *, int64_t threads)

and, where asked for, NAME_isa and NAME_selftest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from ...errors import InternalError
from . import abi
from .checked_entry import CheckedEntry, asks_processor
from .checks import Checks
from .contract import (
    WEIGHTS_HEADER_BYTES,
    WEIGHTS_LAYOUT_OFFSET,
    Shipped,
    Version,
    body_symbol,
)
from .messages import messages_text
from .selftest import TestWeights, selftest_text, words_at
from .support import support_text
from .texts import escaped
from .versions import join_versions, level_text, version_symbol
from .weights_check import weights_check_text


def shipped_text(versions: Sequence[Version], shipped: Shipped) -> str:
    """The module of a program with its own entry made internal and the exported functions added.

    Several versions stand side by side; the first one that fits a call runs, and the last one fits
    every call.
    """
    bodies = []
    for version in versions:
        head = f"define i32 @{version.symbol}("
        if head not in version.text:
            raise InternalError(f"llvm: the module defines no {version.symbol}")
        own = f"define internal i32 @{body_symbol(shipped.prefix)}("
        bodies.append((version.text.replace(head, own), version.machine))
    by_level = asks_processor(versions)
    if shipped.selftest is not None:
        version, test = shipped.selftest
        head = f"define i32 @{version.symbol}("
        own = f"define internal i32 @{test.symbol}("
        bodies.append((version.text.replace(head, own), version.machine))
    parts = [
        join_versions(bodies, by_level) if len(bodies) > 1 or by_level else bodies[0][0],
        level_text(shipped.prefix) if by_level else "",
        _weights_text(shipped),
        weights_check_text(shipped, shipped.home or shipped.prefix)
        if shipped.checks_weights
        else "",
        Checks(versions[-1].machine, shipped).text(),
        CheckedEntry(versions, shipped).text(),
        CheckedEntry(versions, shipped).workspace_text(),
        messages_text(shipped),
        _selftest_text(shipped, len(bodies), by_level),
        support_text(shipped.support),
        _kept_text(shipped),
    ]
    return "\n".join(p for p in parts if p)


def _selftest_text(shipped: Shipped, number: int, asks: bool) -> str:
    if shipped.selftest is None:
        return ""
    version, test = shipped.selftest
    weights = TestWeights("null")
    if shipped.weights == "file":
        words = words_at(WEIGHTS_LAYOUT_OFFSET, shipped.layout + shipped.digest)
        skip = WEIGHTS_HEADER_BYTES + version.weights_offset
        weights = TestWeights(skip=skip, alignment=WEIGHTS_HEADER_BYTES, words=words)
    elif shipped.weights == "pointer":
        weights = TestWeights(skip=version.weights_offset, alignment=abi.ALIGNMENT)
    elif shipped.weights_nbytes:
        start = f"@{shipped.weights_data}"
        weights = TestWeights(f"getelementptr (i8, ptr {start}, i64 {version.weights_offset})")
    placed = replace(test, symbol=version_symbol(test.symbol, number))
    level = version.level if asks else 0
    return selftest_text(shipped.prefix, placed, weights, level)


def weights_marker(prefix: str) -> bytes:
    """32 bytes with which the room for the weights begins, to find it in any object format."""
    return hashlib.sha256(f"symgraph weights of {prefix}".encode()).digest()


def _weights_text(shipped: Shipped) -> str:
    """Room for the weights, which are put into the finished object: text would be slow to parse.

    `externally_initialized` keeps the compiler from folding loads of what it believes to be zeros.
    """
    if shipped.weights != "embedded" or not (shipped.weights_nbytes and shipped.has_weights):
        return ""
    marker = weights_marker(shipped.home or shipped.prefix)
    rest = shipped.weights_nbytes - len(marker)
    type = f"<{{ [{len(marker)} x i8], [{rest} x i8] }}>"
    return (
        f"@{shipped.weights_data} = internal externally_initialized constant {type} "
        f'<{{ [{len(marker)} x i8] c"{escaped(marker)}", [{rest} x i8] zeroinitializer }}>, '
        f'section "{shipped.sections.weights}", align 4096\n'
    )


def with_weights(body: bytes, prefix: str, weights: bytes | memoryview) -> bytes:
    """The object with the weights in their place.  Raises: InternalError when there is none."""
    marker = weights_marker(prefix)
    start = body.find(marker)
    if start < 0 or body.find(marker, start + 1) >= 0:
        raise InternalError("llvm: the object has no single place for the weights")
    around = memoryview(body)
    return b"".join((around[:start], weights, around[start + len(weights) :]))


def _kept_text(shipped: Shipped) -> str:
    """The description in a section of its own, and what the linker and the compiler must keep."""
    kept = [f"ptr @{name}" for name in shipped.support]
    text, p = "", shipped.prefix
    if shipped.interface:
        text = f"@{shipped.interface} = constant i32 1\n"
    if shipped.description:
        data = shipped.description
        text += (
            f'@{p}_description = internal constant [{len(data)} x i8] c"{escaped(data)}", '
            f'section "{shipped.sections.metadata}", align 8\n'
        )
        kept.append(f"ptr @{p}_description")
    if kept:
        text += (
            f"@llvm.used = appending global [{len(kept)} x ptr] [{', '.join(kept)}], "
            f'section "llvm.metadata"\n'
        )
    return text
