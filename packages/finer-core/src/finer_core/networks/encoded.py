"""ReLU networks on a fixed encoding: PE-MLP and Fourier features."""

from typing import Any, Literal

import torch
from torch import Generator

from finer_core import initializers
from finer_core.encodings import FourierEncoding, PositionalEncoding
from finer_core.layers import ReluLayer
from finer_core.linear import WeightInit
from finer_core.networks.base import CoordinateMLP, check_sizes

ReluInit = Literal["pytorch", "he"]
"""Weight range: PyTorch's default (image code) or He-uniform (SDF code)."""


def _relu_init(name: ReluInit) -> WeightInit:
    table = {"pytorch": initializers.pytorch_uniform_, "he": initializers.he_uniform_}
    if name not in table:
        raise ValueError(f"weight_init must be one of {', '.join(table)}, got {name!r}")
    return table[name]


class PEMLP(CoordinateMLP):
    """Build a ReLU network on NeRF's positional encoding (Mildenhall et al., ECCV 2020).

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        num_frequencies: Octaves of the encoding.
        weight_init: "pytorch" (image code) or "he" (SDF code).
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Example:
        >>> import torch
        >>> from finer_core import PEMLP
        >>> network = PEMLP(in_features=2, out_features=1, hidden_features=32, num_frequencies=6)
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
        num_frequencies: int = 10,
        weight_init: ReluInit = "pytorch",
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        init = _relu_init(weight_init)

        def make_layer(*, is_first: bool, **linear: Any) -> ReluLayer:
            return ReluLayer(weight_init=init, **linear)

        encoding = PositionalEncoding(in_features=in_features, num_frequencies=num_frequencies)
        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
            make_layer=make_layer,
            head_init=init,
            bias=bias,
            encoding=encoding,
            encoded_features=encoding.out_features,
            generator=generator,
            device=device,
            dtype=dtype,
        )


class FourierFeatures(CoordinateMLP):
    """Build a ReLU network on random Fourier features (Tancik et al., NeurIPS 2020).

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width; hidden_features / 2 frequencies are drawn.
        hidden_layers: Hidden-to-hidden layers; see `CoordinateMLP`.
        frequency_std: Standard deviation of the frequencies, in cycles per unit of the coordinates.
        weight_init: "he" (the published SDF code) or "pytorch".
        bias: Whether the linear maps have one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their type.

    Raises:
        ValueError: If `hidden_features` is odd.

    Example:
        >>> import torch
        >>> from finer_core import FourierFeatures
        >>> network = FourierFeatures(in_features=2, out_features=1, hidden_features=32, frequency_std=10.0)
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
        frequency_std: float = 8.0,
        weight_init: ReluInit = "he",
        bias: bool = True,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_sizes(in_features=in_features, hidden_features=hidden_features)
        if hidden_features % 2:
            raise ValueError(f"hidden_features must be even (sine and cosine features), got {hidden_features}")
        init = _relu_init(weight_init)

        def make_layer(*, is_first: bool, **linear: Any) -> ReluLayer:
            return ReluLayer(weight_init=init, **linear)

        encoding = FourierEncoding(
            in_features=in_features,
            num_frequencies=hidden_features // 2,
            frequency_std=frequency_std,
            generator=generator,
            device=device,
            dtype=dtype,
        )
        super().__init__(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
            make_layer=make_layer,
            head_init=init,
            bias=bias,
            encoding=encoding,
            encoded_features=encoding.out_features,
            generator=generator,
            device=device,
            dtype=dtype,
        )
