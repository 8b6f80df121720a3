"""Networks that are complex inside, in real numbers alone: for programs that have no complex ones."""

from copy import deepcopy

from torch import Tensor, nn

from finer_core.activations import Activation
from finer_core.activations.wavelets import Pair, WireFinerFormula, WireFormula
from finer_core.layers import InrLayer
from finer_core.linear import InrLinear
from finer_core.networks.base import CoordinateMLP


def without_complex_numbers(module: nn.Module) -> nn.Module:
    """Return a copy of a module in which every network that is complex inside computes the same in real numbers.

    Returns:
        The copy; it computes what the module does, to rounding, and is not meant to be trained.

    Raises:
        ValueError: If complex parameters are left that are not those of a wavelet network.
    """
    if _is_complex(module):
        if not isinstance(module, CoordinateMLP):
            raise ValueError(f"{type(module).__name__} has complex parameters and is no wavelet network of ours")
        return RealPairs(module)
    copy = deepcopy(module)
    for name, child in list(copy.named_children()):
        if any(parameter.is_complex() for parameter in child.parameters()):
            setattr(copy, name, without_complex_numbers(child))
    return copy


def _is_complex(module: nn.Module) -> bool:
    """Return whether a module is complex itself, or its layers are: a network, not what holds networks."""
    own = any(parameter.is_complex() for parameter in module.parameters(recurse=False))
    return own or (isinstance(module, CoordinateMLP) and any(p.is_complex() for p in module.parameters()))


class RealPairs(nn.Module):
    """Compute a wavelet network by pairs of real tensors.

    Formula: (A + iB)(x + iy) + c + id = (Ax - By + c) + i(Bx + Ay + d) in every linear map.

    Args:
        network: WIRE or Wire-FINER.

    Example:
        >>> import torch
        >>> from finer_core import build_network
        >>> network = build_network("wire", in_features=2, out_features=1, hidden_features=32)
        >>> coords = torch.rand(5, 2)
        >>> torch.allclose(RealPairs(network)(coords), network(coords), atol=1e-5)
        True
    """

    def __init__(self, network: CoordinateMLP) -> None:
        super().__init__()
        self.in_features, self.out_features = network.in_features, network.out_features
        self.encoding = deepcopy(network.encoding)
        self.layers = nn.ModuleList(_PairLayer(layer) for layer in (*network.layers, network.head))

    def forward(self, coords: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        value = Pair(coords if self.encoding is None else self.encoding(coords), None)
        for layer in self.layers:
            value = layer(value)
        return value.re


class _PairLayer(nn.Module):
    """Apply W z + b, and an activation if there is one, to a pair."""

    weight_re: Tensor
    weight_im: Tensor | None
    bias_re: Tensor | None
    bias_im: Tensor | None

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        assert isinstance(layer, InrLinear)
        self.formula = _formula_of(layer)
        for name, value in (("weight", layer.weight), ("bias", layer.bias)):
            parts = (None, None) if value is None else Pair.of(value.detach())
            for part, tensor in zip(("re", "im"), parts, strict=True):
                self.register_buffer(f"{name}_{part}", None if tensor is None else tensor.clone())

    def forward(self, z: Pair) -> Pair:
        linear = nn.functional.linear
        re, im = linear(z.re, self.weight_re, self.bias_re), None
        if self.weight_im is not None:
            im = linear(z.re, self.weight_im, self.bias_im)
        if z.im is not None:
            re = re - linear(z.im, self.weight_im) if self.weight_im is not None else re
            turned = linear(z.im, self.weight_re)
            im = turned if im is None else im + turned
        pair = Pair(re, im)
        return pair if self.formula is None else self.formula.pair_value(pair)


def _formula_of(layer: InrLinear) -> WireFormula | WireFinerFormula | None:
    if not isinstance(layer, InrLayer):
        return None
    formula = layer.activation.complex_formula() if isinstance(layer.activation, Activation) else None
    if not isinstance(formula, WireFormula | WireFinerFormula):
        raise ValueError(f"{layer.activation!r} has no form in real numbers")
    return formula
