"""What a camera sees of a field or a mesh: which rays meet it, where, and how the surface lies there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import igl
import numpy as np
import torch

from finer_core.casts import as_array
from finer_sdf.geometry import Mesh, unit_vectors
from finer_sdf.rendering.camera import OrbitCamera, sphere_around
from finer_sdf.rendering.cone_marching import clear_depths
from finer_sdf.rendering.sphere_tracing import trace

SUPERSAMPLE = 2
"""Rays along each side of a picture's pixel."""
_RAYS_AT_ONCE = 1 << 19
BYTES_PER_RAY = 50
"""Of a picture all of whose rays meet the surface, while the bands of points and normals are put together."""
_Met = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Which of some rays meet the surface, where, and its normals there."""


class Surface(Protocol):
    """The field that is looked at, in the box; `SdfModel` is one."""

    @property
    def device(self) -> torch.device:
        """Return where it computes."""
        ...

    def bounds(self) -> np.ndarray:
        """Return the box around its surface, (2, 3)."""
        ...

    def field(self, coords: torch.Tensor) -> torch.Tensor:
        """Return the distance (n, 1) at coords (n, 3)."""
        ...

    def field_and_gradient(self, coords: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the distance (n, 1) and its exact gradient (n, 3), detached."""
        ...


@dataclass(frozen=True, kw_only=True)
class Raycast:
    """Hold what a camera sees of a surface.

    Attributes:
        mask: (rays,) which rays meet it, row by row.
        points: (hits, 3) float32, where, in box coordinates.
        normals: (hits, 3) float32, of length 1.
        camera: The camera.
        height: Rows of the picture.
        width: Its columns.
        supersample: Rays along each side of a pixel.
    """

    mask: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    camera: OrbitCamera
    height: int
    width: int
    supersample: int


def raycast_field(
    model: Surface,
    *,
    height: int,
    width: int,
    azimuth: float = OrbitCamera.azimuth,
    elevation: float = OrbitCamera.elevation,
    up: str = "y",
    supersample: int = SUPERSAMPLE,
    on_rows: Callable[[int], None] = lambda done: None,
) -> Raycast:
    """Sphere-trace a field's surface; `paint` turns the result into pictures.

    Args:
        model: The field.
        height: Rows.
        width: Columns.
        azimuth: Degrees round the shape.
        elevation: Degrees above it.
        up: Axis that is up.
        supersample: Rays along each side of a pixel.
        on_rows: Called with the number of rows done.
    """
    steepness = steepness_of(model)

    def meet(rays_o: torch.Tensor, rays_d: torch.Tensor) -> _Met:
        start = clear_depths(model.field, rays_o, rays_d, lipschitz=steepness).flatten()
        hits = trace(model.field, rays_o.reshape(-1, 3), rays_d.reshape(-1, 3), lipschitz=steepness, start=start)
        points = hits.points[hits.mask]
        return hits.mask.cpu().numpy(), points.cpu().numpy(), _normals(model, points)

    center, radius = sphere_around(model.bounds())
    camera = OrbitCamera(azimuth=azimuth, elevation=elevation, up=up, center=center, radius=radius)
    return _raycast(
        meet, camera, height=height, width=width, supersample=supersample, device=model.device, on_rows=on_rows
    )


def steepness_of(model: Surface) -> float:
    """Return a bound on the field's change per unit length: 1.1 times the 99th percentile of its gradient's norm.

    A true distance has 1. Where a fitted field is steeper still, `trace` notices and goes back.
    """
    coords = torch.rand(4096, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    norms = model.field_and_gradient(coords.to(model.device))[1].norm(dim=1)
    return max(1.1, 1.1 * float(norms.quantile(0.99)))


def _normals(model: Surface, points: torch.Tensor) -> np.ndarray:
    """Return the exact gradient's direction at points (n, 3)."""
    pieces = [as_array(model.field_and_gradient(piece)[1]) for piece in points.split(1 << 14)]
    return unit_vectors(np.concatenate(pieces))


def raycast_mesh(mesh: Mesh, *, height: int, width: int) -> Raycast:
    """Cast rays at a mesh, from where `raycast_field` looks by default: the nearest face along each, of either side."""
    tree = igl.AABB()
    vertices, faces = np.ascontiguousarray(mesh.vertices), np.ascontiguousarray(mesh.faces)
    tree.init(vertices, faces)
    outward = unit_vectors(mesh.face_vectors()).astype(np.float32)

    def meet(*rays: torch.Tensor) -> _Met:
        rays_o, rays_d = (np.ascontiguousarray(each.reshape(-1, 3).double().numpy()) for each in rays)
        hit, depth, _ = tree.intersect_ray_first(vertices, faces, rays_o, rays_d)
        mask = hit >= 0
        facing = outward[hit[mask]]
        away = np.einsum("ij,ij->i", facing, rays_d[mask]) > 0
        points = (rays_o[mask] + depth[mask, None] * rays_d[mask]).astype(np.float32)
        return mask, points, np.where(away[:, None], -facing, facing)

    center, radius = sphere_around(mesh.bounds)
    camera = OrbitCamera(center=center, radius=radius)
    return _raycast(meet, camera, height=height, width=width, supersample=SUPERSAMPLE)


def _raycast(
    meet: Callable[[torch.Tensor, torch.Tensor], _Met],
    camera: OrbitCamera,
    *,
    height: int,
    width: int,
    supersample: int,
    device: torch.device | str = "cpu",
    on_rows: Callable[[int], None] = lambda done: None,
) -> Raycast:
    """Return what rays of a camera, band by band, meet."""
    found = []
    for rows in _bands(height, width, supersample=supersample):
        rays = camera.rays(height=height * supersample, width=width * supersample, rows=rows, device=device)
        found.append(meet(*rays))
        on_rows(rows.stop // supersample)
    mask, points, normals = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Raycast(
        mask=mask, points=points, normals=normals, camera=camera, height=height, width=width, supersample=supersample
    )


def _bands(height: int, width: int, *, supersample: int) -> Iterator[range]:
    """Yield the rows of rays, in bands of whole pixels that are small enough to trace at once."""
    step = max(1, _RAYS_AT_ONCE // (width * supersample**2))
    for start in range(0, height, step):
        yield range(start * supersample, min(start + step, height) * supersample)
