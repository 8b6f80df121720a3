"""How many steps of how many pixels a fit makes of its budget.

With N pixels, of those that hold data, used P times each, batches grow as sqrt(N) P^(3/4), and so the steps, with
P^(1/4), hardly do, until a batch is so large that more steps bring more than more pixels do. Narrow networks, whose
steps cost less and whose errors stay larger, have smaller ones. Methods that such batches do not serve have others,
which grow as sqrt(N P).
"""

import math
from dataclasses import dataclass
from typing import Any

from finer_core.errors import InputError
from finer_image.config import ImageConfig
from finer_image.presets.methods import rules_of
from finer_image.training.stratified import cell_shape, enlarged_batch

PAPER_STEPS = 5000
PASSES = 40.0
"""How often the fast preset uses every pixel where no budget is given."""
LARGEST_SAMPLE_COUNT = 64_000_000
"""Pixels that it draws at most where no budget is given: more gain a network of fixed size little for the time."""
LEAST_STEPS = 400
"""Where no budget is given, passes are at least what so many steps of the batch for `PASSES` make; twice as many with
small batches. Their own batch may be larger, and the steps fewer."""
SMALLEST_BATCH = 1024
"""Pixels a step below which the optimizer's own work costs more than they do."""
_LARGEST_BATCH = 16_384
"""Pixels above which batches do not grow."""
STEADY_BATCH = 8.0
"""Over sqrt(N), the batch that bears the usual rate."""
_STEADY_PASSES, _BATCH_EXPONENT = 20.0, 0.75
"""The passes that want it; what more of them multiply it by is their ratio to this power."""
USUAL_WIDTH = 256
"""Hidden features that rates, batches and first layers were found for; others have factors."""
NARROW_WIDTH = 128
"""Hidden features below which a network has smaller batches, by the root of what it lacks, and lower frequencies."""
_SMALL_BATCH, _SMALL_EXPONENT = 1.26, 0.1
"""Small batches over sqrt(N P), in fits of up to `PASSES`; what more multiply it by is their ratio to this power."""
_PIXELS_PER_STEP = 1.6
"""Batch over the steps, where it is these that are given: about what as many passes as they make would want."""


@dataclass(frozen=True, kw_only=True)
class Length:
    """Hold how long a fit is.

    Attributes:
        steps: Updates.
        batch_pixels: Pixels a step that are asked for; 0 for all.
        passes: How often every pixel is used.
    """

    steps: int
    batch_pixels: int
    passes: float


def length_of(
    height: int,
    width: int,
    *,
    passes: float,
    missing: int = 0,
    batch_pixels: int | None = None,
    method: str = "finer",
    hidden_features: int = NARROW_WIDTH,
) -> Length:
    """Return the steps and the batch of a fit of so many passes.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        passes: How often every pixel is used.
        missing: Pixels that hold no data.
        batch_pixels: Pixels a step where they are given; 0 for all.
        method: What is fitted.
        hidden_features: Width of the network; by default one that is not narrow.

    Raises:
        InputError: For more steps than can be counted.
    """
    pixels = height * width - missing
    if batch_pixels is None:
        if rules_of(method).large_batches:
            factor = STEADY_BATCH * (passes / _STEADY_PASSES) ** _BATCH_EXPONENT
            factor *= math.sqrt(min(1.0, hidden_features / NARROW_WIDTH))
        else:
            factor = _SMALL_BATCH * math.sqrt(passes) * max(1.0, passes / PASSES) ** _SMALL_EXPONENT
        batch_pixels = _usual_batch(factor * math.sqrt(pixels), pixels=pixels)
    per_pass = steps_per_pass(height, width, batch_pixels, missing=missing)
    if per_pass == 1:
        batch_pixels = 0
    if passes * per_pass >= 2**63:
        raise InputError(f"--passes {passes:g} are more steps of this image than can be counted; lower it")
    return Length(steps=max(1, round(passes * per_pass)), batch_pixels=batch_pixels, passes=passes)


def _usual_batch(batch: float, *, pixels: int) -> int:
    """Return a batch that is neither too small, nor too large, nor more than the image's pixels."""
    return min(pixels, max(SMALLEST_BATCH, min(_LARGEST_BATCH, round(batch))))


def steps_per_pass(height: int, width: int, batch_pixels: int, *, missing: int = 0) -> int:
    """Return the steps after which a batch of so many pixels, 0 for all, has used every pixel once.

    It is a power of 2, as the cells are from which a batch takes a pixel each; `missing` pixels hold no data.
    """
    pixels = height * width
    if not 0 < batch_pixels < pixels - missing:
        return 1
    cell_height, cell_width = cell_shape(height, width, enlarged_batch(batch_pixels, pixels=pixels, missing=missing))
    return cell_height * cell_width


def default_passes(
    height: int, width: int, *, missing: int = 0, method: str = "finer", hidden_features: int = NARROW_WIDTH
) -> float:
    """Return the passes of a fit whose user named no length."""
    passes = min(PASSES, max(LARGEST_SAMPLE_COUNT / (height * width - missing), 1.0))
    length = length_of(height, width, passes=passes, missing=missing, method=method, hidden_features=hidden_features)
    per_pass = steps_per_pass(height, width, length.batch_pixels, missing=missing)
    return max(passes, LEAST_STEPS * (1 if rules_of(method).large_batches else 2) / per_pass)


def batch_asked_for(settings: ImageConfig) -> int | None:
    """Return the pixels a step, 0 for all, or None where the length says how many; the published batch is full."""
    return settings.batch_pixels if settings.preset == "fast" else settings.batch_pixels or 0


def chosen_length(
    settings: ImageConfig, height: int, width: int, passes: float | None, *, missing: int, hidden_features: int
) -> Length:
    """Return the length that was asked for, or the preset's own.

    Args:
        settings: As given.
        height: Rows of the image.
        width: Columns of the image.
        passes: How often every pixel can be used in `settings.seconds`, where these are given.
        missing: Pixels that hold no data.
        hidden_features: Width of the network.
    """
    batch = batch_asked_for(settings)
    passes = passes or settings.passes
    if settings.steps is not None:
        if batch is None:
            batch = _usual_batch(_PIXELS_PER_STEP * settings.steps, pixels=height * width - missing)
        per_pass = steps_per_pass(height, width, batch, missing=missing)
        return Length(steps=settings.steps, batch_pixels=batch if per_pass > 1 else 0, passes=settings.steps / per_pass)
    if passes is None:
        per_pass = steps_per_pass(height, width, batch or 0, missing=missing)
        passes = PAPER_STEPS / per_pass if settings.preset == "paper" else None
    rest: dict[str, Any] = {"missing": missing, "method": settings.method, "hidden_features": hidden_features}
    passes = passes or default_passes(height, width, **rest)
    return length_of(height, width, passes=passes, batch_pixels=batch, **rest)
