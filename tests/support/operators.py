"""Which operators tests go through."""

from __future__ import annotations

from symgraph.ir.registry import registry

NOT_COMPUTED = ("constant", "host_backward", "host_inference", "scalar", "variable")
"""Nodes without a computation of their own: inputs, arrays, numbers whose dtype is not known, and
the wrappers of users' host operators."""


def package_operators() -> list[str]:
    """The names of the package's operators with samples, not those that other tests define."""
    return [
        n
        for n in registry.names()
        if n not in NOT_COMPUTED and registry.get(n).__module__.startswith("symgraph.")
    ]
