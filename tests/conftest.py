"""Options and fixtures for all tests."""

from __future__ import annotations

import gc
import math

import pytest

from symgraph.codegen import program_store

# Tests change the compiler under way: a program of another run is none of theirs.
program_store.KEEP_FROM_SECONDS = math.inf


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", default=False,
                     help="rewrite golden files whose numeric check passes")  # fmt: skip


def pytest_collection_finish() -> None:
    """The tests themselves, many thousand objects, are looked at by no later collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be rewritten."""
    return bool(request.config.getoption("--update-golden"))
