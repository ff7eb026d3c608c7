"""Calls back into host operators, the same for every target that can make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import HostOperatorError
from ..ir.host import OnHost
from ..ir.program import HostStep

Array = np.ndarray[Any, np.dtype[Any]]


def call_host(step: HostStep, reads: Sequence[Array], writes: Sequence[Array]) -> None:
    """Run one host operator.  Raises: HostOperatorError with the node's name, cause chained."""
    op = step.node.op
    assert isinstance(op, OnHost)
    try:
        op.call_host(reads, writes)
    except Exception as error:
        raise HostOperatorError(
            f"host operator {op.label} in node {step.name} raised {type(error).__name__}: {error} "
            f"(declared at {step.node.origin})"
        ) from error
