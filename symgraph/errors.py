"""The errors of symgraph: whose fault it is decides the class.

`UserError` and its children say what the user can mend: what, where (node, file and line),
expected and got, what to do.  `InternalError` and `VerifyError` mean that symgraph itself broke
one of its own rules; they are worth a bug report.
"""

from __future__ import annotations


class SymgraphError(Exception):
    """Base of every error that symgraph raises on purpose."""


class UserError(SymgraphError):
    """Something that the caller can mend."""


class ShapeError(UserError, ValueError):
    """Shapes that cannot all hold at once, or that are still unknown where they are needed."""


class DTypeError(UserError, TypeError):
    """Element types that do not fit together."""


class NameConflictError(UserError, ValueError):
    """Two different variables, inputs or outputs with one name."""


class AttributeValueError(UserError, ValueError):
    """An operator attribute outside its range."""


class GradientError(UserError, ValueError):
    """A gradient that does not exist or cannot be formed."""


class InputError(UserError, ValueError):
    """A call of an executable with a wrong, missing or superfluous array."""


class PipelineError(UserError, ValueError):
    """A pass pipeline whose passes cannot run in that order."""


class TargetError(UserError, RuntimeError):
    """A target that is unknown, or that cannot be used on this machine."""


class FormatError(UserError, ValueError):
    """A file or text that is damaged, of another version, or not of the expected kind."""


class MissingDependencyError(UserError, ImportError):
    """An optional package that a feature needs is not installed."""


class FileError(UserError, OSError):
    """A file or folder that is missing or cannot be written."""


class UnknownOperatorError(UserError, LookupError):
    """A graph names an operator that is not registered."""


class HostOperatorError(UserError, RuntimeError):
    """A host operator's own Python code raised; the cause is chained."""


class MemoryPlanError(SymgraphError):
    """A memory plan in which two live buffers overlap, or a buffer is out of place."""


class InternalError(SymgraphError):
    """symgraph broke one of its own rules."""


class VerifyError(InternalError):
    """An invariant of an intermediate representation does not hold.

    `rule` is its number (G1.. graph, K1.. kernel, P1.. program).
    """

    def __init__(self, rule: str, message: str, context: str = "") -> None:
        self.rule = rule
        self.context = context
        super().__init__(f"[{rule}] {message}" + (f"\n{context}" if context else ""))


def require(module: str, extra: str, purpose: str) -> MissingDependencyError:
    """The error to raise when the optional package `module` is absent."""
    return MissingDependencyError(
        f"{purpose} needs the package '{module}', which is not installed: "
        f"pip install 'symgraph[{extra}]'"
    )
