"""Fill what a fit's settings leave open."""

import dataclasses
from typing import Any

from finer_core.errors import InputError
from finer_core.training_config import matrix_rate, refuse_two_lengths, settle_matrix_rate
from finer_image.config import ImageConfig
from finer_image.presets.crowding import crowding_of
from finer_image.presets.lengths import Length, chosen_length, steps_per_pass
from finer_image.presets.rates import MUON_RATE, Rates, fast_rates

_PIXELS_A_JUDGMENT = 200_000
"""Pixels trained on, at most, until it is asked again whether a target is reached: one core has two or three seconds of
them, so that no fit goes on for long after it."""


def resolve(
    settings: ImageConfig,
    *,
    height: int,
    width: int,
    channels: int,
    hidden_features: int,
    learning_rate: float,
    bf16_is_native: bool,
    compiles: bool,
    hidden_layers: int | None = None,
    missing: int = 0,
    passes: float | None = None,
) -> ImageConfig:
    """Fill every None by the preset.

    Args:
        settings: As given.
        height: Rows of the image.
        width: Columns of the image.
        channels: Numbers of a pixel.
        hidden_features: Width of the network.
        learning_rate: The method's published rate.
        bf16_is_native: Whether the device multiplies bfloat16 matrices faster.
        compiles: Whether activations are compiled unless `--no-compile` says otherwise.
        hidden_layers: Depth of a method's network; None for a module of the user's own.
        missing: Pixels that hold no data.
        passes: How often every pixel can be used in `settings.seconds`, where these are given.

    Returns:
        Settings without a None that matters; a fit with them is reproducible.

    Raises:
        InputError: For an unknown preset, or settings that exclude each other.
    """
    if settings.preset not in ("fast", "paper"):
        raise InputError(f"unknown preset {settings.preset!r} (known: fast, paper)")
    refuse_two_lengths(settings)
    length = chosen_length(settings, height, width, passes, missing=missing, hidden_features=hidden_features)
    pixels = height * width - missing
    if settings.preset == "paper":
        chosen = _paper(settings, length, learning_rate)
    else:
        crowding = 0.0  # of a module of the user's own, of which nobody knows how many values it can hold
        if hidden_layers is not None:
            crowding = crowding_of(pixels * channels, hidden_features=hidden_features, hidden_layers=hidden_layers)
        rates = fast_rates(
            settings.method,
            optimizer=settings.optimizer,
            published=learning_rate,
            pixels=pixels,
            batch=pixels / steps_per_pass(height, width, length.batch_pixels, missing=missing),
            length=length,
            crowding=crowding,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
        )
        chosen = {**_fast(rates, length), "precision": "bf16" if bf16_is_native else "fp32"}
    given = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    merged = {**chosen, **{name: value for name, value in given.items() if value is not None}}
    merged |= {"steps": length.steps, "passes": length.passes}
    settle_matrix_rate(merged, given=settings.matrix_learning_rate)
    if merged["sampling"] == "importance" and not merged["batch_pixels"]:
        raise InputError(
            "--sampling importance needs a batch of some of the pixels, got the full batch; give --batch-pixels"
        )
    if settings.compile is None:
        merged["compile"] = compiles
    if settings.log_every is None:
        most = 100
        if settings.target_psnr is not None:
            most = max(1, min(100, _PIXELS_A_JUDGMENT // (merged["batch_pixels"] or pixels)))
        merged["log_every"] = min(merged.get("log_every", max(1, merged["steps"] // 50)), most)
    return ImageConfig(**merged)


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


def _fast(rates: Rates, length: Length) -> dict[str, Any]:
    """Stratified pixel batches, SOAP or Muon on the matrices, warm-up and a straight decay to 0."""
    return {
        "batch_pixels": length.batch_pixels,
        "learning_rate": rates.rest,
        "matrix_learning_rate": rates.matrices,
        "sampling": "stratified",
        "optimizer": rates.optimizer,
        "betas": (0.9, 0.99),
        "schedule": "linear",
        "ema_decay": 0.0,
        "guard": True,
    }
