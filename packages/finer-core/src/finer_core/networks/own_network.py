"""Networks with code of their user's: any module, or one of ours whose activation is the user's.

No file holds code. What is written down of it is its name, to say what must be given again.
"""

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeAlias, TypeGuard, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from finer_core.casts import check_module
from finer_core.errors import InputError
from finer_core.layers import InrLayer
from finer_core.networks import Network
from finer_core.networks.base import parameter_count
from finer_core.networks.config import NetworkConfig
from finer_core.networks.kept_state import check_state

AnyNetwork = TypeVar("AnyNetwork", bound=Network)
AnyActivation: TypeAlias = Callable[[Tensor], Tensor] | type[nn.Module]
"""A module, a function of tensors, or the class of modules that are made without arguments."""
_PROBED = 61
"""Rows that a module is tried with: a number that no layer's width is likely to have."""
_WORKING_COPIES = 3
"""What training takes of what is kept for the gradients: that, the gradients of it, and temporaries."""


@dataclass(frozen=True, kw_only=True)
class OwnNetwork:
    """Describe a module of the user's own: its name, and what it takes to train it.

    Attributes:
        own: Its class, with the module that defines it.
        hidden_features: Numbers a row of the widest tensor that is kept for the gradients.
        row_bytes: What training takes for each row, with gradients and temporaries.
    """

    own: str
    hidden_features: int
    row_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def describe_network(
    network: nn.Module,
    *,
    in_features: int,
    out_features: int,
    call: Callable[[nn.Module, Tensor], Tensor] = lambda network, coords: network(coords),
    inputs: str = "coordinates",
) -> OwnNetwork:
    """Try a copy of a module on a few coordinates, and describe it.

    Args:
        network: Maps coordinates (n, in_features) to (n, out_features), each row by itself.
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        call: Calls a module of another form, whose inputs and outputs are these columns; it may refuse what it returns.
        inputs: What the columns are called.

    Raises:
        InputError: If it does something else, has nothing to train, or computes in another precision.
    """
    name, what = type(network).__name__, f"{inputs} ({_PROBED}, {in_features})"
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not trained:
        raise InputError(f"network {name} has no parameters to train")
    if any(is_lazy(tensor) for tensor in (*network.parameters(), *network.buffers())):
        raise InputError(f"network {name} has lazy layers without weights yet; call it once on {what}, then fit it")
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        raise InputError(f"network {name} is on the device meta, without numbers; make it on another, then fit it")
    check_state(network, what="trained")
    kinds = {p.dtype.to_real() if p.is_complex() else p.dtype for p in network.parameters()}
    if kinds != {torch.float32}:
        names = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        raise InputError(f"network {name} has parameters of {names}; fits compute in float32, which .float() makes")
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    count = _PROBED * in_features
    coords = torch.linspace(-1, 1, count, device=trained[0].device, dtype=torch.float32).reshape(_PROBED, in_features)
    try:
        probe = copy.deepcopy(network)
        with torch.random.fork_rng(devices=[]), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            values = call(probe, coords)
    except InputError as error:
        raise InputError(f"network {name}: {error}") from error
    except Exception as error:  # code of the user's may raise anything
        raise InputError(f"network {name} cannot take {what}: {_told(error)}") from error
    if not isinstance(values, Tensor) or values.shape != (_PROBED, out_features) or values.dtype != torch.float32:
        found = f"{values.dtype} {tuple(values.shape)}" if isinstance(values, Tensor) else type(values).__name__
        raise InputError(
            f"network {name} makes {found.removeprefix('torch.')} of {what}, not float32 {(_PROBED, out_features)}"
        )
    if not values.requires_grad:
        raise InputError(f"network {name} gives values without gradients: they depend on none of its parameters")
    _try_backward(values, probe, name=name)
    _try_rows_apart(partial(call, probe.eval()), coords, name=name)
    for tensor in (*probe.parameters(), *probe.buffers()):
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    row = [tensor.numel() // _PROBED for tensor in kept.values()]
    nbytes = sum(tensor.nbytes for tensor in kept.values()) // _PROBED
    return OwnNetwork(
        own=name_of(network),
        hidden_features=max(in_features, out_features, *row),
        row_bytes=_WORKING_COPIES * (nbytes + 4 * (in_features + out_features)),
    )


def _try_rows_apart(call: Callable[[Tensor], Tensor], coords: Tensor, *, name: str) -> None:
    """Raise InputError for a network in which a point's values depend on others: pieces of a signal would not fit."""
    half = len(coords) // 2
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        whole, part = call(coords)[:half], call(coords[:half])
    if not torch.allclose(whole, part, rtol=1e-3, atol=1e-4 * float(whole.abs().max()) + 1e-30, equal_nan=True):
        raise InputError(
            f"network {name} makes other values of a point beside other points, or by chance; each must be of its "
            "point alone in evaluation mode"
        )


def _try_backward(values: Tensor, probe: nn.Module, *, name: str) -> None:
    """Raise InputError for gradients that cannot be computed, or that no optimizer of ours takes."""
    named = [(key, parameter) for key, parameter in probe.named_parameters() if parameter.requires_grad]
    try:
        with torch.random.fork_rng(devices=[]):
            grads = torch.autograd.grad(values.sum(), [parameter for _, parameter in named], allow_unused=True)
    except Exception as error:  # code of the user's may raise anything
        raise InputError(f"network {name} has no gradients: {_told(error)}") from error
    for (key, _), grad in zip(named, grads, strict=True):
        if grad is not None and grad.layout != torch.strided:
            raise InputError(f"network {name}: the gradient of {key!r} is sparse; make the layer with sparse=False")


class FunctionActivation(nn.Module):
    """Make a module of a function of tensors.

    Args:
        function: Elementwise.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, z: Tensor) -> Tensor:
        """Return the function of z, of the shape of z."""
        return self.function(z)

    def extra_repr(self) -> str:
        """Show the function's name."""
        return name_of(self.function)


def set_activation(network: AnyNetwork, activation: AnyActivation) -> AnyNetwork:
    """Put an activation of the user's own in the place of a network's, and return the network.

    Weights stay as they were drawn, by the rule of the network's method. A module is copied for each layer, so that
    layers share no parameters.

    Args:
        network: One of ours made of `InrLayer`s; changed in place.
        activation: Elementwise, (..., n) to (..., n): a module, a module's class that is made without arguments, or a
            function of tensors.

    Returns:
        The network. Its file says what the activation is called; `load_model` must be given it again.

    Raises:
        InputError: If the network is none, or has no activations to replace, or the activation is none: it changes the
            shape or the type of its input, or gives values without gradients.

    Example:
        >>> import torch
        >>> from finer_core import Siren, set_activation
        >>> network = set_activation(Siren(in_features=2, out_features=1, hidden_features=16), torch.tanh)
        >>> network(torch.zeros(5, 2)).shape, network.own_activation
        (torch.Size([5, 1]), 'torch.tanh')
    """
    check_module(network)
    layers = [module for module in network.modules() if isinstance(module, InrLayer)]
    if not layers:
        raise InputError(f"{type(network).__name__} has no activation that another could replace")
    if isinstance(activation, type):
        activation = _made(activation)
    if not callable(activation):
        raise InputError(f"activation {activation!r} is not a module or a function of tensors")
    if isinstance(activation, nn.Module) and any(is_lazy(each) for each in activation.parameters()):
        raise InputError(f"activation {name_of(activation)} is lazy, without weights yet; give one that has its size")
    kinds = {layer.weight.dtype if layer.weight.element_size() > 2 else torch.float32 for layer in layers}
    for dtype in sorted(kinds, key=str):  # not in half precision, in which a CPU lacks functions
        _try_activation(activation, features=layers[0].out_features, dtype=dtype)
    for layer in layers:
        own = copy.deepcopy(activation) if isinstance(activation, nn.Module) else FunctionActivation(activation)
        layer.activation = own if layer.weight.is_meta else own.to(layer.weight.device)
    network.own_activation = name_of(activation)
    return network


def _try_activation(activation: Callable[[Tensor], Tensor], *, features: int, dtype: torch.dtype) -> None:
    """Raise InputError for what is no activation that can be trained through, of tensors of a type."""
    name, real = name_of(activation), dtype.to_real() if dtype.is_complex else dtype
    with torch.inference_mode(False), torch.enable_grad():
        probe = copy.deepcopy(activation)
        if isinstance(probe, nn.Module):
            probe = probe.to(device="cpu", dtype=real)
        leaf = torch.zeros(2, features, device="cpu", dtype=dtype, requires_grad=True)
        z = leaf.clone()  # no leaf: of one, PyTorch lets nothing be changed in place
        kind = str(dtype).removeprefix("torch.")
        try:
            values = probe(z)
        except Exception as error:  # code of the user's may raise anything
            raise InputError(f"activation {name} cannot take {kind} {tuple(z.shape)}: {_told(error)}") from error
        if not isinstance(values, Tensor) or values.shape != z.shape:
            found: Any = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise InputError(f"activation {name} makes {found} of {tuple(z.shape)}; it must keep the shape")
        if values.dtype != dtype:
            found = str(values.dtype).removeprefix("torch.")
            raise InputError(f"activation {name} makes {found} of {kind}; it must keep the type")
        if not values.requires_grad:
            raise InputError(
                f"activation {name} gives values without gradients, and nothing before it could be trained; "
                "compute them from its input by PyTorch's differentiable functions"
            )


def _made(activation: type) -> nn.Module:
    """Return a module of a class that needs no arguments."""
    if not issubclass(activation, nn.Module):
        raise InputError(f"activation {name_of(activation)} is a class, and not of modules")
    try:
        return activation()
    except TypeError as error:
        raise InputError(
            f"activation {name_of(activation)} needs arguments: {_told(error)}; give a module, made with them"
        ) from error


def has_config(network: nn.Module) -> TypeGuard[Network]:
    """Say whether `build_network` made a network: one of ours whose class was called directly keeps no config."""
    return isinstance(network, Network) and isinstance(getattr(network, "config", None), NetworkConfig)


def compiled_module(network: nn.Module) -> nn.Module:
    """Return the network of ours that `torch.compile` wraps, for its weights' own names; another module as it is."""
    inside = getattr(network, "_orig_mod", None)
    return inside if isinstance(inside, Network) else network


def config_of(network: nn.Module) -> NetworkConfig:
    """Return what a network of ours was built from.

    Raises:
        InputError: If it is a module of the user's own.
    """
    config = getattr(network, "config", None)
    if not isinstance(config, NetworkConfig):
        raise InputError(f"{type(network).__name__} is not a network of ours, and has no config")
    return config


def title_of(network: nn.Module) -> str:
    """Return in words what a network is: its method or class, and its size."""
    config = getattr(network, "config", None)
    name = config.method if isinstance(config, NetworkConfig) else type(network).__name__
    if isinstance(network, Network) and network.own_activation:
        name += f" with {network.own_activation}"
    return f"{name} of {parameter_count(network)} parameters"


def name_of(code: object) -> str:
    """Return the name of a function, or of an object's class, with the module that defines it."""
    named = code if hasattr(code, "__qualname__") else type(code)
    name = named.__qualname__.removeprefix("_VariableFunctionsClass.")  # which PyTorch's own functions are of
    owner = named if hasattr(named, "__module__") else getattr(named, "__objclass__", type(named))
    return f"{owner.__module__}.{name}"  # a method in C, such as torch.Tensor.sin, has no module, but a class


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:120]
