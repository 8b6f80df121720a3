"""Redraw a network's parameters as the published notebook does, for `--preset paper`.

It differs from the papers' training code: hidden biases are zero, ReLU networks are drawn from truncated normals, and
Wire-FINER's initializer is called with a bound as both mean and deviation, so that its weights are normal around that
bound. Kept because the published figure comes from it; `--preset fast` draws as finer-core does.
"""

import math

import torch
from torch import Generator, Tensor, nn

from finer_core.errors import InputError
from finer_core.networks import Network


@torch.no_grad()
def draw_as_in_notebook(network: Network, *, generator: Generator) -> None:
    """Change a freshly built network's parameters in place.

    Raises:
        InputError: For a method that the notebook has not, or has not in a working form.
    """
    method = network.config.method
    if method not in _DRAW:
        raise InputError(
            f"--preset paper: the published notebook has no working {method!r}, only {', '.join(_DRAW)}; "
            "use --preset fast"
        )
    maps = [module for module in network.modules() if isinstance(module, nn.Linear)]
    _DRAW[method](network, maps, generator)


def _sines(network: Network, maps: list[nn.Linear], generator: Generator) -> None:
    given = network.config.options.get("first_bias_scale") is not None
    for index, linear in enumerate(maps):
        if index > 0 or not given:
            _zero(linear.bias)


def _gauss_finer(network: Network, maps: list[nn.Linear], generator: Generator) -> None:
    """Draw nothing anew: uniform biases in 1/sqrt(fan_in), which is what finer-core draws."""


def _fourier_features(network: Network, maps: list[nn.Linear], generator: Generator) -> None:
    for linear in maps:
        deviation = 1 / math.sqrt(linear.weight.shape[1])
        nn.init.trunc_normal_(linear.weight, std=deviation, a=-2 * deviation, b=2 * deviation, generator=generator)
        _zero(linear.bias)


def _wire_finer(network: Network, maps: list[nn.Linear], generator: Generator) -> None:
    scale, omega_0 = (network.config.options[name] for name in ("first_bias_scale", "omega_0"))
    for index, linear in enumerate(maps):
        fan_in = linear.weight.shape[1]
        first = index == 0
        _normal_around(linear.weight, 1 / fan_in if first else math.sqrt(6 / fan_in) / omega_0, generator)
        _normal_around(linear.bias, float(scale) if first and scale else 1 / math.sqrt(fan_in), generator)


def _normal_around(tensor: Tensor, bound: float, generator: Generator) -> None:
    """Fill with a normal of (real) mean and deviation `bound`, a complex one's parts sharing its variance."""
    tensor.normal_(0.0, 1.0, generator=generator)
    tensor.mul_(bound).add_(bound)


def _zero(tensor: Tensor | None) -> None:
    if tensor is not None:
        tensor.zero_()


_DRAW = {
    "finer": _sines,
    "siren": _sines,
    "gauss-finer": _gauss_finer,
    "wire-finer": _wire_finer,
    "ff": _fourier_features,
}
