"""A trained radiance field: a function of the scene's points, with its box and all that rendering it needs."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.casts import home_of
from finer_core.io.figures import png_bytes
from finer_core.io.files import given_path
from finer_core.io.model_file import save_model
from finer_core.io.text import counted
from finer_core.networks.base import parameter_count
from finer_core.networks.own_network import AnyActivation
from finer_core.progress import ProgressOption, reporting
from finer_core.resources import parse_memory
from finer_core.training.batching import in_plain_modes
from finer_nerf.arguments import check_camera, checked_poses, points_and_directions
from finer_nerf.camera_paths import orbit
from finer_nerf.cameras import Camera
from finer_nerf.fields.field import Field
from finer_nerf.meshing import extract_mesh
from finer_nerf.model_data import TASK, read_parts, task_data_of
from finer_nerf.normalization import Normalization
from finer_nerf.rendering.images import Kind, frame_of, small_camera
from finer_nerf.rendering.occupancy import OccupancyGrid
from finer_nerf.rendering.points import look_at_arrays, look_at_tensors
from finer_nerf.rendering.video import render_video
from finer_nerf.rendering.views import render_view
from finer_nerf.viewer import show

logger = logging.getLogger(__name__)

_PREVIEW_SIDE = 200
"""Longest side of what a notebook shows, in pixels."""


class NerfModel(nn.Module):
    """Hold a radiance field and all that rendering it needs: a function of the scene's points and directions.

    Coordinates are the scene's own, and cameras are as in its files: x right, y up, z backwards (OpenGL, Blender,
    nerfstudio). Where the occupancy grid says that nothing is, and outside the box, the density is 0, as in rendering.

    Args:
        field: Density and color in the box.
        frame: From the scene's coordinates to the box.
        bound: The box is [-bound, bound]^3.
        grid: Where the box is not empty.
        background: "white", "black" or "#rrggbb", behind everything.
        min_near: Nearest that a ray sees, in box units.
        max_samples: Most samples a ray.
        min_weight: Smallest weight of a sample that is seen.
        camera: Of the first training picture.
        train_poses: Camera-to-box matrices of the training views, (n, 4, 4): x right, y down, z forwards.
        scene: What was trained on: name, digest, kind, views; plain data.

    Example:
        >>> import numpy as np
        >>> from finer_nerf import builtin_scene, fit
        >>> scene = builtin_scene(size=8)
        >>> model, _ = fit(scene, steps=2, network={"hidden_features": 8}, max_samples=8, grid_resolution=8)
        >>> sigmas, rgbs = model(np.zeros((5, 3)), np.tile([0.0, 0.0, 1.0], (5, 1)))
        >>> sigmas.shape, rgbs.shape
        ((5,), (5, 3))
        >>> model.render(scene.test.poses[0], scene.test.cameras[0])["rgb"].shape
        (8, 8, 3)
    """

    field: Field

    def __init__(
        self,
        *,
        field: Field,
        frame: Normalization,
        bound: float,
        grid: OccupancyGrid,
        background: str,
        min_near: float,
        max_samples: int,
        min_weight: float,
        camera: Camera,
        train_poses: np.ndarray,
        scene: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.field, self.frame, self.bound, self.grid = field, frame, bound, grid
        self.background, self.min_near, self.max_samples = background, min_near, max_samples
        self.min_weight, self.camera, self.train_poses = min_weight, camera, train_poses
        self.scene = dict(scene or {})

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        network: nn.Module | None = None,
        activation: AnyActivation | None = None,
    ) -> "NerfModel":
        """Load a model file, of `save` or of `finer-nerf train`; no code in it is run.

        Args:
            path: The file.
            device: Where the field goes.
            network: The module of your own that was fitted, built anew, which takes the weights.
            activation: The activation of your own that it was fitted with.

        Returns:
            The model, in evaluation mode.

        Raises:
            InputError: If it is not a model file, one of another task, or of other code than is given.
        """
        parts = read_parts(str(given_path(path)), device=device, network=network, activation=activation)
        return cls(**parts).eval()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one safetensors file, the same that `finer-nerf train` writes, replacing what is there.

        Of code of your own, a network or an activation, it has the name alone: `load` is given it again.

        Args:
            path: The file; its folder exists.
        """
        save_model(self.field.saved, path, task=TASK, task_data=task_data_of(self, scene=self.scene))

    @property
    def device(self) -> torch.device:
        """Where the field computes."""
        return home_of(self.field).device

    def density(self, points: Tensor) -> Tensor:
        """Return sigmas (n,) at points (n, 3) of the box, per box unit, whatever the occupancy grid says."""
        return self.field.density(points)

    def forward(self, points: Any, directions: Any) -> tuple[Any, Any]:
        """Return density and color.

        Args:
            points: (n, 3) in the scene's coordinates; an array or a tensor.
            directions: (n, 3), which way is looked, of any length.

        Returns:
            sigmas (n,), per unit of the scene, and rgbs (n, 3) in [0, 1]; arrays without a graph, float32 or, of a
            model of that type, float64, unless one of the two is a tensor.

        Raises:
            InputError: If the shapes are others, or what is given is no table of real numbers.
        """
        points, directions = points_and_directions(points, directions)
        look = look_at_tensors if isinstance(points, Tensor) else look_at_arrays
        return look(self, points, directions)

    @in_plain_modes()
    def render(self, camera_to_world: Any, camera: Camera, *, background: str | None = None) -> dict[str, np.ndarray]:
        """Render a view.

        Args:
            camera_to_world: Pose (4, 4) in the scene's coordinates: x right, y up, z backwards.
            camera: Lens and size.
            background: "white", "black" or "#rrggbb"; None for the model's.

        Returns:
            float32 "rgb" (H, W, 3) in [0, 1], on the background; "depth" (H, W), the distance along the ray in units of
            the scene, NaN where nothing is; "accumulation" (H, W) in [0, 1], the opacity.

        Raises:
            InputError: If the pose is no pose, or there is no such background.
        """
        poses = camera_to_world[None] if hasattr(camera_to_world, "shape") else [camera_to_world]
        pose = self.frame.poses_to_box(checked_poses(poses, like=self.train_poses))[0]
        check_camera(camera, background)
        view = render_view(self, torch.from_numpy(pose), camera, background=background)
        depth = np.where(np.isfinite(view.depth), view.depth / np.float32(self.frame.scale), np.float32(np.nan))
        return {"rgb": view.color, "depth": depth, "accumulation": view.opacity}

    @in_plain_modes()
    def mesh(
        self,
        *,
        resolution: int = 256,
        level: float | None = None,
        min_component: float = 0.001,
        simplify: int | None = None,
        texture: int | None = None,
        memory: str | int = "4GB",
        progress: ProgressOption = False,
    ) -> Any:
        """Extract the surface where the density crosses a level.

        Args:
            resolution: Grid points per axis, 8 to 4096.
            level: Density of the surface, per unit of the scene; None for what makes 1 % of the box half opaque.
            min_component: Connected parts with fewer than this share of all faces are left out.
            simplify: Faces to simplify the mesh to, by quadric errors; needs the extra `finer-nerf[simplify]`.
            texture: Pixels a side of a texture, not vertex colors; needs `finer-nerf[texture]`.
            memory: What the work may take.
            progress: False, True for a bar on stderr, or a function of (points done, points, {}).

        Returns:
            A `trimesh.Trimesh` in the scene's coordinates, with the colors that are seen straight on.

        Raises:
            InputError: If it does not fit the memory, nothing is as dense as that, or a library is not installed.
        """
        options: dict[str, Any] = {"resolution": resolution, "level": level, "min_component": min_component}
        options |= {"simplify": simplify, "texture": texture, "memory": parse_memory(memory)}
        with reporting("mesh", unit="point", progress=progress) as tell:
            found = extract_mesh(self, on_points=lambda done: tell(done, resolution**3), **options)
        return found.to_trimesh()

    def orbit(self, frames: int = 96) -> np.ndarray:
        """Return cameras that circle the scene, or swing to and fro where the training views cover one side only.

        Args:
            frames: Number of poses; the last is followed by the first.

        Returns:
            Camera-to-world matrices (frames, 4, 4), as `render` and `video` take them.

        Raises:
            InputError: If there are less than one.
        """
        path = orbit(self, frames=frames)
        if path.note:
            logger.info("orbit: %s", path.note)
        return self.frame.poses_to_input(path.poses.numpy())

    @in_plain_modes()
    def video(
        self,
        path: str | os.PathLike[str],
        poses: Any = None,
        *,
        camera: Camera | None = None,
        kind: Kind = "color",
        fps: float = 24.0,
        background: str | None = None,
        progress: ProgressOption = False,
    ) -> None:
        """Render a video: H.264 in an .mp4 file, or numbered PNG files in a folder.

        Args:
            path: File with the suffix .mp4, or a folder's name, made if need be, whose numbered frames are replaced.
            poses: Camera-to-world matrices (n, 4, 4); None for `orbit()`.
            camera: Lens and size; None for that of the first training view, without distortion.
            kind: "color", "depth" or "normals".
            fps: Frames a second.
            background: "white", "black" or "#rrggbb"; None for the model's.
            progress: False, True for a bar on stderr, or a function of (frames done, frames, {}).

        Raises:
            InputError: If the file cannot be made, or an argument is none of those.
        """
        inside = self.frame.poses_to_box(self.orbit() if poses is None else checked_poses(poses, like=self.train_poses))
        lens = camera or self.camera.pinhole()
        check_camera(lens, background)
        with reporting("video", unit="frame", progress=progress) as tell:
            render_video(
                self,
                path,
                torch.from_numpy(inside),
                camera=lens,
                kind=kind,
                fps=fps,
                background=background,
                on_frame=lambda done: tell(done, len(inside)),
            )

    def view(self, *, host: str = "127.0.0.1", port: int = 8080) -> None:
        """Show the model in the browser until Ctrl-C, at an address that is told on stderr.

        Raises:
            InputError: If the extra finer-nerf[viewer] is absent, or the port is taken.
        """
        show(self, host=host, port=port)

    def __repr__(self) -> str:
        count = parameter_count(self.field)
        scene = f"{self.scene.get('name', 'scene')} in {counted(len(self.train_poses), 'view')}"
        box = "all space" if self.grid.contracted else f"a box of {2 * self.bound / self.frame.scale:.4g} units"
        return f"{type(self).__name__}: {self.field.method} of {count} parameters, {scene}, {box}"

    @in_plain_modes()
    def _repr_png_(self) -> bytes:
        """Return the picture that a notebook shows: the first training view, small."""
        camera = small_camera(self.camera, side=_PREVIEW_SIDE)
        return png_bytes(frame_of(self, torch.from_numpy(self.train_poses[0]), camera, kind="color"))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "NerfModel":
        """Take the occupancy grid along where the field goes."""
        super()._apply(fn, recurse)
        self.grid.to(next(self.field.parameters()).device)
        return self
