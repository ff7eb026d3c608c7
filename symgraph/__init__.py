"""symgraph: a compiler for symbolic operator graphs."""

from __future__ import annotations

import importlib
from types import FunctionType
from typing import TYPE_CHECKING, Any

from . import testing
from .aot import export, load
from .autodiff import gradients
from .compiler import compile, interpreted, memory_report
from .ir import initializer as initializers
from .ir.arguments import explain_all
from .ir.host import HostOp
from .ir.initial_values import init
from .ir.methods import attach_methods
from .ir.op import CompositeOp, Op, Owned, Variable
from .ir.origin import attribute_scope, name_scope
from .ir.registry import register
from .ir.sample import Sample, Samples
from .ir.symbol import (
    Expression,
    Group,
    Symbol,
    constant,
    from_json,
    group,
    load_graph,
    parameter,
    var,
)
from .kernel.dims import DimVar
from .kernel.dtypes import float32, float64
from .ops.activation import leaky_relu, maxout, prelu, relu, relu6
from .ops.arg_reduction import argmax, argmin
from .ops.arithmetic import (
    add,
    divide,
    floor_divide,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    remainder,
    scalar,
    subtract,
)
from .ops.average_pooling import avg_pool1d, avg_pool2d, avg_pool3d
from .ops.bitwise import (
    bitwise_and,
    bitwise_invert,
    bitwise_left_shift,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
)
from .ops.broadcasting import broadcast_like, broadcast_to, repeat, sum_to_like, tile
from .ops.cast import cast, clip, identity, stop_gradient
from .ops.classification_loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    hinge_loss,
    kl_div,
)
from .ops.comparison import (
    equal,
    greater,
    greater_equal,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    not_equal,
)
from .ops.contraction import Linear, Matmul, linear, matmul
from .ops.convolution import conv1d, conv2d, conv3d
from .ops.creation import (
    arange,
    eye,
    full,
    full_like,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from .ops.cumulative import cumsum
from .ops.einsum import einsum
from .ops.exponential_units import celu, elu, selu
from .ops.group_normalization import group_norm, instance_norm
from .ops.indexing import embedding, gather, one_hot, take
from .ops.join import concat, split, stack
from .ops.local_response import local_response_norm
from .ops.logic import logical_and, logical_not, logical_or, logical_xor, where
from .ops.loss import cross_entropy, nll_loss
from .ops.math import (
    abs,
    ceil,
    erf,
    exp,
    exp2,
    expm1,
    floor,
    log,
    log1p,
    log2,
    log10,
    reciprocal,
    round,
    rsqrt,
    sign,
    sqrt,
    square,
    trunc,
)
from .ops.max_pooling import max_pool1d, max_pool2d, max_pool3d
from .ops.metric import accuracy, top_k, top_k_accuracy
from .ops.normalization import batch_norm, l2_normalize, layer_norm, rms_norm
from .ops.pad import pad
from .ops.pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    global_avg_pool2d,
    global_max_pool2d,
)
from .ops.random import dropout, random_bernoulli, random_normal, random_uniform
from .ops.recurrent import gru, gru_cell, lstm, lstm_cell, rnn, rnn_cell
from .ops.reduction import max, min, prod, sum
from .ops.regression_loss import huber_loss, l1_loss, mse_loss, smooth_l1_loss
from .ops.reshape import reshape, reshape_like
from .ops.scan import scan
from .ops.shape import expand_dims, flatten, squeeze
from .ops.sigmoid_units import (
    gelu,
    hard_sigmoid,
    hard_swish,
    log_sigmoid,
    mish,
    sigmoid,
    silu,
    softplus,
    softsign,
)
from .ops.softmax import log_softmax, scaled_dot_product_attention, softmax
from .ops.statistics import logsumexp, mean, norm, std, variance
from .ops.transposed_convolution import conv_transpose1d, conv_transpose2d
from .ops.transposition import moveaxis, swapaxes, transpose
from .ops.trigonometry import (
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    cos,
    cosh,
    sin,
    sinh,
    tan,
    tanh,
)
from .ops.triplet_loss import triplet_loss
from .ops.truth_reduction import all, any
from .ops.turning import flip, roll

if TYPE_CHECKING:
    from . import data, models, onnx, train, viz
    from .train import bind

_ROOMS = ("data", "models", "onnx", "train", "viz")


def __getattr__(name: str) -> Any:
    """Rooms that most programs do without are imported at first use."""
    if name in _ROOMS:
        return importlib.import_module(f".{name}", __name__)
    if name == "bind":
        return importlib.import_module(".train", __name__).bind
    raise AttributeError(f"module 'symgraph' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_ROOMS})


__all__ = [
    "CompositeOp",
    "DimVar",
    "Group",
    "HostOp",
    "Linear",
    "Matmul",
    "Op",
    "Owned",
    "Sample",
    "Samples",
    "Symbol",
    "Variable",
    "abs",
    "accuracy",
    "acos",
    "acosh",
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "attribute_scope",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "bind",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "broadcast_like",
    "broadcast_to",
    "cast",
    "ceil",
    "celu",
    "clip",
    "compile",
    "concat",
    "constant",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cos",
    "cosh",
    "cross_entropy",
    "cumsum",
    "data",
    "divide",
    "dropout",
    "einsum",
    "elu",
    "embedding",
    "equal",
    "erf",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "export",
    "eye",
    "flatten",
    "flip",
    "float32",
    "float64",
    "floor",
    "floor_divide",
    "from_json",
    "full",
    "full_like",
    "gather",
    "gelu",
    "global_avg_pool2d",
    "global_max_pool2d",
    "gradients",
    "greater",
    "greater_equal",
    "group",
    "group_norm",
    "gru",
    "gru_cell",
    "hard_sigmoid",
    "hard_swish",
    "hinge_loss",
    "huber_loss",
    "identity",
    "init",
    "initializers",
    "instance_norm",
    "interpreted",
    "isfinite",
    "isinf",
    "isnan",
    "kl_div",
    "l1_loss",
    "l2_normalize",
    "layer_norm",
    "leaky_relu",
    "less",
    "less_equal",
    "linear",
    "load",
    "load_graph",
    "local_response_norm",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_sigmoid",
    "log_softmax",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logsumexp",
    "lstm",
    "lstm_cell",
    "matmul",
    "max",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "maximum",
    "maxout",
    "mean",
    "memory_report",
    "min",
    "minimum",
    "mish",
    "models",
    "moveaxis",
    "mse_loss",
    "multiply",
    "name_scope",
    "negative",
    "nll_loss",
    "norm",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "onnx",
    "pad",
    "parameter",
    "power",
    "prelu",
    "prod",
    "random_bernoulli",
    "random_normal",
    "random_uniform",
    "reciprocal",
    "register",
    "relu",
    "relu6",
    "remainder",
    "repeat",
    "reshape",
    "reshape_like",
    "rms_norm",
    "rnn",
    "rnn_cell",
    "roll",
    "round",
    "rsqrt",
    "scalar",
    "scaled_dot_product_attention",
    "scan",
    "selu",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "softsign",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "subtract",
    "sum",
    "sum_to_like",
    "swapaxes",
    "take",
    "tan",
    "tanh",
    "testing",
    "tile",
    "top_k",
    "top_k_accuracy",
    "train",
    "transpose",
    "tril",
    "triplet_loss",
    "triu",
    "trunc",
    "var",
    "variance",
    "viz",
    "where",
    "zeros",
    "zeros_like",
]


_MOST_NODES_SHOWN = 2000


def _picture(expression: Expression) -> str | None:
    """What notebooks show of an expression; None, for its text, where a picture helps nobody."""
    if len(expression.graph.nodes) > _MOST_NODES_SHOWN:
        return None
    from .viz import draw

    return draw(expression).svg


explain_all(globals(), __all__)
attach_methods(f for n, f in globals().items() if n in __all__ and isinstance(f, FunctionType))
Expression.picture = staticmethod(_picture)
