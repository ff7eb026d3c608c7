"""Training: optimisers, schedules, metrics, the fit loop, models on disk."""

from __future__ import annotations

from ..ir.arguments import explain_all
from .bind import Bound, bind
from .callbacks import Callback, EarlyStopping
from .checkpoint import Checkpoint, restore_checkpoint, save_checkpoint
from .clipping import Clip, ClipNorm, ClipValue
from .fit import fit
from .history import History, epoch_text
from .metrics import (
    Metric,
    accuracy,
    cross_entropy,
    custom,
    mean_absolute_error,
    mean_squared_error,
    perplexity,
    top_k,
)
from .model import Model
from .optimizers import SGD, AdaGrad, Adam, AdamW, Optimizer, RMSProp
from .parameters import LoadReport, fill_parameters, load_parameters, save_parameters
from .run import Run
from .schedules import (
    ConstantRate,
    CosineDecay,
    ExponentialDecay,
    InverseDecay,
    MultiStepDecay,
    PolynomialDecay,
    Schedule,
    SigmoidDecay,
    StepDecay,
    WarmUp,
)
from .step import StepGraph, build_step
from .task import Task

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Bound",
    "Callback",
    "Checkpoint",
    "Clip",
    "ClipNorm",
    "ClipValue",
    "ConstantRate",
    "CosineDecay",
    "EarlyStopping",
    "ExponentialDecay",
    "History",
    "InverseDecay",
    "LoadReport",
    "Metric",
    "Model",
    "MultiStepDecay",
    "Optimizer",
    "PolynomialDecay",
    "RMSProp",
    "Run",
    "Schedule",
    "SigmoidDecay",
    "StepDecay",
    "StepGraph",
    "Task",
    "WarmUp",
    "accuracy",
    "bind",
    "build_step",
    "cross_entropy",
    "custom",
    "epoch_text",
    "fill_parameters",
    "fit",
    "load_parameters",
    "mean_absolute_error",
    "mean_squared_error",
    "perplexity",
    "restore_checkpoint",
    "save_checkpoint",
    "save_parameters",
    "top_k",
]

explain_all(globals(), __all__)
