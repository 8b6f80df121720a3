"""The rates that a fit's batches bear.

They grow as the root of the batch, because what the noise of a step adds to the weights goes with rate^2 / batch, and
where values are crowded fall as the fourth root of the steps: errors stay, and the noise of all steps with them,
where a network that can hold every value ends without. Half the width goes twice as far.
"""

import math
from dataclasses import dataclass

from finer_core.training_config import matrix_rate
from finer_image.presets.lengths import NARROW_WIDTH, SMALLEST_BATCH, STEADY_BATCH, USUAL_WIDTH, Length
from finer_image.presets.methods import USUAL_RATE, MethodRules, rules_of

MUON_RATE = 1.5e-3
"""Muon's rate in the fast preset; it loses 2 dB at twice that."""
_SMALL_TRAVEL = 3.95e-4
"""Steps times SOAP's rate, over sqrt(N P), with small batches."""
_SHORT_PASSES, _SHORT_RATE = 10.0, math.sqrt(2)
"""Passes below which rates are higher, as their inverse root, and at most by this factor."""
_STEADY_PASSES, _STEADY_STEPS = 80.0, 2.5
"""Passes up to which, and steps over sqrt(N) for which, a batch bears its rate however crowded the values are."""
_HIGHEST_RATE, _HIGHEST_USUAL_RATE = 2e-3, 1.2e-3
"""Highest rates of SOAP: of all pixels at once and of small batches, and of large batches and the usual width. There
narrower networks bear more, as the root of what they lack, in terms of FINER's own rate."""
_NARROWEST = 16.0
"""Times the usual rate that small batches of narrow networks have at most: pemlp of 8 features fails at twice that."""
_USUAL_LAYERS = 3
"""Hidden layers that the rates without noise, and those of narrow networks, are for. Half the width bears twice as
much, up to the highest, and twice the depth half."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Hold an optimizer and its rates.

    Attributes:
        optimizer: One of `OPTIMIZERS`.
        matrices: Its rate.
        rest: Adam's, of what it does not update.
    """

    optimizer: str
    matrices: float
    rest: float


def fast_rates(
    method: str,
    *,
    optimizer: str | None,
    published: float,
    pixels: int,
    batch: float,
    length: Length,
    crowding: float,
    hidden_features: int,
    hidden_layers: int | None,
) -> Rates:
    """Return the optimizer and the rates of the fast preset.

    Args:
        method: What is fitted.
        optimizer: What was asked for; None for the method's own.
        published: The method's published rate.
        pixels: N, the image's.
        batch: Pixels that a step has.
        length: How long the fit is.
        crowding: How many more values the image has than the network has weights for, of `crowding_of`.
        hidden_features: Width of the network.
        hidden_layers: Depth of a method's network; None for a module of the user's own.
    """
    rules = rules_of(method)
    narrow = USUAL_WIDTH / hidden_features
    if rules.noiseless and hidden_layers and not length.batch_pixels and pixels <= SMALLEST_BATCH:
        rate = min(_HIGHEST_RATE, rules.noiseless * narrow * min(1.0, _USUAL_LAYERS / hidden_layers))
    else:
        deep = max(1.0, (hidden_layers or _USUAL_LAYERS) / _USUAL_LAYERS)
        # Found for FINER in long fits; those of narrow networks, whose batches and frequencies are others, lose by it.
        is_noisy = method == "finer" and hidden_features >= NARROW_WIDTH and length.passes > _STEADY_PASSES
        noise = crowding if is_noisy else 0.0
        rate = _usual_rate(rules, pixels=pixels, batch=batch, length=length, noise=noise, narrow=narrow, deep=deep)
    factor = rate / USUAL_RATE
    if optimizer in (None, rules.optimizer):
        rest = published if rules.rest is None else rules.rest
        return Rates(optimizer=rules.optimizer, matrices=rules.matrices * factor, rest=rest * factor)
    other = matrix_rate(optimizer, muon=MUON_RATE)
    return Rates(optimizer=optimizer, matrices=other * (factor if optimizer == "soap" else 1), rest=published * factor)


def _usual_rate(
    rules: MethodRules, *, pixels: int, batch: float, length: Length, noise: float, narrow: float, deep: float
) -> float:
    """Return the rate that SOAP has for such batches where the method's own rate is `USUAL_RATE`.

    With s the steps over 2.5 sqrt(N), at least 1, and c the `noise`, large batches have s^(-c / 4) times what they
    bear. With n the usual width over the network's and d its depth over the usual one, at least 1, a narrow network
    has n / d times what the usual width has, and no less than that; with large batches at most the root of n over d
    times the highest, with small ones n is at most 16.
    """
    if not rules.large_batches:
        borne = min(_HIGHEST_RATE, USUAL_RATE * math.sqrt(batch / SMALLEST_BATCH))
        traveled = _SMALL_TRAVEL * math.sqrt(pixels * length.passes) / length.steps
        return min(borne, traveled * min(1.0, narrow)) * max(1.0, min(narrow, _NARROWEST) / deep)
    short = min(_SHORT_RATE, max(1.0, math.sqrt(_SHORT_PASSES / length.passes)))
    long = min(1.0, _STEADY_STEPS * math.sqrt(pixels) / length.steps) ** (noise / 4)
    borne = short * long * USUAL_RATE * math.sqrt(batch / (STEADY_BATCH * math.sqrt(pixels)))
    usual = min(_HIGHEST_USUAL_RATE, borne)
    if narrow <= 1:
        return usual * narrow
    highest = _HIGHEST_USUAL_RATE * math.sqrt(narrow) * USUAL_RATE / rules.matrices
    return max(usual, min(usual * narrow, highest) / deep)
