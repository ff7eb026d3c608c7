"""Transformer encoders."""

from __future__ import annotations

from ..ir.initializer import Normal
from ..ir.symbol import Symbol, parameter, var
from ..ops.contraction import linear
from ..ops.indexing import embedding
from ..ops.normalization import layer_norm
from ..ops.random import dropout
from ..ops.reshape import reshape
from ..ops.sigmoid_units import gelu
from ..ops.softmax import scaled_dot_product_attention
from ..ops.transposition import transpose


def bert_encoder(
    tokens: Symbol | None = None,
    *,
    length: int = 128,
    layers: int = 12,
    width: int = 768,
    heads: int = 12,
    inner: int = 3072,
    vocabulary: int = 30522,
    rate: float = 0.1,
) -> Symbol:
    """The last hidden states of an encoder of tokens (one segment, no pooler).

    Shapes: tokens [N, length] (declared as int32 when not given) -> hidden [N, length, width].
    Source: Devlin et al. 2019; the defaults are BERT base.
    """
    tokens = var("tokens", ("N", length), "int32") if tokens is None else tokens
    table = parameter("vocabulary_weight", (vocabulary, width), init=Normal(std=0.02))
    places = parameter("position_weight", (length, width), init=Normal(std=0.02))
    segment = parameter("segment_weight", (width,), init=Normal(std=0.02))
    h = embedding(tokens, vocabulary, width, table, name="vocabulary") + places + segment
    h = dropout(layer_norm(h, eps=1e-12, name="embedding_norm"), rate, name="embedding_drop")
    for number in range(layers):
        name = f"layer{number}"
        mixed = _attention(h, length, width, heads, name)
        mixed = dropout(mixed, rate, name=f"{name}_attention_drop")
        h = layer_norm(h + mixed, eps=1e-12, name=f"{name}_attention_norm")
        wide = gelu(linear(h, inner, name=f"{name}_inner"), name=f"{name}_gelu")
        deep = dropout(linear(wide, width, name=f"{name}_outer"), rate, name=f"{name}_drop")
        h = layer_norm(h + deep, eps=1e-12, name=f"{name}_norm")
    return h


def _attention(x: Symbol, length: int, width: int, heads: int, name: str) -> Symbol:
    def parts(what: str) -> Symbol:
        h = linear(x, width, name=f"{name}_{what}")
        h = reshape(h, (-1, length, heads, width // heads))
        return transpose(h, (0, 2, 1, 3))

    mixed = scaled_dot_product_attention(
        parts("query"), parts("key"), parts("value"), name=f"{name}_attention"
    )
    joined = reshape(transpose(mixed, (0, 2, 1, 3)), (-1, length, width))
    return linear(joined, width, name=f"{name}_output")
