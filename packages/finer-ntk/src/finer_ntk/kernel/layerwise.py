"""The structured path: kernels of networks whose parameters sit in linear maps, with no Jacobian stored.

For y = W a + b at row i, with a_i the input and g_i = df_i/dy, the gradients are g_i conj(a_i)^T and g_i, so that the
layer's share of the kernel is

    Re[ (g_i . conj g_j) (conj(a_i . conj a_j) + 1) ]

(Novak et al., ICML 2022, section 3.3, "structured derivatives"; complex parameters count as pairs of real ones). The
factors a and g cost (fan_in + fan_out) numbers a row; a row of the Jacobian would cost fan_in x fan_out.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from finer_core.shapes import Float, Inexact, Shaped
from finer_ntk.kernel.functional_model import RowFunction

_HARMLESS = {"__get__", "is_complex", "is_floating_point", "dim", "size", "numel", "stride", "element_size"}
"""Queries that tell about a tensor without computing with its values."""
_CHECKED_ROWS = 3


@dataclass(frozen=True, kw_only=True)
class LinearMap:
    """Name the parameters of one linear map; None for a part that is absent or fixed."""

    weight: str | None
    bias: str | None
    fan_in: int
    fan_out: int


@dataclass(frozen=True, kw_only=True)
class Factors:
    """Hold what a linear map saw at n rows.

    Attributes:
        map: The map.
        inputs: a, (n, fan_in).
        signals: g, (out_features, n, fan_out): one back-propagated signal an output.
    """

    map: LinearMap
    inputs: Inexact[Tensor, "n fan_in"]
    signals: Inexact[Tensor, "outputs n fan_out"]


class _Recorder(TorchFunctionMode):
    """Record every use of a parameter as weight or bias of `F.linear`, and note every other use."""

    def __init__(self, function: RowFunction) -> None:
        super().__init__()
        self._names = {id(value): name for name, value in function.params.items()}
        self.maps: list[LinearMap] = []
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.other: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            return self._linear(*args, **kwargs)
        if getattr(func, "__name__", "") not in _HARMLESS:
            used = [self._names[id(value)] for value in _tensors((args, kwargs)) if id(value) in self._names]
            self.other += [f"{name} in {getattr(func, '__name__', func)}" for name in used]
        return func(*args, **kwargs)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        out = F.linear(input, weight, bias)
        names = self._names.get(id(weight)), self._names.get(id(bias))
        if names == (None, None):
            return out
        if input.ndim != 2 or (input.is_complex() and not weight.is_complex()):
            self.other.append(f"{names[0] or names[1]} with an input of {input.dtype} {tuple(input.shape)}")
        if not out.requires_grad:
            out = out.detach().requires_grad_()
        self.maps.append(LinearMap(weight=names[0], bias=names[1], fan_in=weight.shape[1], fan_out=weight.shape[0]))
        self.inputs.append(input.detach())
        self.outputs.append(out)
        return out


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


@torch.enable_grad()
def layer_factors(function: RowFunction, coords: Shaped[Tensor, "n in_features"], *, exact: bool) -> list[Factors]:
    """Return the factors of every linear map at coordinate rows, from one forward and `out_features` backward passes.

    Args:
        function: A function for which `find_linear_maps` found the maps.
        coords: (n, in_features).
        exact: See `RowFunction`.
    """
    with _Recorder(function) as recorder:
        out = function(function.params, coords, exact=exact)
    channels = out.shape[1]
    signals = [
        torch.autograd.grad(out[:, c].sum(), recorder.outputs, retain_graph=c + 1 < channels, materialize_grads=True)
        for c in range(channels)
    ]
    return [
        Factors(map=map_, inputs=inputs, signals=torch.stack([per_output[i] for per_output in signals]))
        for i, (map_, inputs) in enumerate(zip(recorder.maps, recorder.inputs, strict=True))
    ]


def find_linear_maps(function: RowFunction, coords: Shaped[Tensor, "n in_features"]) -> list[LinearMap] | str:
    """Return the linear maps that hold all parameters, or in words why the structured path does not apply.

    The answer is checked: on the first rows the factors must give the gradient that autograd gives, so that a use of a
    parameter that no recorder can see is found too.

    Args:
        function: The function.
        coords: (n, in_features); the first rows are used.
    """
    rows = coords[:_CHECKED_ROWS]
    try:
        with _Recorder(function) as recorder, torch.enable_grad():
            function(function.params, rows, exact=False)
        if recorder.other:
            return f"a parameter is used outside a linear map: {recorder.other[0]}"
        used = [name for map_ in recorder.maps for name in (map_.weight, map_.bias) if name is not None]
        if len(used) != len(set(used)):
            return "a linear map is used more than once"
        missing = sorted(set(function.params) - set(used))
        if missing:
            return f"parameter {missing[0]!r} is not in a linear map"
        factors = layer_factors(function, rows, exact=False)
    except RuntimeError as error:
        return f"recording failed ({str(error).partition(chr(10))[0]})"
    wrong = _wrong_gradient(function, rows, factors)
    return f"{wrong!r} does more than its linear map" if wrong else recorder.maps


@torch.enable_grad()
def _wrong_gradient(function: RowFunction, rows: Tensor, factors: list[Factors]) -> str | None:
    """Return the first parameter whose gradient, of the sum of all outputs, the factors do not give."""
    params = {name: value.clone().requires_grad_() for name, value in function.params.items()}
    total = function(params, rows, exact=False).sum()
    found = torch.autograd.grad(total, list(params.values()), materialize_grads=True)
    true = dict(zip(params, found, strict=True))
    for layer in factors:
        signal = layer.signals.sum(0)
        for name, value in (
            (layer.map.weight, signal.mT @ layer.inputs.conj()),
            (layer.map.bias, signal.sum(0)),
        ):
            if name is not None:
                scale = float(true[name].abs().max()) if true[name].numel() else 0.0
                if not torch.allclose(value, true[name], rtol=1e-3, atol=1e-4 * scale + 1e-30):
                    return name
    return None


def factor_kernel(left: list[Factors], right: list[Factors], *, output: str) -> Float[Tensor, "n1 n2 ..."]:
    """Return the kernel between two sets of rows.

    Args:
        left: Factors at n1 rows.
        right: Factors at n2 rows, of the same network.
        output: "trace" (n1, n2), "per_channel" (n1, n2, c) or "full" (n1, n2, c, c).
    """
    total: Tensor | None = None
    for one, two in zip(left, right, strict=True):
        share = _COMBINE[output](one, two)
        total = share if total is None else total.add_(share)
    assert total is not None
    return _ORDER[output](total).contiguous()


def _input_gram(one: Factors, two: Factors) -> Tensor | None:
    """Return conj(a_i . conj a_j) + 1 as (n1, n2), or None where it is 1."""
    if one.map.weight is None:
        return None
    gram = one.inputs.conj() @ two.inputs.mT
    return gram.add_(1) if one.map.bias is not None else gram


def _real_product(signal_gram: Tensor, input_gram: Tensor | None) -> Tensor:
    if input_gram is None:
        return signal_gram.real.clone() if signal_gram.is_complex() else signal_gram
    if not signal_gram.is_complex():
        return signal_gram.mul_(input_gram)
    return signal_gram.real * input_gram.real - signal_gram.imag * input_gram.imag


def _trace(one: Factors, two: Factors) -> Tensor:
    signals = [layer.signals.transpose(0, 1).flatten(1) for layer in (one, two)]
    return _real_product(signals[0] @ signals[1].mH, _input_gram(one, two))


def _per_channel(one: Factors, two: Factors) -> Tensor:
    return _real_product(one.signals @ two.signals.mH, _input_gram(one, two))


def _full(one: Factors, two: Factors) -> Tensor:
    gram = torch.einsum("anf,bmf->abnm", one.signals, two.signals.conj())
    return _real_product(gram.contiguous(), _input_gram(one, two))


_COMBINE: dict[str, Callable[[Factors, Factors], Tensor]] = {
    "trace": _trace,
    "per_channel": _per_channel,
    "full": _full,
}
_ORDER: dict[str, Callable[[Tensor], Tensor]] = {
    "trace": lambda total: total,
    "per_channel": lambda total: total.permute(1, 2, 0),
    "full": lambda total: total.permute(2, 3, 0, 1),
}
