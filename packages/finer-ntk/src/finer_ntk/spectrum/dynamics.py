"""Training as the kernel predicts it, beside training as it happens.

Gradient descent with rate eta on the mean square error moves the outputs, to first order in eta, by

    f_{t+1} - y = (I - (2 eta / N) K) (f_t - y),    N = points times channels

(Lee et al., NeurIPS 2019, section 2.2, in discrete time), with the kernel at initialization held fixed. When training
takes FINER's published gradient, K is the kernel of the rule "training", J D^T, not the published figure's D D^T.
"""

import numpy as np
import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.schema import check_flag
from finer_core.shapes import Float, Real
from finer_ntk.kernel.functional_model import RowFunction


def predicted_losses(
    kernel: Real[np.ndarray, "m m"], residual: Real[np.ndarray, " m"], *, learning_rate: float, steps: int
) -> Float[np.ndarray, " {steps+1}"]:
    """Return the mean square error at steps 0..steps as the linearized network has it.

    Args:
        kernel: (m, m), over all outputs: points times channels, a point's channels together. Need not be symmetric.
        residual: f_0 - y, (m,).
        learning_rate: eta.
        steps: Updates.

    Returns:
        (steps + 1,).

    Raises:
        ValueError: If the kernel does not act on so many outputs.

    Example:
        >>> import numpy as np
        >>> from finer_ntk.spectrum import predicted_losses
        >>> predicted_losses(np.eye(2), np.ones(2), learning_rate=0.5, steps=2).tolist()
        [1.0, 0.25, 0.0625]
    """
    current = np.asarray(residual, dtype=np.float64).copy()
    matrix = np.asarray(kernel, dtype=np.float64)
    if matrix.shape != (len(current), len(current)):
        raise ValueError(f"a kernel of shape {matrix.shape} does not act on {len(current)} outputs")
    losses = [float(np.mean(current**2))]
    with np.errstate(over="ignore", invalid="ignore"):  # at too high a rate it diverges, as training does
        for _ in range(steps):
            current -= (2 * learning_rate / len(current)) * (matrix @ current)
            losses.append(float(np.mean(current**2)))
    return np.array(losses)


@torch.inference_mode(False)
@torch.enable_grad()
def descend(
    function: RowFunction,
    coords: Float[Tensor, "n in_features"],
    target: Float[Tensor, "n out_features"],
    *,
    learning_rate: float,
    steps: int,
    exact: bool = False,
) -> Float[np.ndarray, " {steps+1}"]:
    """Return the mean square error at steps 0..steps of real full-batch gradient descent.

    Args:
        function: Where it starts; its parameters are not changed.
        coords: (n, in_features).
        target: (n, out_features).
        learning_rate: eta.
        steps: Updates.
        exact: Train through FINER's factor; the published rule does not.

    Raises:
        InputError: If the loss is not finite, the rate being too high, or `exact` is neither true nor false.

    Example:
        >>> import torch
        >>> from finer_ntk.kernel import as_row_function
        >>> from finer_ntk.spectrum import descend
        >>> function = as_row_function(torch.nn.Linear(1, 1))
        >>> x = torch.linspace(-1, 1, 8)[:, None]
        >>> losses = descend(function, x, 2 * x, learning_rate=0.1, steps=5)
        >>> bool(losses[5] < losses[0])
        True
    """
    check_flag(exact, what="exact")
    params = {name: value.clone().requires_grad_() for name, value in function.params.items()}
    losses = []
    for step in range(steps + 1):
        loss = (function(params, coords, exact=exact) - target).square().mean()
        losses.append(float(loss.detach()))
        if not np.isfinite(losses[-1]):
            raise InputError(
                f"gradient descent at learning rate {learning_rate:g} diverged at step {step}; take a lower one"
            )
        if step < steps:
            grads = torch.autograd.grad(loss, list(params.values()), materialize_grads=True)
            with torch.no_grad():
                for value, grad in zip(params.values(), grads, strict=True):
                    value -= learning_rate * grad
    return np.array(losses)
