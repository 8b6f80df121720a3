"""Convert a finer-core network to a JAX function of its parameters.

Complex numbers become pairs of real ones, so that real and imaginary part of a weight are two parameters and the kernel
is the proper one; the published notebook leaves complex parameters to JAX and subtracts the imaginary part's share.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from finer_core import activations
from finer_core.encodings import FourierEncoding, PositionalEncoding
from finer_core.errors import InputError
from finer_core.networks.base import CoordinateMLP

Pair = tuple[Any, Any]
"""Real and imaginary part; the imaginary part None stands for 0."""
Apply = Callable[[Any, Any], Any]
"""Maps parameters and coords (n, in_features) to (n, out_features)."""


def to_jax(network: nn.Module, *, exact: bool) -> tuple[Apply, Any]:
    """Return a network as a JAX function, and its parameters in their own precision.

    Args:
        network: A multilayer network of finer-core.
        exact: Differentiate through FINER's factor; it is otherwise held constant (`stop_gradient`).

    Raises:
        InputError: For a network of another kind, or one with fixed parameters.
    """
    if not isinstance(network, CoordinateMLP):
        raise InputError(
            f"neural-tangents: a {type(network).__name__} cannot be converted, only finer-core's multilayer networks"
        )
    fixed = [name for name, value in network.named_parameters() if not value.requires_grad]
    if fixed:
        raise InputError(f"neural-tangents: parameter {fixed[0]!r} is fixed; the converted kernel would count it")
    encode = _encoding(network.encoding)
    acts = [_activation(layer.activation, exact=exact) for layer in network.layers]
    params = [_linear(layer) for layer in (*network.layers, network.head)]

    def apply(params: Any, coords: Any) -> Any:
        features: Pair = (encode(coords), None)
        for linear, act in zip(params[:-1], acts, strict=True):
            features = act(_times(features, linear))
        return _times(features, params[-1])[0]

    return apply, params


def _linear(layer: Any) -> dict[str, np.ndarray]:
    """Return the real arrays of a linear map: weight and bias, with imaginary parts where they are complex."""
    arrays: dict[str, np.ndarray] = {}
    for name in ("weight", "bias"):
        value = getattr(layer, name)
        if value is None:
            continue
        array = value.detach().cpu().numpy().T  # a transpose in the function would hide its structure from the engine
        arrays[name] = np.ascontiguousarray(array.real)
        if value.is_complex():
            arrays[f"{name}_imag"] = np.ascontiguousarray(array.imag)
    return arrays


def _times(features: Pair, linear: Any) -> Pair:
    """Return a W + b, W of (fan_in, fan_out)."""
    real, imag = features
    weight, weight_imag = linear["weight"], linear.get("weight_imag")
    if weight_imag is None:
        out: Pair = (real @ weight, None if imag is None else imag @ weight)
    elif imag is None:
        out = (real @ weight, real @ weight_imag)
    else:
        out = (real @ weight - imag @ weight_imag, real @ weight_imag + imag @ weight)
    if "bias" not in linear:
        return out
    bias_imag = linear.get("bias_imag")
    return out[0] + linear["bias"], out[1] if bias_imag is None else out[1] + bias_imag


def _encoding(encoding: nn.Module | None) -> Callable[[Any], Any]:
    import jax.numpy as jnp

    if encoding is None:
        return lambda coords: coords
    if isinstance(encoding, PositionalEncoding):
        frequencies = encoding.frequencies()

        def octaves(coords: Any) -> Any:
            waves = [wave(f * coords) for f in frequencies for wave in (jnp.sin, jnp.cos)]
            return jnp.concatenate([coords, *waves], axis=-1)

        return octaves
    if isinstance(encoding, FourierEncoding):
        rows, amplitudes = (t.detach().cpu().numpy() for t in (encoding.frequencies, encoding.amplitudes))

        def fourier(coords: Any) -> Any:
            phase = (2 * math.pi * coords) @ rows.T
            return jnp.concatenate([amplitudes * jnp.sin(phase), amplitudes * jnp.cos(phase)], axis=-1)

        return fourier
    raise InputError(f"neural-tangents: the encoding {type(encoding).__name__} cannot be converted")


def encoded(network: CoordinateMLP, coords: np.ndarray) -> Any:
    """Return what the first linear map sees."""
    return _encoding(network.encoding)(coords)


def _activation(activation: Any, *, exact: bool) -> Callable[[Pair], Pair]:
    """Return the activation on pairs."""
    import jax
    import jax.numpy as jnp

    values = activation.hyper_parameters

    def factor(z: Any) -> Any:
        magnitude = jnp.abs(z)
        return (magnitude if exact else jax.lax.stop_gradient(magnitude)) + 1

    def sine(z: Any) -> Any:
        return jnp.sin(values["omega_0"] * factor(z) * z)

    def bell(u: Any) -> Any:
        return jnp.exp(-((values["scale"] * u) ** 2))

    def normalized(u: Any) -> Any:
        floor = math.exp(-(values["scale"] ** 2))
        return (bell(u) - floor) / (1 - floor)

    def carrier(u: Any) -> Any:
        return jnp.cos(values["omega_w"] * u) * bell(u)

    def finer_sine(z: Pair) -> Pair:
        x, y = z
        if y is None:
            return sine(x), None
        if values["complex_factor"] == "separate":
            a, b = (values["omega_0"] * factor(part) * part for part in (x, y))
        else:
            modulus = jnp.sqrt(x**2 + y**2)
            common = values["omega_0"] * ((modulus if exact else jax.lax.stop_gradient(modulus)) + 1)
            a, b = common * x, common * y
        return jnp.sin(a) * jnp.cosh(b), jnp.cos(a) * jnp.sinh(b)

    def gabor(z: Pair, omega: float) -> Pair:
        x, y = z
        size = -((values["scale"] * x) ** 2)
        if y is not None:
            size = size - (values["scale"] * y) ** 2 - omega * y
        envelope = jnp.exp(size)
        return envelope * jnp.cos(omega * x), envelope * jnp.sin(omega * x)

    real: dict[type, Callable[[Any], Any]] = {
        activations.SineActivation: lambda z: jnp.sin(values["omega_0"] * z),
        activations.FinerActivation: sine,
        activations.GaussActivation: bell,
        activations.GaussFinerActivation: lambda z: (normalized if values["normalized"] else bell)(sine(z)),
        activations.RealWireActivation: carrier,
        activations.RealWireFinerActivation: lambda z: carrier(sine(z)),
        activations.ReluActivation: lambda z: jnp.maximum(z, 0),
    }
    if type(activation) in real:
        function = real[type(activation)]
        return lambda z: (function(z[0]), None)
    if isinstance(activation, activations.WireActivation):
        return lambda z: gabor(z, values["omega_0"])
    if isinstance(activation, activations.WireFinerActivation):
        return lambda z: gabor(finer_sine(z), values["omega_w"])
    raise InputError(f"neural-tangents: the activation {type(activation).__name__} cannot be converted")


def real_precision(network: nn.Module) -> torch.dtype:
    """Return the real type that a network computes in."""
    dtype = next(network.parameters()).dtype
    return dtype.to_real() if dtype.is_complex else dtype
