"""The linear map of every layer: `nn.Linear`, drawn once by its own initializer, with complex weights if asked."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from finer_core import initializers
from finer_core.activations._kernels.fused_mlp import FusedLayer
from finer_core.casts import PairwiseCasts, keeps_precision
from finer_core.schema import check_flag
from finer_core.shapes import Inexact

LinearMap = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Computes x W^T + b. One with a `backward_dtype` multiplies such numbers going back."""
WeightInit = Callable[..., Tensor]
"""An initializer called as `init(weight, generator=generator)`."""


class InrLinear(PairwiseCasts, nn.Linear):
    """Map (..., in_features) to (..., out_features) by W x + b, initialized once and reproducibly.

    Unlike `nn.Linear` it draws from `generator` alone and never draws twice.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        bias: Whether there is a b.
        weight_init: Initializer of W; None for PyTorch's default.
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
        self.linear: LinearMap = F.linear  # finer_core.training.precision may replace it
        check_flag(bias, what="bias")
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
        raise RuntimeError("build a new layer instead of resetting one: initialization happens once, in __init__")

    @keeps_precision
    def forward(
        self, input: Inexact[Tensor, "*points {self.in_features}"]
    ) -> Inexact[Tensor, "*points {self.out_features}"]:
        """Map (..., in_features) to (..., out_features); real input meets complex weights as complex."""
        if self.weight.is_complex() and not input.is_complex():
            input = input.to(self.weight.dtype)
        return self.linear(input, self.weight, self.bias)

    def as_fused_layer(self, x: Tensor) -> FusedLayer | None:
        """Return the layer for `fused_mlp`; None where it is more than a map of the type of `x`."""
        if type(self).forward is not InrLinear.forward or not self._is_map_of(x):
            return None
        return FusedLayer(self.weight, self.bias, backward_dtype=self._backward_dtype)

    @property
    def _backward_dtype(self) -> torch.dtype | None:
        return getattr(self.linear, "backward_dtype", None)

    def _is_map_of(self, x: Tensor) -> bool:
        known = self.linear is F.linear or self._backward_dtype is not None
        return known and self.weight.dtype == x.dtype
