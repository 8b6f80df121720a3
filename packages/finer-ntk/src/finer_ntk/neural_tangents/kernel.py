"""The empirical kernel by neural-tangents."""

from typing import Any

import numpy as np
import torch
from torch import nn

from finer_core.errors import InputError
from finer_ntk.kernel.cost_model import Output, as_output
from finer_ntk.kernel.functional_model import Derivative, as_derivative
from finer_ntk.neural_tangents.convert import real_precision, to_jax
from finer_ntk.neural_tangents.loading import load_neural_tangents


def neural_tangents_ntk(
    network: nn.Module,
    x1: np.ndarray,
    x2: np.ndarray | None = None,
    *,
    output: Output = "trace",
    derivative: Derivative = "published",
    implementation: int = 3,
    batch_size: int | None = None,
) -> np.ndarray:
    """Compute the empirical kernel of a finer-core network; the same quantity as `kernel.empirical_ntk`.

    Args:
        network: A multilayer network of finer-core, in single or double precision.
        x1: (n1, in_features).
        x2: (n2, in_features); None is `x1`.
        output: "trace" sums over channels, "per_channel" keeps them apart, "full" pairs them.
        derivative: "published" or "exact".
        implementation: neural-tangents' own: 1 contracts Jacobians, 2 takes products (the published notebook), 3
            structured derivatives.
        batch_size: Rows and columns a block; None for all at once.

    Returns:
        (n1, n2), (n1, n2, c) or (n1, n2, c, c).

    Raises:
        InputError: If neural-tangents is absent or broken, the network cannot be converted, or "training" is asked for.
        ValueError: If an argument is none of the choices.
    """
    as_output(output)
    if as_derivative(derivative) == "training":
        raise InputError("neural-tangents: the derivative 'training' is known to the torch engine only")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    jax, _ = load_neural_tangents()
    right = x1 if x2 is None else x2
    with jax.experimental.enable_x64(real_precision(network) == torch.float64):
        of_blocks, params = compiled_kernel(
            network, output=output, derivative=derivative, implementation=implementation
        )
        rows = max(len(x1), len(right)) if batch_size is None else batch_size
        blocks = [
            np.concatenate(
                [
                    np.asarray(of_blocks(x1[i : i + rows], right[j : j + rows], params))
                    for j in range(0, len(right), rows)
                ],
                axis=1,
            )
            for i in range(0, len(x1), rows)
        ]
    return np.concatenate(blocks)


def compiled_kernel(
    network: nn.Module, *, output: Output, derivative: Derivative, implementation: int
) -> tuple[Any, Any]:
    """Return neural-tangents' compiled kernel function of (x1, x2, params), and the parameters.

    To be called, and its result used, inside `jax.experimental.enable_x64` for a network in double precision.
    """
    jax, nt = load_neural_tangents()
    apply, params = to_jax(network, exact=derivative == "exact")
    function = nt.empirical_ntk_fn(
        apply,
        trace_axes=(-1,) if output == "trace" else (),
        diagonal_axes=(-1,) if output == "per_channel" else (),
        vmap_axes=0,
        implementation=nt.NtkImplementation(implementation),
    )
    channels = network.out_features if output == "trace" else 1  # it takes the mean over traced axes, we the sum

    def kernel(x1: Any, x2: Any, params: Any) -> Any:
        return channels * function(x1, x2, params)

    return jax.jit(kernel), params
