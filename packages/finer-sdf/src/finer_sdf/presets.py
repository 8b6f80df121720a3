"""The two presets: what they fill in of a fit's settings. Needs no PyTorch."""

from typing import Any

from finer_core.errors import InputError
from finer_core.training_config import filled, refuse_other_presets, refuse_two_lengths
from finer_sdf.config import SdfConfig

PUBLISHED_STEPS, PUBLISHED_BATCH, PUBLISHED_CLOUD = 200_000, 10_000, 250_000
FAST_STEPS, FAST_BATCH, FAST_SAMPLES = 4500, 8192, 1_200_000
FAST_LEARNING_RATE = 5e-4
"""Adam's rate in the fast preset, or the method's published one where that is higher."""
LEARNING_RATES = {"wire": 2e-3}
"""Adam's rate for methods that hardly learn at that of the others: WIRE, whose complex matrices are Adam's too."""
COSINE_UNTIL = 9000
"""Steps beyond which the fast preset's rates fall by the square of the cosine, and it has four times the distances."""
FULL_RATES_UNTIL = 18_000
"""Steps beyond which they are lower from the start."""
FAST_MATRIX_RATE = 2e-3
"""Muon's rate in the fast preset."""
MATRIX_RATES = {"pemlp": 3.2e-2, "ff": 3.2e-2, "gauss": 5e-3, "bacon": 8e-3, "multiscale-bacon": 8e-3}
"""Muon's rate for methods that hardly learn at that of the others: those of ReLU, Gaussians, and products of sines
(docs/budgets.md)."""

FAST_NETWORK: dict[str, dict[str, Any]] = {
    "finer": {"first_bias_scale": 3.0},
    "gauss": {"scale": 8.0},
    "wire": {"first_omega_0": 5.0, "hidden_omega_0": 5.0, "scale": 2.0},
    "pemlp": {"num_frequencies": 5},
    "ff": {"frequency_std": 3.0},
    "bacon": {"max_frequency": 32.0},
    "multiscale-bacon": {"max_frequency": 32.0},
}
"""Hyper-parameters that the fast preset takes in place of the published ones.

The published k = 1 was chosen for 200,000 steps. A wider first bias brings high frequencies in from the start: on the
armadillo, at an equal number of steps, k = 3 halves the distance to the surface. With the published scale of 30 a
Gaussian network has the wrong sign at a quarter of the box after 400 steps, and WIRE's with omega 20 and scale 10 at
two fifths; with encodings of 10 octaves, a standard deviation of 8, or BACON's 384 the surface is near, and walls of
noise stand beside it. Other methods keep published values.
"""


def resolve(
    settings: SdfConfig, *, learning_rate: float, amsgrad: bool, bf16_is_native: bool, compiles: bool
) -> SdfConfig:
    """Fill every None by the preset.

    Args:
        settings: As given.
        learning_rate: The method's published rate.
        amsgrad: Whether the method's published optimizer keeps the maximum of its second moments.
        bf16_is_native: Whether the device multiplies bfloat16 matrices faster.
        compiles: Whether activations are compiled unless `--no-compile` says otherwise.

    Returns:
        Settings without a None that matters; a fit with them is reproducible.

    Raises:
        InputError: For an unknown preset, or a setting that would do nothing.
    """
    refuse_two_lengths(settings)
    refuse_other_presets(settings)
    if settings.preset == "paper":
        values = _paper(learning_rate, amsgrad)
    elif settings.preset == "fast":
        rate = max(learning_rate, LEARNING_RATES.get(settings.method, FAST_LEARNING_RATE))
        values = _fast(settings, rate, bf16_is_native)
    else:
        raise InputError(f"unknown preset {settings.preset!r} (known: fast, paper)")
    merged = filled(settings, values, compiles=compiles)
    if merged["log_every"] is None:
        merged["log_every"] = max(1, min(100, merged["steps"] // 50))
    return SdfConfig(**merged)


def _paper(learning_rate: float, amsgrad: bool) -> dict[str, Any]:
    """BACON's protocol as FINER ran it: 10,000 points a step, clipping at norm 1, 200,000 steps, float32.

    Its schedule is none of the named ones: `training.bacon.published_schedule` takes over where none is given.
    """
    return {
        "steps": PUBLISHED_STEPS,
        "batch_points": PUBLISHED_BATCH,
        "cloud_points": PUBLISHED_CLOUD,
        "learning_rate": learning_rate,
        "matrix_learning_rate": 1e-3,
        "optimizer": "adam",
        "betas": (0.9, 0.999),
        "amsgrad": amsgrad,
        "max_grad_norm": 1.0,
        "ema_decay": 0.0,
        "guard": False,
        "precision": "fp32",
    }


def _fast(settings: SdfConfig, learning_rate: float, bf16_is_native: bool) -> dict[str, Any]:
    """Exact distances, most of them near the surface; warm-up and cosine.

    A long fit at the usual rates roughens, and at lower ones it never comes as close to the surface (docs/budgets.md).
    So beyond 9,000 steps the first rates stay and the later ones are lower, and only beyond 18,000 they are multiplied
    by 18,000 / steps. Over so many steps 1,200,000 distances are learnt by heart, in part: hence four times as many.
    """
    steps = settings.steps or FAST_STEPS
    is_long = steps > COSINE_UNTIL
    slower = min(1.0, FULL_RATES_UNTIL / steps)
    return {
        "steps": FAST_STEPS,
        "batch_points": FAST_BATCH,
        "samples": FAST_SAMPLES * (4 if is_long else 1),
        "learning_rate": learning_rate * slower,
        "matrix_learning_rate": MATRIX_RATES.get(settings.method, FAST_MATRIX_RATE) * slower,
        "optimizer": "muon",
        "schedule": "cosine-squared" if is_long else "cosine",
        "betas": (0.9, 0.99),
        "amsgrad": False,
        "ema_decay": 0.0,
        "guard": True,
        "precision": "bf16" if bf16_is_native else "fp32",
    }
