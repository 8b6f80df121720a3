"""Save and load a trained network as one safetensors file that needs no other.

The file's metadata holds the network config, the task and the task's own data (an image's size and value range, say),
and a SHA-256 over all of it and the weights. Loading runs no code from the file, and checks names, shapes, types
and the digest before any memory is taken for weights.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from finer_core._version import __version__
from finer_core.config import NetworkConfig, build_network
from finer_core.errors import InputError
from finer_core.networks import Network
from finer_core.parts import NetworkParts
from finer_core.schema import shown
from finer_core.tensor_file import read_header, read_tensors, write_tensors

FORMAT = "finer-model"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Hold what a model file says about itself.

    Attributes:
        configs: Its networks by name; the name of a model's only network is "".
        task: "image", "sdf", "nerf", or whatever saved it.
        task_data: What the task needs to use the network (shape, normalisation, dtype ...), plain data.
        finer_core_version: The version that wrote the file.
    """

    configs: Mapping[str, NetworkConfig]
    task: str
    task_data: Mapping[str, Any]
    finer_core_version: str

    @property
    def config(self) -> NetworkConfig:
        """Return the only network.

        Raises:
            InputError: If the model has several.
        """
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
    """Write a network built by `build_network`, or a `NetworkParts` of several, to `path`, atomically.

    Args:
        network: Has a `config` attribute.
        path: The file; its folder exists.
        task: What the network was trained for.
        task_data: Plain data that using it needs.

    Raises:
        ValueError: If the network has no config, or `task_data` is not plain data.
    """
    config = getattr(network, "config", None)
    if isinstance(network, NetworkParts):
        described: dict[str, Any] = {"parts": {name: part.to_dict() for name, part in network.config.items()}}
    elif isinstance(config, NetworkConfig):
        described = config.to_dict()
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


def load_model(path: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> Network | NetworkParts:
    """Load a network, or several, from a model file.

    Args:
        path: A file written by `save_model`.
        device: Where the parameters go.

    Returns:
        The network, in evaluation mode, with `config` and `info` (a `ModelInfo`).

    Raises:
        InputError: If the file is missing, truncated, tampered with, not a model, or of a newer format.
    """
    file_name = os.fspath(path)
    info = model_info(file_name)  # first, because a newer format may have another checksum
    _, tensors = read_tensors(file_name, what="model", expected_format=FORMAT)
    if any(config.hidden_layers > len(tensors) for config in info.configs.values()):
        raise InputError(f"{file_name}: hidden_layers asks for more layers than the file has tensors")
    try:
        with torch.device("meta"):  # shapes only: a hostile size costs nothing
            one = set(info.configs) == {""}
            network: Network | NetworkParts = build_network(info.config) if one else NetworkParts.build(info.configs)
    except (ValueError, RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{file_name}: {error}") from error  # LookupError: a network is called like a method of ours
    _check_tensors(file_name, network.state_dict(), tensors)
    network.load_state_dict(tensors, assign=True)
    network.info = info
    return network.to(device).eval()


def check_finite(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Raise InputError for a model with weights that are no numbers: everything made of it would be none.

    Args:
        network: From `load_model`.
        path: Its file, for the message.
    """
    for name, value in network.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{os.fspath(path)}: weights {name!r} hold NaN or infinity; the fit diverged")


def load_network(path: str | os.PathLike[str], *, device: torch.device | str = "cpu") -> Network:
    """Load a model of one network; see `load_model`.

    Raises:
        InputError: As `load_model`, and if the model has several networks, or weights that are no numbers.
    """
    info = model_info(path)
    network = load_model(path, device=device)
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
        configs = _described(config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return ModelInfo(
        configs=configs, task=header["task"], task_data=task_data, finer_core_version=header["finer_core_version"]
    )


def _described(data: Any) -> dict[str, NetworkConfig]:
    if isinstance(data, dict) and set(data) == {"parts"}:
        parts = data["parts"]
        if not isinstance(parts, dict) or not parts or not all(str(name).isidentifier() for name in parts):
            raise InputError(f"a model of several networks names them, got {shown(parts)}")
        return {name: NetworkConfig.from_dict(part) for name, part in parts.items()}
    return {"": NetworkConfig.from_dict(data)}


def _check_tensors(path: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Refuse any tensor that is missing, extra, or of another shape; types may differ in precision only."""
    if set(expected) != set(found):
        missing, extra = sorted(set(expected) - set(found))[:3], sorted(set(found) - set(expected))[:3]
        raise InputError(f"{path}: tensors do not fit the config (missing {missing}, extra {extra})")
    for name, tensor in found.items():
        want = expected[name]
        if tensor.shape != want.shape or _kind(tensor) != _kind(want):
            raise InputError(
                f"{path}: tensor {name!r} is {tensor.dtype} {tuple(tensor.shape)}, "
                f"the config needs {want.dtype} {tuple(want.shape)}"
            )


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_complex(), tensor.is_floating_point()
