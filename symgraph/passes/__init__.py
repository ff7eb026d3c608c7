"""The default pipelines, as plain tuples.

level 0   what is needed to run: types, bound parameters, inference form, primitive operators
level 1   and the canonical form
level 2   and fusion
level 3   and everything else
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ir.graph import Inference
from ..kernel.parts import MOST_PARTS
from ..kernel.rates import Rates
from ..options import Options
from .band_loops import BandLoops
from .bind_parameters import BindParameters
from .choose_algorithms import ChooseAlgorithms
from .choose_layouts import ChooseLayouts
from .detach_shapes import DetachShapes
from .eliminate_common_subexpressions import EliminateCommonSubexpressions
from .eliminate_dead_code import EliminateDeadCode
from .expand import ExpandComposites
from .fold_constants import FoldConstants
from .fold_scale import FoldScale
from .fuse import Fuse
from .fusion.judge import Limits
from .hoist_from_loops import HoistFromLoops
from .infer_types import InferTypes
from .inference_form import InferenceForm
from .manager import Pass, Pipeline
from .merge_loops import MergeLoops
from .pad_parts import PadParts
from .share_padding import SharePadding
from .simplify import Simplify

CANONICAL: tuple[Pass, ...] = (
    # Folding first: identities look for constants such as 0 and 1.
    FoldConstants(),
    Simplify(),
    # Before merging: what looks at shapes alone then looks at one value.
    DetachShapes(),
    EliminateCommonSubexpressions(),
    # Before dead code: the loop that the loss reads and the one that its gradient reads differ in
    # their results.
    MergeLoops(),
    EliminateDeadCode(),
)

LOOPS: tuple[Pass, ...] = (
    HoistFromLoops(),
    Simplify(),
    FoldConstants(),
    EliminateCommonSubexpressions(),
    EliminateDeadCode(),
    # Last: what two loops read is one value now, and no loop's own.
    BandLoops(),
    Simplify(),
)

SCALES: tuple[Pass, ...] = (
    FoldScale(),
    Simplify(),
)


def fusion(parts: int = 1, open_scratch: bool = False) -> tuple[Pass, ...]:
    """Groups of nodes, which may read a contraction in so many parts, and may have intermediates of
    open extents."""
    # Padding first: readers of the padded value no longer ask for the bare one, parts included.
    return (PadParts(), SharePadding(), Fuse(Limits(parts=parts, open_scratch=open_scratch)))


def preparation(
    training: bool,
    shapes: Mapping[str, Any],
    dtypes: Mapping[str, Any],
    constants: Mapping[str, Any],
    keep_recipes: bool = False,
    known: Inference | None = None,
) -> tuple[Pass, ...]:
    """What every level needs: the variables of the result are the program's interface.

    `constants` are arrays to be bound; with `keep_recipes` other numbers may take their places.
    `known` is what was inferred of the graph before.
    """
    form: Pass = ExpandComposites() if training else InferenceForm()
    bind = BindParameters(constants, keep_recipes)
    return (InferTypes(shapes, dtypes, constants, known), bind, form)


def optimisation(
    level: int,
    training: bool,
    block: int | None = None,
    more: tuple[Pass, ...] = (),
    rates: Rates | None = None,
    tolerance: float = 1.0,
    plain: frozenset[str] = frozenset(),
) -> tuple[Pass, ...]:
    """What a level adds: `canonical`, then `arrangement`."""
    return (
        *canonical(level, training, more),
        *arrangement(level, training, block, rates, tolerance, plain),
    )


def canonical(level: int, training: bool, more: tuple[Pass, ...] = ()) -> tuple[Pass, ...]:
    """What holds for every machine; `more` are passes of the user's own, run on that graph."""
    if level < 1:
        return more
    return (*CANONICAL, *LOOPS, *(() if training else SCALES), *more)


def arrangement(
    level: int,
    training: bool,
    block: int | None = None,
    rates: Rates | None = None,
    tolerance: float = 1.0,
    plain: frozenset[str] = frozenset(),
) -> tuple[Pass, ...]:
    """How the canonical graph is computed: forms, layouts, fusion.

    `block` is the number of channels that the target wants to lie together, None for plain
    layouts.  `rates` tell what equivalent forms cost, None to keep every operator as it is;
    `tolerance` what error they may have against the operator's own, `plain` which operators are
    kept by name.
    """
    passes: tuple[Pass, ...] = ()
    if level >= 2:
        if rates is not None and tolerance > 1.0 and not training:
            # Folding again makes the forms' constants, and what is put around twice is put once.
            passes += (ChooseAlgorithms(rates, tolerance, plain), FoldConstants(), Simplify())
        if block is not None and not training:
            # Folding again packs the weights.
            passes += (ChooseLayouts(block), FoldConstants(), EliminateDeadCode())
        # A target that fills vectors with channels keeps the parts of a product in registers too.
        parts = 1 if block is None or training else MOST_PARTS
        passes += fusion(parts, open_scratch=rates is not None)
    return passes


def graph_pipeline(
    options: Options,
    training: bool,
    shapes: Mapping[str, Any],
    dtypes: Mapping[str, Any],
    constants: Mapping[str, Any],
) -> Pipeline:
    """All passes over graphs at an optimisation level."""
    first = preparation(training, shapes, dtypes, constants)
    return Pipeline((*first, *optimisation(options.level, training)))
