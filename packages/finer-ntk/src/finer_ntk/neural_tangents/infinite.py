"""Kernels of infinite width, by neural-tangents' closed forms, for the activations that have one."""

from typing import Any

import numpy as np
import torch
from torch import nn

from finer_core import activations
from finer_core.errors import InputError
from finer_core.networks.base import CoordinateMLP
from finer_ntk.neural_tangents.convert import encoded, real_precision
from finer_ntk.neural_tangents.loading import load_neural_tangents


def infinite_ntk(network: nn.Module, x1: np.ndarray, x2: np.ndarray | None = None) -> np.ndarray:
    """Return the kernel that a network's shape has in the limit of infinite width, summed over output channels.

    The limit is that of weights and biases drawn normally with the variances that the network's own initialization has,
    in the standard parameterisation (Sohl-Dickstein et al., 2020), in units of the network's width: what the kernels of
    such networks scatter about. Hidden weights could be of any distribution; but a first layer's few inputs never
    average out, so that a network with uniform first weights, as finer-core draws them, differs from it by more than
    scatter. An encoding is applied first, and counts as the input.

    Args:
        network: `Siren`, `Gauss`, `PEMLP` or `FourierFeatures`; its parameters' values do not matter, their sizes do.
        x1: (n1, in_features).
        x2: (n2, in_features); None is `x1`.

    Returns:
        (n1, n2), in the network's precision.

    Raises:
        InputError: If neural-tangents is absent, or the activation has no closed form (all FINER and wavelet ones).
    """
    jax, nt = load_neural_tangents()
    if not isinstance(network, CoordinateMLP):
        raise InputError(f"no kernel of infinite width is known for a {type(network).__name__}")
    stax = nt.stax
    maps = [*network.layers, network.head]
    with jax.experimental.enable_x64(real_precision(network) == torch.float64):
        layers: list[Any] = []
        for index, layer in enumerate(maps):
            weight_std, bias_std = _deviations(layer)
            dense = stax.Dense(
                layer.out_features,
                W_std=weight_std * layer.in_features**0.5,
                b_std=bias_std,
                parameterization="standard",
            )
            layers += [dense] if index + 1 == len(maps) else [dense, _closed_form(layer.activation, stax)]
        *_, kernel_fn = stax.serial(*layers)
        one = encoded(network, x1)
        two = one if x2 is None else encoded(network, x2)
        return network.out_features * np.asarray(kernel_fn(one, two, "ntk"))


def _deviations(layer: Any) -> tuple[float, float | None]:
    """Return the root mean squares of a map's weights and biases, which its draw has within their number's scatter."""
    if layer.weight.is_complex():
        raise InputError("no kernel of infinite width is known for complex networks")
    weight, bias = (
        None if t is None else float(t.detach().double().square().mean().sqrt()) for t in (layer.weight, layer.bias)
    )
    assert weight is not None
    return weight, bias


def _closed_form(activation: Any, stax: Any) -> Any:
    if isinstance(activation, activations.SineActivation):
        return stax.Sin(b=activation.hyper_parameters["omega_0"])
    if isinstance(activation, activations.GaussActivation):
        return stax.Gaussian(b=-(activation.hyper_parameters["scale"] ** 2))
    if isinstance(activation, activations.ReluActivation):
        return stax.Relu()
    raise InputError(
        f"no kernel of infinite width is known for {type(activation).__name__}; siren, gauss, pemlp and ff have one, "
        "the others only the empirical kernel"
    )
