"""Networks of the sine family: SIREN and FINER."""

from typing import Any

import torch
from torch import Generator

from finer_core.layers import FinerLayer, SineLayer, sine_family_init
from finer_core.networks.base import CoordinateMLP


class Siren(CoordinateMLP):
    """Build a SIREN: layers sin(omega_0 (W x + b)) (Sitzmann et al., NeurIPS 2020).

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        first_omega_0: Frequency factor of the first layer.
        hidden_omega_0: Frequency factor of the others, in their weight range too.
        first_bias_scale: Half-width of the first bias; None for PyTorch's default.
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Example:
        >>> import torch
        >>> from finer_core import Siren
        >>> network = Siren(in_features=2, out_features=1, hidden_features=32, hidden_omega_0=30.0)
        >>> network(torch.zeros(5, 2)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        hidden_features: int = 256,
        hidden_layers: int = 3,
        first_omega_0: float = 30.0,
        hidden_omega_0: float = 30.0,
        first_bias_scale: float | None = None,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        def make_layer(*, is_first: bool, **linear: Any) -> SineLayer:
            return SineLayer(omega_0=first_omega_0 if is_first else hidden_omega_0, is_first=is_first, **linear)

        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
            make_layer=make_layer,
            head_init=sine_family_init(omega_0=hidden_omega_0, is_first=False),
            bias=bias,
            first_bias_scale=first_bias_scale,
            generator=generator,
            device=device,
            dtype=dtype,
        )


class Finer(CoordinateMLP):
    """Build a FINER network: layers sin(omega_0 (|z| + 1) z), z = W x + b (Liu et al., CVPR 2024).

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        first_omega_0: Frequency factor of the first layer.
        hidden_omega_0: Frequency factor of the others, in their weight range too.
        first_bias_scale: k of the paper: the first bias is drawn from U(-k, k), and a larger k widens the set of
            frequencies the network represents. None keeps PyTorch's default, as the published image runs do.
        hidden_bias_scale: Half-width of every later bias; None for PyTorch's default.
        scale_req_grad: Differentiate through (|z| + 1) in training. False is the published rule.
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Example:
        >>> import torch
        >>> from finer_core import Finer
        >>> network = Finer(in_features=2, out_features=1, hidden_features=32, first_bias_scale=5.0)
        >>> network(torch.zeros(5, 2)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        hidden_features: int = 256,
        hidden_layers: int = 3,
        first_omega_0: float = 30.0,
        hidden_omega_0: float = 30.0,
        first_bias_scale: float | None = None,
        hidden_bias_scale: float | None = None,
        scale_req_grad: bool = False,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        def make_layer(*, is_first: bool, **linear: Any) -> FinerLayer:
            omega_0 = first_omega_0 if is_first else hidden_omega_0
            return FinerLayer(omega_0=omega_0, is_first=is_first, scale_req_grad=scale_req_grad, **linear)

        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
            make_layer=make_layer,
            head_init=sine_family_init(omega_0=hidden_omega_0, is_first=False),
            bias=bias,
            first_bias_scale=first_bias_scale,
            hidden_bias_scale=hidden_bias_scale,
            generator=generator,
            device=device,
            dtype=dtype,
        )
