"""Predicted beside measured training of one network on one signal, in double precision."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.casts import as_array, refuse_masked, without_autocast
from finer_core.errors import InputError
from finer_core.io.text import counted
from finer_core.schema import check, check_number, plain
from finer_core.shapes import Float, Shaped
from finer_ntk.kernel.empirical import empirical_ntk
from finer_ntk.kernel.functional_model import Derivative, as_coords, as_row_function
from finer_ntk.spectrum.dynamics import descend, predicted_losses

DEFAULT_STEPS = 100
CHEAP_OUTPUTS = 1100
"""Points times channels up to which the comparison is made unasked; it takes a second or two."""
_LARGEST_TARGET = 1e100
MOST_OUTPUTS = 8192
"""Beyond this the kernel over all outputs takes more than half a gigabyte, and its norm minutes."""
_SHARE_OF_STABLE = 0.1
"""Of the rate above which the linearized descent diverges, N / lambda_max."""


@dataclass(frozen=True, kw_only=True)
class TrainingPrediction:
    """Hold mean square errors at steps 0..steps, predicted and measured.

    Attributes:
        predicted: (steps + 1,), by the kernel at the start.
        measured: (steps + 1,), of real gradient descent.
        learning_rate: The rate that both took.

    Example:
        >>> import numpy as np
        >>> from finer_ntk import TrainingPrediction
        >>> losses = {"predicted": np.array([1.0, 0.45]), "measured": np.array([1.0, 0.5])}
        >>> round(TrainingPrediction(**losses, learning_rate=0.1).deviation, 6)
        0.1
    """

    predicted: Float[np.ndarray, " steps"]
    measured: Float[np.ndarray, " steps"]
    learning_rate: float

    def __repr__(self) -> str:
        steps = counted(len(self.predicted) - 1, "step")
        return f"{type(self).__name__}: {steps} at {self.learning_rate:.4g}, deviation {self.deviation:.4g}"

    @property
    def deviation(self) -> float:
        """Return the largest relative difference of a step: 0 of equal losses, infinite of others than a measured 0."""
        difference = np.abs(self.predicted - self.measured)
        relative = np.where(difference > 0, np.inf, 0.0)
        np.divide(difference, self.measured, out=relative, where=self.measured > 0)
        return float(relative.max())


@torch.inference_mode(False)
@without_autocast()
def predict_training(
    model: nn.Module,
    x: Tensor | np.ndarray,
    target: Tensor | np.ndarray | None,
    *,
    steps: int = DEFAULT_STEPS,
    learning_rate: float | None = None,
    derivative: Derivative = "published",
) -> TrainingPrediction:
    """Train a copy of a network by full-batch gradient descent, and predict the same by its kernel at the start.

    Formula: f_{t+1} - y = (I - (2 eta / N) K) (f_t - y), N points times channels (Lee et al., NeurIPS 2019, section
    2.2, in discrete time). Both in double precision.

    Args:
        model: Where training starts; not changed.
        x: (n, in_features), a tensor or an array, in the model's coordinates.
        target: (n,) or (n, out_features), or (n, c) where the model has one output: then its channels' mean.
        steps: Updates.
        learning_rate: eta; None takes 0.1 of the largest stable one.
        derivative: "published" trains with FINER's published gradient, "exact" through its factor.

    Returns:
        The losses.

    Raises:
        InputError: If there is no target (points may have none), target and model have different channels, there are
            more than 8192 outputs, `steps` is negative, the rate not positive, or training diverges.
        ValueError: If an argument is none of the choices, or does not fit the model.

    Example:
        >>> import torch
        >>> from finer_core import build_network, published_config
        >>> from finer_ntk import line_grid, predict_training
        >>> config = published_config(method="finer", task="ntk", in_features=1, out_features=1, hidden_features=64)
        >>> network = build_network(config, generator=torch.Generator().manual_seed(0))
        >>> points = line_grid(32)
        >>> training = predict_training(network, points.coords, points.target, steps=10)
        >>> training.measured.shape, training.deviation < 0.1
        ((11,), True)
    """
    if derivative not in ("published", "exact"):
        raise ValueError(f"training takes the derivative published or exact, got {derivative!r}")
    if target is None:
        raise InputError("target is None, as points without one have it; give the signal to learn")
    check(plain(steps), int, name="steps")
    if steps < 0:
        raise InputError(f"steps must be at least 0, got {steps}")
    if learning_rate is not None:
        check_number(learning_rate, what="learning_rate")
    if learning_rate is not None and not 0 < learning_rate < math.inf:
        raise InputError(f"learning_rate must be positive and finite, got {learning_rate!r}")
    double = copy.deepcopy(model)
    own = as_coords(x, as_row_function(model))  # the very points that the model itself would see
    if own.device.type == "mps":  # which has no double precision
        double, own = double.cpu(), own.cpu()
    double = double.double()
    function = as_row_function(double)
    coords = as_coords(own, function)
    signal = fit_channels(as_signal(target, len(coords)), function.channels(coords))
    largest = float(np.abs(signal).max(initial=0.0))
    if largest > _LARGEST_TARGET:
        raise InputError(f"the target reaches {largest:.3g}, whose square double precision cannot hold; scale it down")
    if signal.size > MOST_OUTPUTS:
        raise InputError(f"training is predicted for at most {MOST_OUTPUTS} outputs, got {signal.size}")
    exact = derivative == "exact"
    full = empirical_ntk(double, coords, output="full", derivative="exact" if exact else "training")
    kernel = full.cpu().numpy().transpose(0, 2, 1, 3).reshape(signal.size, signal.size)  # acts on flattened outputs
    with torch.no_grad():
        start = function(function.params, coords, exact=False).cpu().numpy()
    rate = learning_rate
    if rate is None:
        largest = float(np.linalg.norm(kernel, 2))
        rate = _SHARE_OF_STABLE * (signal.size / largest) if largest else 1.0  # no gradient: any rate is stable
    residual = (start - signal).ravel()
    predicted = predicted_losses(kernel, residual, learning_rate=rate, steps=steps)
    wanted = torch.from_numpy(signal).to(coords.device, function.dtype)  # the type of places is another matter
    measured = descend(function, coords, wanted, learning_rate=rate, steps=steps, exact=exact)
    return TrainingPrediction(predicted=predicted, measured=measured, learning_rate=rate)


def has_channels_for(target: Shaped[np.ndarray, "n c"], channels: int) -> bool:
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


def fit_channels(target: Float[np.ndarray, "n c"], channels: int) -> Float[np.ndarray, "n {channels}"]:
    """Return a target of as many channels as the network has: the same, or the mean for a network of one output.

    Raises:
        InputError: If neither fits.
    """
    if target.shape[1] == channels:
        return target
    if channels == 1:
        return target.mean(1, keepdims=True)
    raise InputError(f"the target signal has {target.shape[1]} channels, the network {channels} outputs")


def as_signal(target: Tensor | np.ndarray, count: int) -> np.ndarray:
    """Return a target (n,) or (n, c) as an array (n, c) in double precision.

    Raises:
        InputError: If some of it is masked, or it is not of real numbers.
        ValueError: If it is not a finite row a point.
    """
    refuse_masked(target, what="target")
    signal = as_array(target) if isinstance(target, Tensor) else np.asarray(target)
    if signal.dtype.kind not in "fiub":
        raise InputError(f"target must be real numbers, got dtype {signal.dtype}")
    if signal.ndim not in (1, 2) or len(signal) != count or not np.isfinite(signal).all():
        raise ValueError(f"expected a finite target ({count},) or ({count}, channels), got {signal.shape}")
    return signal.reshape(count, -1).astype(np.float64)
