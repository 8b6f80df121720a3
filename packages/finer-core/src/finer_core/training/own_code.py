"""Fits of code of the user's own: a module in the place of our network, or an activation in that of the method's."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from finer_core.errors import InputError
from finer_core.networks.config import NetworkConfig
from finer_core.networks.own_network import AnyActivation, OwnNetwork, name_of, set_activation
from finer_core.schema import shown
from finer_core.training.batching import fresh_network, ready_network


@dataclass(frozen=True, kw_only=True)
class OwnCode:
    """Hold what of the network is the user's own, at most one of the two.

    Attributes:
        network: A module in the place of the method's network; trained as it is.
        described: What it takes.
        activation: In the place of the method's.
    """

    network: nn.Module | None = None
    described: OwnNetwork | None = None
    activation: AnyActivation | None = None

    @property
    def name(self) -> str:
        """Name of the module or the activation; "" if all is ours."""
        code = self.network if self.network is not None else self.activation
        return "" if code is None else name_of(code)

    def copied(self) -> "OwnCode":
        """Return the same with a copy of the module, to be thrown away."""
        return replace(self, network=copy.deepcopy(self.network))


def own_code(
    network: Any, activation: Any, *, options: Mapping[str, Any], describe: Callable[[nn.Module], OwnNetwork]
) -> OwnCode:
    """Check what of a network is the user's own, before anything is trained.

    Args:
        network: A module; a mapping of hyper-parameters, or None, for a network of ours.
        activation: An activation, or None for the method's.
        options: Hyper-parameters that a config has for a network of ours.
        describe: Checks a module, and says what it takes.

    Raises:
        InputError: If it cannot be used, or contradicts another argument.
    """
    if network is None or isinstance(network, Mapping):
        return OwnCode(activation=activation)
    if not isinstance(network, nn.Module):
        raise InputError(f"network must be a mapping of hyper-parameters or a torch module, got {shown(network)}")
    if options or activation is not None:
        what = "activation=" if activation is not None else f"hyper-parameter {next(iter(options))!r}"
        raise InputError(f"network {type(network).__name__} is a module with its own layers; leave out {what}")
    return OwnCode(network=network, described=describe(network))


def planned_network(
    network: NetworkConfig | OwnNetwork,
    *,
    own: OwnCode | None,
    seed: int,
    device: str,
    compiled: bool,
    precision: str,
) -> nn.Module:
    """Return the network that a fit trains, ready for that.

    Args:
        network: What the fit's plan has.
        own: The user's own module, or activation.
        seed: As for `fresh_network`, and so are the others.
        device: Where it trains.
        compiled: Whether activations are compiled.
        precision: Of the backward products.

    Returns:
        The user's module itself, else the plan's network drawn from its seed.

    Raises:
        InputError: If the plan is of a module of the user's own, and there is none.
    """
    own = own or OwnCode()
    habits: dict[str, Any] = {"device": device, "compiled": compiled, "precision": precision}
    if own.network is not None:
        return ready_network(own.network, **habits)
    if isinstance(network, OwnNetwork):
        raise InputError(f"the fit is of a module of its user's own, {network.own}; give it again by network=")
    ours = fresh_network(network, seed=seed, **habits)
    return ours if own.activation is None else set_activation(ours, own.activation)
