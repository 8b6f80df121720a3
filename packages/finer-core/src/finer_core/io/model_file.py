"""Save and load a trained network as one safetensors file that needs no other.

The file's metadata holds the network config, the task and the task's own data (an image's size and value range, say),
and a SHA-256 over all of it and the weights. Loading runs no code from the file, and checks names, shapes, types
and the digest before any memory is taken for weights.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, TypeVar, overload

import torch
from torch import Tensor, nn

from finer_core._version import __version__
from finer_core.casts import check_module
from finer_core.errors import InputError
from finer_core.io.files import check_output_path, given_path
from finer_core.io.model_header import FORMAT, FORMAT_VERSION, ModelInfo, model_info
from finer_core.io.tensor_file import check_tensors, read_tensors, write_tensors
from finer_core.methods import OWN_METHODS
from finer_core.networks import Network
from finer_core.networks.build import build_network
from finer_core.networks.kept_state import check_state
from finer_core.networks.network_dict import NetworkDict
from finer_core.networks.own_network import AnyActivation, compiled_module, has_config, name_of, set_activation
from finer_core.networks.unchanged import check_unchanged
from finer_core.resources import checked_device
from finer_core.schema import plain, shown

AnyModule = TypeVar("AnyModule", bound=nn.Module)
_FEW_LAYERS = 64
"""Hidden layers that cost nothing to build, whatever a file says of them."""


def save_model(
    network: nn.Module,
    path: str | os.PathLike[str],
    *,
    task: str = "",
    task_data: Mapping[str, Any] | None = None,
) -> None:
    """Write a network to `path`, atomically.

    Of code of the user's, a module or an activation, the file holds the name alone; `load_model` is given it again. So
    it is with a network of ours whose class was called directly: only `build_network` keeps a config.

    Args:
        network: Made by `build_network`, a `NetworkDict` of several, or any module; one of `torch.compile` is what was
            compiled.
        path: The file; its folder exists.
        task: What the network was trained for.
        task_data: Plain data that using it needs.

    Raises:
        InputError: If `build_network` made it, and it was changed since: the file would say another function. Or if
            the file cannot be written; or for no module, one whose state is more than dense tensors, or `task_data`
            that is not plain data.
        ValueError: If networks of a `NetworkDict` have no config.

    Example:
        >>> import os, tempfile
        >>> from finer_core import build_network, save_model
        >>> network = build_network("finer", in_features=2, out_features=1, hidden_features=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     save_model(network, path, task="image")
        ...     os.path.getsize(path) > 0
        True
    """
    check_output_path(path)
    check_module(network)
    network = _without_compilation(network)
    check_state(network, what="saved")
    try:
        data = json.dumps(plain(dict(task_data or {})), allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"task_data is not plain data ({error}); give numbers, texts, lists and mappings") from error
    header = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "finer_core_version": __version__,
        "config": json.dumps(_description_of(network), allow_nan=False),
        "task": task,
        "task_data": data,
    }
    write_tensors(path, network.state_dict(), header)


def _without_compilation(network: nn.Module) -> nn.Module:
    """Return what `torch.compile` wraps, of ours: a network, or several of which it wraps all together or any."""
    inside = getattr(network, "_orig_mod", network)
    if isinstance(inside, NetworkDict):
        return NetworkDict({name: compiled_module(part) for name, part in inside.items()})  # type: ignore[misc]
    return compiled_module(network)


def _description_of(network: nn.Module) -> dict[str, Any]:
    """Return what a file says of a network: a config, one for each part, or the name of code of the user's own."""
    if isinstance(network, NetworkDict):
        for part in network.values():
            if not has_config(part):
                raise ValueError(
                    f"save_model needs parts made by build_network, got {type(part).__name__} without config"
                )
            check_unchanged(part)
        # In their order, which is that of the parameters: an optimizer's state is by number.
        parts: dict[str, Any] = {name: config.to_dict() for name, config in network.config.items()}
        return _activated({"parts": parts}, network.own_activation)
    if not has_config(network):
        return {"own": name_of(network)}
    check_unchanged(network)
    return _activated(network.config.to_dict(), network.own_activation)


def _activated(described: dict[str, Any], own: str) -> dict[str, Any]:
    """Return the description of networks of ours, with the name of an activation of the user's own in them."""
    return {"activation": own, "network": described} if own else described


@overload
def load_model(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    network: None = None,
    activation: AnyActivation | None = None,
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
    activation: AnyActivation | None = None,
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
            given is not what was saved, or the device is not here.

    Example:
        >>> import os, tempfile
        >>> from finer_core import build_network, load_model, save_model
        >>> network = build_network("finer", in_features=2, out_features=1, hidden_features=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     save_model(network, path, task="image")
        ...     load_model(path).config == network.config
        True
    """
    if network is not None:
        check_module(network)
    place = checked_device(device)
    file_name = str(given_path(path))
    info = model_info(file_name)  # first, because a newer format may have another checksum
    _check_own_code(file_name, info, has_network=network is not None, has_activation=activation is not None)
    _, tensors = read_tensors(file_name, what="model", expected_format=FORMAT)
    if network is not None:
        inside = compiled_module(network)
        check_state(inside, what="loaded")
        check_tensors(file_name, inside.state_dict(), tensors, whose=type(inside).__name__)
        inside.load_state_dict(tensors)
        return network.to(place).eval()
    ours = _network_of(file_name, info, tensors, activation, device="meta")  # shapes only: a hostile size costs nothing
    check_tensors(file_name, ours.state_dict(), tensors)
    if any(config.method not in OWN_METHODS for config in info.configs.values()):  # may have tensors beside its state
        ours = _network_of(file_name, info, tensors, activation, device="cpu")
    ours.load_state_dict(tensors, assign=True)
    ours.info = info
    return ours.to(place).eval()


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
    path: str, info: ModelInfo, tensors: Mapping[str, Tensor], activation: AnyActivation | None, *, device: str
) -> Network | NetworkDict:
    """Build what a file describes on a device; on "meta" without memory for weights."""
    # A method of somebody else's may share weights, or have layers of another kind.
    most = max(len(tensors), _FEW_LAYERS)
    if any(config.hidden_layers > most for config in info.configs.values()):
        raise InputError(f"{path}: hidden_layers asks for more layers than the file has tensors")
    try:
        with torch.device(device), torch.random.fork_rng(devices=[]):
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
    """Raise InputError for a model with weights that are no numbers: everything made of it would be none."""
    for name, value in network.state_dict().items():
        if not bool(torch.isfinite(value).all()):
            raise InputError(f"{os.fspath(path)}: weights {name!r} hold NaN or infinity; the fit diverged")


def load_network(
    path: str | os.PathLike[str],
    *,
    device: torch.device | str = "cpu",
    activation: AnyActivation | None = None,
) -> Network:
    """Load a model of one network of ours; see `load_model`.

    Args:
        path: A file written by `save_model`.
        device: Where the parameters go.
        activation: The activation of your own that it was saved with; None for the method's.

    Returns:
        The network, in evaluation mode.

    Raises:
        InputError: As `load_model`, and if the model has several networks, or weights that are no numbers.

    Example:
        >>> import os, tempfile
        >>> from finer_core import build_network, load_network, save_model
        >>> network = build_network("finer", in_features=2, out_features=1, hidden_features=16)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "model.safetensors")
        ...     save_model(network, path, task="image")
        ...     load_network(path).config.method
        'finer'
    """
    info = model_info(path)
    network = load_model(path, device=device, activation=activation)
    if not isinstance(network, Network):
        raise InputError(f"{os.fspath(path)}: a model of task {info.task!r} with {len(info.configs)} networks, not one")
    check_finite(network, path)
    return network
