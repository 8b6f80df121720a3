"""What every signed distance here does in the user's coordinates: a fitted surface, and what is made of several."""

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.casts import home_of
from finer_core.differential import value_and_gradient
from finer_core.errors import InputError
from finer_core.progress import ProgressOption, reporting
from finer_core.resources import parse_memory
from finer_core.schema import check_number
from finer_core.shapes import Float
from finer_core.training.batching import in_plain_modes
from finer_sdf.normalization import Normalization
from finer_sdf.queries import colors_in_box, distances_at, normals_at

if TYPE_CHECKING:
    import trimesh

    from finer_sdf.meshing.extract import Extraction
    from finer_sdf.meshing.surface_mesh import SurfaceMesh
    from finer_sdf.point_query import PointQuery

_STARTS_SIDE = 64
"""Grid points per axis of the mesh that ways down to the surface begin at, where they went astray."""


class DistanceField(nn.Module):
    """Be a signed distance in space, negative inside: what `SdfModel` and the results of `union` ... have in common.

    Called with points (..., 3) in the input's own coordinates, it returns distances (...,) in their units: a tensor
    with a graph for a tensor, an array for an array.

    Attributes:
        normalization: From the input's coordinates to the box [-0.5, 0.5]^3, which the surface is looked for in.

    Example:
        >>> from finer_sdf import DistanceField, Normalization
        >>> class Ball(DistanceField):
        ...     normalization = Normalization(scale=0.1, offset=(0.0, 0.0, 0.0))
        ...
        ...     def field(self, coords):
        ...         return coords.norm(dim=-1, keepdim=True) - 0.3
        >>> found = Ball().query([[0.0, 4.0, 0.0]])
        >>> found.distance.round(4).tolist(), found.nearest.round(4).tolist()
        ([1.0], [[0.0, 3.0, 0.0]])
    """

    normalization: Normalization
    in_features = 3

    def field(self, coords: Tensor) -> Tensor:
        """Return the distance in box units at coords (..., 3) of the box, as (..., 1), for training code."""
        raise NotImplementedError

    def everywhere(self, coords: Tensor) -> Tensor:
        """Return what `field` does in the box, and a distance that makes sense outside of it too."""
        return self.field(coords)

    def vertex_colors(self, points: np.ndarray) -> np.ndarray | None:
        """Return the colors of vertices (n, 3) in the input's coordinates, (n, 3) uint8; None where there are none."""
        return None

    def bounds(self) -> np.ndarray:
        """Return a box around the surface, in box coordinates, (2, 3)."""
        raise NotImplementedError

    def forward(self, points: Any) -> Any:
        """Return the signed distance at points anywhere, in the input's coordinates and units.

        Args:
            points: (..., 3); a tensor on the network's device, or an array.

        Returns:
            (...,), negative inside, of the points' floating type; an array, without a graph, for an array.
        """
        return distances_at(points, self.everywhere, self.normalization, like=self._parameter(), within=self.field)

    def normals(self, points: Any) -> Any:
        """Return the direction in which the distance grows fastest, by the field's exact gradient.

        Args:
            points: (..., 3) in the input's coordinates; a tensor on the network's device, or an array.

        Returns:
            (..., 3) of length 1, outward on the surface; an array, without a graph, for an array.
        """
        return normals_at(points, self.everywhere, self.normalization, like=self._parameter())

    @in_plain_modes()
    def query(self, points: Any) -> "PointQuery":
        """Return distance, normal and nearest point of the surface for points anywhere.

        Args:
            points: (..., 3) in the input's coordinates; a tensor or an array.

        Returns:
            `distance` (...,), `normal` (..., 3), `nearest` (..., 3) and its `residual` (...,), in the input's
            coordinates and units: tensors without a graph for a tensor, arrays for an array.
        """
        from finer_sdf.point_query import query_points

        def surface() -> np.ndarray:
            try:
                return self.extract(resolution=_STARTS_SIDE, memory=parse_memory("4GB")).mesh.vertices
            except InputError:  # it has none: the residuals say so
                return np.empty((0, 3))

        return query_points(points, self.everywhere, self.normalization, like=self._parameter(), surface=surface)

    def field_and_gradient(
        self, coords: Float[Tensor, "*points 3"]
    ) -> tuple[Float[Tensor, "*points 1"], Float[Tensor, "*points 3"]]:
        """Return the distance (..., 1) and its exact gradient (..., 3) at coords (..., 3) of the box, detached."""
        return value_and_gradient(self.field, coords)

    @in_plain_modes()
    def mesh(
        self,
        *,
        resolution: int = 256,
        level: float = 0.0,
        min_component: float = 0.0,
        simplify: int | None = None,
        texture: int | None = None,
        memory: str | int = "4GB",
        progress: ProgressOption = False,
    ) -> "trimesh.Trimesh":
        """Extract the surface as triangles, by marching cubes near it.

        Args:
            resolution: Grid points per axis of the box.
            level: Distance of the surface wanted, in the input's units; above 0 it is grown, below 0 shrunk.
            min_component: Connected parts with fewer than this share of all faces are left out.
            simplify: Faces to simplify the mesh to, by quadric errors; needs the extra `finer-sdf[simplify]`.
            texture: Pixels a side of a texture in the place of vertex colors; needs the extra `finer-sdf[texture]`.
            memory: What the work may take.
            progress: False, True for a bar on stderr, or a function of (points done, points in all, {}).

        Returns:
            The mesh in the input's coordinates, faces looking outwards, with exact vertex normals and, if the model has
            them, colors; open only where it leaves the box. With a texture, vertices at its seams are there twice.

        Raises:
            InputError: If there is no such surface in the box, the grid does not fit the memory, or an option cannot be
                used.
        """
        from finer_core.io.meshes.parts import check_min_component
        from finer_core.io.meshes.simplify import check_simplify
        from finer_sdf.meshing.painting import as_trimesh, check_painting
        from finer_sdf.meshing.surface_mesh import SIMPLIFY_EXTRA

        check_number(level, what="level")
        check_min_component(min_component)
        check_simplify(simplify, extra=SIMPLIFY_EXTRA)
        limit = parse_memory(memory)
        check_painting(self, texture, memory=limit)
        found = self.extract(resolution=resolution, level=level, memory=limit, progress=progress)
        options: dict[str, Any] = {"min_component": min_component, "simplify": simplify, "texture": texture}
        return as_trimesh(self, self.finish(found, memory=limit, **options))

    def check_resolution(self, resolution: int, *, level: float = 0.0) -> None:
        """Refuse a grid too coarse for what is known of the surface: nothing is, but of an operation's result.

        Args:
            resolution: Grid points per axis.
            level: As for `mesh`.
        """

    def extract(
        self, *, resolution: int, memory: int, level: float = 0.0, sparse: bool = True, progress: ProgressOption = False
    ) -> "Extraction":
        """Do the first part of `mesh`, and leave its result in the box; the memory is in bytes.

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
                level_unit=self.normalization.scale,
                device=self.device,
                on_points=tell,
            )

    def finish(self, found: "Extraction", *, texture: int | None = None, **options: Any) -> "SurfaceMesh":
        """Do the second part of `mesh`, still in the box: what `surface_mesh` does by its options, then paint."""
        from finer_sdf.meshing.painting import painted
        from finer_sdf.meshing.surface_mesh import surface_mesh

        finished = surface_mesh(self.field, found, device=self.device, **options)
        return finished if texture is None else painted(self, finished, size=texture)

    @in_plain_modes()
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
            up: Axis that is up: "x", "y", "z", "-x", "-y" or "-z".
            kind: "shaded", "color" (the model's, under the same lights), "normals", or "error", the distance to the
                reference in box units.
            reference: Mesh that kind "error" measures against; whatever `fit` takes that has faces.
            progress: False, True for a bar on stderr, or a function of (rows done, rows, {}).

        Returns:
            (height, width, 3) uint8.

        Raises:
            InputError: For a size, axis or kind that does not exist, "color" without colors, or "error" without a mesh.
        """
        from finer_sdf.inputs import distance_to
        from finer_sdf.rendering.images import check_kind, check_size, paint
        from finer_sdf.rendering.raycast import raycast_field

        distance = distance_to(reference, self.normalization)
        height, width = check_size(size)
        colors = colors_in_box(self)
        check_kind(kind, reference=distance, colors=colors)
        view: dict[str, Any] = {"height": height, "width": width, "azimuth": azimuth, "elevation": elevation, "up": up}
        with reporting("render", unit="row", progress=progress) as tell:
            seen = raycast_field(self, on_rows=lambda done: tell(done, height), **view)
            return paint(seen, kind, reference=distance, colors=colors)

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
            progress: False, True for a bar on stderr, or a function of (frames done, frames, {}).

        Raises:
            InputError: As `render`, and for a path that no video can be written to.
        """
        from finer_sdf.inputs import distance_to
        from finer_sdf.rendering.images import check_size, write_turntable

        height, width = check_size(size)
        distance = distance_to(reference, self.normalization)
        with reporting("render", unit="frame", progress=progress) as tell:
            view: dict[str, Any] = {"height": height, "width": width, "elevation": elevation, "up": up, "kind": kind}
            look: dict[str, Any] = {"frames": frames, "reference": distance, "colors": colors_in_box(self)}
            write_turntable(self, path, on_frame=lambda done: tell(done, frames), **look, **view)

    @property
    def device(self) -> torch.device:
        """Return where the network computes."""
        return self._parameter().device

    def _repr_png_(self) -> bytes:
        """Return the picture that a notebook shows."""
        from finer_sdf.rendering.images import preview

        return preview(self)

    def _parameter(self) -> Tensor:
        """Return what tells device and type of coordinates: those of a parameter, where there is one."""
        return home_of(self)
