"""The entry that packs parameters into the block of weights, and what the header says of it.

It is an entry like any other, NAME_pack_run: inputs are the parameters as they are declared, each
output is one array of the block.  The header adds NAME_pack_weights, which knows where they lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..codegen.llvm.contract import WEIGHTS_HEADER_BYTES
from ..codegen.llvm.platform import Platform
from ..codegen.llvm.weights_check import WEIGHTS_MAGIC
from ..errors import InputError
from .budgets import Budgets
from .compiled import compile_entries, signature_for
from .entry_point import EntryPoint
from .header import c_type
from .pack import PACK
from .recipes import recipe_graph
from .request import Request
from .signature import Signature, Weight
from .weights import Block, layout_digest, refuse_too_large, weights_block


def pack_entry(
    entries: Mapping[str, EntryPoint], prefix: str, platform: Platform, block: Block
) -> EntryPoint | None:
    """None where the object carries its weights, or has none.

    Raises: InputError for an object with an entry of that name.
    """
    first = next(iter(entries.values()))
    if first.request.weights == "embedded" or not block.data:
        return None
    if PACK in entries:
        raise InputError(
            f"export: with weights={first.request.weights!r} the object has an entry {PACK!r} of "
            f"its own, which packs them; give yours another name"
        )
    first.request.progress("packing of weights")
    request = _request(first.request, f"{prefix}_{PACK}", platform, block)
    (versions,) = compile_entries((request,))
    own = weights_block([version.program for version in versions])
    refuse_too_large(len(own.data), request.weights, platform.name, platform.pointer_bits)
    signature = signature_for(request, versions, platform, own)
    home = f"{prefix}_{PACK}"
    return EntryPoint(request, versions, signature, platform, home, own, own.starts, first.hash)


def _request(first: Request, name: str, platform: Platform, block: Block) -> Request:
    """The same bits on every processor, so one version is enough, for the least of them."""
    is_x86 = platform.name.startswith("x86_64")
    return replace(
        first,
        graph=recipe_graph(block.sources),
        name=name,
        params={},
        cpus=("x86-64",) if is_x86 else first.cpus[:1],
        weights="embedded",
        shapes={},
        dtypes={},
        ranges={},
        specialise={},
        training=False,
        budgets=Budgets(),
        selftest=False,
        options=first.options.with_(strict=True, platform=platform.name),
    )


def pack_header(prefix: str, signature: Signature, own: Signature, weights: str) -> list[str]:
    """NAME_pack_weights in C; `signature` has the weights of the whole object, `own` is that of the
    entry."""
    is_file = weights == "file"
    p, upper = prefix, prefix.upper()
    skip = WEIGHTS_HEADER_BYTES if is_file else 0
    nbytes = signature.weights_nbytes + skip
    places = "\n".join(
        f"    outputs.{result.field} = ({c_type(result.dtype)} *)(void *)(block + "
        f"UINT64_C({weight.offset}));"
        for result, weight in zip(own.results, signature.weights, strict=True)
    )
    gaps = _gaps(signature)
    alignment = WEIGHTS_HEADER_BYTES if is_file else signature.alignment
    what = "the whole weights file" if is_file else "the block that context.constants points to"
    return [
        f"""\
#ifndef {upper}_PACK_WEIGHTS_SYMGRAPH_H
#define {upper}_PACK_WEIGHTS_SYMGRAPH_H
/* Bytes of {what}. */
#define {upper}_PACKED_BYTES UINT64_C({nbytes})

/* Make {what} from the parameters: plain arrays, as they were
   declared.  Scales are folded in, and arrays transformed and packed as {p}_run reads them, with
   the bits of the export.  `weights` has {upper}_PACKED_BYTES bytes, aligned to {alignment};
   `workspace` has {own.prefix}_workspace_bytes().

   Returns 0, a code of {own.prefix}_strerror (a parameter that is NULL, the workspace), or
     -1  `weights` is NULL or not aligned to {alignment} bytes
     -2  `bytes` is less than {upper}_PACKED_BYTES */
static inline int32_t {p}_pack_weights(const {own.prefix}_inputs *parameters, void *weights,
    uint64_t bytes, void *workspace, const sg_context *context)
{{
    {own.prefix}_outputs outputs;
    unsigned char *block = (unsigned char *)weights{f" + {skip}" if skip else ""};
    int32_t code;
{"    uint64_t at;" + chr(10) if gaps or is_file else ""}\
    if (weights == NULL || (uintptr_t)weights % {alignment} != 0)
        return -1;
    if (bytes < {upper}_PACKED_BYTES)
        return -2;
{places}
{gaps}    code = {own.prefix}_run(parameters, &outputs, workspace, context);
{_file_header(p, signature) if is_file else ""}    return code;
}}

/* The reason of a result of {p}_pack_weights; never NULL. */
static inline const char *{p}_pack_weights_error(int32_t code)
{{
    if (code == -1)
        return "weights: need a pointer aligned to {alignment} bytes, not NULL";
    if (code == -2)
        return "weights: need {nbytes} bytes ({upper}_PACKED_BYTES) or more";
    return {own.prefix}_strerror(code);
}}
#endif
"""
    ]


def _gaps(signature: Signature) -> str:
    """What lies between the arrays is zero."""
    lines, rows = "", sorted(signature.weights, key=lambda w: w.offset)
    ends = [*(row.offset for row in rows[1:]), signature.weights_nbytes]
    for row, end in zip(rows, ends, strict=True):
        start = row.offset + _nbytes(row)
        if start < end:
            lines += f"    for (at = UINT64_C({start}); at < UINT64_C({end}); at++)\n"
            lines += "        block[at] = 0;\n"
    return lines


def _nbytes(weight: Weight) -> int:
    shape = weight.shape if weight.packing is None else weight.packing.shape
    count = 1
    for extent in shape:
        count *= extent
    return count * weight.dtype.nbytes


def _file_header(p: str, signature: Signature) -> str:
    """Magic, the layout's hash, that of the block, its size, and zeros (see weights.py)."""
    known = WEIGHTS_MAGIC + layout_digest(signature)
    values = ", ".join(str(byte) for byte in known)
    return f"""\
    if (code == 0) {{
        static const unsigned char known[{len(known)}] = {{{values}}};
        unsigned char *header = (unsigned char *)weights;
        for (at = 0; at < {WEIGHTS_HEADER_BYTES}; at++)
            header[at] = at < {len(known)} ? known[at] : 0;
        {p}_hash(block, {p.upper()}_WEIGHTS_BYTES, header + {len(known)});
        for (at = 0; at < 8; at++)
            header[{len(known) + 32} + at] = (unsigned char)({p.upper()}_WEIGHTS_BYTES >> (8 * at));
    }}
"""


def weights_functions(prefix: str, weights: str) -> list[str]:
    """NAME_check_weights and NAME_hash in C."""
    p, upper = prefix, prefix.upper()
    what = (
        "a mapped weights file: of this model, whole, and with the hash that it carries"
        if weights == "file"
        else "a block of weights: byte for byte that of the export"
    )
    return [
        f"""\
#ifndef {upper}_CHECK_WEIGHTS_SYMGRAPH_H
#define {upper}_CHECK_WEIGHTS_SYMGRAPH_H
#ifdef __cplusplus
extern "C" {{
#endif
/* What {p}_check_weights returns. */
#define {upper}_WEIGHTS_OK 0
#define {upper}_WEIGHTS_ERROR_POINTER 1 /* NULL */
#define {upper}_WEIGHTS_ERROR_SIZE 2 /* truncated, or `bytes` is not the size */
#define {upper}_WEIGHTS_ERROR_MODEL 3 /* no weights file, or one of another model */
#define {upper}_WEIGHTS_ERROR_DAMAGED 4 /* the SHA-256 is not the one that is expected */

/* Whether this is {what}.
   {p}_run does not ask: reading every byte takes about a second for 300 MB. */
int32_t {p}_check_weights(const void *weights, uint64_t bytes);

/* SHA-256 of memory, into 32 bytes. */
void {p}_hash(const void *data, uint64_t bytes, void *digest);
#ifdef __cplusplus
}}
#endif
#endif
"""
    ]
