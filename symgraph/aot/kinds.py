"""The kinds of files that an export can write; importing it loads no compiler."""

from __future__ import annotations

ADAPTERS = {
    "pthreads": ("sg_pthreads.c", "sg_pthreads.h"),
    "openmp": ("sg_openmp.c",),
    "tbb": ("sg_tbb.cpp",),
}
"""The shipped sources of each adapter for threads."""

KINDS = ("o", "h", "json", "a", "so", "hpp", "pc", "cmake", "pyi", "whl", *ADAPTERS)
