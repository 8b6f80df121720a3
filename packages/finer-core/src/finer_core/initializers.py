"""In-place initializers of the published networks; every one is uniform on [-bound, bound] unless it says otherwise.

Complex tensors get real and imaginary part drawn independently from the same range. All take an optional
`generator`, so that a network can be drawn reproducibly without touching the global random state.
"""

import math

import torch
from torch import Generator, Tensor

from finer_core.shapes import Float, Inexact


def uniform_(
    tensor: Inexact[Tensor, "*shape"], *, bound: float, generator: Generator | None = None
) -> Inexact[Tensor, "*shape"]:
    """Fill with U(-bound, bound), real and imaginary part each.

    Args:
        tensor: Any shape, real or complex; changed in place.
        bound: Half-width, not negative.
        generator: Source of randomness; None for the global one.

    Returns:
        `tensor`.

    Raises:
        ValueError: If `bound` is negative or not finite.
    """
    if not (math.isfinite(bound) and bound >= 0):
        raise ValueError(
            f"bound must be finite and not negative, got {bound!r} for a tensor of shape {tuple(tensor.shape)}"
        )
    with torch.no_grad():
        target = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        target.uniform_(-bound, bound, generator=generator)
    return tensor


def first_layer_uniform_(
    weight: Inexact[Tensor, "out_features fan_in"], *, generator: Generator | None = None
) -> Inexact[Tensor, "out_features fan_in"]:
    """Fill a first layer's weight with U(+-1/fan_in) (SIREN, supplement 1.5; kept by FINER and FINER++).

    Args:
        weight: (out_features, fan_in).
        generator: Source of randomness.
    """
    return uniform_(weight, bound=1 / fan_in_of(weight), generator=generator)


def siren_uniform_(
    weight: Inexact[Tensor, "out_features fan_in"],
    *,
    omega_0: float,
    gain: float = 6.0,
    generator: Generator | None = None,
) -> Inexact[Tensor, "out_features fan_in"]:
    """Fill a hidden or last layer's weight with U(+-sqrt(gain/fan_in)/omega_0) (SIREN, theorem 1.8; gain 6).

    Args:
        weight: (out_features, fan_in).
        omega_0: The layer's frequency factor; Wire-FINER takes omega_0 * omega_w.
        gain: 6 as published; FINER's SDF code also draws with others.
        generator: Source of randomness.
    """
    return uniform_(weight, bound=math.sqrt(gain / fan_in_of(weight)) / omega_0, generator=generator)


def pytorch_uniform_(
    weight: Inexact[Tensor, "out_features fan_in"], *, omega_0: float = 1.0, generator: Generator | None = None
) -> Inexact[Tensor, "out_features fan_in"]:
    """Fill a weight with PyTorch's default U(+-1/sqrt(fan_in)), divided by `omega_0`.

    Args:
        weight: (out_features, fan_in).
        omega_0: 1 is `nn.Linear`'s own rule; others are the "pytorch_omega" variant of FINER's SDF code.
        generator: Source of randomness.
    """
    return uniform_(weight, bound=1 / (math.sqrt(fan_in_of(weight)) * omega_0), generator=generator)


def he_uniform_(
    weight: Inexact[Tensor, "out_features fan_in"], *, generator: Generator | None = None
) -> Inexact[Tensor, "out_features fan_in"]:
    """Fill a weight with U(+-sqrt(6/fan_in)), for ReLU layers and BACON's linear maps (He et al., 2015).

    Args:
        weight: (out_features, fan_in).
        generator: Source of randomness.
    """
    return uniform_(weight, bound=math.sqrt(6 / fan_in_of(weight)), generator=generator)


def bias_uniform_(
    bias: Inexact[Tensor, " out_features"],
    *,
    fan_in: int,
    bias_scale: float | None = None,
    generator: Generator | None = None,
) -> Inexact[Tensor, " out_features"]:
    """Fill a bias with U(+-bias_scale), or with PyTorch's default U(+-1/sqrt(fan_in)) when it is None.

    For the first layer `bias_scale` is FINER's tuning knob `first_bias_scale` (FINER, section 3.3): a larger one
    selects higher-frequency parts of the activation.

    Args:
        bias: (out_features,).
        fan_in: Number of inputs of the layer.
        bias_scale: Half-width, or None.
        generator: Source of randomness.
    """
    return uniform_(bias, bound=1 / math.sqrt(fan_in) if bias_scale is None else bias_scale, generator=generator)


def quantized_frequencies_(
    weight: Float[Tensor, "hidden_features in_features"],
    *,
    max_integer_frequency: int,
    generator: Generator | None = None,
) -> Float[Tensor, "hidden_features in_features"]:
    """Fill a BACON filter's weight with 2 pi k, k uniform over the integers -m..m (BACON, CVPR 2022, section 3.2).

    Args:
        weight: (hidden_features, in_features).
        max_integer_frequency: m, in cycles per unit of the coordinates.
        generator: Source of randomness.

    Raises:
        ValueError: If `max_integer_frequency` is negative.
    """
    if max_integer_frequency < 0:
        raise ValueError(f"max_integer_frequency must not be negative, got {max_integer_frequency}")
    low, high = -max_integer_frequency, max_integer_frequency + 1
    integers = torch.randint(low, high, tuple(weight.shape), generator=generator, device=weight.device)
    with torch.no_grad():
        weight.copy_(integers).mul_(2 * math.pi)
    return weight


def fan_in_of(weight: Inexact[Tensor, "out_features fan_in"]) -> int:
    """Return the number of inputs of a weight of shape (out_features, fan_in).

    Raises:
        ValueError: If `weight` is not a non-empty matrix.
    """
    if weight.ndim != 2 or weight.shape[1] == 0:
        raise ValueError(f"expected a weight of shape (out_features, fan_in), got {tuple(weight.shape)}")
    return weight.shape[1]
