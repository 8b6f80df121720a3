"""Take over weights that the reference codes (FINER, FINER++, BACON) saved, with their own key names.

Nothing but tensors and plain data is unpickled. The files do not say which method they are, nor which omega or scale
was used: the caller does.
"""

import logging
import math
import os
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.io.files import atomic_path
from finer_core.io.model_file import load_model, save_model
from finer_core.networks import Network
from finer_core.networks.build import build_network, published_config
from finer_core.networks.config import SIZES_GIVEN, check_option_names
from finer_core.surroundings import no_warnings

_log = logging.getLogger(__name__)
_LINEAR = re.compile(r"^net(?:\.net)?\.(?P<index>\d{1,9})(?:\.0|\.linear)?\.(?P<leaf>weight|bias)$")
_CONSTANT = re.compile(r"^net\.\d+\.(?P<name>omega_0|scale_0)$")
_FILTERED = re.compile(
    r"^(?P<part>linear|output_linear|filters)\.(?P<index>\d{1,9})(?:\.linear)?\.(?P<leaf>weight|bias)$"
)
_ENCODING = {"pe.avals": "encoding.amplitudes", "pe.bvals": "encoding.frequencies"}


def read_reference(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights of a reference file.

    Args:
        path: A .pth or .pt file: a state dict, or a dict that holds one as `model_state`.

    Returns:
        Tensors by the file's own names, in single precision.

    Raises:
        InputError: If it is missing, not such a file, without weights, or they are no finite numbers.
    """
    name = os.fspath(path)
    try:
        with no_warnings():  # of the file's age; what matters becomes an error below
            content = torch.load(name, map_location="cpu", weights_only=True, mmap=_is_plain_archive(name))
    except OSError as error:
        raise InputError(f"{name}: cannot read the file ({error.strerror or error})") from error
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{name}: not a weights file of the reference code (only tensors are unpickled)") from error
    if isinstance(content, Mapping) and isinstance(content.get("model_state"), Mapping):
        content = content["model_state"]
    named = content.items() if isinstance(content, Mapping) else ()
    tensors = {key: value for key, value in named if isinstance(key, str) and isinstance(value, Tensor)}
    if not any(key.endswith(".weight") for key in tensors):
        raise InputError(f"{name}: holds no weights of a network that this program knows")
    rounded = sorted(
        {str(value.dtype) for value in tensors.values() if value.dtype in (torch.float64, torch.complex128)}
    )
    if rounded:
        _log.warning("%s: weights in %s, rounded to single precision", name, " and ".join(rounded))
    return {key: _plain(value, f"{name}: {key}") for key, value in tensors.items()}


def _is_plain_archive(path: str) -> bool:
    """Return whether a file is a zip archive, which is mapped rather than read: then no size in it is believed.

    Raises:
        InputError: If it is compressed, or a part of it has another checksum, at which PyTorch does not look.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise InputError(f"{path}: a compressed archive, not a weights file of PyTorch")
        are_known = any(entry.CRC for entry in archive.infolist())  # PyTorch can be told to write none
        if are_known and (damaged := archive.testzip()):
            raise InputError(f"{path}: {damaged[:80]} does not match its checksum; copy or download it again")
    return True


def _plain(tensor: Tensor, name: str) -> Tensor:
    """Return a tensor in single precision, after a look at what it is, and before any memory is taken."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        raise InputError(f"{name} is no plain tensor ({tensor.layout}, {tensor.dtype}); export the weights as float32")
    if not (tensor.is_floating_point() or tensor.is_complex()):
        raise InputError(f"{name} is {tensor.dtype}, not weights of real or complex numbers; export them as float32")
    stored = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > stored:
        raise InputError(f"{name} of shape {tuple(tensor.shape)} is {stored} bytes in the file, all of them repeated")
    found = tensor.detach().to(torch.complex64 if tensor.is_complex() else torch.float32, copy=True)
    if not bool(torch.isfinite(found).all()):
        raise InputError(f"{name} holds NaN, infinity, or numbers beyond single precision")
    return found.contiguous()


def save_checked(network: Network, path: str | os.PathLike[str], *, task: str, task_data: Mapping[str, Any]) -> None:
    """Write an imported network as a model file, unless the file, read back, gives other outputs.

    Args:
        network: From `network_of_reference`.
        path: The file; nothing is left of it, or what was there stays, after a failure.
        task: See `save_model`.
        task_data: See `save_model`.

    Raises:
        RuntimeError: If the outputs differ.
    """
    coords = torch.rand(1000, network.in_features, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with atomic_path(path) as temporary, torch.no_grad():
        save_model(network, temporary, task=task, task_data=task_data)
        if not torch.equal(network(coords), load_model(temporary)(coords)):
            raise RuntimeError(f"{os.fspath(path)}: gives other outputs than the weights that were imported")


def network_of_reference(
    weights: Mapping[str, Tensor],
    *,
    method: str,
    task: str,
    in_features: int,
    source: str,
    options: Mapping[str, Any] | None = None,
) -> Network:
    """Build our network with a reference file's weights.

    Args:
        weights: From `read_reference`.
        method: A key of `METHODS`.
        task: The task whose published values fill what neither the file nor the caller says.
        in_features: Number of coordinates.
        source: Name of the file, for messages.
        options: Hyper-parameters that differ from the published ones.

    Returns:
        The network, in evaluation mode, every tensor the file's, bit for bit where that is in single precision.

    Raises:
        InputError: If the weights are not of that method, or contradict an override.
    """
    overrides = options or {}
    check_option_names(method, overrides, sizes=SIZES_GIVEN)
    multiplicative = any(name.startswith("filters.") for name in weights)
    found = _multiplicative(weights) if multiplicative else _layered(weights)
    said = {**_constants(weights), **_sizes(found, method=method, in_features=in_features, source=source)}
    for name, value in said.items():
        if overrides.get(name, value) != value:
            option = name.replace("_", "-")
            raise InputError(f"{source}: its {name} is {value}, not --{option} {overrides[name]}; leave the option out")
    config = published_config(method=method, task=task, **{**overrides, **said})
    with torch.device("meta"):  # shapes only: what the file's first layer says of the others costs nothing
        network = build_network(config)
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
    network.load_state_dict(given, assign=True)


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
        if part not in kept or not re.fullmatch(r"\d{1,9}", index):
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
    flat = [name for name in (*linears, *filters, *heads) if found[name].ndim != 2]
    if flat:
        raise InputError(f"{source}: {flat[0]} has shape {tuple(found[flat[0]].shape)}, not (outputs, inputs)")
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
    several = [name for name, value in found.items() if value.numel() != 1 or value.is_complex()]
    if several:
        raise InputError(f"{several[0]} should be one real number, has shape {tuple(found[several[0]].shape)}")
    if "omega_0" in found:
        said |= dict.fromkeys(("first_omega_0", "hidden_omega_0"), float(found["omega_0"]))
    if "scale_0" in found:
        said["scale"] = float(found["scale_0"])
    return said
