"""A fitted surface: the network together with the way back to the user's coordinates."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.differential import value_and_gradient
from finer_core.io.model_file import check_finite, load_model, load_network, model_info, save_model
from finer_core.networks.own_network import config_of, describe_network, title_of
from finer_core.progress import ProgressOption, reporting
from finer_core.resources import parse_memory
from finer_core.schema import fits
from finer_sdf.model_data import TASK, checked_task_data
from finer_sdf.normalization import SHAPE_HALF_SIDE, Normalization
from finer_sdf.queries import distances_at, normals_at

if TYPE_CHECKING:
    import trimesh

    from finer_core.networks.config import NetworkConfig
    from finer_sdf.meshing.extract import Extraction

_PREVIEW_SIDE = 256


class SdfModel(nn.Module):
    """Hold a signed distance field and the surface it stands for: a function of space in the input's coordinates.

    Called with points (..., 3) in the fitted shape's own coordinates, it returns distances (...,) in the shape's own
    units, negative inside: a tensor with a graph for a tensor, an array for an array.

    Args:
        network: Maps coords (n, 3) in the box [-0.5, 0.5]^3 to distances (n, 1) in box units, or (heads, n, 1) for
            multiscale networks, of which the last is the finest.
        normalization: From the input's coordinates to the box.
        shape: What was fitted: name, kind, number of elements, bounds; plain data.

    Example:
        >>> import trimesh
        >>> from finer_sdf import fit
        >>> ball = trimesh.creation.icosphere(radius=3.0).apply_translation([10, 0, 0])
        >>> net = {"hidden_features": 32, "hidden_layers": 1, "first_omega_0": 8.0, "hidden_omega_0": 8.0}
        >>> small = {"batch_points": 256, "learning_rate": 1e-2, "network": {**net, "first_bias_scale": 1.0}}
        >>> model, _ = fit(ball, steps=120, samples=2000, **small)
        >>> model
        SdfModel: finer of 1217 parameters, a mesh of 1280 faces
        >>> model(ball.vertices).shape, model.normals(ball.vertices).shape, bool(model([10.0, 0.0, 0.0]) < 0)
        ((642,), (642, 3), True)
        >>> model.mesh(resolution=24).is_watertight, model.render(size=(60, 80)).shape
        (True, (60, 80, 3))
    """

    network: nn.Module
    in_features = 3

    def __init__(
        self, *, network: nn.Module, normalization: Normalization, shape: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.normalization = normalization
        self.shape: Mapping[str, Any] = dict(shape or {})

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        network: nn.Module | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
    ) -> "SdfModel":
        """Load a model file, of `save` or of `finer-sdf fit`; no code in it is run.

        Args:
            path: The file.
            device: Where the network goes.
            network: The module of your own that was fitted, built anew, which takes the weights.
            activation: The activation of your own that it was fitted with.

        Returns:
            The model, in evaluation mode.

        Raises:
            InputError: If it is not a model file, one of another task, or of other code than is given.
        """
        name = os.fspath(path)
        normalization, shape = checked_task_data(model_info(name), name)
        if network is None:
            found: nn.Module = load_network(name, device=device, activation=activation)
        else:
            found = load_model(name, device=device, network=network)
            check_finite(found, name)
            describe_network(found, in_features=3, out_features=1)
        return cls(network=found, normalization=normalization, shape=shape).eval()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one safetensors file, the same that `finer-sdf fit` writes, replacing what is there.

        Of code of your own, a network or an activation, it has the name alone: `load` is given it again.

        Args:
            path: The file; its folder exists.
        """
        save_model(self.network, path, task=TASK, task_data=self.task_data())

    @property
    def config(self) -> "NetworkConfig":
        """What the network was built from; InputError if it is a module of the user's own."""
        return config_of(self.network)

    def forward(self, points: Any) -> Any:
        """Return the signed distance at points, in the input's coordinates and units.

        Args:
            points: (..., 3); a tensor on the network's device, or an array.

        Returns:
            (...,), negative inside, of the points' floating type; an array, without a graph, for an array.
        """
        return distances_at(points, self.field, self.normalization, like=self._parameter())

    def normals(self, points: Any) -> Any:
        """Return the direction in which the distance grows fastest, by the field's exact gradient.

        Args:
            points: (..., 3) in the input's coordinates; a tensor on the network's device, or an array.

        Returns:
            (..., 3) of length 1, outward on the surface; an array, without a graph, for an array.
        """
        return normals_at(points, self.field, self.normalization, like=self._parameter())

    def field(self, coords: Tensor) -> Tensor:
        """Return the distance in box units at coords (..., 3) of the box, as (..., 1), for training code.

        Args:
            coords: (..., 3) in [-0.5, 0.5]^3, of the network's type and device.

        Returns:
            (..., 1), with a graph; the finest of several heads.
        """
        values: Tensor = self.network(coords.reshape(-1, 3))
        return (values[-1] if values.ndim > 2 else values).reshape(*coords.shape[:-1], 1)

    def field_and_gradient(self, coords: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance (..., 1) and its exact gradient (..., 3) at coords (..., 3) of the box, detached."""
        return value_and_gradient(self.field, coords)

    def mesh(
        self, *, resolution: int = 256, level: float = 0.0, memory: str = "4GB", progress: ProgressOption = False
    ) -> "trimesh.Trimesh":
        """Extract the surface as triangles, by marching cubes near it.

        Args:
            resolution: Grid points per axis of the box.
            level: Distance of the surface wanted, in the input's units; above 0 it is grown, below 0 shrunk.
            memory: What the work may take.
            progress: False, True for a line on stderr, or a function of (points done, points in all, {}).

        Returns:
            The mesh in the input's coordinates, faces looking outwards; open only where it leaves the box.

        Raises:
            InputError: If there is no such surface in the box, or the grid does not fit the memory.
        """
        import trimesh

        options: dict[str, Any] = {"level": level, "memory": parse_memory(memory), "progress": progress}
        mesh = self.normalization.mesh_to_input(self.extract(resolution=resolution, **options).mesh)
        return trimesh.Trimesh(vertices=mesh.vertices, faces=mesh.faces, process=False)

    def extract(
        self, *, resolution: int, memory: int, level: float = 0.0, sparse: bool = True, progress: ProgressOption = False
    ) -> "Extraction":
        """Do what `mesh` does, but leave the mesh in the box; the memory is in bytes.

        Unless it is `sparse`, the whole grid is evaluated, not only what is near the surface.
        """
        from finer_sdf.meshing.extract import extract_mesh

        with reporting("mesh", unit="point", progress=progress) as tell:
            return extract_mesh(
                self.field,
                resolution=resolution,
                memory=memory,
                sparse=sparse,
                level=level * self.normalization.scale,
                device=self.device,
                on_points=tell,
            )

    def render(
        self,
        *,
        size: tuple[int, int] = (512, 512),
        azimuth: float = 30.0,
        elevation: float = 20.0,
        up: str = "y",
        kind: str = "shaded",
        reference: Any = None,
        progress: ProgressOption = False,
    ) -> np.ndarray:
        """Look at the surface from a side, by sphere tracing.

        Args:
            size: (height, width) in pixels.
            azimuth: Degrees round the shape.
            elevation: Degrees above it.
            up: Axis that is up: "x", "y" or "z".
            kind: Colors: "shaded", "normals", or "error", the distance to the reference in box units.
            reference: Mesh that kind "error" measures against; whatever `fit` takes that has faces.
            progress: False, True for a line on stderr, or a function of (rows done, rows, {}).

        Returns:
            (height, width, 3) uint8.

        Raises:
            InputError: For a size, an axis or a kind that does not exist, or "error" without a mesh as reference.
        """
        from finer_sdf.inputs import distance_to
        from finer_sdf.rendering.images import render

        distance = distance_to(reference, self.normalization)
        with reporting("render", unit="row", progress=progress) as tell:
            view: dict[str, Any] = {"size": size, "azimuth": azimuth, "elevation": elevation, "up": up}
            return render(self, kind=kind, reference=distance, on_rows=lambda done: tell(done, size[0]), **view)

    def turntable(
        self,
        path: str | os.PathLike[str],
        *,
        size: tuple[int, int] = (512, 512),
        frames: int = 72,
        elevation: float = 20.0,
        up: str = "y",
        kind: str = "shaded",
        reference: Any = None,
        progress: ProgressOption = False,
    ) -> None:
        """Write a video in which the shape turns once.

        Args:
            path: An .mp4 file, which is replaced.
            size: (height, width) in pixels, rounded down to even numbers.
            frames: Pictures in a turn, at 24 a second.
            elevation: As for `render`.
            up: As for `render`.
            kind: As for `render`.
            reference: As for `render`.
            progress: False, True for a line on stderr, or a function of (frames done, frames, {}).

        Raises:
            InputError: As `render`, and for a path that no video can be written to.
        """
        from finer_sdf.inputs import distance_to
        from finer_sdf.rendering.images import check_size, write_turntable

        height, width = check_size(size)
        distance = distance_to(reference, self.normalization)
        with reporting("render", unit="frame", progress=progress) as tell:
            view: dict[str, Any] = {"height": height, "width": width, "elevation": elevation, "up": up}
            look: dict[str, Any] = {"frames": frames, "kind": kind, "reference": distance}
            write_turntable(self, path, on_frame=lambda done: tell(done, frames), **look, **view)

    def bounds(self) -> np.ndarray:
        """Return the box around the fitted shape, in box coordinates, (2, 3); all of it where that is not known."""
        bounds = self.shape.get("bounds")
        point = tuple[float, float, float]
        if not fits(bounds, tuple[point, point]):
            return np.array([[-SHAPE_HALF_SIDE] * 3, [SHAPE_HALF_SIDE] * 3])
        return self.normalization.to_box(np.asarray(bounds, dtype=np.float64))

    @property
    def device(self) -> torch.device:
        """Return where the network computes."""
        return self._parameter().device

    def task_data(self) -> dict[str, Any]:
        """Return the plain data that a model file keeps."""
        return {"frame": self.normalization.to_dict(), "shape": dict(self.shape)}

    def __repr__(self) -> str:
        kind, elements = self.shape.get("kind"), self.shape.get("elements")
        parts = "faces" if kind == "mesh" else "points"
        what = f", a {kind} of {elements} {parts}" if kind and elements else ""
        return f"SdfModel: {title_of(self.network)}{what}"

    def _repr_png_(self) -> bytes:
        """Return the picture that a notebook shows."""
        from finer_sdf.rendering.images import png_bytes, render

        return png_bytes(render(self, size=(_PREVIEW_SIDE, _PREVIEW_SIDE), supersample=1))

    def _parameter(self) -> nn.Parameter:
        return next(self.network.parameters())
