"""What a model file says about itself: its metadata, read and checked without the weights."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finer_core._version import __version__
from finer_core.errors import InputError
from finer_core.io.files import given_path, without_repetition
from finer_core.io.tensor_file import read_header
from finer_core.networks.config import NetworkConfig
from finer_core.schema import check, shown

FORMAT = "finer-model"
FORMAT_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """Hold what a model file says about itself.

    Attributes:
        configs: Its networks by name; the name of a model's only network is "". None where that is the user's own.
        task: "image", "sdf", "nerf", or whatever saved it.
        task_data: What the task needs to use the network (shape, normalization, dtype ...), plain data.
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

    def of_another_task(self, path: str | os.PathLike[str], *, wanted: str) -> InputError:
        """Return the error, to be raised, of a model that is not what a command takes.

        Args:
            path: Its file.
            wanted: What it should be, "an image" say.
        """
        kind = f"a model of task {self.task!r}" if self.task else "a network alone, of no task"
        advice = "use the command of that task" if self.task else "finer_core.load_model loads it"
        return InputError(f"{os.fspath(path)}: {kind}, not {wanted}; {advice}")

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


def model_info(path: str | os.PathLike[str]) -> ModelInfo:
    """Read what a model file says about itself, without its weights.

    Args:
        path: A file written by `save_model`.

    Returns:
        Version, task and the configs of its networks.

    Raises:
        InputError: As `load_model`.

    Example:
        >>> import os, tempfile
        >>> from finer_core import build_network, model_info, save_model
        >>> network = build_network("finer", in_features=2, out_features=1, hidden_features=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     save_model(network, path, task="image")
        ...     model_info(path).task
        'image'
    """
    return _info(str(given_path(path)), read_header(path, what="model", expected_format=FORMAT))


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
        config, task_data = (
            json.loads(header[name], object_pairs_hook=without_repetition) for name in ("config", "task_data")
        )
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
