"""The network and the loop of a plan, perhaps with code of the user's own: a module, or an activation."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from finer_core.casts import check_module
from finer_core.distributed.ranks import Ranks
from finer_core.errors import InputError
from finer_core.networks.own_network import AnyActivation, OwnNetwork, name_of, set_activation
from finer_core.training.batching import fresh_network, ready_network
from finer_core.training.guard import DivergenceGuard
from finer_core.training.loop import Fit
from finer_core.training.objective import Objective
from finer_core.training.optimizers.build import build_optimizers
from finer_core.training.schedules import Schedule, schedule_of


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
    check_module(network, others="a mapping of hyper-parameters or ")
    if options or activation is not None:
        what = "activation=" if activation is not None else f"hyper-parameter {next(iter(options))!r}"
        raise InputError(f"network {type(network).__name__} is a module with its own layers; leave out {what}")
    return OwnCode(network=network, described=describe(network))


def network_of(plan: Any, *, own: OwnCode | None = None) -> nn.Module:
    """Return the network that a plan trains, ready for that: the user's module itself, else one drawn from the seed.

    Args:
        plan: It has `network`, the resolved `settings`, and `device`.
        own: The user's own module, or activation.

    Raises:
        InputError: If the plan is of a module of the user's own, and there is none.
    """
    own, network, settings = own or OwnCode(), plan.network, plan.settings
    habits: dict[str, Any] = {"device": plan.device, "compiled": bool(settings.compile)}
    habits["precision"] = settings.precision or "fp32"
    if own.network is not None:
        return ready_network(own.network, **habits)
    if isinstance(network, OwnNetwork):
        raise InputError(f"the fit is of a module of its user's own, {network.own}; give it again by network=")
    ours = fresh_network(network, seed=settings.seed, **habits)
    return ours if own.activation is None else set_activation(ours, own.activation)


def fit_of(
    plan: Any,
    network: nn.Module,
    objective: Objective,
    *,
    ranks: Ranks,
    guard: DivergenceGuard,
    schedule: Schedule | None = None,
    **optimizing: Any,
) -> Fit:
    """Return the fit loop of a plan.

    Args:
        plan: It has the resolved `settings`.
        network: Changed in place by the fit.
        objective: What is minimized.
        ranks: The place of this process among those that share the fit.
        guard: Where the settings want one.
        schedule: Of the rates; None for the one that the settings name.
        **optimizing: More arguments of `build_optimizers`.
    """
    settings = plan.settings
    return Fit(
        network=network,
        objective=objective,
        optimizers=build_optimizers(
            network,
            name=settings.optimizer or "adam",
            learning_rate=settings.learning_rate,
            matrix_learning_rate=settings.matrix_learning_rate or settings.learning_rate,  # Adam uses none
            betas=settings.betas,
            ema_decay=settings.ema_decay or 0.0,
            precision=settings.precision or "fp32",
            ranks=ranks,
            **optimizing,
        ),
        schedule=schedule or schedule_of(settings.schedule),
        steps=settings.steps,
        log_every=settings.log_every,
        max_grad_norm=settings.max_grad_norm,
        guard=guard if settings.guard else DivergenceGuard(max_rollbacks=0),
        checkpoint_seconds=settings.checkpoint_seconds,
    )
