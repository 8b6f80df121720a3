"""How a config file and the command line become settings."""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from finer_core.app.network_options import given_options
from finer_core.app.run_folder import read_settings
from finer_core.config import merge_settings
from finer_core.errors import InputError
from finer_core.schema import check
from finer_core.training_config import LENGTHS, of_other_presets

_UNLISTED = ("network", "betas")
"""Fields of a fit's settings that are not options of their own."""
_KINDS = {"settings": Mapping, "given": Mapping, "network": Mapping | None, "signal": str | None}
_DECISIVE = ("method", "preset", "optimizer")
"""Settings that, beside the length and the network, a preset's others follow from."""


def given_settings(arguments: argparse.Namespace, settings: type[Any]) -> dict[str, Any]:
    """Return what the command line itself sets."""
    names = [field.name for field in dataclasses.fields(settings) if field.name not in _UNLISTED]
    given = {name: getattr(arguments, name, None) for name in names}
    network = given_options(arguments)
    return {
        **{name: value for name, value in given.items() if value is not None},
        **({"network": network} if network else {}),
    }


def merged_settings(arguments: argparse.Namespace, settings: type[Any]) -> tuple[Any, str | None]:
    """Merge defaults, config file and command line.

    Returns:
        The settings object, and the input that the config file names, if any.

    Raises:
        InputError: For a config file or a value that cannot be used.
    """
    given = given_settings(arguments, settings)
    layer, signal = _file_settings(arguments, settings, given)
    layer = _one_length(layer, given)
    return merge_settings(settings, layer, _over(layer, given, settings)), signal


def asked_settings(arguments: argparse.Namespace, settings: type[Any], *, resolved: bool = True) -> dict[str, Any]:
    """Return what the command line and the config file it names set.

    Args:
        arguments: The parsed command line.
        settings: The settings' class.
        resolved: Whether of a run's config.json what was resolved counts, which a resumed run must be able to honor, or
            only what was given to it, from which a longer one is decided.

    Raises:
        InputError: As `merged_settings`.
    """
    given = given_settings(arguments, settings)
    layer = _one_length(_file_settings(arguments, settings, given, resolved=resolved)[0], given)
    given = _over(layer, given, settings)
    return {**{name: value for name, value in layer.items() if value is not None}, **given}


def read_layer(path: str, settings: type[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the content of a config file, or of a run's config.json, and the settings that it names.

    Args:
        path: The file.
        settings: The settings' class.

    Raises:
        InputError: If it cannot be read, or an entry is of another type or does nothing.
    """
    file = read_settings(path)
    for name, kind in _KINDS.items():
        check(file.get(name, {} if kind is Mapping else None), kind, name=f"{path}: {name}")
    if file.get("signal") == "":
        raise InputError(f"{path}: signal is empty; name the input, or leave it out")
    beside = [field.name for field in dataclasses.fields(settings) if field.name in file and field.name != "network"]
    if beside and "settings" in file and "command" not in file:  # a run's own says there what it made of them
        raise InputError(f"{path}: {beside[0]!r} does nothing beside 'settings'; put it there")
    return file, dict(file.get("settings", {name: value for name, value in file.items() if name != "signal"}))


def _file_settings(
    arguments: argparse.Namespace, settings: type[Any], given: Mapping[str, Any], *, resolved: bool = True
) -> tuple[dict[str, Any], str | None]:
    """Return the settings and the input that the config file names.

    It may be a run's config.json. Its settings are what was resolved, so that it repeats the run; where the command
    line has another length, or another of what batches and rates follow from, they are what was given to the run.
    """
    if not arguments.config:
        return {}, None
    file, layer = read_layer(arguments.config, settings)
    network = file.get("network")
    if "settings" in file and network:  # a run's config.json: its network is what was resolved
        options = network.get("options", {})
        check(options, Mapping, name=f"{arguments.config}: network: options")
        sizes = {name: network[name] for name in ("hidden_features", "hidden_layers") if name in network}
        layer["network"] = {**sizes, **options}
    if "given" in file and "settings" in file and (not resolved or _decides_anew(layer, given)):
        layer = dict(file["given"])
    check(layer.get("network"), Mapping | None, name=f"{arguments.config}: network")
    return {name: tuple(v) if isinstance(v, list) else v for name, v in layer.items()}, file.get("signal")


def _decides_anew(layer: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Return whether what was given changes what the preset made of a run's other settings."""
    others = (name for name in _DECISIVE if name in given and given[name] != layer.get(name))
    return any(name in given for name in (*LENGTHS, "network")) or any(others)


def _over(layer: dict[str, Any], given: dict[str, Any], settings: type[Any]) -> dict[str, Any]:
    """Return what was given, its network options over the layer's, and take from that what means nothing then."""
    if given.get("method") not in (None, layer.get("method")):
        layer.pop("network", None)  # another method's hyper-parameters mean nothing to this one
    optimizer = given.get("optimizer")
    if optimizer == "adam" or (optimizer and layer.get("optimizer") not in (None, optimizer)):
        layer.pop("matrix_learning_rate", None)  # and another optimizer's rate nothing to this one
    for name in of_other_presets(settings, given["preset"]) if "preset" in given else ():
        layer.pop(name, None)
    if given.get("ema_decay") == 0:
        layer.pop("ema_every", None)  # nor how often an average is updated where there is none
    if "network" not in given:
        return given
    return {**given, "network": {**(layer.get("network") or {}), **given["network"]}}


def _one_length(layer: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config file's settings with at most one length, and with none where the command line has its own."""
    named = [name for name in LENGTHS if layer.get(name) is not None]
    dropped = named if any(name in given for name in LENGTHS) else named[1:]
    return {name: value for name, value in layer.items() if name not in dropped}
