"""Networks of the Gaussian family: Gauss and Gauss-FINER."""

from functools import partial
from typing import Any

import torch
from torch import Generator

from finer_core.layers import GaussFinerLayer, GaussLayer, sine_family_init
from finer_core.networks.base import CoordinateMLP


class Gauss(CoordinateMLP):
    """Build a Gaussian network: layers exp(-(scale (W x + b))^2) (Ramasinghe and Lucey, ECCV 2022).

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        scale: Inverse width of the Gaussian.
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Example:
        >>> import torch
        >>> from finer_core import Gauss
        >>> network = Gauss(in_features=2, out_features=1, hidden_features=32, scale=10.0)
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
        scale: float = 30.0,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        def make_layer(*, is_first: bool, **linear: Any) -> GaussLayer:
            return GaussLayer(scale=scale, **linear)

        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
            make_layer=make_layer,
            bias=bias,
            generator=generator,
            device=device,
            dtype=dtype,
        )


class GaussFiner(CoordinateMLP):
    """Build a Gauss-FINER network: layers exp(-(scale sin(omega_0 (|z|+1) z))^2) (FINER++, section 3).

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        scale: Inverse width of the Gaussian.
        omega_0: Frequency factor of the inner sine, in the weight range too.
        normalized: Map the activation's range onto [0, 1] (the published SDF variant).
        first_bias_scale: Half-width k of the first bias; None for PyTorch's default.
        scale_req_grad: Differentiate through (|z| + 1) in training. False is the published rule.
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Example:
        >>> import torch
        >>> from finer_core import GaussFiner
        >>> network = GaussFiner(in_features=2, out_features=1, hidden_features=32, first_bias_scale=1.0)
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
        scale: float = 3.0,
        omega_0: float = 10.0,
        normalized: bool = False,
        first_bias_scale: float | None = 1.0,
        scale_req_grad: bool = False,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        make_layer = partial(
            GaussFinerLayer, scale=scale, omega_0=omega_0, normalized=normalized, scale_req_grad=scale_req_grad
        )
        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
            make_layer=make_layer,
            head_init=sine_family_init(omega_0=omega_0, is_first=False),
            bias=bias,
            first_bias_scale=first_bias_scale,
            generator=generator,
            device=device,
            dtype=dtype,
        )
