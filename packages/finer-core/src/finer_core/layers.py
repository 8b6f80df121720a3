"""One fully connected layer with its activation and its published initialisation.

`InrLinear` is the linear map, `InrLayer` adds an activation; the named layers below choose both. Every weight has
shape (out_features, in_features), so keys are `weight` and `bias` as in `nn.Linear`, which `InrLinear` is.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from finer_core import activations, initializers
from finer_core.activations import Activation
from finer_core.activations.maps import ActivatedMap, activated_maps, joins
from finer_core.activations.wavelet import ComplexFactor
from finer_core.casts import PairwiseCasts, keeps_precision

LinearMap = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Computes x W^T + b. One with a `backward_dtype` multiplies such numbers going back; see `finer_core.precision`."""
WeightInit = Callable[..., Tensor]
"""An initialiser called as `init(weight, generator=generator)`."""


class InrLinear(PairwiseCasts, nn.Linear):
    """Map (..., in_features) to (..., out_features) by W x + b, initialised once and reproducibly.

    Unlike `nn.Linear` it draws from `generator` alone and never draws twice.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        bias: Whether there is a b.
        weight_init: Initialiser of W; None for PyTorch's default.
        bias_scale: Half-width of b's range; None for PyTorch's default.
        generator: Source of randomness.
        device: Where the parameters are made.
        dtype: Their type; may be complex.
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        bias: bool = True,
        weight_init: WeightInit | None = None,
        bias_scale: float | None = None,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        nn.Module.__init__(self)  # not nn.Linear's: it would draw default weights first
        self.linear: LinearMap = F.linear  # finer_core.precision may replace it
        if in_features < 1 or out_features < 1:
            raise ValueError(f"in_features and out_features must be at least 1, got {in_features} and {out_features}")
        self.in_features = in_features
        self.out_features = out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        if bias:
            self.bias = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        (weight_init or initializers.pytorch_uniform_)(self.weight, generator=generator)
        if bias:
            initializers.bias_uniform_(self.bias, fan_in=in_features, bias_scale=bias_scale, generator=generator)

    def reset_parameters(self) -> None:
        """Refuse: a layer does not keep the generator that it was drawn with."""
        raise RuntimeError("build a new layer instead of resetting one: initialisation happens once, in __init__")

    @keeps_precision
    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features); real input meets complex weights as complex."""
        if self.weight.is_complex() and not input.is_complex():
            input = input.to(self.weight.dtype)
        return self.linear(input, self.weight, self.bias)

    def as_map(self, x: Tensor) -> ActivatedMap | None:
        """Return the layer for `activated_maps`; None where it is more than a map of the type of `x`."""
        if type(self).forward is not InrLinear.forward or not self._is_map_of(x):
            return None
        return ActivatedMap(self.weight, self.bias, backward_dtype=self._backward_dtype)

    @property
    def _backward_dtype(self) -> torch.dtype | None:
        return getattr(self.linear, "backward_dtype", None)

    def _is_map_of(self, x: Tensor) -> bool:
        known = self.linear is F.linear or self._backward_dtype is not None
        return known and self.weight.dtype == x.dtype


class InrLayer(InrLinear):
    """Apply an activation to W x + b.

    Args:
        activation: The activation module, of this package or any other that keeps the shape.
        **linear: Arguments of `InrLinear`.
    """

    def __init__(self, *, activation: nn.Module, **linear: Any) -> None:
        super().__init__(**linear)
        self.activation = activation

    @keeps_precision
    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        if joins(input):
            this = self.as_map(input)
            if this is not None:
                return activated_maps(input, [this])
        return self.activation(super().forward(input))

    def as_map(self, x: Tensor) -> ActivatedMap | None:
        """Return the layer for `activated_maps`; None where it is more than a map of the type of `x` and a formula."""
        activation = self.activation
        plain = type(self).forward is InrLayer.forward and self._is_map_of(x)
        if not plain or not isinstance(activation, Activation):
            return None
        formula = activation.real_formula()
        if formula is None or not formula.gain:  # a gain of 0 cannot be divided out again
            return None
        exact: bool = activation.hyper_parameters.get("scale_req_grad", False)
        return ActivatedMap(self.weight, self.bias, formula, exact, self._backward_dtype)


def sine_family_init(*, omega_0: float, is_first: bool) -> WeightInit:
    """Return the weight initialiser of the sine family: 1/n in the first layer, sqrt(6/n)/omega_0 after it."""
    if is_first:
        return initializers.first_layer_uniform_
    return lambda weight, generator=None: initializers.siren_uniform_(weight, omega_0=omega_0, generator=generator)


class SineLayer(InrLayer):
    """SIREN's layer, sin(omega_0 (W x + b)).

    Args:
        omega_0: Frequency factor.
        is_first: Whether the layer takes the coordinates (its weight range differs).
        bias_scale: Half-width of the bias range; None for PyTorch's default.
        **linear: Arguments of `InrLinear`.
    """

    def __init__(self, *, omega_0: float = 30.0, is_first: bool = False, **linear: Any) -> None:
        init = sine_family_init(omega_0=omega_0, is_first=is_first)
        super().__init__(activation=activations.SineActivation(omega_0=omega_0), **{"weight_init": init, **linear})


class FinerLayer(InrLayer):
    """FINER's layer, sin(omega_0 (|z| + 1) z) of z = W x + b.

    Args:
        omega_0: Frequency factor.
        is_first: Whether the layer takes the coordinates (its weight range differs).
        scale_req_grad: Differentiate through (|z| + 1); False is the published rule.
        bias_scale: Half-width of the bias range: `first_bias_scale` of the paper in a first layer.
        **linear: Arguments of `InrLinear`.
    """

    def __init__(
        self, *, omega_0: float = 30.0, is_first: bool = False, scale_req_grad: bool = False, **linear: Any
    ) -> None:
        init = sine_family_init(omega_0=omega_0, is_first=is_first)
        activation = activations.FinerActivation(omega_0=omega_0, scale_req_grad=scale_req_grad)
        super().__init__(activation=activation, **{"weight_init": init, **linear})


class GaussLayer(InrLayer):
    """The Gaussian layer, exp(-(scale (W x + b))^2), PyTorch's default initialisation.

    Args:
        scale: Inverse width.
        **linear: Arguments of `InrLinear`.
    """

    def __init__(self, *, scale: float = 30.0, **linear: Any) -> None:
        super().__init__(activation=activations.GaussActivation(scale=scale), **linear)


class GaussFinerLayer(InrLayer):
    """FINER++'s Gaussian layer, initialised as the sine family with `omega_0`.

    Args:
        scale: Inverse width of the Gaussian.
        omega_0: Frequency factor of the inner sine.
        normalised: Map the range onto [0, 1].
        is_first: Whether the layer takes the coordinates.
        scale_req_grad: Differentiate through (|z| + 1).
        **linear: Arguments of `InrLinear`.
    """

    def __init__(
        self,
        *,
        scale: float = 3.0,
        omega_0: float = 10.0,
        normalised: bool = False,
        is_first: bool = False,
        scale_req_grad: bool = False,
        **linear: Any,
    ) -> None:
        activation = activations.GaussFinerActivation(
            scale=scale, omega_0=omega_0, normalised=normalised, scale_req_grad=scale_req_grad
        )
        init = sine_family_init(omega_0=omega_0, is_first=is_first)
        super().__init__(activation=activation, **{"weight_init": init, **linear})


class WireLayer(InrLayer):
    """WIRE's complex layer, exp(i omega_0 z - |scale z|^2), PyTorch's default initialisation.

    Args:
        omega_0: Frequency of the carrier.
        scale: Inverse width of the envelope.
        **linear: Arguments of `InrLinear`; `dtype` is complex in every layer but the first.
    """

    def __init__(self, *, omega_0: float = 20.0, scale: float = 10.0, **linear: Any) -> None:
        super().__init__(activation=activations.WireActivation(omega_0=omega_0, scale=scale), **linear)


class WireFinerLayer(InrLayer):
    """FINER++'s complex wavelet layer, initialised as the sine family with omega_0 * omega_w.

    Args:
        omega_0: Frequency factor of the inner sine.
        omega_w: Frequency of the wavelet's carrier.
        scale: Inverse width of its envelope.
        complex_factor: How |z| + 1 acts on complex z.
        is_first: Whether the layer takes the coordinates.
        scale_req_grad: Differentiate through (|z| + 1).
        **linear: Arguments of `InrLinear`; `dtype` is complex in every layer but the first.
    """

    def __init__(
        self,
        *,
        omega_0: float = 5.0,
        omega_w: float = 4.0,
        scale: float = 2.0,
        complex_factor: ComplexFactor = "separate",
        is_first: bool = False,
        scale_req_grad: bool = False,
        **linear: Any,
    ) -> None:
        activation = activations.WireFinerActivation(
            omega_0=omega_0,
            omega_w=omega_w,
            scale=scale,
            complex_factor=complex_factor,
            scale_req_grad=scale_req_grad,
        )
        init = sine_family_init(omega_0=omega_0 * omega_w, is_first=is_first)
        super().__init__(activation=activation, **{"weight_init": init, **linear})


class RealWireLayer(InrLayer):
    """The real wavelet layer, cos(omega_w z) exp(-(scale z)^2), initialised as the sine family with `omega_w`.

    Args:
        omega_w: Frequency of the carrier.
        scale: Inverse width of the envelope.
        is_first: Whether the layer takes the coordinates.
        **linear: Arguments of `InrLinear`.
    """

    def __init__(self, *, omega_w: float = 20.0, scale: float = 10.0, is_first: bool = False, **linear: Any) -> None:
        init = sine_family_init(omega_0=omega_w, is_first=is_first)
        activation = activations.RealWireActivation(omega_w=omega_w, scale=scale)
        super().__init__(activation=activation, **{"weight_init": init, **linear})


class RealWireFinerLayer(InrLayer):
    """The real wavelet of FINER's sine, initialised as the sine family with omega_0 * omega_w.

    Args:
        omega_0: Frequency factor of the inner sine.
        omega_w: Frequency of the carrier.
        scale: Inverse width of the envelope.
        is_first: Whether the layer takes the coordinates.
        scale_req_grad: Differentiate through (|z| + 1).
        **linear: Arguments of `InrLinear`.
    """

    def __init__(
        self,
        *,
        omega_0: float = 5.0,
        omega_w: float = 4.0,
        scale: float = 2.0,
        is_first: bool = False,
        scale_req_grad: bool = False,
        **linear: Any,
    ) -> None:
        activation = activations.RealWireFinerActivation(
            omega_0=omega_0, omega_w=omega_w, scale=scale, scale_req_grad=scale_req_grad
        )
        init = sine_family_init(omega_0=omega_0 * omega_w, is_first=is_first)
        super().__init__(activation=activation, **{"weight_init": init, **linear})


class ReluLayer(InrLayer):
    """max(W x + b, 0), PyTorch's default initialisation.

    Args:
        **linear: Arguments of `InrLinear`.
    """

    def __init__(self, **linear: Any) -> None:
        super().__init__(activation=activations.ReluActivation(), **linear)
