"""The network that is looked at: a method at initialization, or a model file of any application."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.io.model_file import check_finite, load_model
from finer_core.networks import Network
from finer_core.networks.base import parameter_count
from finer_core.networks.build import build_network, published_config
from finer_core.networks.config import SIZES_GIVEN, NetworkConfig, check_option_names, find_method
from finer_core.networks.network_dict import NetworkDict
from finer_core.resources import parse_memory, resolve_device
from finer_core.schema import fits, shown
from finer_ntk.config import SubjectSettings
from finer_ntk.inputs.files import file_points, image_points
from finer_ntk.inputs.notebook_init import draw_as_in_notebook
from finer_ntk.inputs.points import Points, default_points, grid_points, pixel_points

DTYPES = {"fp32": torch.float32, "fp64": torch.float64}
"""The precisions that networks are looked at in."""
_MOST_PIXELS = 10**6
"""A side of an image that a model file may speak of."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Pair a network with the points it is looked at on.

    Attributes:
        network: On its device, of the asked precision.
        points: In double precision on the CPU.
        coords: The same on the network's device, of its type.
        what: One line for people.
    """

    network: Network
    points: Points
    coords: Tensor
    what: str


def load_subject(settings: SubjectSettings, *, model: str | None) -> Subject:
    """Return what the settings describe.

    Args:
        settings: Which method or part, which points, where, in which precision.
        model: A model file; None for the method at initialization.

    Raises:
        InputError: For anything that cannot be read or does not fit together.
    """
    if model is None:
        return subject_at_start(settings, points=given_points(settings) or grid_points("1024"))
    network, task_data = _read_network(model, settings)
    points = given_points(settings)
    if points is None and {"height", "width"} <= set(task_data) and network.in_features == 2:
        sizes = [task_data[name] for name in ("height", "width")]
        if not all(fits(size, int) and 1 <= size <= _MOST_PIXELS for size in sizes):
            raise InputError(f"{model}: an image of {shown(sizes[0])} x {shown(sizes[1])} pixels; give --grid instead")
        points = pixel_points(*sizes, limit=settings.max_points)
    points = points or default_points(network.in_features)
    return make_subject(network, points, settings, what=f"{model} ({network.config.method})")


def subject_at_start(settings: SubjectSettings, *, points: Points) -> Subject:
    """Return the settings' method, freshly drawn, on points."""
    config = config_at_start(settings, in_features=points.in_features)
    numbers = parameter_count(build_network(config, device="meta"))
    if 4 * numbers > parse_memory(settings.memory):
        raise InputError(
            f"a network of {numbers} parameters takes more than --memory {settings.memory}; lower its width"
        )
    generator = torch.Generator().manual_seed(settings.seed)
    network = build_network(config, generator=generator)
    if settings.preset == "paper":
        draw_as_in_notebook(network, generator=generator)
    return make_subject(network, points, settings, what=f"{config.method} at initialization")


def config_at_start(settings: SubjectSettings, *, in_features: int) -> NetworkConfig:
    """Return the published network of the settings' method and task, with one output channel."""
    options = dict(settings.network)
    check_option_names(settings.method, options, sizes=SIZES_GIVEN)
    if settings.preset == "paper" and settings.method == "wire-finer":
        options.setdefault("complex_factor", "modulus")
        # The notebook's width counts complex neurons, ours the real ones that they stand for.
        width = options.get("hidden_features") or find_method("wire-finer").for_task(settings.task).hidden_features
        options["hidden_features"] = math.ceil(width * math.sqrt(2))
    return published_config(
        method=settings.method, task=settings.task, in_features=in_features, out_features=1, **options
    )


def make_subject(network: Network, points: Points, settings: SubjectSettings, *, what: str) -> Subject:
    """Bring network and points together.

    Raises:
        InputError: If the network takes another number of coordinates.
    """
    if network.in_features != points.in_features:
        raise InputError(
            f"{what} takes {network.in_features} coordinates, the points ({points.what}) have {points.in_features}; "
            "choose them by --grid, --image or --points"
        )
    dtype = DTYPES[settings.precision or "fp32"]
    device = resolve_device(settings.device)
    if device == "mps" and dtype == torch.float64:
        raise InputError("--precision fp64 is not available on mps; use --device cpu")
    moved = network.to(device, dtype)
    return Subject(network=moved, points=points, coords=points.coords.to(device, dtype), what=what)


def given_points(settings: SubjectSettings) -> Points | None:
    """Return the points that the settings name, if they do."""
    if settings.grid is not None:
        return grid_points(settings.grid)
    if settings.points is not None:
        return file_points(settings.points, memory=parse_memory(settings.memory))
    if settings.image is not None:
        return image_points(settings.image, limit=settings.max_points, memory=parse_memory(settings.memory))
    return None


def _read_network(path: str, settings: SubjectSettings) -> tuple[Network, Mapping[str, Any]]:
    model = load_model(path)
    check_finite(model, path)
    if isinstance(model, NetworkDict):
        if settings.part is None or settings.part not in model:
            raise InputError(
                f"{path}: a model of several networks; choose one by --part {' or '.join(model)}"
                + (f" (got {settings.part!r})" if settings.part else "")
            )
        network = model[settings.part]
        assert isinstance(network, Network)
    else:
        if settings.part is not None:
            raise InputError(f"{path}: a model of one network; leave out --part {settings.part}")
        network = model
    return network, model.info.task_data
