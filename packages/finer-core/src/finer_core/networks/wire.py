"""Networks of the wavelet family: WIRE and Wire-FINER (complex inside), and their real counterparts.

The complex ones have int(hidden_features / sqrt 2) complex features, to keep the parameter count. Their first layer
has real weights, all later ones complex; the output is the real part.
"""

from functools import partial
from typing import Any

import torch
from torch import Generator

from finer_core.activations.wavelets import ComplexFactor
from finer_core.layers import (
    RealWireFinerLayer,
    RealWireLayer,
    WireFinerLayer,
    WireLayer,
    sine_family_init,
)
from finer_core.networks.base import CoordinateMLP, complex_width


class Wire(CoordinateMLP):
    """Build a WIRE network: layers exp(i omega_0 z - |scale z|^2) (Saragadam et al., CVPR 2023).

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Real width; int(hidden_features / sqrt 2) complex features are made.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        first_omega_0: Frequency of the first layer's carrier.
        hidden_omega_0: Frequency of the others' carrier.
        scale: Inverse width of the envelope.
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Type of the real parameters; the others get its complex counterpart.

    Example:
        >>> import torch
        >>> from finer_core import Wire
        >>> network = Wire(in_features=2, out_features=1, hidden_features=32, scale=5.0)
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
        first_omega_0: float = 20.0,
        hidden_omega_0: float = 20.0,
        scale: float = 10.0,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        def make_layer(*, is_first: bool, **linear: Any) -> WireLayer:
            return WireLayer(omega_0=first_omega_0 if is_first else hidden_omega_0, scale=scale, **linear)

        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=complex_width(hidden_features),
            hidden_layers=hidden_layers,
            make_layer=make_layer,
            bias=bias,
            complex_hidden=True,
            generator=generator,
            device=device,
            dtype=dtype,
        )


class WireFiner(CoordinateMLP):
    """Build a Wire-FINER network: WIRE's wavelet of FINER's variable-periodic sine (FINER++, section 3).

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Real width; int(hidden_features / sqrt 2) complex features are made.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        omega_0: Frequency factor of the inner sine.
        omega_w: Frequency of the wavelet's carrier; weights are drawn for omega_0 * omega_w.
        scale: Inverse width of the envelope.
        complex_factor: How |z| + 1 acts on complex z: "separate" (images) or "modulus" (the SDF code).
        first_bias_scale: Half-width k of the first bias; None for PyTorch's default.
        scale_req_grad: Differentiate through (|z| + 1) in training. False is the published rule.
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Type of the real parameters; the others get its complex counterpart.

    Example:
        >>> import torch
        >>> from finer_core import WireFiner
        >>> network = WireFiner(in_features=2, out_features=1, hidden_features=32, first_bias_scale=1.0)
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
        omega_0: float = 5.0,
        omega_w: float = 4.0,
        scale: float = 2.0,
        complex_factor: ComplexFactor = "separate",
        first_bias_scale: float | None = 1.0,
        scale_req_grad: bool = False,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        make_layer = partial(
            WireFinerLayer,
            omega_0=omega_0,
            omega_w=omega_w,
            scale=scale,
            complex_factor=complex_factor,
            scale_req_grad=scale_req_grad,
        )
        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=complex_width(hidden_features),
            hidden_layers=hidden_layers,
            make_layer=make_layer,
            head_init=sine_family_init(omega_0=omega_0 * omega_w, is_first=False),
            bias=bias,
            first_bias_scale=first_bias_scale,
            complex_hidden=True,
            generator=generator,
            device=device,
            dtype=dtype,
        )


class RealWire(CoordinateMLP):
    """Build a real wavelet network: layers cos(omega_w z) exp(-(scale z)^2), no complex arithmetic.

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        omega_w: Frequency of the carrier, in the weight range too.
        scale: Inverse width of the envelope.
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Example:
        >>> import torch
        >>> from finer_core import RealWire
        >>> network = RealWire(in_features=2, out_features=1, hidden_features=32, scale=5.0)
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
        omega_w: float = 20.0,
        scale: float = 10.0,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
            make_layer=partial(RealWireLayer, omega_w=omega_w, scale=scale),
            head_init=sine_family_init(omega_0=omega_w, is_first=False),
            bias=bias,
            generator=generator,
            device=device,
            dtype=dtype,
        )


class RealWireFiner(CoordinateMLP):
    """Build a real Wire-FINER network: the real wavelet of FINER's variable-periodic sine.

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        omega_0: Frequency factor of the inner sine.
        omega_w: Frequency of the carrier; weights are drawn for omega_0 * omega_w.
        scale: Inverse width of the envelope.
        first_bias_scale: Half-width k of the first bias; None for PyTorch's default.
        scale_req_grad: Differentiate through (|z| + 1) in training. False is the published rule.
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Example:
        >>> import torch
        >>> from finer_core import RealWireFiner
        >>> network = RealWireFiner(in_features=2, out_features=1, hidden_features=32, first_bias_scale=1.0)
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
        omega_0: float = 5.0,
        omega_w: float = 4.0,
        scale: float = 2.0,
        first_bias_scale: float | None = 1.0,
        scale_req_grad: bool = False,
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        make_layer = partial(
            RealWireFinerLayer, omega_0=omega_0, omega_w=omega_w, scale=scale, scale_req_grad=scale_req_grad
        )
        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
            make_layer=make_layer,
            head_init=sine_family_init(omega_0=omega_0 * omega_w, is_first=False),
            bias=bias,
            first_bias_scale=first_bias_scale,
            generator=generator,
            device=device,
            dtype=dtype,
        )
