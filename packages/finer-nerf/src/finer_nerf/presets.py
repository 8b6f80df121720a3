"""The two presets of a radiance-field training: the published run, and ours for a CPU. Needs no PyTorch."""

from dataclasses import replace
from typing import Any

from finer_core.errors import InputError
from finer_core.training_config import filled, refuse_two_lengths
from finer_nerf.config import NerfConfig

PUBLISHED_STEPS, PUBLISHED_BATCH, PUBLISHED_VIEWS = 37_500, 4096, 25
PUBLISHED_HEIGHT = 200
FAST_NETWORK: dict[str, dict[str, Any]] = {
    "gauss": {"scale": 5.0},
    "wire": {"first_omega_0": 5.0, "hidden_omega_0": 5.0, "scale": 2.0},
}
"""Hyper-parameters that the fast preset takes in place of the others, by method.

No values were published for the radiance fields of these two. With those of images (scale 30; omega 20, scale 10) they
hardly learn in a few hundred steps.
"""
FAST_SIZES: dict[str, Any] = {"hidden_features": 64, "hidden_layers": 2}
FAST_COLOR_LAYERS = 1
FAST_STEPS, SHORT_STEPS = 2000, 1500
FAST_LEARNING_RATE, SHORT_LEARNING_RATE = 1e-3, 2e-3
"""Adam's rate in the fast preset at `SHORT_STEPS` and more, and the most that a shorter training takes."""


def with_reading(settings: NerfConfig, *, views: int, height: int) -> NerfConfig:
    """Fill in how a scene is read: by how much it is reduced and thinned.

    Args:
        settings: As given.
        views: Training views of the scene, before.
        height: Of its pictures, in pixels, before.
    """
    every, factor = 1, 1
    if settings.preset == "paper":
        every, factor = max(1, views // PUBLISHED_VIEWS), max(1, height // PUBLISHED_HEIGHT)
    return replace(settings, downscale=settings.downscale or factor, train_every=settings.train_every or every)


def resolve(settings: NerfConfig, *, views: int, learning_rate: float, compiles: bool) -> NerfConfig:
    """Fill every None by the preset.

    Args:
        settings: As given, and by `with_reading` for a scene that was read; another is taken as it is.
        views: Training views, of those that are trained on.
        learning_rate: The method's published rate.
        compiles: Whether activations are compiled unless `--no-compile` says otherwise.

    Returns:
        Settings without a None that matters; a training with them is reproducible.

    Raises:
        InputError: For an unknown preset, or a setting that would do nothing.
    """
    refuse_two_lengths(settings)
    if settings.preset == "paper":
        values = _paper(learning_rate, views=views)
    elif settings.preset == "fast":
        values = _fast(learning_rate, steps=settings.steps or FAST_STEPS)
    else:
        raise InputError(f"unknown preset {settings.preset!r} (known: fast, paper)")
    merged = filled(settings, values, compiles=compiles)
    if not merged["ema_decay"]:
        if (settings.ema_every or 1) > 1:
            raise InputError(
                f"--ema-every {settings.ema_every} is of an average of the weights, and this training has none; "
                "give --ema-decay, e.g. 0.95, or leave it out"
            )
        merged["ema_every"] = 1
    if merged["log_every"] is None:
        # A time is made steps of at the end of a log interval, which shows the cost of whole cycles of steps.
        merged["log_every"] = settings.grid_every if settings.seconds else max(1, min(100, merged["steps"] // 50))
    return NerfConfig(**merged)


def _paper(learning_rate: float, *, views: int) -> dict[str, Any]:
    """FINER's run of torch-ngp: 25 views at 200x200, 4096 rays a step, at most 1024 samples a ray, 37,500 steps."""
    return {
        "steps": PUBLISHED_STEPS,
        "downscale": 1,
        "train_every": 1,
        "batch_rays": PUBLISHED_BATCH,
        "batch_samples": 0,
        "max_samples": 1024,
        "grid_resolution": 128,
        "density_threshold": 10.0,
        "visual_hull": False,
        "min_weight": 0.0,
        "learning_rate": learning_rate,
        "matrix_learning_rate": 1e-3,
        "optimizer": "adam",
        "schedule": "exponential",
        "ema_decay": 0.95,
        "ema_every": views,  # once a pass over the views, as published
        "guard": False,
        "precision": "fp32",
    }


def _fast(learning_rate: float, *, steps: int) -> dict[str, Any]:
    """Small networks, samples only where something can be, as many rays as fill a step.

    Below `SHORT_STEPS` the rate grows as 1 / sqrt(steps) up to its limit, because a short training has no time for a
    low one; it is never below the method's published rate.
    """
    rate = min(SHORT_LEARNING_RATE, FAST_LEARNING_RATE * max(1.0, SHORT_STEPS / steps) ** 0.5)
    return {
        "steps": FAST_STEPS,
        "downscale": 1,
        "train_every": 1,
        "batch_rays": 16_384,
        "batch_samples": 32_000,
        "max_samples": 128,
        "grid_resolution": 64,
        "density_threshold": 0.3,
        "visual_hull": True,
        "min_weight": 1e-4,
        "learning_rate": max(learning_rate, rate),
        "matrix_learning_rate": 5e-3,
        "optimizer": "adam",
        "schedule": "cosine",
        "ema_decay": 0.0,
        "ema_every": 1,
        "guard": True,
        "precision": "fp32",  # at 64 features converting to bfloat16 costs more than its products save
    }
