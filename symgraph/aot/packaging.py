"""Files around an artefact for other languages and build systems."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping

from ..kernel import dims
from .header import c_type, comment
from .kinds import ADAPTERS
from .signature import Signature, Tensor


def adapter_files(kind: str) -> dict[str, bytes]:
    """The sources of an adapter by file name."""
    folder = importlib.resources.files(__package__) / "c"
    return {name: (folder / name).read_bytes() for name in ADAPTERS[kind]}


def cpp_header(signature: Signature, header: str) -> str:
    """A C++20 header over the C one: spans whose sizes are checked, exceptions that say why."""
    p = signature.prefix
    extents = [e.field for e in signature.extents]
    parameters = [f"std::int64_t {name}" for name in extents]
    updated = {t.updates for t in signature.outputs if t.updates}
    spans = [_span(t, t.name not in updated) for t in signature.inputs]
    spans += [_span(t, False) for t in signature.results]
    names = ", ".join(extents)
    checks = "".join(
        f"        need_({t.field}.size(), {p}_{t.field}_elements({names}), "
        f"\"{'output' if t.role == 'output' else t.role} '{comment(t.name)}'\");\n"
        for t in (*signature.inputs, *signature.results)
    )
    ins = "".join(f"        inputs_.{t.field} = {t.field}.data();\n" for t in signature.inputs)
    ins += "".join(f"        inputs_.{name} = {name};\n" for name in extents)
    outs = "".join(f"        outputs_.{t.field} = {t.field}.data();\n" for t in signature.results)
    arguments = ",\n                    ".join([*parameters, *spans])
    return f"""\
// {p} for C++20: spans instead of pointers, exceptions instead of codes.  The workspace is kept
// from call to call; one object must not be used by several threads at once.
#pragma once

#include "{header}"

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace {p} {{

class error : public std::runtime_error {{
public:
    error(std::int32_t number, const char *text) : std::runtime_error(text), code(number) {{}}
    std::int32_t code; // as {p}_run returns it
}};

class model {{
public:
    model() : context SG_CONTEXT(0) {{}}

    // Bytes of workspace for these extents.
    static constexpr std::size_t workspace_bytes({", ".join(parameters)})
    {{
        return {p}_workspace_bytes({names});
    }}

    // Throws std::invalid_argument for a span of another size, {p}::error for a broken rule.
    void operator()({arguments})
    {{
{checks}        {p}_inputs inputs_{{}};
        {p}_outputs outputs_{{}};
{ins}{outs}        std::int64_t threads_ = this->context.parallel_for ? this->context.threads : 1;
        auto bytes_ = static_cast<std::size_t>({p}_workspace_needed(&inputs_, threads_));
        if (memory_.size() * sizeof(line_) < bytes_)
            memory_.resize((bytes_ + sizeof(line_) - 1) / sizeof(line_));
        this->context.workspace_bytes = memory_.size() * sizeof(line_);
        if ({p}_run(&inputs_, &outputs_, memory_.data(), &this->context)) {{
            char text_[512];
            std::int32_t code_ = {p}_explain(&inputs_, &outputs_, memory_.data(), &this->context,
                                             text_, sizeof text_);
            throw {p}::error(code_, text_);
        }}
    }}

    sg_context context; // threads and weights, as in C

private:
    struct alignas({signature.alignment}) line_ {{
        std::byte bytes[{signature.alignment}];
    }};
    std::vector<line_> memory_;

    static void need_(std::size_t got, std::size_t elements, const char *name)
    {{
        if (got != elements)
            throw std::invalid_argument(std::string("{p}: ") + name + ": got " +
                                        std::to_string(got) + " elements, need " +
                                        std::to_string(elements));
    }}
}};

}} // namespace {p}
"""


def _span(tensor: Tensor, is_const: bool) -> str:
    const = "const " if is_const else ""
    return f"std::span<{const}{c_type(tensor.dtype)}> {tensor.field}"


def pkg_config(prefix: str, name: str, library: str) -> str:
    """A pkg-config file for the folder that it lies in."""
    return f"""\
prefix=${{pcfiledir}}
Name: {name}
Description: compiled model {prefix}
Version: 1
Cflags: -I${{prefix}}
Libs: ${{prefix}}/{library}
"""


def cmake_config(name: str, library: str) -> str:
    """A CMake package: `find_package({name})`, then link `{name}::{name}`."""
    kind = "OBJECT" if library.endswith(".o") else "STATIC"
    location = "IMPORTED_OBJECTS" if kind == "OBJECT" else "IMPORTED_LOCATION"
    return f"""\
# find_package({name} CONFIG REQUIRED), then target_link_libraries(... {name}::{name})
if(NOT TARGET {name}::{name})
  add_library({name}::{name} {kind} IMPORTED)
  set_target_properties({name}::{name} PROPERTIES
    {location} "${{CMAKE_CURRENT_LIST_DIR}}/{library}"
    INTERFACE_INCLUDE_DIRECTORIES "${{CMAKE_CURRENT_LIST_DIR}}")
endif()
"""


STUB = """\
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

DESCRIPTION: dict[str, Any]
MODEL_HASH: str
"""


def entries_stub(signatures: Mapping[str, Signature]) -> str:
    """A `.pyi` for the Python module of the model: one function for each entry."""
    return "\n".join([STUB, *(_stub(name, s) for name, s in signatures.items())])


def _stub(name: str, signature: Signature) -> str:
    updated = {t.updates for t in signature.outputs if t.updates}
    names = [t.name if t.name.isidentifier() else t.field for t in signature.inputs]
    arguments = ", ".join(f"{name}: Array" for name in names)
    results = signature.results
    result = "Array" if len(results) == 1 else f"tuple[{', '.join(['Array'] * len(results))}]"
    lines = [f"    {t.field}: {t}{' (updated)' if t.name in updated else ''}"
             for t in signature.inputs]  # fmt: skip
    lines += [f"    returns {t.field}: {t.dtype.name}{dims.dim_text(t.shape)}" for t in results]
    text = "\n".join(lines)
    return f"""\
def {name}({arguments}) -> {result}:
    \"\"\"Compute the outputs; the arrays must be C-contiguous.

{text}
    \"\"\"
"""
