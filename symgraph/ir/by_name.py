"""What inference found, by the names of variables, intermediates and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .graph import Inference
from .tensor_type import TensorType


class _PerName(Mapping[str, Any]):
    """Something for every variable, intermediate and output, by name."""

    def __init__(self, inference: Inference) -> None:
        self.inference = inference
        graph = inference.graph
        self.graph = graph
        self._entries: dict[str, TensorType] = {}
        for node in graph.nodes:
            for value in node.values:
                several = node.op.output_count > 1
                suffix = f"_{node.op.output_names[value.index]}" if several else ""
                self._entries[graph.names[node] + suffix] = inference.types[value]

    @staticmethod
    def _pick(type: TensorType) -> Any:
        raise NotImplementedError

    def __getitem__(self, name: str) -> Any:
        return self._pick(self._entries[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def complete(self) -> bool:
        """Nothing is unknown."""
        return self.inference.complete

    @property
    def unknown(self) -> tuple[str, ...]:
        """The names of which something is unknown, variables first."""
        return self.inference.unknown

    @property
    def variables(self) -> dict[str, Any]:
        """Of the variables alone."""
        names = [self.graph.names[n] for n in self.graph.variables]
        return {name: self[name] for name in names}

    @property
    def outputs(self) -> tuple[Any, ...]:
        """Of each output, in order."""
        return tuple(self._pick(self.inference.types[v]) for v in self.graph.outputs)

    def __str__(self) -> str:
        width = max((len(name) for name in self._entries), default=0)
        return "\n".join(f"{name:<{width}}  {type}" for name, type in self._entries.items())

    __repr__ = __str__


class Shapes(_PerName):
    """Shapes by name; an unknown extent prints as `?`, an unknown rank is None."""

    @staticmethod
    def _pick(type: TensorType) -> Any:
        return type.shape


class DTypes(_PerName):
    """Dtypes by name."""

    @staticmethod
    def _pick(type: TensorType) -> Any:
        return type.dtype
