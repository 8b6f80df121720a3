"""Tell whether a network of ours still is what its config says: a model file holds the config, and no code."""

import torch
from torch import nn
from torch.nn.utils import parametrize

from finer_core.errors import InputError
from finer_core.layers import InrLayer
from finer_core.networks.base import Network
from finer_core.networks.build import build_network
from finer_core.networks.own_network import FunctionActivation, name_of

_PARAMETRIZED = (
    "its weights are made of others; take the parametrization off before saving "
    "(torch.nn.utils.parametrize.remove_parametrizations, or the function that undoes yours)"
)
_ADDED = (
    "take it off before saving (del network.name), or save the network in a module of your own that holds it: "
    "torch.nn.Sequential(network)"
)
_WRAP = "a network with other layers is saved as a module of your own: torch.nn.Sequential(network)"


def check_unchanged(network: Network) -> None:
    """Compare a network with the one that its config builds; weights may have any values.

    Args:
        network: Made by `build_network`; its activations may be those of `set_activation`.

    Raises:
        InputError: If a layer, a hyper-parameter or the shape of a weight is another one: what the file says would be
            another function.
    """
    with torch.device("meta"):  # shapes only
        built = build_network(network.config)
    has_own = bool(network.own_activation)
    activations = tuple(
        f"{name}.activation" for name, layer in built.named_modules() if has_own and isinstance(layer, InrLayer)
    )
    found = dict(network.named_modules())
    for name, wanted in built.named_modules():
        if name in activations:
            _check_own(network, found.get(name), name)
        else:
            _check_module(network, found.get(name), wanted, name)
    below = tuple(f"{name}." for name in activations)
    shapes, built_shapes = (
        {name: tuple(value.shape) for name, value in each.state_dict().items() if not name.startswith(below)}
        for each in (network, built)
    )
    for name in sorted(set(built_shapes) - set(shapes)):
        raise _changed(network, f"no tensor {name!r}", _PARAMETRIZED)
    for name in sorted(set(shapes) - set(built_shapes)):
        raise _changed(network, f"a further tensor {name!r}", _ADDED)
    for name, shape in built_shapes.items():
        if shapes[name] != shape:
            raise _changed(network, f"{name!r} of shape {shapes[name]}, not {shape}", _WRAP)


def what_it_is(module: nn.Module) -> str:
    """Return class and hyper-parameters of a module, or those that it says by `stands_for` that it computes."""
    return str(getattr(module, "stands_for", None) or f"{name_of(type(module))}({module.extra_repr()})")


def _check_module(network: Network, found: nn.Module | None, wanted: nn.Module, name: str) -> None:
    """Refuse a module of another class, or with other hyper-parameters, than the config builds."""
    if found is not None and parametrize.is_parametrized(found):
        raise _changed(network, f"parametrized weights in {name!r}", _PARAMETRIZED)
    if found is None or what_it_is(found) != what_it_is(wanted):
        ours, theirs = (
            "none" if each is None else f"{type(each).__name__}({each.extra_repr()})" for each in (wanted, found)
        )
        if not name.endswith("activation"):
            hint = _WRAP
        elif type(found) is type(wanted):
            hint = "give build_network the value"
        else:
            hint = "put it in by finer_core.set_activation"
        raise _changed(network, f"{theirs} as {name!r}, and its file would say {ours}", hint)


def _check_own(network: Network, found: nn.Module | None, name: str) -> None:
    """Refuse an activation that is not the one of the user's own that the network names."""
    code = found.function if isinstance(found, FunctionActivation) else found
    if name_of(code) != network.own_activation:
        what = f"{name_of(code)} as {name!r}, and its file would say {network.own_activation}"
        raise _changed(network, what, "give all layers one activation by finer_core.set_activation")


def _changed(network: Network, what: str, hint: str) -> InputError:
    return InputError(f"{type(network).__name__} is not what its config says: it has {what}; {hint}")
