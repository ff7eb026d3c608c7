"""Files around an artefact for other languages and build systems."""

from __future__ import annotations

import importlib.resources

from ..kernel import dims
from .header import c_type
from .signature import Signature, Tensor

ADAPTERS = {
    "pthreads": ("sg_pthreads.c", "sg_pthreads.h"),
    "openmp": ("sg_openmp.c",),
    "tbb": ("sg_tbb.cpp",),
}
"""The shipped sources of each adapter for threads."""


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
        f'        need({t.field}.size() == {p}_{t.field}_elements({names}), "{t.field}");\n'
        for t in (*signature.inputs, *signature.results)
    )
    ins = "".join(f"        in.{t.field} = {t.field}.data();\n" for t in signature.inputs)
    ins += "".join(f"        in.{name} = {name};\n" for name in extents)
    outs = "".join(f"        out.{t.field} = {t.field}.data();\n" for t in signature.results)
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
    explicit error(std::int32_t code) : std::runtime_error({p}_strerror(code)), code(code) {{}}
    std::int32_t code;
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
{checks}        {p}_inputs in{{}};
        {p}_outputs out{{}};
{ins}{outs}        std::int64_t threads = context.parallel_for ? context.threads : 1;
        std::size_t bytes = static_cast<std::size_t>({p}_workspace_needed(&in, threads));
        if (memory.size() * sizeof(line) < bytes)
            memory.resize((bytes + sizeof(line) - 1) / sizeof(line));
        context.workspace_bytes = memory.size() * sizeof(line);
        if (std::int32_t code = {p}_run(&in, &out, memory.data(), &context))
            throw error(code);
    }}

    sg_context context; // threads and weights, as in C

private:
    struct alignas({signature.alignment}) line {{
        std::byte bytes[{signature.alignment}];
    }};
    std::vector<line> memory;

    static void need(bool holds, const char *name)
    {{
        if (!holds)
            throw std::invalid_argument(std::string("{p}: the span ") + name +
                                        " has not the size that the extents say");
    }}
}};

}} // namespace {p}
"""


def _span(tensor: Tensor, is_const: bool) -> str:
    const = "const " if is_const else ""
    return f"std::span<{const}{c_type(tensor.dtype)}> {tensor.field}"


def pkg_config(signature: Signature, name: str, library: str) -> str:
    """A pkg-config file for the folder that it lies in."""
    return f"""\
prefix=${{pcfiledir}}
Name: {name}
Description: compiled model {signature.prefix}
Version: 1
Cflags: -I${{prefix}}
Libs: ${{prefix}}/{library}
"""


def cmake_config(signature: Signature, name: str, library: str) -> str:
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


def stub(signature: Signature) -> str:
    """A `.pyi` for the Python module of the model."""
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
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

DESCRIPTION: dict[str, Any]
MODEL_HASH: str

def run({arguments}) -> {result}:
    \"\"\"Compute the outputs; the arrays must be C-contiguous.

{text}
    \"\"\"
"""
