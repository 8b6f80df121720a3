"""Take over weights that the reference codes (FINER, FINER++, BACON) saved, with their own key names.

Nothing but tensors and plain data is unpickled. The files do not say which method they are, nor which omega or scale
was used: the caller does.
"""

import math
import os
import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from finer_core.config import build_network, published_config
from finer_core.errors import InputError
from finer_core.networks import Network

_LINEAR = re.compile(r"^net(?:\.net)?\.(?P<index>\d+)(?:\.0|\.linear)?\.(?P<leaf>weight|bias)$")
_CONSTANT = re.compile(r"^net\.\d+\.(?P<name>omega_0|scale_0)$")
_FILTERED = re.compile(r"^(?P<part>linear|output_linear|filters)\.(?P<index>\d+)(?:\.linear)?\.(?P<leaf>weight|bias)$")
_ENCODING = {"pe.avals": "encoding.amplitudes", "pe.bvals": "encoding.frequencies"}


def read_reference(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights of a reference file.

    Args:
        path: A .pth or .pt file: a state dict, or a dict that holds one as `model_state`.

    Returns:
        Tensors by the file's own names.

    Raises:
        InputError: If it is missing, not such a file, or without weights.
    """
    name = os.fspath(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the file's age; what matters becomes an error below
            content = torch.load(name, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{name}: cannot read the file ({error.strerror or error})") from error
    except Exception as error:
        raise InputError(f"{name}: not a weights file of the reference code (only tensors are unpickled)") from error
    if isinstance(content, Mapping) and isinstance(content.get("model_state"), Mapping):
        content = content["model_state"]
    if not isinstance(content, Mapping) or not any(str(key).endswith(".weight") for key in content):
        raise InputError(f"{name}: holds no weights of a network that this program knows")
    return {str(key): value for key, value in content.items() if isinstance(value, Tensor)}


def network_of_reference(
    weights: Mapping[str, Tensor], *, method: str, task: str, in_features: int, source: str, **overrides: Any
) -> Network:
    """Build our network with a reference file's weights.

    Args:
        weights: From `read_reference`.
        method: A key of `METHODS`.
        task: The task whose published values fill what neither the file nor the caller says.
        in_features: Number of coordinates.
        source: Name of the file, for messages.
        **overrides: Hyper-parameters that differ from the published ones.

    Returns:
        The network, in evaluation mode, every tensor bit for bit the file's.

    Raises:
        InputError: If the weights are not of that method, or contradict an override.
    """
    multiplicative = any(name.startswith("filters.") for name in weights)
    found = _multiplicative(weights) if multiplicative else _layered(weights)
    said = {**_constants(weights), **_sizes(found, method=method, in_features=in_features, source=source)}
    for name, value in said.items():
        if overrides.get(name, value) != value:
            option = name.replace("_", "-")
            raise InputError(f"{source}: its {name} is {value}, not --{option} {overrides[name]}; leave the option out")
    network = build_network(published_config(method=method, task=task, **{**overrides, **said}))
    given = _used(found, network) if multiplicative else found
    _load(network, given, method=method, source=source)
    return network.eval()


def _load(network: Network, given: Mapping[str, Tensor], *, method: str, source: str) -> None:
    """Put the tensors into the network, and refuse any that is missing, extra or of another shape."""
    expected = network.state_dict()
    for name, value in expected.items():
        tensor = given.get(name)
        if tensor is None or tensor.shape != value.shape or tensor.is_complex() != value.is_complex():
            has = "none" if tensor is None else f"{tuple(tensor.shape)} {tensor.dtype}"
            raise InputError(
                f"{source}: not weights of method {method!r}: {name} should be {tuple(value.shape)} {value.dtype}, "
                f"the file has {has}; choose another --method"
            )
    extra = sorted(set(given) - set(expected))
    if extra:
        raise InputError(f"{source}: holds tensors that method {method!r} does not have: {', '.join(extra[:3])}")
    network.load_state_dict({name: tensor.clone() for name, tensor in given.items()}, assign=True)


def _layered(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename `net.I...` to layers.0, layers.1, ..., head, in order; some layouts number the activations too."""
    named = {name: match for name in weights if (match := _LINEAR.match(name))}
    order = sorted({int(match["index"]) for match in named.values()})
    places = {index: f"layers.{i}" if i + 1 < len(order) else "head" for i, index in enumerate(order)}
    found = {f"{places[int(match['index'])]}.{match['leaf']}": weights[name] for name, match in named.items()}
    rest = [name for name in weights if name not in named and not _CONSTANT.match(name)]
    return found | {_ENCODING.get(name, name): weights[name] for name in rest}


def _multiplicative(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a multiplicative filter network's tensors; the numbers stay those of its layers."""
    parts = {"linear": "linears", "output_linear": "heads", "filters": "filters"}
    renamed = {}
    for name, value in weights.items():
        match = _FILTERED.match(name)
        renamed[f"{parts[match['part']]}.{match['index']}.{match['leaf']}" if match else name] = value
    return renamed


def _used(found: Mapping[str, Tensor], network: Network) -> dict[str, Tensor]:
    """Keep the filters and heads that the network uses; the reference also stores those that no output needs."""
    depth = network.config.hidden_layers
    outputs = list(getattr(network, "output_layers", [depth]))
    reuse = network.config.options.get("reuse_filters", False)
    kept = {"filters": outputs if reuse else list(range(depth + 1)), "heads": outputs}
    given = {}
    for name, value in found.items():
        part, _, rest = name.partition(".")
        index, _, leaf = rest.partition(".")
        if part not in kept:
            given[name] = value
        elif int(index) in kept[part]:
            single = part == "heads" and not hasattr(network, "output_layers")
            given[f"head.{leaf}" if single else f"{part}.{kept[part].index(int(index))}.{leaf}"] = value
    return given


def _sizes(found: Mapping[str, Tensor], *, method: str, in_features: int, source: str) -> dict[str, int]:
    """Read the network's sizes from its tensors."""
    linears = [name for name in found if re.fullmatch(r"(linears|layers)\.\d+\.weight", name)]
    filters = [name for name in found if re.fullmatch(r"filters\.\d+\.weight", name)]
    heads = [name for name in found if name.startswith("head") and name.endswith(".weight")]
    if not linears or not heads:
        raise InputError(f"{source}: holds no layers of a network that this program knows (first {min(found)!r})")
    width = found[linears[0]].shape[0]
    if any(value.is_complex() for value in found.values()):
        width = math.ceil(width * math.sqrt(2))  # of int(hidden_features / sqrt(2)) complex features
    sizes = {
        "in_features": in_features,
        "out_features": found[heads[0]].shape[0],
        "hidden_features": width,
        "hidden_layers": len(linears) if filters else len(linears) - 1,
    }
    if method == "pemlp":
        sizes["num_frequencies"] = (found[linears[0]].shape[1] // in_features - 1) // 2
        if sizes["num_frequencies"] == 0:
            raise InputError(f"{source}: not weights of method 'pemlp': its first layer takes plain coordinates")
    return sizes


def _constants(weights: Mapping[str, Tensor]) -> dict[str, float]:
    """Read the wavelet's omega and scale, which files of wire alone hold."""
    found = {match["name"]: weights[name] for name in weights if (match := _CONSTANT.match(name))}
    said: dict[str, float] = {}
    if "omega_0" in found:
        said |= dict.fromkeys(("first_omega_0", "hidden_omega_0"), float(found["omega_0"]))
    if "scale_0" in found:
        said["scale"] = float(found["scale_0"])
    return said
