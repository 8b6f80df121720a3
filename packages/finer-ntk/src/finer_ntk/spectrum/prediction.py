"""Predicted beside real training of one network on one signal, in double precision."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.networks import Network
from finer_ntk.kernel.empirical import empirical_ntk
from finer_ntk.kernel.row_function import as_row_function
from finer_ntk.spectrum.dynamics import descend, flatten_outputs, predicted_losses, stable_rate

DEFAULT_STEPS = 100
CHEAP_OUTPUTS = 1100
"""Points times channels up to which the comparison is made unasked; it takes a second or two."""
MOST_OUTPUTS = 8192
"""Beyond this the kernel over all outputs takes more than half a gigabyte, and its norm minutes."""
_SHARE_OF_STABLE = 0.1


@dataclass(frozen=True, kw_only=True)
class Training:
    """Hold mean square errors at steps 0..steps, and the rate they were taken at."""

    predicted: np.ndarray
    real: np.ndarray
    learning_rate: float

    @property
    def deviation(self) -> float:
        """Return the largest relative difference of a step."""
        return float(np.max(np.abs(self.predicted - self.real) / self.real))


def compare_training(
    network: Network, coords: Tensor, target: np.ndarray, *, exact: bool, learning_rate: float | None, steps: int
) -> Training:
    """Train by plain gradient descent, and predict the same by the kernel at the start.

    Args:
        network: Where it starts; not changed.
        coords: (n, in_features).
        target: (n, out_features), or (n, c) where the network has one output: then its channels' mean.
        exact: Train through FINER's factor.
        learning_rate: None takes 0.1 of the largest stable one.
        steps: Updates.

    Raises:
        InputError: If target and network have different channels, there are too many outputs, or training diverges.
    """
    signal = fit_channels(target, network.out_features)
    if signal.size > MOST_OUTPUTS:
        raise InputError(f"--steps {steps}: the prediction is for at most {MOST_OUTPUTS} outputs, got {signal.size}")
    device = "cpu" if coords.device.type == "mps" else coords.device  # MPS has no double precision
    double = copy.deepcopy(network).to(device).double()
    x = coords.to(device).double()
    rule = "exact" if exact else "training"
    kernel = flatten_outputs(np.asarray(empirical_ntk(double, None, x, output="full", rule=rule).cpu()))  # type: ignore[arg-type, union-attr]
    function = as_row_function(double)
    with torch.no_grad():
        start = function(function.params, x, exact=False).cpu().numpy()
    rate = learning_rate or _SHARE_OF_STABLE * stable_rate(float(np.linalg.norm(kernel, 2)), signal.size)
    residual = (start - signal).ravel()
    predicted = predicted_losses(kernel, residual, learning_rate=rate, steps=steps)
    wanted = torch.from_numpy(signal).to(x)
    real = descend(function, x, wanted, learning_rate=rate, steps=steps, exact=exact)
    return Training(predicted=predicted, real=real, learning_rate=rate)


def has_channels_for(target: np.ndarray, channels: int) -> bool:
    """Return whether `fit_channels` can make a target (n, c) one of a network with so many outputs."""
    return channels in (1, target.shape[1])


def why_unpredicted(target: np.ndarray, channels: int) -> str | None:
    """Return why training on a target (n, c) is not predicted unasked by a network of so many outputs, or None."""
    if not has_channels_for(target, channels):
        return f"no training is predicted: the target has {target.shape[1]} channels, the network {channels} outputs"
    outputs = len(target) * channels
    if outputs > CHEAP_OUTPUTS:
        most = f"{CHEAP_OUTPUTS} outputs, got {outputs}"
        return f"no training is predicted: unasked it is for at most {most}" + (
            "; give --steps" if outputs <= MOST_OUTPUTS else ""
        )
    return None


def fit_channels(target: np.ndarray, channels: int) -> np.ndarray:
    """Return a target of as many channels as the network has: the same, or the mean for a network of one output.

    Raises:
        InputError: If neither fits.
    """
    if target.shape[1] == channels:
        return target
    if channels == 1:
        return target.mean(1, keepdims=True)
    raise InputError(f"the target signal has {target.shape[1]} channels, the network {channels} outputs")
