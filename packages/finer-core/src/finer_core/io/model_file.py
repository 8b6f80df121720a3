"""Save and load a trained network as one safetensors file that needs no other.

The file's metadata holds the network config, the task and the task's own data (an image's size and value range, say),
and a SHA-256 over all of it and the weights. Loading runs no code from the file, and checks names, shapes, types
and the digest before any memory is taken for weights.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from finer_core._version import __version__
from finer_core.errors import InputError
from finer_core.io.tensor_file import check_tensors, read_header, read_tensors, write_tensors
from finer_core.networks import Network
from finer_core.networks.build import build_network
from finer_core.networks.config import NetworkConfig
from finer_core.networks.network_dict import NetworkDict
from finer_core.networks.own_network import name_of, set_activation
from finer_core.schema import check, shown

AnyModule = TypeVar("AnyModule", bound=nn.Module)
FORMAT = "finer-model"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Hold what a model file says about itself.

    Attributes:
        configs: Its networks by name; the name of a model's only network is "". None where that is the user's own.
        task: "image", "sdf", "nerf", or whatever saved it.
        task_data: What the task needs to use the network (shape, normalisation, dtype ...), plain data.
        finer_core_version: The version that wrote the file.
        own_network: Name of the user's module that the weights are of; "" for networks of ours.
        own_activation: Name of the user's activation in a network of ours; "" for the method's.
    """

    configs: Mapping[str, NetworkConfig]
    task: str
    task_data: Mapping[str, Any]
    finer_core_version: str
    own_network: str = ""
    own_activation: str = ""

    @property
    def config(self) -> NetworkConfig:
        """Return the only network.

        Raises:
            InputError: If the model has several, or a module of the user's.
        """
        if self.own_network:
            raise InputError(f"a model of {self.own_network}, which is not a network of ours and has no config")
        if set(self.configs) != {""}:
            raise InputError(f"a model of {len(self.configs)} networks ({', '.join(self.configs)}), not of one")
        return self.configs[""]


def save_model(
    network: nn.Module,
    path: str | os.PathLike[str],
    *,
    task: str = "",
    task_data: Mapping[str, Any] | None = None,
) -> None:
    """Write a network to `path`, atomically.

    Of code of the user's, a module or an activation, the file holds the name alone; `load_model` is given it again.

    Args:
        network: Made by `build_network`, a `NetworkDict` of several, or any module.
        path: The file; its folder exists.
        task: What the network was trained for.
        task_data: Plain data that using it needs.

    Raises:
        ValueError: If it is a network of ours that `build_network` did not make, or `task_data` is not plain data.
    """
    config = getattr(network, "config", None)
    if isinstance(network, NetworkDict):
        ours: dict[str, Any] = {"parts": {name: part.to_dict() for name, part in network.config.items()}}
        described = _activated(ours, network.own_activation)
    elif isinstance(config, NetworkConfig):
        described = _activated(config.to_dict(), network.own_activation if isinstance(network, Network) else "")
    elif not isinstance(network, Network):
        described = {"own": name_of(network)}
    else:
        raise ValueError(
            f"save_model needs a network made by build_network, got {type(network).__name__} without config"
        )
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "finer_core_version": __version__,
        "config": json.dumps(described, allow_nan=False, sort_keys=True),
        "task": task,
        "task_data": json.dumps(dict(task_data or {}), allow_nan=False, sort_keys=True),
    }
    write_tensors(path, network.state_dict(), header)


def _activated(described: dict[str, Any], own: str) -> dict[str, Any]:
    """Return the description of networks of ours, with the name of an activation of the user's own in them."""
    return {"activation": own, "network": described} if own else described


@overload
def load_model(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    network: None = None,
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Network | NetworkDict: ...
@overload
def load_model(
    path: str | os.PathLike[str], *, device: torch.device | str = "cpu", network: AnyModule
) -> AnyModule: ...
def load_model(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    network: nn.Module | None = None,
    activation: Callable[[Tensor], Tensor] | None = None,
) -> nn.Module:
    """Load a network, or several, from a model file.

    Args:
        path: A file written by `save_model`.
        device: Where the parameters go.
        network: The module of your own that was saved, built anew; it takes the weights. None for a network of ours.
        activation: The activation of your own that it was saved with; None for the method's.

    Returns:
        The network, in evaluation mode; one of ours has `config` and `info` (a `ModelInfo`).

    Raises:
        InputError: If the file is missing, truncated, tampered with, not a model, or of a newer format, or what is
            given is not what was saved.
    """
    file_name = os.fspath(path)
    info = model_info(file_name)  # first, because a newer format may have another checksum
    _check_own_code(file_name, info, has_network=network is not None, has_activation=activation is not None)
    _, tensors = read_tensors(file_name, what="model", expected_format=FORMAT)
    if network is not None:
        check_tensors(file_name, network.state_dict(), tensors, whose=type(network).__name__)
        network.load_state_dict(tensors)
        return network.to(device).eval()
    ours = _network_of(file_name, info, tensors, activation)
    check_tensors(file_name, ours.state_dict(), tensors)
    ours.load_state_dict(tensors, assign=True)
    ours.info = info
    return ours.to(device).eval()


def _check_own_code(path: str, info: ModelInfo, *, has_network: bool, has_activation: bool) -> None:
    """Refuse a file that needs code of the user's which is not given, and code that a file does not need."""
    for kind, name, given in (
        ("network", info.own_network, has_network),
        ("activation", info.own_activation, has_activation),
    ):
        if name and not given:
            raise InputError(
                f"{path}: saved with {shown(name)}, {kind} of its user's own, which no file holds; "
                f"load it from Python and give {kind}=... again"
            )
        if given and not name:
            raise InputError(f"{path}: saved without {kind} of its user's own; leave out {kind}=")


def _network_of(
    path: str, info: ModelInfo, tensors: Mapping[str, Tensor], activation: Callable[[Tensor], Tensor] | None
) -> Network | NetworkDict:
    """Build what a file describes, without taking memory for weights."""
    if any(config.hidden_layers > len(tensors) for config in info.configs.values()):
        raise InputError(f"{path}: hidden_layers asks for more layers than the file has tensors")
    try:
        with torch.device("meta"):  # shapes only: a hostile size costs nothing
            one = set(info.configs) == {""}
            network = build_network(info.config) if one else NetworkDict.build(info.configs)
    except (ValueError, RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{path}: {error}") from error  # LookupError: a network is called like a method of ours
    if activation is None:
        return network
    return (
        network.set_activation(activation) if isinstance(network, NetworkDict) else set_activation(network, activation)
    )


def check_finite(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Raise InputError for a model with weights that are no numbers: everything made of it would be none.

    Args:
        network: From `load_model`.
        path: Its file, for the message.
    """
    for name, value in network.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{os.fspath(path)}: weights {name!r} hold NaN or infinity; the fit diverged")


def load_network(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    activation: Callable[[Tensor], Tensor] | None = None,
) -> Network:
    """Load a model of one network of ours; see `load_model`.

    Raises:
        InputError: As `load_model`, and if the model has several networks, or weights that are no numbers.
    """
    info = model_info(path)
    network = load_model(path, device=device, activation=activation)
    if not isinstance(network, Network):
        raise InputError(f"{os.fspath(path)}: a model of task {info.task!r} with {len(info.configs)} networks, not one")
    check_finite(network, path)
    return network


def model_info(path: str | os.PathLike[str]) -> ModelInfo:
    """Read what a model file says about itself, without its weights.

    Raises:
        InputError: As `load_model`.
    """
    return _info(os.fspath(path), read_header(path, what="model", expected_format=FORMAT))


def _info(path: str, header: Mapping[str, str]) -> ModelInfo:
    missing = [
        name for name in ("format_version", "config", "task", "task_data", "finer_core_version") if name not in header
    ]
    if missing:
        raise InputError(f"{path}: unusable metadata (it lacks {missing[0]!r})")
    version = header["format_version"]
    if not (version.isascii() and version.isdigit()):
        raise InputError(f"{path}: unusable metadata (format_version {version!r} is no number)")
    if len(version) > 9 or int(version) > FORMAT_VERSION:
        raise InputError(
            f"{path}: written in model format {version}, "
            f"this finer-core {__version__} reads up to {FORMAT_VERSION}; upgrade it"
        )
    try:
        config, task_data = json.loads(header["config"]), json.loads(header["task_data"])
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: unusable metadata ({error})") from error
    if not isinstance(task_data, dict):
        raise InputError(f"{path}: task_data is not a mapping")
    try:
        own_network, own_activation = _own_code(config)
        described = config["network"] if own_activation else config
        configs = {} if own_network else _described(described)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return ModelInfo(
        configs=configs,
        task=header["task"],
        task_data=task_data,
        finer_core_version=header["finer_core_version"],
        own_network=own_network,
        own_activation=own_activation,
    )


def _own_code(config: Any) -> tuple[str, str]:
    """Return the names of the user's network and activation that a file's description has; "" for none."""
    keys = set(config) if isinstance(config, dict) else set()
    own_network = config["own"] if keys == {"own"} else ""
    own_activation = config["activation"] if keys == {"activation", "network"} else ""
    for name in (own_network, own_activation):
        check(name, str, name="the name of code of a user's own")
    return own_network, own_activation


def _described(data: Any) -> dict[str, NetworkConfig]:
    if isinstance(data, dict) and set(data) == {"parts"}:
        parts = data["parts"]
        if not isinstance(parts, dict) or not parts or not all(str(name).isidentifier() for name in parts):
            raise InputError(f"a model of several networks names them, got {shown(parts)}")
        return {name: NetworkConfig.from_dict(part) for name, part in parts.items()}
    return {"": NetworkConfig.from_dict(data)}
