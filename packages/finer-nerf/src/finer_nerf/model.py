"""A trained radiance field: the field, its box, and the way back to the user's coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.model_file import check_finite, load_model, save_model
from finer_core.parts import NetworkParts
from finer_core.schema import check_entries
from finer_nerf.cameras import Intrinsics
from finer_nerf.fields.radiance_field import FieldConfig, RadianceField
from finer_nerf.frame import Frame
from finer_nerf.rendering.occupancy import OccupancyGrid

TASK = "nerf"
BACKGROUNDS = {"white": 1.0, "black": 0.0}
_LARGEST_GRID = 512


@dataclass(frozen=True, kw_only=True)
class RadianceModel:
    """Hold a radiance field and all that rendering it needs.

    Attributes:
        field: Density and colour in the box.
        frame: From the input's coordinates to the box.
        bound: The box is [-bound, bound]^3.
        grid: Where the box is not empty.
        background: "white" or "black", behind everything.
        min_near: Nearest that a ray sees.
        max_samples: Most samples a ray.
        least_weight: Smallest weight of a sample that is seen.
        camera: Of the first training picture.
        train_poses: Camera-to-box matrices of the training views, (n, 4, 4): x right, y down, z forwards.
        scene: What was trained on: name, digest, kind; plain data.
    """

    field: RadianceField
    frame: Frame
    bound: float
    grid: OccupancyGrid
    background: str
    min_near: float
    max_samples: int
    least_weight: float
    camera: Intrinsics
    train_poses: np.ndarray
    scene: Mapping[str, Any] = field(default_factory=dict)

    @property
    def device(self) -> torch.device:
        """Return where the field computes."""
        return next(self.field.parameters()).device

    @property
    def background_value(self) -> float:
        """Return the background as a number, the same for every channel."""
        return BACKGROUNDS[self.background]

    def density(self, points: Tensor) -> Tensor:
        """Return sigmas (n,) at points (n, 3) of the box, per box unit."""
        return self.field.density(points)

    def save(self, path: str) -> None:
        """Write the model file."""
        data = {
            "directions": self.field.directions,
            "frame": self.frame.to_dict(),
            "bound": self.bound,
            "background": self.background,
            "min_near": self.min_near,
            "max_samples": self.max_samples,
            "least_weight": self.least_weight,
            "camera": self.camera.to_dict(),
            "train_poses": np.asarray(self.train_poses, dtype=np.float64)[:, :3].round(9).tolist(),
            "grid": {
                "resolution": self.grid.resolution,
                "threshold": self.grid.threshold,
                "occupied": self.grid.to_text(),
            },
            "scene": dict(self.scene),
        }
        save_model(self.field.parts, path, task=TASK, task_data=data)


def load_nerf_model(path: str, *, device: str = "cpu") -> RadianceModel:
    """Load a model file of this application.

    Raises:
        InputError: If it is not a model file, or one of another task.
    """
    parts = load_model(path, device=device)
    check_finite(parts, path)
    info = parts.info
    if info.task != TASK or not isinstance(parts, NetworkParts):
        raise InputError(f"{path}: a model of task {info.task!r}, not a radiance field; use the command of that task")
    data = info.task_data
    check_entries(data, _TASK_DATA, what=f"{path}: scene data")
    check_entries(data["grid"], _GRID, what=f"{path}: grid")
    if not (0 < data["bound"] <= _LARGEST_BOUND and 0 <= data["min_near"] <= _LARGEST_BOUND):
        raise InputError(f"{path}: no scene has a bound of {data['bound']!r} and begins at {data['min_near']!r}")
    try:
        config = FieldConfig(
            density=info.configs["density"], color=info.configs["color"], directions=data["directions"]
        )
        grid = OccupancyGrid(
            resolution=_between(data["grid"]["resolution"], 2, _LARGEST_GRID),
            bound=float(data["bound"]),
            threshold=float(data["grid"]["threshold"]),
            device=device,
        )
        grid.load_text(data["grid"]["occupied"])
        poses = np.tile(np.eye(4), (len(data["train_poses"]), 1, 1))
        poses[:, :3] = np.asarray(data["train_poses"], dtype=np.float64).reshape(-1, 3, 4)
        if data["background"] not in BACKGROUNDS or not len(poses) or np.abs(poses).max() > _LARGEST_BOUND:
            raise ValueError(f"background {data['background']!r}, {len(poses)} cameras, or one too far away")
        return RadianceModel(
            field=RadianceField(parts, directions=config.directions).to(device).eval(),
            frame=Frame.from_dict(data["frame"]),
            bound=grid.bound,
            grid=grid,
            background=data["background"],
            min_near=float(data["min_near"]),
            max_samples=_between(data["max_samples"], 2, 1 << 16),
            least_weight=float(data["least_weight"]),
            camera=Intrinsics.from_dict(data["camera"]),
            train_poses=poses,
            scene=data["scene"],
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{path}: {error}") from error
        raise InputError(f"{path}: its scene data is incomplete ({error})") from error


_ROW = tuple[float, float, float, float]
_TASK_DATA: dict[str, Any] = {
    **{"directions": str, "frame": Mapping, "bound": float, "background": str, "min_near": float, "max_samples": int},
    **{
        "least_weight": float,
        "camera": Mapping,
        "train_poses": Sequence[tuple[_ROW, _ROW, _ROW]],
        "grid": Mapping,
        "scene": Mapping,
    },
}
_GRID: dict[str, Any] = {"resolution": int, "threshold": float, "occupied": str}
_LARGEST_BOUND = 1e6


def _between(value: Any, low: int, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"expected an integer between {low} and {high}, got {value!r}")
    return value
