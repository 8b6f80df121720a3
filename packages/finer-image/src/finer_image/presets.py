"""The two presets of an image fit: the published algorithm, and ours, which follows from the budget and the image.

The rules of the fast preset, with N pixels used P times each (docs/budgets.md has the study they come from):

    batch   grows as sqrt(N) P^(3/4), and so the steps, with P^(1/4), hardly do;
    rate    grows as the root of the batch: what the noise of a step adds to the weights goes with rate^2 / batch; half
            the width goes twice as far;
    others  methods that such batches do not serve have smaller ones, which grow as sqrt(N P), at the same rate;
    decay   a warm-up, then a straight line to 0, whatever the length;
    omega   FINER's first one falls in long fits of images that are large for the network: high frequencies are quicker,
            low ones end better where there are fewer weights than values.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from finer_core.errors import InputError
from finer_core.training_config import matrix_rate, refuse_two_lengths
from finer_image.config import ImageConfig
from finer_image.training.stratified import cell_shape

_FIRST_OMEGA, _FIRST_BIAS_SCALE = 15.0, 12.0
"""FINER's in fits of up to `PASSES` and of small images. In equal time they gain 3 to 4 dB on photographs at 256x256
over the published ones, and nothing at 128x128 (docs/speed.md). Other methods keep published values."""
_OMEGA_EXPONENT, _CROWDED = 1 / 3, 4.0
"""First omega falls as the passes to this power where there are so many values for a weight (docs/budgets.md)."""
_LOWEST_OMEGA_AT = 320.0
"""Passes from which on first omega falls no further: in 1,000 of a 512x512 image 5.1 ends 0.6 dB below 7.5."""
MUON_RATE = 1.5e-3
"""Muon's rate in the fast preset; it loses 2 dB at twice that."""
PAPER_STEPS = 5000

PASSES = 40.0
"""How often the fast preset uses every pixel where no budget is given."""
LARGEST_SAMPLE_COUNT = 64_000_000
"""Pixels that it draws at most where no budget is given: more gain a network of fixed size little for the time."""
LEAST_STEPS = 400
"""Steps that it makes at least where no budget is given; twice as many with small batches."""
SMALLEST_BATCH = 1024
"""Pixels a step below which the optimizer's own work costs more than they do."""
LARGE_BATCH_METHODS = ("finer", "siren")
"""Methods that large batches serve; the rates of the others are for small ones, and fail at what larger ones bear."""
_STEADY_BATCH, _STEADY_PASSES, _BATCH_EXPONENT = 8.0, 20.0, 0.75
"""Over sqrt(N), the batch that bears the usual rate; the passes that want it; what more passes multiply it by is their
ratio to this power. A batch is rounded so that the image is a power of 2 times it."""
_SMALL_BATCH, _SMALL_EXPONENT = 1.26, 0.1
"""Small batches over sqrt(N P), in fits of up to `PASSES`; what more multiply it by is their ratio to this power."""
_SMALL_TRAVEL = 3.95e-4
"""Steps times SOAP's rate, over sqrt(N P), with small batches."""
_PIXELS_PER_STEP = 1.6
"""Batch over the steps, where it is these that are given: about what as many passes as they make would want."""
_SHORT_PASSES, _SHORT_RATE = 10.0, math.sqrt(2)
"""Passes below which rates are higher, as their inverse root, and at most by this factor."""
_USUAL_WIDTH = 256
"""Hidden features that the factors of rate and batch are for."""
_USUAL_RATE = 5e-4
"""SOAP's rate for FINER; where a fit has another, the rates of `METHOD_RATES` are others by the same factor."""


@dataclass(frozen=True, kw_only=True)
class MethodRates:
    """Hold the rates of a method where the rules give FINER `_USUAL_RATE`.

    Attributes:
        matrices: The optimizer's.
        rest: Adam's, of what is no matrix: of the biases above all.
        optimizer: Of the matrices, "soap" or "muon".
    """

    matrices: float
    rest: float
    optimizer: str = "soap"


METHOD_RATES = {
    "siren": MethodRates(matrices=1e-3, rest=5e-4),
    "gauss": MethodRates(matrices=7e-4, rest=1e-4, optimizer="muon"),
    "pemlp": MethodRates(matrices=8e-3, rest=4e-3),
    "gauss-finer": MethodRates(matrices=5e-4, rest=1.25e-4),
    "real-wire": MethodRates(matrices=2e-3, rest=5e-4),
    "ff": MethodRates(matrices=4e-3, rest=2e-3),
    "bacon": MethodRates(matrices=2e-3, rest=2e-3),
}
"""By method; one that is not here has SOAP's usual rate, and its published one for the rest (docs/budgets.md)."""
_HIGHEST_RATE, _HIGHEST_USUAL_RATE = 2e-3, 1.2e-3
"""Highest rates of SOAP with any batch: of all networks, and of one of the usual width."""
_TINY_RATE, _TINY_LAYERS = 1e-3, 3
"""SOAP's rate for FINER with so many hidden layers, where the smallest batch holds the whole image: its gradients have
no noise. Half the width bears twice as much, up to the highest, and twice the depth half."""


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
    height: int, width: int, *, passes: float, batch_pixels: int | None = None, method: str = "finer"
) -> Length:
    """Return the steps and the batch of a fit of so many passes.

    Args:
        height: Rows of the image.
        width: Columns of the image.
        passes: How often every pixel is used.
        batch_pixels: Pixels a step where they are given; 0 for all.
        method: What is fitted.
    """
    pixels = height * width
    if batch_pixels is None:
        large = _STEADY_BATCH * (passes / _STEADY_PASSES) ** _BATCH_EXPONENT
        small = _SMALL_BATCH * math.sqrt(passes) * max(1.0, passes / PASSES) ** _SMALL_EXPONENT
        factor = large if method in LARGE_BATCH_METHODS else small
        batch_pixels = min(pixels, max(SMALLEST_BATCH, round(factor * math.sqrt(pixels))))
    per_pass = steps_per_pass(height, width, batch_pixels)
    if per_pass == 1:
        batch_pixels = 0
    return Length(steps=max(1, round(passes * per_pass)), batch_pixels=batch_pixels, passes=passes)


def steps_per_pass(height: int, width: int, batch_pixels: int) -> int:
    """Return the steps after which a batch of so many pixels, 0 for all, has used every pixel once."""
    if not 0 < batch_pixels < height * width:
        return 1
    cell_height, cell_width = cell_shape(height, width, batch_pixels)
    return cell_height * cell_width


def default_passes(height: int, width: int, *, method: str = "finer") -> float:
    """Return the passes of a fit whose user named no length."""
    pixels = height * width
    passes = min(PASSES, max(LARGEST_SAMPLE_COUNT / pixels, 1.0))
    per_pass = steps_per_pass(height, width, length_of(height, width, passes=passes, method=method).batch_pixels)
    return max(passes, LEAST_STEPS * (1 if method in LARGE_BATCH_METHODS else 2) / per_pass)


def fast_network(method: str, *, passes: float, values_per_weight: float) -> dict[str, Any]:
    """Return the hyper-parameters that the fast preset takes in place of a method's published ones.

    Formula: omega = 15 min(1, 40 / min(P, 320))^(c / 3) with c = log4(values per weight), between 0 and 1; k = 12.

    Args:
        method: The method.
        passes: P, how often every pixel is used.
        values_per_weight: The image's values over the weights between hidden layers: 1 at 256x256, 4 at 512x512.
    """
    if method != "finer":
        return {}
    crowding = min(1.0, max(0.0, math.log(values_per_weight, _CROWDED)))
    omega = _FIRST_OMEGA * min(1.0, PASSES / min(passes, _LOWEST_OMEGA_AT)) ** (_OMEGA_EXPONENT * crowding)
    return {"first_omega_0": round(omega, 3), "first_bias_scale": _FIRST_BIAS_SCALE}


def resolve(
    settings: ImageConfig,
    *,
    height: int,
    width: int,
    hidden_features: int,
    learning_rate: float,
    bf16_is_native: bool,
    compiles: bool,
    hidden_layers: int | None = None,
    passes: float | None = None,
) -> ImageConfig:
    """Fill every None by the preset.

    Args:
        settings: As given.
        height: Rows of the image.
        width: Columns of the image.
        hidden_features: Width of the network.
        learning_rate: The method's published rate.
        bf16_is_native: Whether the device multiplies bfloat16 matrices faster.
        compiles: Whether activations are compiled unless `--no-compile` says otherwise.
        hidden_layers: Depth of a method's network; None for a module of the user's own.
        passes: How often every pixel can be used in `settings.seconds`, where these are given.

    Returns:
        Settings without a None that matters; a fit with them is reproducible.

    Raises:
        InputError: For an unknown preset, or settings that exclude each other.
    """
    if settings.preset not in ("fast", "paper"):
        raise InputError(f"unknown preset {settings.preset!r} (known: fast, paper)")
    refuse_two_lengths(settings)
    length = _length(settings, height, width, passes)
    if settings.preset == "paper":
        values = _paper(settings, length, learning_rate)
    else:
        sizes: dict[str, Any] = {"hidden_features": hidden_features, "hidden_layers": hidden_layers}
        batch = height * width / steps_per_pass(height, width, length.batch_pixels)
        values = _fast(settings, length, learning_rate, pixels=height * width, batch=batch, **sizes)
        values["precision"] = "bf16" if bf16_is_native else "fp32"
    given = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    betas = values.pop("betas")
    merged = {**values, **{name: value for name, value in given.items() if value is not None}, "betas": betas}
    merged |= {"steps": length.steps, "passes": length.passes}
    if merged["sampling"] == "importance" and not merged["batch_pixels"]:
        raise InputError(
            "--sampling importance needs a batch of some of the pixels, got the full batch; give --batch-pixels"
        )
    if settings.compile is None:
        merged["compile"] = compiles
    if not merged.get("log_every"):
        merged["log_every"] = max(1, min(100, merged["steps"] // 50))
    return ImageConfig(**merged)


def _length(settings: ImageConfig, height: int, width: int, passes: float | None) -> Length:
    """Return the length that was asked for, or the preset's own."""
    batch = settings.batch_pixels if settings.preset == "fast" else settings.batch_pixels or 0
    passes = passes or settings.passes
    if settings.steps is not None:
        if batch is None:
            batch = min(height * width, max(SMALLEST_BATCH, round(_PIXELS_PER_STEP * settings.steps)))
        passes = settings.steps / steps_per_pass(height, width, batch)
        chosen = length_of(height, width, passes=passes, batch_pixels=batch)
        return dataclasses.replace(chosen, steps=settings.steps)
    if passes is None:
        passes = PAPER_STEPS / steps_per_pass(height, width, batch or 0) if settings.preset == "paper" else None
    passes = passes or default_passes(height, width, method=settings.method)
    return length_of(height, width, passes=passes, batch_pixels=batch, method=settings.method)


def _paper(settings: ImageConfig, length: Length, learning_rate: float) -> dict[str, Any]:
    """FINER and FINER++: full batch, Adam, lr 0.1^(step/steps), 5000 steps, float32, nothing clipped or undone."""
    return {
        "batch_pixels": length.batch_pixels,
        "learning_rate": learning_rate,
        "matrix_learning_rate": matrix_rate(settings.optimizer, muon=MUON_RATE),
        "sampling": "stratified",
        "optimizer": "adam",
        "betas": (0.9, 0.999),
        "schedule": "exponential",
        "ema_decay": 0.0,
        "guard": False,
        "precision": "fp32",
        "log_every": 10,
    }


def _fast(
    settings: ImageConfig,
    length: Length,
    learning_rate: float,
    *,
    pixels: int,
    batch: float,
    hidden_features: int,
    hidden_layers: int | None,
) -> dict[str, Any]:
    """Stratified pixel batches, SOAP or Muon on the matrices, warm-up and a straight decay to 0."""
    rates = METHOD_RATES.get(settings.method) or MethodRates(matrices=_USUAL_RATE, rest=learning_rate)
    optimizer = settings.optimizer or rates.optimizer
    is_own = optimizer == rates.optimizer
    if not is_own:
        rates = MethodRates(matrices=matrix_rate(optimizer, muon=MUON_RATE), rest=learning_rate, optimizer=optimizer)
    short = min(_SHORT_RATE, max(1.0, math.sqrt(_SHORT_PASSES / length.passes)))
    usual = min(_HIGHEST_USUAL_RATE, short * _USUAL_RATE * math.sqrt(batch / (_STEADY_BATCH * math.sqrt(pixels))))
    narrow = _USUAL_WIDTH / hidden_features
    borne = min(_HIGHEST_RATE, _USUAL_RATE * math.sqrt(batch / SMALLEST_BATCH))
    rate = min(usual * narrow, max(usual, borne))
    if settings.method not in LARGE_BATCH_METHODS:
        rate = min(borne, _SMALL_TRAVEL * math.sqrt(pixels * length.passes) * narrow / length.steps)
    if settings.method == "finer" and hidden_layers and not length.batch_pixels and pixels <= SMALLEST_BATCH:
        rate = min(_HIGHEST_RATE, _TINY_RATE * narrow * min(1.0, _TINY_LAYERS / hidden_layers))
    factor = rate / _USUAL_RATE
    return {
        "batch_pixels": length.batch_pixels,
        "learning_rate": rates.rest * factor,
        "matrix_learning_rate": rates.matrices * (factor if is_own or optimizer == "soap" else 1.0),
        "sampling": "stratified",
        "optimizer": optimizer,
        "betas": (0.9, 0.99),
        "schedule": "linear",
        "ema_decay": 0.0,
        "guard": True,
    }
