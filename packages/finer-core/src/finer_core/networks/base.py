"""What every multilayer network shares: first layer, hidden layers, linear head, optional encoding."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor, nn

from finer_core.activations._kernels.fused_mlp import FusedLayer, fused_mlp, is_hooked, joins
from finer_core.casts import check_complex_parts, keeps_precision, with_own_code
from finer_core.layers import InrLayer
from finer_core.linear import InrLinear, WeightInit
from finer_core.schema import plain, shown
from finer_core.shapes import Float

if TYPE_CHECKING:
    from finer_core.networks.config import NetworkConfig

_MOST_LAYERS = 1000
_MOST_FEATURES = 2**24
"""What no network of ours has; to find out otherwise that a file says more would take hours, or all memory."""
MakeLayer = Callable[..., InrLayer]
"""Builds a layer from keyword arguments: `is_first` plus those of `InrLinear`."""


class Network(nn.Module):
    """Map coordinates (..., in_features) to a signal (..., out_features).

    Attributes:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        config: What it was built from; set by `build_network`.
        info: What its file says; set by `load_model`.
        own_activation: Name of the activation that its user put in the place of the method's; see `set_activation`.

    Example:
        >>> from finer_core import build_network
        >>> from finer_core.networks import Network
        >>> isinstance(build_network("siren", in_features=2, out_features=3), Network)
        True
    """

    in_features: int
    out_features: int
    own_activation: str = ""
    config: "NetworkConfig"
    info: Any

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Network":
        """Refuse before anything is changed what a complex layer would refuse; see `PairwiseCasts`."""
        if any(parameter.is_complex() for parameter in self.parameters()):
            check_complex_parts(fn(torch.zeros(0, device=next(self.parameters()).device)).dtype)
        return super()._apply(fn, recurse)


class CoordinateMLP(Network):
    """Map coordinates to a signal: encoding, first layer, hidden layers, linear head.

    `hidden_layers` counts the hidden-to-hidden layers, so there are `hidden_layers + 2` linear maps:
        0 -> [in -> hidden, hidden -> out]
        1 -> [in -> hidden, hidden -> hidden, hidden -> out]
        3 -> the image networks of the papers: five linear maps.

    Subclasses choose the layer, the head's initialization and the encoding, and are final; each has its own `forward`,
    see `with_own_code`.

    Args:
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers.
        make_layer: Makes a layer of `is_first` and the arguments of `InrLinear`.
        head_init: How the head's weight is drawn; None for PyTorch's default.
        bias: Whether the linear maps have one.
        first_bias_scale: Half-width of the first bias; None for PyTorch's default.
        hidden_bias_scale: The same of all others.
        complex_hidden: Whether everything behind the first layer's weights is complex.
        encoding: Module applied to the coordinates.
        encoded_features: What it makes of them; None without one.
        generator: Source of randomness of the initialization.
        device: Where the parameters are made.
        dtype: Their real type.

    Attributes:
        encoding: Module applied to the coordinates, or None.
        layers: First and hidden layers, in order.
        head: Linear map to the signal.

    Raises:
        ValueError: For a size that is no positive integer.

    Example:
        >>> import torch
        >>> from finer_core.layers import FinerLayer
        >>> from finer_core.networks import CoordinateMLP
        >>> class Plain(CoordinateMLP):
        ...     def __init__(self, **sizes):
        ...         super().__init__(make_layer=FinerLayer, **sizes)
        >>> network = Plain(in_features=2, out_features=1, hidden_features=32, hidden_layers=1)
        >>> network(torch.zeros(5, 2)).shape
        torch.Size([5, 1])
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give a subclass that inherits `forward` one of its own."""
        super().__init_subclass__(**kwargs)
        if "forward" not in vars(cls):
            cls.forward = with_own_code(cls.forward)  # type: ignore[method-assign]

    def __init__(
        self,
        *,
        in_features: int,
        out_features: int,
        hidden_features: int,
        hidden_layers: int,
        make_layer: MakeLayer,
        head_init: WeightInit | None = None,
        bias: bool = True,
        first_bias_scale: float | None = None,
        hidden_bias_scale: float | None = None,
        complex_hidden: bool = False,
        encoding: nn.Module | None = None,
        encoded_features: int | None = None,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(
            in_features=in_features,
            out_features=out_features,
            hidden_features=hidden_features,
            hidden_layers=hidden_layers,
        )
        self.in_features = in_features
        self.out_features = out_features
        self.encoding = encoding
        inner_dtype = complex_of(dtype) if complex_hidden else dtype
        common: dict[str, Any] = {"bias": bias, "generator": generator, "device": device}
        self.layers = nn.ModuleList()
        for index in range(hidden_layers + 1):
            is_first = index == 0
            fan_in = (encoded_features or in_features) if is_first else hidden_features
            self.layers.append(
                make_layer(
                    is_first=is_first,
                    in_features=fan_in,
                    out_features=hidden_features,
                    bias_scale=first_bias_scale if is_first else hidden_bias_scale,
                    dtype=dtype if is_first else inner_dtype,
                    **common,
                )
            )
        self.head = InrLinear(
            in_features=hidden_features,
            out_features=out_features,
            weight_init=head_init,
            bias_scale=hidden_bias_scale,
            dtype=inner_dtype,
            **common,
        )

    @keeps_precision
    def forward(
        self, coords: Float[Tensor, "*points {self.in_features}"]
    ) -> Float[Tensor, "*points {self.out_features}"]:
        """Map (..., in_features) to (..., out_features), real also where the network is complex inside."""
        coords = coords_like(self, coords)
        features = coords if self.encoding is None else self.encoding(coords)
        maps = self.as_fused_layers(features)
        if maps is not None:
            return fused_mlp(features, maps)
        for layer in self.layers:
            features = layer(features)
        out = self.head(features)
        return out.real if out.is_complex() else out

    def as_fused_layers(self, features: Tensor) -> list[FusedLayer] | None:
        """Return what the layers compute of encoded coordinates, or None where they must be called one by one.

        Args:
            features: Output of the encoding, or the coordinates where there is none.
        """
        if not joins(features):
            return None
        maps: list[FusedLayer] = []
        for layer in (*self.layers, self.head):
            this = layer.as_fused_layer(features) if isinstance(layer, InrLinear) and not is_hooked(layer) else None
            if this is None:
                return None
            maps.append(this)
        return maps


def check_sizes(**sizes: int) -> None:
    """Raise ValueError for a size that is not a positive integer (`hidden_layers` may be 0), or beyond all machines."""
    for name, given in sizes.items():
        value = plain(given)
        lowest, most = (0, _MOST_LAYERS) if name == "hidden_layers" else (1, _MOST_FEATURES)
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
            raise ValueError(f"{name} must be an integer of at least {lowest}, got {value!r}")
        if value > most:
            raise ValueError(f"{name} must be at most {most}, got {shown(value)}")


def check_coords(coords: Tensor, *, in_features: int) -> None:
    """Raise ValueError if the last axis of `coords` is not `in_features`, or they are no floating-point numbers."""
    if coords.ndim == 0 or coords.shape[-1] != in_features:
        raise ValueError(f"expected coords of shape (..., {in_features}), got {tuple(coords.shape)}")
    if not coords.is_floating_point():
        raise ValueError(f"coords must be floating-point numbers, got {coords.dtype}; call .float() on them")


def coords_like(network: Network, coords: Tensor) -> Tensor:
    """Return coordinates in the type of a network's parameters, where nothing is lost by that.

    Raises:
        ValueError: If they are of another type, but for half precision, or `check_coords` refuses them.
    """
    check_coords(coords, in_features=network.in_features)
    own = next((each.real.dtype for each in network.parameters()), coords.dtype)
    if coords.dtype == own:
        return coords
    if own.itemsize == 2 or coords.dtype.itemsize != 2:
        advice = "call .float() on the network" if own.itemsize == 2 else f"give coords.to({own})"
        raise ValueError(f"coords are {coords.dtype}, the network computes in {own}; {advice}")
    return coords.to(own)


def parameter_count(module: nn.Module) -> int:
    """Return how many real numbers a module's parameters hold; a complex one holds two.

    Example:
        >>> from finer_core import build_network
        >>> from finer_core.networks.base import parameter_count
        >>> network = build_network("wire", in_features=1, out_features=1, hidden_features=2, hidden_layers=0)
        >>> network.head.weight.dtype, parameter_count(network)  # 1 + 1 real and 1 + 1 complex
        (torch.complex64, 6)
    """
    return sum(value.numel() * (2 if value.is_complex() else 1) for value in module.parameters())


def complex_of(dtype: torch.dtype | None) -> torch.dtype:
    """Return the complex type with parts of `dtype` (None: the default type)."""
    real = dtype or torch.get_default_dtype()
    if real not in (torch.float32, torch.float64):
        raise ValueError(f"complex networks need dtype float32 or float64, got {real}")
    return torch.complex64 if real == torch.float32 else torch.complex128


def complex_width(hidden_features: int) -> int:
    """Return int(hidden_features / sqrt 2): a complex network of that width has about as many parameters."""
    return max(1, int(hidden_features / math.sqrt(2)))
