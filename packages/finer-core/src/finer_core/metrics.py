"""The one mse and the one psnr."""

import math

import torch
from torch import Tensor

from finer_core.casts import widened
from finer_core.shapes import Float, Inexact


def mse(pred: Inexact[Tensor, "*shape"], target: Inexact[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Return the mean over all entries of |pred - target|^2, a real scalar; of half precision in float32.

    Raises:
        ValueError: If the shapes differ, or one is of integers, whose differences wrap around.
    """
    if pred.shape != target.shape:
        raise ValueError(f"pred has shape {tuple(pred.shape)}, target {tuple(target.shape)}")
    for name, given in (("pred", pred), ("target", target)):
        if not given.is_floating_point() and not given.is_complex():
            raise ValueError(
                f"{name} must be floating point, got {given.dtype}; give {name}.float() and its data_range"
            )
    difference = widened(pred) - widened(target)  # squares in half precision vanish, or overflow
    return torch.mean((difference.abs() if difference.is_complex() else difference) ** 2)


def psnr_of_mse(value: float, *, data_range: float = 1.0) -> float:
    """Return 10 log10(data_range^2 / mse) in dB; infinite for a perfect fit, minus infinite for an infinite error."""
    if value == 0 or value == math.inf:
        return math.inf if value == 0 else -math.inf
    return 10 * math.log10(data_range**2 / value)


def psnr(pred: Inexact[Tensor, "*shape"], target: Inexact[Tensor, "*shape"], *, data_range: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio in dB.

    Formula: 10 log10(data_range^2 / mse(pred, target)).

    Args:
        pred: Any shape. Not clipped here: clip it first for the clipped figure.
        target: The shape of `pred`.
        data_range: Largest minus smallest possible value.
    """
    return psnr_of_mse(float(mse(pred, target).detach()), data_range=data_range)
