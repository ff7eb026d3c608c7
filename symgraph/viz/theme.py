"""Colours and shapes by kind of node and family of operator.

The hues are those of Okabe and Ito, which people with any common colour blindness tell apart; fills
are light (dark in dark mode) so that text keeps its contrast, borders carry the full hue. A family
is only a colour: unknown operators are drawn as "other", and a node may bring its own `family`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["DARK", "FAMILIES", "LIGHT", "Palette", "Style", "family_of", "heat_colour", "style_of"]


@dataclass(frozen=True, slots=True)
class Style:
    """How a family or a kind looks: its title in the legend, and (fill, border) per mode."""

    title: str
    light: tuple[str, str]
    dark: tuple[str, str]
    dashed: bool = False
    pill: bool = False


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of everything that is not a node."""

    paper: str
    text: str
    faint: str
    line: str
    cluster: str
    cluster_line: str
    badge: str


LIGHT = Palette("#ffffff", "#1b1f24", "#57606a", "#6b7580", "#f4f6f8", "#b8c0c9", "#57606a")
DARK = Palette("#14171b", "#e8ebee", "#a8b1bb", "#8f9aa6", "#1d2228", "#4a535d", "#a8b1bb")

FAMILIES: dict[str, Style] = {
    "contraction": Style("convolution, matrix", ("#cfe3f3", "#0072b2"), ("#11395a", "#57a8e0")),
    "elementwise": Style("elementwise", ("#fbe6bf", "#b97f00"), ("#4a3505", "#e69f00")),
    "normalisation": Style("normalisation", ("#c9ebdf", "#008a64"), ("#07402f", "#2cc59b")),
    "reduction": Style("pooling, reduction", ("#f4dcea", "#b3588b"), ("#4b2439", "#de92bb")),
    "loss": Style("softmax, loss", ("#f9d8c4", "#c65200"), ("#552604", "#f08a4b")),
    "sequence": Style("recurrence, attention", ("#f8f2ae", "#948800"), ("#433e08", "#d9cc3e")),
    "movement": Style("shape, data movement", ("#e4e7eb", "#737d88"), ("#30363d", "#939daa")),
    "other": Style("other operator", ("#ffffff", "#454d56"), ("#1d2228", "#b9c1ca")),
    "opaque": Style("host operator", ("#ffffff", "#1b1f24"), ("#14171b", "#e8ebee"), dashed=True),
    "input": Style("input", ("#ffffff", "#1b1f24"), ("#14171b", "#e8ebee"), pill=True),
    "output": Style("output", ("#1b1f24", "#1b1f24"), ("#e8ebee", "#e8ebee"), pill=True),
    "parameter": Style("parameter", ("#f1f3f5", "#8b949e"), ("#262c33", "#7d8893"), pill=True),
    "auxiliary": Style(
        "auxiliary state", ("#f1f3f5", "#8b949e"), ("#262c33", "#7d8893"), dashed=True, pill=True
    ),
    "constant": Style("constant", ("#ffffff", "#8b949e"), ("#14171b", "#7d8893"), pill=True),
}

_WORDS = {
    "loss": "softmax logsumexp loss entropy nll hinge",
    "sequence": "lstm gru rnn attention scan foreach",
    "normalisation": "norm normalize lrn normalisation",
    "contraction": "conv convolution linear dense matmul gemm dot einsum tensordot bmm outer",
    "elementwise": "relu gelu elu selu silu sigmoid tanh exp log sqrt rsqrt square pow abs neg "
    "negative sign sin cos erf add sub subtract mul multiply div divide maximum minimum where clip "
    "select leaky mish softplus swish hardswish floor ceil round scale reciprocal greater less "
    "equal not and or",
    "reduction": "pool sum mean max min prod avg reduce argmax argmin any all var std cumsum norm2",
    "movement": "reshape flatten transpose concat concatenate split slice pad gather scatter stack "
    "squeeze unsqueeze expand broadcast cast copy layout pack tile repeat reverse embedding take "
    "permute index roll view identity",
}
_FAMILY = {word: family for family, words in _WORDS.items() for word in words.split()}
_RANK = {family: rank for rank, family in enumerate(_WORDS)}

# Light yellow to dark orange: rising darkness, readable black text on every step.
_HEAT = ((255, 250, 214), (254, 217, 118), (253, 160, 73), (222, 98, 36))


def family_of(op: str) -> str:
    """The family of an operator by the words of its name: `log_softmax -> loss`."""
    words = (re.sub(r"\d+d?$", "", word) for word in op.lower().split("_"))
    found = [_FAMILY[word] for word in words if word in _FAMILY]
    return min(found, key=_RANK.__getitem__, default="other")


def style_of(family: str) -> Style:
    return FAMILIES.get(family, FAMILIES["other"])


def heat_colour(share: float) -> str:
    """The colour of a value between 0 and 1."""
    position = min(max(share, 0.0), 1.0) * (len(_HEAT) - 1)
    i = min(int(position), len(_HEAT) - 2)
    low, high, part = _HEAT[i], _HEAT[i + 1], position - i
    mixed = (round(a + (b - a) * part) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
