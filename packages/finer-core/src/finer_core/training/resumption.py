"""Go on with a fit from its checkpoint, from Python: is it of the same input, settings and network?"""

import math
import os
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from finer_core.config import given_fields
from finer_core.errors import InputError
from finer_core.networks.config import NetworkConfig
from finer_core.schema import check_entries, plain, shown
from finer_core.training.circumstances import CIRCUMSTANCES
from finer_core.training.guard import settings_of
from finer_core.training.loop import Fit
from finer_core.training.state import TrainState

_MAY_DIFFER = frozenset({"network", "device", "memory", "checkpoint_seconds"})
"""Settings that are compared in another way, or that a resumed fit takes from its checkpoint without a word."""
_HOW = frozenset({"foreach", "fused", "capturable", "differentiable"})
"""Entries of an optimizer's groups that say how it computes, and not what."""
_NOTHING = "nothing"


def saved_fit(
    state: TrainState, about: Mapping[str, Any], *, source: str | os.PathLike[str], verb: str, signal: str
) -> Mapping[str, Any]:
    """Return what a checkpoint says about its fit, which is of the same input and the same code of the user's.

    Args:
        state: The checkpoint's state.
        about: `input_sha256` of the input that is given now, and `own`, the name of the user's code.
        source: The file, for messages.
        verb: The function whose fit it must be, e.g. "finer_image.fit".
        signal: What the input is, e.g. "image".

    Raises:
        InputError: If it is a fit of another kind, input or code.
    """
    saved, path = state.loop.get("about"), os.fspath(source)
    if not isinstance(saved, Mapping) or "input_sha256" not in saved:
        raise InputError(f"{path}: not a checkpoint of {verb}; one of a run folder goes on by --resume")
    check_entries(saved, {"input_sha256": str, "own": str, "network": Mapping}, what=path)
    if saved["input_sha256"] != about["input_sha256"]:
        raise InputError(f"{path}: a fit of another {signal}; leave out resume=True and name another checkpoint")
    if saved["own"] != about["own"]:
        raise InputError(
            f"{path}: a fit of {shown(saved['own'] or 'a network of ours')}, not of "
            f"{shown(about['own'] or 'a network of ours')}; give the same network= or activation= to go on"
        )
    return saved


def refuse_other_settings(
    plan: Any,
    settings: Any,
    *,
    named: Collection[str],
    source: str | os.PathLike[str],
) -> None:
    """Raise InputError if a setting that is given now is not the one that a fit was begun with.

    Args:
        plan: The fit's plan: it has `settings`, resolved, and `network`.
        settings: Those that are given now.
        named: Fields of them that were named, whatever their value.
        source: The checkpoint, for messages.
    """
    given = sorted(given_fields(settings, named) - _MAY_DIFFER)
    pairs = [(name, getattr(settings, name), getattr(plan.settings, name)) for name in given]
    network = plan.network.to_dict()
    options = {**network, **network.get("options", {})}
    pairs += [(name, value, options.get(name)) for name, value in settings.network.items()]
    for name, value, before in pairs:
        if value != before:
            raise InputError(
                f"{os.fspath(source)}: {name} {shown(value)} differs from the fit's, {shown(before)}; "
                "leave it out to go on"
            )


def description_of(fit: Fit) -> dict[str, Any]:
    """Return what a fit of any network is, but for its loss, as plain data.

    Args:
        fit: The fit, before its first step; the groups of its optimizers have their initial rates.
    """
    modules = dict(fit.network.named_modules())
    names = {id(parameter): name for name, parameter in fit.network.named_parameters()}
    quarters = {fit.steps * part // 4 for part in range(4)} | {fit.steps - 1}
    return {
        "network": {name: settings for name, module in modules.items() if (settings := _settings_of(module))},
        "module": {name: type(module).__name__ for name, module in modules.items()},
        "dtypes": sorted({str(parameter.dtype) for parameter in fit.network.parameters()}),
        "optimizers": [{"type": type(each).__name__, "groups": _groups_of(each, names)} for each in fit.optimizers],
        "schedule": [float(fit.schedule(step, fit.steps)) for step in sorted(quarters)],
        "log_every": fit.log_every,
        "max_grad_norm": fit.max_grad_norm,
        "guard": _plain(settings_of(fit.guard)),
    }


def refuse_other_fit(state: TrainState, own: Mapping[str, Any], *, source: str | os.PathLike[str]) -> None:
    """Raise InputError, which says what differs, unless a checkpoint is of the fit that is to go on from it.

    Args:
        state: The checkpoint's state; its `about` is the description of its fit.
        own: The description of the fit that is to go on.
        source: The file, for the message.
    """
    about, path = state.loop.get("about"), os.fspath(source)
    if not isinstance(about, Mapping) or set(about) - {CIRCUMSTANCES} != set(own):
        raise InputError(f"{path}: not a checkpoint of finer_core.training.fit; name another checkpoint")
    before, mine = _leaves({name: about[name] for name in own}), _leaves(own)
    now = _leaves({"optimizers": [{"groups": _plain(each.get("param_groups"))} for each in state.optimizers]})
    for place in (*mine, *before):
        saved, given = before.get(place, _NOTHING), mine.get(place, _NOTHING)
        if _alike(saved, given):
            continue
        # Another version of PyTorch may have other settings, and steps may change some of them, such as a count.
        is_setting = place[0] == "optimizers" and place[4:5] not in ((), ("lr",), ("params",))
        if is_setting and (_NOTHING in (saved, given) or now.get(place, saved) != saved):
            continue
        name = ".".join(filter(None, place))
        raise InputError(
            f"{path}: of another fit: {name} is {shown(saved)} in the checkpoint, {shown(given)} in this fit; "
            "give the same, or name another checkpoint"
        )


def _settings_of(layer: nn.Module) -> dict[str, Any]:
    """Return the settings of a network of ours, and the name of an activation in the place of its method's."""
    config = getattr(layer, "config", None)
    own = {"activation": getattr(layer, "own_activation", "")}
    return {**_plain(config.to_dict()), **own} if isinstance(config, NetworkConfig) else {}


def _groups_of(optimizer: Optimizer, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """Return an optimizer's groups: settings, rate, and parameters by name, "" for one that is not the network's."""
    return [
        {
            **{name: _plain(value) for name, value in group.items() if name not in _HOW | {"initial_lr"}},
            "lr": _plain(group["initial_lr"]),
            "params": [names.get(id(parameter), "") for parameter in group["params"]],
        }
        for group in optimizer.param_groups
    ]


def _plain(value: Any) -> Any:
    """Return a setting as JSON can hold it."""
    if isinstance(value, Tensor) and value.numel() == 1:
        return value.item()
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    value = str(value) if isinstance(value, torch.dtype) else plain(value)
    return value if value is None or isinstance(value, bool | int | float | str) else type(value).__name__


def _leaves(value: Any, place: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return what nested plain data holds, by its place."""
    if not isinstance(value, Mapping | list):
        return {place: value}
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    return {leaf: found for name, item in items for leaf, found in _leaves(item, (*place, str(name))).items()}


def _alike(first: Any, second: Any) -> bool:
    """Return whether two settings are the same, numbers but for rounding."""
    if isinstance(first, int | float) and isinstance(second, int | float):
        return math.isclose(first, second, rel_tol=1e-9)
    return type(first) is type(second) and first == second
