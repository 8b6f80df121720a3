"""Tell when a fit has reached the PSNR that ends it."""

from collections.abc import Callable

import numpy as np
from torch import nn

from finer_core.metrics import psnr_of_mse
from finer_core.training import LogEntry
from finer_image.evaluation import Judge, fitted_bands
from finer_image.io.image import unit_from_pixels
from finer_image.io.raster import Raster
from finer_image.model import ImageModel
from finer_image.training.plan import FitPlan

_SAMPLED_SIDE = 128
"""Rows that are sampled, at most, and pixels of each: about a fortieth of a fit's time is spent on predicting them."""
_NEAR = 0.3
"""Decibels below the target that the sample has to come to before all pixels are predicted: about twice its error."""


def target_test(plan: FitPlan, network: nn.Module, image: Raster) -> Callable[[LogEntry], bool]:
    """Return what tells at a log point whether the whole image has the PSNR that ends the fit.

    The training PSNR does not say so: it is of values that are not clipped, which in an image with much black or white
    is decibels less, and of the weights some steps ago. The same random pixels are asked every time, and where they
    come near the target, all of them. What it tells follows from the weights alone, so that a resumed fit ends where
    the other one would have.
    """
    target = plan.settings.target_psnr
    if target is None:
        return lambda point: False
    model = ImageModel.of(network, image, target_range=plan.target_range)
    rows, columns, truth = _sample(image, seed=plan.settings.seed)

    def is_reached(point: LogEntry) -> bool:
        if len(truth):
            error = np.clip(model.at(rows, columns), 0, 1) - truth
            if _is_below(psnr_of_mse(float(np.mean(error.astype(np.float64) ** 2))), target - _NEAR):
                return False
        judge = Judge(model, image, with_ssim=False)
        for pred in fitted_bands(model):
            judge.add(pred)
        return not _is_below(judge.figures()["psnr"], target)

    return is_reached


def _is_below(psnr: float | None, target: float) -> bool:
    return psnr is not None and psnr < target  # None is without error


def _sample(image: Raster, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw pixels that have data; return their rows, their columns and their values, (n, C) in [0, 1]."""
    random = np.random.default_rng(seed)
    some = np.sort(random.choice(image.height, size=min(image.height, _SAMPLED_SIDE), replace=False))
    rows = np.repeat(some, _SAMPLED_SIDE)
    columns = random.integers(image.width, size=rows.size)
    pixels = np.concatenate([image.read(slice(row, row + 1))[0, columns[rows == row]] for row in map(int, some)])
    missing = image.missing_in(pixels)
    has_data = slice(None) if missing is None else ~missing
    return rows[has_data], columns[has_data], unit_from_pixels(pixels[has_data], value_range=image.value_range)
