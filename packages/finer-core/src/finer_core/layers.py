"""One fully connected layer with its activation and its published initialization.

`InrLinear` is the linear map, `InrLayer` adds an activation; the named layers below choose both. Every weight has
shape (out_features, in_features), so keys are `weight` and `bias` as in `nn.Linear`, which `InrLinear` is.
"""

from typing import Any

from torch import Tensor, nn

from finer_core import activations, initializers
from finer_core.activations import Activation
from finer_core.activations._kernels.fused_mlp import FusedLayer, fused_mlp, joins
from finer_core.activations.wavelets import ComplexFactor
from finer_core.casts import keeps_precision
from finer_core.linear import InrLinear, WeightInit
from finer_core.shapes import Inexact


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
    def forward(
        self, input: Inexact[Tensor, "*points {self.in_features}"]
    ) -> Inexact[Tensor, "*points {self.out_features}"]:
        """Map (..., in_features) to (..., out_features)."""
        if joins(input):
            this = self.as_fused_layer(input)
            if this is not None:
                return fused_mlp(input, [this])
        return self.activation(super().forward(input))

    def as_fused_layer(self, x: Tensor) -> FusedLayer | None:
        """Return the layer for `fused_mlp`; None where it is more than a map of the type of `x` and a formula."""
        activation = self.activation
        plain = type(self).forward is InrLayer.forward and self._is_map_of(x)
        if not plain or not isinstance(activation, Activation):
            return None
        formula = activation.real_formula()
        if formula is None:
            return None
        exact: bool = activation.hyper_parameters.get("scale_req_grad", False)
        return FusedLayer(self.weight, self.bias, formula, exact, self._backward_dtype)


def sine_family_init(*, omega_0: float, is_first: bool) -> WeightInit:
    """Return the weight initializer of the sine family: 1/n in the first layer, sqrt(6/n)/omega_0 after it."""
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
    """The Gaussian layer, exp(-(scale (W x + b))^2), PyTorch's default initialization.

    Args:
        scale: Inverse width.
        **linear: Arguments of `InrLinear`.
    """

    def __init__(self, *, scale: float = 30.0, **linear: Any) -> None:
        super().__init__(activation=activations.GaussActivation(scale=scale), **linear)


class GaussFinerLayer(InrLayer):
    """FINER++'s Gaussian layer, initialized as the sine family with `omega_0`.

    Args:
        scale: Inverse width of the Gaussian.
        omega_0: Frequency factor of the inner sine.
        normalized: Map the range onto [0, 1].
        is_first: Whether the layer takes the coordinates.
        scale_req_grad: Differentiate through (|z| + 1).
        **linear: Arguments of `InrLinear`.
    """

    def __init__(
        self,
        *,
        scale: float = 3.0,
        omega_0: float = 10.0,
        normalized: bool = False,
        is_first: bool = False,
        scale_req_grad: bool = False,
        **linear: Any,
    ) -> None:
        activation = activations.GaussFinerActivation(
            scale=scale, omega_0=omega_0, normalized=normalized, scale_req_grad=scale_req_grad
        )
        init = sine_family_init(omega_0=omega_0, is_first=is_first)
        super().__init__(activation=activation, **{"weight_init": init, **linear})


class WireLayer(InrLayer):
    """WIRE's complex layer, exp(i omega_0 z - |scale z|^2), PyTorch's default initialization.

    Args:
        omega_0: Frequency of the carrier.
        scale: Inverse width of the envelope.
        **linear: Arguments of `InrLinear`; `dtype` is complex in every layer but the first.
    """

    def __init__(self, *, omega_0: float = 20.0, scale: float = 10.0, **linear: Any) -> None:
        super().__init__(activation=activations.WireActivation(omega_0=omega_0, scale=scale), **linear)


class WireFinerLayer(InrLayer):
    """FINER++'s complex wavelet layer, initialized as the sine family with omega_0 * omega_w.

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
    """The real wavelet layer, cos(omega_w z) exp(-(scale z)^2), initialized as the sine family with `omega_w`.

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
    """The real wavelet of FINER's sine, initialized as the sine family with omega_0 * omega_w.

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
    """max(W x + b, 0), PyTorch's default initialization.

    Args:
        **linear: Arguments of `InrLinear`.
    """

    def __init__(self, **linear: Any) -> None:
        super().__init__(activation=activations.ReluActivation(), **linear)
