"""Settings of an image fit, and the two presets that complete them."""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from finer_core.cli import option
from finer_core.errors import InputError
from finer_core.run_settings import FitSettings, check_at_least, matrix_rate

BUILT_IN = "astronaut"
"""What `fit` takes when no image is given: NASA's photograph of Eileen Collins (public domain), from scikit-image."""


@dataclass(frozen=True, kw_only=True)
class ImageFitSettings(FitSettings):
    """Hold every setting of a fit; None is filled by `resolve` from the preset, the method and the image's size."""

    batch_pixels: int | None = option(None, "pixels a step; 0 for all of them (full batch)")
    sampling: str | None = option(
        None,
        "where a batch's pixels lie: spread evenly, or more of them where the fit is still wrong",
        choices=("even", "error"),
    )
    network: dict[str, Any] = field(default_factory=dict)
    betas: tuple[float, float] = (0.9, 0.999)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 0, "batch_pixels")


FAST_NETWORK: dict[str, dict[str, Any]] = {"finer": {"first_omega_0": 15.0, "first_bias_scale": 12.0}}
"""Hyper-parameters that the fast preset takes in place of the published ones, by method.

In equal time they gain 3 to 4 dB on photographs at 256x256, and nothing at 128x128 (docs/speed.md). Other methods keep
published values.
"""
MUON_RATE = 1.5e-3
"""Muon's rate in the fast preset; it loses 2 dB at twice that."""

PASSES = 40
"""Times that the fast preset sees every pixel of a small image."""
LARGEST_SAMPLE_COUNT = 64_000_000
"""Pixels that the fast preset draws at most: beyond it a network of fixed size gains little for the time."""


def resolve(
    settings: ImageFitSettings, *, height: int, width: int, learning_rate: float, bf16_is_native: bool, compiles: bool
) -> ImageFitSettings:
    """Fill every None by the preset.

    Args:
        settings: As given.
        height: Rows of the image.
        width: Columns of the image.
        learning_rate: The method's published rate.
        bf16_is_native: Whether the device multiplies bfloat16 matrices faster.
        compiles: Whether activations are compiled unless `--no-compile` says otherwise.

    Returns:
        Settings without a None that matters; a fit with them is reproducible.
    """
    defaults = {"paper": _paper, "fast": _fast}.get(settings.preset)
    if defaults is None:
        raise InputError(f"unknown preset {settings.preset!r} (known: fast, paper)")
    values = defaults(settings, height * width, learning_rate, bf16_is_native)
    given = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    betas = values.pop("betas")
    merged = {**values, **{name: value for name, value in given.items() if value is not None}, "betas": betas}
    if settings.matrix_learning_rate is None:
        merged["matrix_learning_rate"] = matrix_rate(merged["optimizer"], muon=values["matrix_learning_rate"])
    if merged["sampling"] == "error" and not merged["batch_pixels"]:
        raise InputError(
            "--sampling error needs a batch of some of the pixels, got the full batch; give --batch-pixels"
        )
    if settings.compile is None:
        merged["compile"] = compiles
    if not merged.get("log_every"):
        merged["log_every"] = max(1, min(100, merged["steps"] // 50))
    return ImageFitSettings(**merged)


def _paper(settings: ImageFitSettings, pixels: int, learning_rate: float, bf16_is_native: bool) -> dict[str, Any]:
    """FINER and FINER++: full batch, Adam, lr 0.1^(step/steps), 5000 steps, float32, nothing clipped or undone."""
    return {
        "steps": 5000,
        "batch_pixels": 0,
        "learning_rate": learning_rate,
        "matrix_learning_rate": 1e-3,
        "sampling": "even",
        "optimizer": "adam",
        "betas": (0.9, 0.999),
        "schedule": "exponential",
        "ema_decay": 0.0,
        "guard": False,
        "precision": "fp32",
        "log_every": 10,
    }


def _fast(settings: ImageFitSettings, pixels: int, learning_rate: float, bf16_is_native: bool) -> dict[str, Any]:
    """Stratified pixel batches, SOAP on the matrices, warm-up and a straight decay to 0; figures: docs/speed.md."""
    batch = settings.batch_pixels if settings.batch_pixels is not None else _batch_for(pixels)
    a_step = min(batch or pixels, pixels)
    samples = min(PASSES * pixels, max(LARGEST_SAMPLE_COUNT, pixels))
    return {
        "steps": max(800, math.ceil(samples / a_step)),
        "batch_pixels": batch,
        "learning_rate": learning_rate,
        "matrix_learning_rate": MUON_RATE,
        "sampling": "even",
        "optimizer": "soap",
        "betas": (0.9, 0.99),
        "schedule": "linear",
        "ema_decay": 0.0,
        "guard": True,
        "precision": "bf16" if bf16_is_native else "fp32",
    }


def _batch_for(pixels: int) -> int:
    """Return 1/32 of the pixels, but at least 1024 and at most 4096.

    Below, the optimiser's own work counts; above, samples are wasted (docs/speed.md).
    """
    return min(max(pixels // 32, 1024), 4096)
