"""BACON: multiplicative filter networks whose layers are band-limited (Lindell et al., CVPR 2022).

Formula: h_0 = S_0(x); h_i = S_i(x) * (L_i h_(i-1)), S_i(x) = sin(V_i x + p_i), with V_i a multiple of 2 pi. A layer's
band is at most the sum of the bands of the filters before it, and its output is periodic with period 1.
"""

from collections.abc import Sequence
from math import pi
from typing import Any

import torch
from torch import Generator, Tensor, nn

from finer_core import initializers
from finer_core.casts import keeps_precision
from finer_core.linear import InrLinear
from finer_core.networks.base import Network, check_sizes, coords_like
from finer_core.schema import check_flag
from finer_core.shapes import Float

PUBLISHED_FRACTIONS = (1 / 24, 1 / 24, 1 / 24, 1 / 16, 1 / 16, 1 / 8, 1 / 8, 1 / 4, 1 / 4)
"""Share of `max_frequency` that each of the nine filters of the published SDF network gets."""


class SineFilter(nn.Module):
    """Compute sin(W x + b) with fixed W = 2 pi k (integer k) and trained phase b in U(-pi, pi).

    Args:
        in_features: Number of coordinates.
        out_features: Number of filters.
        max_integer_frequency: Largest |k|, in cycles per unit.
        generator: Source of randomness.
        device: Where the tensors are made.
        dtype: Their type.
    """

    weight: Tensor

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        max_integer_frequency: int,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.max_integer_frequency = max_integer_frequency
        weight = torch.empty(out_features, in_features, device=device, dtype=dtype)
        initializers.quantized_frequencies_(weight, max_integer_frequency=max_integer_frequency, generator=generator)
        self.register_buffer("weight", weight)
        self.bias = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype))
        initializers.uniform_(self.bias, bound=pi, generator=generator)

    @keeps_precision
    def forward(self, coords: Float[Tensor, "*points in_features"]) -> Float[Tensor, "*points hidden_features"]:
        """Map (..., in_features) to (..., out_features)."""
        return torch.sin(nn.functional.linear(coords, self.weight, self.bias))

    def extra_repr(self) -> str:
        """Show every hyper-parameter."""
        out_features, in_features = self.weight.shape
        sizes = f"in_features={in_features}, out_features={out_features}"
        return f"{sizes}, max_integer_frequency={self.max_integer_frequency}"


class _FilterNetwork(Network):
    """The filters and linear maps that both forms share, without a head.

    `positions[i]` says which filter works at depth i: i itself, or with `reuse_filters` the filter of the next output
    layer, so that a small model holds few filter matrices.
    """

    def __init__(
        self,
        *,
        in_features: int,
        hidden_features: int,
        integer_frequencies: Sequence[int],
        coords_scale: float,
        reuse_positions: Sequence[int] | None,
        generator: Generator | None,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.coords_scale = coords_scale
        depth = len(integer_frequencies)
        used = list(range(depth)) if reuse_positions is None else list(reuse_positions)
        kept = sorted(set(used))
        self.positions = [kept.index(i) for i in used]
        factory: dict[str, Any] = {"generator": generator, "device": device, "dtype": dtype}
        self.filters = nn.ModuleList(
            SineFilter(
                in_features=in_features,
                out_features=hidden_features,
                max_integer_frequency=integer_frequencies[i],
                **factory,
            )
            for i in kept
        )
        self.linears = nn.ModuleList(_linear(hidden_features, hidden_features, **factory) for _ in range(depth - 1))

    def features(self, coords: Tensor) -> list[Tensor]:
        """Return h_0 .. h_n, each (..., hidden_features)."""
        coords = coords_like(self, coords)
        scaled = coords if self.coords_scale == 1.0 else coords * self.coords_scale
        responses = [module(scaled) for module in self.filters]
        out = [responses[self.positions[0]]]
        for position, linear in zip(self.positions[1:], self.linears, strict=True):
            out.append(responses[position] * linear(out[-1]))
        return out

    def extra_repr(self) -> str:
        """Show every hyper-parameter that the children do not."""
        return f"coords_scale={self.coords_scale}, filter_positions={self.positions}"


class Bacon(_FilterNetwork):
    """Build the single-output form: every filter has the same band, max_frequency / (2 (hidden_layers + 1)).

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Linear maps between filters; there are `hidden_layers + 1` filters.
        max_frequency: Twice the band of the output, in cycles per unit of the (scaled) coordinates.
        reuse_filters: Share the filters 2, 4, 6, 8 over the depth (needs 8 hidden layers), as published for SDF.
        coords_scale: Factor on the coordinates. The function has period 1, so coordinates in [-1, 1] need 0.5.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Raises:
        ValueError: If `max_frequency` is at most `hidden_layers + 1`, so that a filter's band rounds to 0.

    Example:
        >>> import torch
        >>> from finer_core import Bacon
        >>> network = Bacon(in_features=2, out_features=1, hidden_features=32, max_frequency=64.0)
        >>> network(torch.zeros(5, 2)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        hidden_features: int = 256,
        hidden_layers: int = 8,
        max_frequency: float = 384.0,
        reuse_filters: bool = False,
        coords_scale: float = 1.0,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_flag(reuse_filters, what="reuse_filters")
        _check(in_features, out_features, hidden_features, hidden_layers, max_frequency)
        band = round(max_frequency / (2 * (hidden_layers + 1)))
        _check_band(band, max_frequency, fraction=1 / (hidden_layers + 1))
        factory: dict[str, Any] = {"generator": generator, "device": device, "dtype": dtype}
        super().__init__(
            in_features=in_features,
            hidden_features=hidden_features,
            integer_frequencies=[band] * (hidden_layers + 1),
            coords_scale=coords_scale,
            reuse_positions=_reuse_positions((2, 4, 6, 8), hidden_layers) if reuse_filters else None,
            **factory,
        )
        self.out_features = out_features
        self.head = _linear(hidden_features, out_features, **factory)

    @keeps_precision
    def forward(
        self, coords: Float[Tensor, "*points {self.in_features}"]
    ) -> Float[Tensor, "*points {self.out_features}"]:
        """Map (..., in_features) to (..., out_features)."""
        return self.head(self.features(coords)[-1])


class MultiscaleBacon(_FilterNetwork):
    """Build the multiscale form: an output head after several layers, each limited to its own band.

    Filter i gets the band max_frequency * fraction_i / 2. Only the filters, linear maps and heads that an output
    needs exist, so every parameter gets a gradient.

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels of each head.
        hidden_features: Width.
        hidden_layers: Linear maps between filters; there are `hidden_layers + 1` filters.
        max_frequency: Twice the band of the last output, in cycles per unit of the (scaled) coordinates.
        frequency_fractions: Share of `max_frequency` per filter, `hidden_layers + 1` of them.
        output_layers: Depths that have a head, ascending; the last is `hidden_layers`.
        reuse_filters: At each depth use the filter of the next output layer.
        coords_scale: Factor on the coordinates. The function has period 1, so coordinates in [-1, 1] need 0.5.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Raises:
        ValueError: If a filter's band rounds to 0, or fractions or output layers do not fit `hidden_layers`.

    Example:
        >>> import torch
        >>> from finer_core import MultiscaleBacon
        >>> network = MultiscaleBacon(in_features=2, out_features=1, hidden_features=32)
        >>> network(torch.zeros(5, 2)).shape  # an output a head
        torch.Size([4, 5, 1])
    """

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        hidden_features: int = 256,
        hidden_layers: int = 8,
        max_frequency: float = 384.0,
        frequency_fractions: Sequence[float] = PUBLISHED_FRACTIONS,
        output_layers: Sequence[int] = (2, 4, 6, 8),
        reuse_filters: bool = True,
        coords_scale: float = 1.0,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_flag(reuse_filters, what="reuse_filters")
        _check(in_features, out_features, hidden_features, hidden_layers, max_frequency)
        if len(frequency_fractions) != hidden_layers + 1:
            raise ValueError(
                f"frequency_fractions needs hidden_layers + 1 = {hidden_layers + 1} values, "
                f"got {len(frequency_fractions)}"
            )
        if not min(frequency_fractions) > 0:
            raise ValueError(f"frequency_fractions must be positive, got {list(frequency_fractions)}")
        bands = [round(max_frequency * fraction / 2) for fraction in frequency_fractions]
        _check_band(max(bands), max_frequency, fraction=max(frequency_fractions))
        outputs = list(output_layers)
        if not outputs or outputs != sorted(set(outputs)) or outputs[0] < 0 or outputs[-1] != hidden_layers:
            raise ValueError(f"output_layers must ascend and end at hidden_layers = {hidden_layers}, got {outputs}")
        factory: dict[str, Any] = {"generator": generator, "device": device, "dtype": dtype}
        super().__init__(
            in_features=in_features,
            hidden_features=hidden_features,
            integer_frequencies=bands,
            coords_scale=coords_scale,
            reuse_positions=_reuse_positions(outputs, hidden_layers) if reuse_filters else None,
            **factory,
        )
        self.out_features = out_features
        self.output_layers = outputs
        self.heads = nn.ModuleList(_linear(hidden_features, out_features, **factory) for _ in outputs)

    @keeps_precision
    def forward(
        self, coords: Float[Tensor, "*points {self.in_features}"]
    ) -> Float[Tensor, "heads *points {self.out_features}"]:
        """Map (..., in_features) to (num_heads, ..., out_features), coarsest band first."""
        features = self.features(coords)
        outputs = [head(features[i]) for i, head in zip(self.output_layers, self.heads, strict=True)]
        return torch.stack(outputs)


def _linear(in_features: int, out_features: int, **factory: Any) -> InrLinear:
    init = initializers.he_uniform_
    return InrLinear(in_features=in_features, out_features=out_features, weight_init=init, **factory)


def _check(in_features: int, out_features: int, hidden_features: int, hidden_layers: int, max_frequency: float) -> None:
    check_sizes(in_features=in_features, out_features=out_features, hidden_features=hidden_features)
    check_sizes(hidden_layers=hidden_layers)
    if not max_frequency > 0:
        raise ValueError(f"max_frequency must be positive, got {max_frequency!r}")


def _check_band(highest: int, max_frequency: float, *, fraction: float) -> None:
    """Raise ValueError where no filter has frequencies: what comes out would be a constant."""
    if highest < 1:
        raise ValueError(
            f"max_frequency must be above {1 / fraction:.4g}, got {max_frequency!r}: the bands of the filters, "
            "whole numbers, would be 0"
        )


def _reuse_positions(output_layers: Sequence[int], hidden_layers: int) -> list[int]:
    """Return, for each depth 0..hidden_layers, the next output layer at or after it."""
    if output_layers[-1] != hidden_layers:
        raise ValueError(f"reuse_filters needs hidden_layers = {output_layers[-1]}, got {hidden_layers}")
    return [next(o for o in output_layers if o >= depth) for depth in range(hidden_layers + 1)]
