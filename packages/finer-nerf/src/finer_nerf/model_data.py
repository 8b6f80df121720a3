"""What the model file of a radiance field says beside its networks: box, cameras, and how it is rendered."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from finer_core.casts import without_halves
from finer_core.errors import InputError
from finer_core.io.model_file import check_finite, load_model
from finer_core.io.model_header import ModelInfo, model_info
from finer_core.networks.network_dict import NetworkDict
from finer_core.networks.own_network import AnyActivation
from finer_core.schema import build, check_entries
from finer_nerf.backgrounds import is_background
from finer_nerf.cameras import Camera
from finer_nerf.fields.own_field import OwnField
from finer_nerf.fields.radiance_field import FieldConfig, RadianceField
from finer_nerf.normalization import Normalization
from finer_nerf.rendering.fitted import FittedScene
from finer_nerf.rendering.occupancy import OccupancyGrid

TASK = "nerf"
_LARGEST_GRID = 512
_LARGEST_BOUND = 1e6
_ROW = tuple[float, float, float, float]
_TASK_DATA: dict[str, Any] = {
    **{"directions": str, "frame": Mapping, "bound": float, "background": str, "min_near": float, "max_samples": int},
    **{
        "min_weight": float,
        "camera": Mapping,
        "train_poses": Sequence[tuple[_ROW, _ROW, _ROW]],
        "grid": Mapping,
        "scene": Mapping,
    },
}
_GRID: dict[str, Any] = {"resolution": int, "threshold": float, "occupied": str}


def task_data_of(model: FittedScene, *, scene: Mapping[str, Any]) -> dict[str, Any]:
    """Return the plain data that a model file keeps."""
    return {
        "directions": model.field.directions,
        "frame": model.frame.to_dict(),
        "bound": model.bound,
        "background": model.background,
        "min_near": model.min_near,
        "max_samples": model.max_samples,
        "min_weight": model.min_weight,
        "camera": model.camera.to_dict(),
        "train_poses": np.asarray(model.train_poses, dtype=np.float64)[:, :3].round(9).tolist(),
        "grid": {
            "resolution": model.grid.resolution,
            "threshold": model.grid.threshold,
            "occupied": model.grid.to_text(),
            **({"contracted": True} if model.grid.contracted else {}),
        },
        "scene": dict(scene),
    }


def read_parts(
    path: str, *, device: str, network: nn.Module | None = None, activation: AnyActivation | None = None
) -> dict[str, Any]:
    """Return the arguments of `NerfModel` from a file that anybody may have changed.

    Args:
        path: The file.
        device: Where field and occupancy grid go.
        network: The module of the user's own that was saved, which takes the weights.
        activation: The activation of the user's own that it was saved with.

    Raises:
        InputError: If it is not a model file, one of another task, or of other code than is given.
    """
    saved: nn.Module = (
        without_halves(load_model(path, device=device, activation=activation))
        if network is None
        else load_model(path, device=device, network=network)
    )
    check_finite(saved, path)
    info = model_info(path)
    if info.task != TASK or not (isinstance(saved, NetworkDict) or info.own_network):
        raise info.of_another_task(path, wanted="a radiance field")
    rest = _task_parts(info, path, device=device)
    directions = rest.pop("directions")
    field = RadianceField(saved, directions=directions) if isinstance(saved, NetworkDict) else OwnField(saved)
    return {"field": field.to(device), **rest}


def _task_parts(info: ModelInfo, path: str, *, device: str) -> dict[str, Any]:
    """Return the arguments that are no networks, and how directions are encoded."""
    data = info.task_data
    check_entries(data, _TASK_DATA, what=f"{path}: scene data")
    check_entries(data["grid"], _GRID, what=f"{path}: grid")
    if not (0 < data["bound"] <= _LARGEST_BOUND and 0 <= data["min_near"] <= _LARGEST_BOUND):
        raise InputError(f"{path}: no scene has a bound of {data['bound']!r} and begins at {data['min_near']!r}")
    try:
        if not info.own_network:  # refuses what does not fit together
            FieldConfig(density=info.configs["density"], color=info.configs["color"], directions=data["directions"])
        grid = OccupancyGrid(
            resolution=_between(data["grid"]["resolution"], 2, _LARGEST_GRID),
            bound=float(data["bound"]),
            threshold=float(data["grid"]["threshold"]),
            device=device,
            contracted=_flag(data["grid"].get("contracted", False)),
        )
        grid.load_text(data["grid"]["occupied"])
        poses = np.tile(np.eye(4), (len(data["train_poses"]), 1, 1))
        poses[:, :3] = np.asarray(data["train_poses"], dtype=np.float64).reshape(-1, 3, 4)
        if not is_background(data["background"]) or not len(poses) or np.abs(poses).max() > _LARGEST_BOUND:
            raise ValueError(f"background {data['background']!r}, {len(poses)} cameras, or one too far away")
        return {
            "directions": data["directions"],
            "frame": build(Normalization, data["frame"], what="the frame"),
            "bound": grid.bound,
            "grid": grid,
            "background": data["background"],
            "min_near": float(data["min_near"]),
            "max_samples": _between(data["max_samples"], 2, 1 << 16),
            "min_weight": float(data["min_weight"]),
            "camera": build(Camera, data["camera"], what="the camera"),
            "train_poses": poses,
            "scene": data["scene"],
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from error
        raise InputError(f"{path}: its scene data is incomplete ({error})") from error


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {value!r:.60}")
    return value


def _between(value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"expected an integer between {low} and {high}, got {value!r}")
    return value
