"""A colored mesh of a radiance field: a level set of its density."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from finer_core.errors import InputError
from finer_core.io.meshes.normals import vertex_normals
from finer_core.io.meshes.parts import check_min_component, large_parts
from finer_core.io.meshes.simplify import check_simplify
from finer_core.io.meshes.simplify import simplify as simplified
from finer_core.io.meshes.writer import write_mesh
from finer_core.io.texture_atlas import bake, check_texture, texture_visuals, unwrap
from finer_core.parallel import parallel_map
from finer_core.resources import check_room
from finer_core.schema import check_number
from finer_nerf.rendering.contraction import expand
from finer_nerf.rendering.fitted import FittedScene

SIMPLIFY_EXTRA, TEXTURE_EXTRA = "finer-nerf[simplify]", "finer-nerf[texture]"
_HALF_OPAQUE_IN = 0.01
"""The default level makes this share of the box's side half opaque."""
_POINTS_AT_ONCE = 1 << 14
_BYTES_A_POINT, _BYTES_A_VERTEX = 5, 400
"""Of the grid: a float32, and masks of layers. Of the mesh: positions, normals, colors, its two faces, and copies."""
_FLOOR = 1e-8
"""Share of the level that counts as empty: so low that it does not bend the logarithm next to the surface."""


@dataclass(frozen=True, kw_only=True)
class ColoredMesh:
    """Hold a mesh with a color at each vertex, and perhaps a texture.

    Attributes:
        vertices: (n, 3) float64 in the input's coordinates.
        faces: (m, 3), counter-clockwise seen from outside.
        colors: uint8 (n, 3), sRGB as the pictures.
        normals: (n, 3) of length 1, outwards, the mean of the faces' by area.
        uv: (n, 2), where vertices are in the texture, (0, 0) in its first row and column; None without one.
        texture: uint8 (size, size, 3), sRGB.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray
    normals: np.ndarray
    uv: np.ndarray | None = None
    texture: np.ndarray | None = None

    def to_trimesh(self) -> Any:
        """Return a `trimesh.Trimesh` with the texture or vertex colors."""
        import trimesh

        mesh = trimesh.Trimesh(
            vertices=self.vertices,
            faces=self.faces,
            vertex_colors=self.colors if self.texture is None else None,
            vertex_normals=self.normals,
            process=False,
            validate=False,
        )
        if self.texture is not None and self.uv is not None:
            mesh.visual = texture_visuals(self.uv, self.texture)
        return mesh

    def write(self, path: str | os.PathLike[str], *, file_type: str | None = None, up: str = "z") -> tuple[str, ...]:
        """Write it to a file, by `finer_core.io.meshes.writer.write_mesh`, which says what is read there.

        Args:
            path: A .ply, .obj, .stl, .off, .glb, .usd, .usdc, .usda or .usdz file, which is replaced; with a texture
                .glb or .usdz.
            file_type: The format, if not by the suffix.
            up: Axis that is up in the scene: "x", "y", "z", "-x", "-y" or "-z".

        Returns:
            What a user should know about the file, a sentence each.

        Raises:
            InputError: If the format holds no texture, a library is missing, or the file cannot be written.
        """
        return write_mesh(
            path,
            self.vertices,
            self.faces,
            package="finer-nerf",
            normals=self.normals,
            colors=self.colors if self.texture is None else None,
            uv=self.uv,
            texture=self.texture,
            file_type=file_type,
            up=up,
        )


def default_level(*, bound: float) -> float:
    """Return the density per box unit at which 1 % of the box's side is half opaque: ln 2 / (0.01 * 2 bound)."""
    return float(np.log(2) / (_HALF_OPAQUE_IN * 2 * bound))


def check_resolution(resolution: int) -> None:
    """Raise InputError for a grid that is none, or beyond all memory."""
    check_number(resolution, what="--resolution", is_whole=True)
    if not 8 <= resolution <= 4096:
        raise InputError(f"--resolution must be between 8 and 4096, got {resolution}")


def extract_mesh(
    model: FittedScene,
    *,
    resolution: int = 256,
    level: float | None = None,
    memory: int = 4_000_000_000,
    min_component: float = 0.001,
    simplify: int | None = None,
    texture: int | None = None,
    on_points: Callable[[int], None] = lambda done: None,
) -> ColoredMesh:
    """Extract the surface where the density crosses a level.

    The density is evaluated near occupied cells only. Grid points lie on the box's faces too, at step
    2 bound / (resolution - 1), and vertices are placed with that same step.

    Args:
        model: The model.
        resolution: Grid points per axis.
        level: Density of the surface, per unit of the scene; None for `default_level`.
        memory: Bytes to stay within.
        min_component: Connected parts with fewer than this share of the faces are floaters and left out.
        simplify: Faces to simplify the mesh to, by quadric errors; needs the extra `finer-nerf[simplify]`.
        texture: Pixels of a texture's side, which the colors are painted into as well; None for none.
        on_points: Called with the number of grid points done.

    Raises:
        InputError: If the resolution is out of bounds, the grid or the texture do not fit the memory, the level is not
            positive, nothing is as dense as that, or a library is not installed, which an option needs.
    """
    from skimage.measure import marching_cubes

    check_resolution(resolution)
    check_texture(texture, memory=memory, extra=TEXTURE_EXTRA)
    check_min_component(min_component)
    check_simplify(simplify, extra=SIMPLIFY_EXTRA)
    grid = (resolution + 2) ** 3 * _BYTES_A_POINT
    check_room(grid, memory, what=f"--resolution {resolution}", advice="lower it")
    if level is not None:
        check_number(level, what="--level")
    wanted = default_level(bound=model.bound) if level is None else level / model.frame.scale
    if not 0 < wanted < float("inf"):
        raise InputError(f"--level must be a positive density, got {level!r}")
    padded = np.zeros((resolution + 2,) * 3, dtype=np.float32)  # empty outside: closes what touches the box
    _fill_densities(padded[1:-1, 1:-1, 1:-1], model, on_points=on_points)
    most = float(padded.max())
    if not most > wanted:
        found, asked = most * model.frame.scale, wanted * model.frame.scale
        raise InputError(f"no surface: the largest density is {found:.4g}, lower --level {asked:.4g}")
    step = 2 * model.bound / (resolution - 1)
    # Logarithms, because the density is an exponential: its level set is then placed by a nearly linear function.
    np.log(np.divide(np.maximum(padded, wanted * _FLOOR, out=padded), wanted, out=padded), out=padded)
    crossed = _crossed_edges(padded)
    check_room(grid + crossed * _BYTES_A_VERTEX, memory, what=f"a mesh of {crossed} vertices", advice="raise --level")
    vertices, faces, _, _ = marching_cubes(padded, 0.0, gradient_direction="ascent")
    del padded
    points = (vertices - 1) * step - model.bound
    points, faces, _, _ = large_parts(points, faces.astype(np.int64), share=min_component)
    if simplify is not None:
        points, faces = simplified(points, faces, count=simplify, extra=SIMPLIFY_EXTRA, memory=memory)
    faces = _outwards(points, faces)
    normals = vertex_normals(points, faces)
    colors = _colors(model, points, normals)
    shown, upright = points, normals
    if model.grid.contracted:
        shown = expand(torch.from_numpy(points)).numpy()
        upright = vertex_normals(shown, faces)
    mesh = ColoredMesh(
        vertices=model.frame.to_input(shown),
        faces=faces,
        colors=colors,
        normals=model.frame.directions_to_input(upright),
    )
    if texture is None:
        return mesh
    atlas = unwrap(points, faces, size=texture)
    painted = bake(partial(_colors, model), points, normals, atlas, size=texture)
    cut = {name: getattr(mesh, name)[atlas.vertices] for name in ("vertices", "colors", "normals")}
    return replace(mesh, **cut, faces=atlas.faces, uv=atlas.uv, texture=painted)


def _crossed_edges(values: np.ndarray) -> int:
    """Return how many edges of the grid join a positive value and another: each has a vertex of the surface."""
    count, before = 0, values[0] > 0
    for layer in values:
        inside = layer > 0
        count += int((inside != before).sum())
        count += int((inside[1:] != inside[:-1]).sum()) + int((inside[:, 1:] != inside[:, :-1]).sum())
        before = inside
    return count


@torch.no_grad()
def _fill_densities(volume: np.ndarray, model: FittedScene, *, on_points: Callable[[int], None]) -> None:
    """Put the density at the grid's points into an array of zeros, where the occupancy grid has something nearby."""
    resolution, device = len(volume), model.device
    axis = torch.linspace(-model.bound, model.bound, resolution)
    near = F.max_pool3d(model.grid.occupied.float()[None, None], 3, stride=1, padding=1)[0, 0].cpu() > 0
    cells = len(near)
    index = ((axis + model.bound) / (2 * model.bound) * cells).long().clamp(0, cells - 1)
    for i in range(resolution):
        wanted = near[index[i]][index][:, index]
        rows, columns = wanted.nonzero(as_tuple=True)
        if len(rows):
            points = torch.stack([axis[i].expand(len(rows)), axis[rows], axis[columns]], dim=-1)
            pieces = points.to(device).split(_POINTS_AT_ONCE)
            found = torch.cat(parallel_map(model.density, pieces, device=device))
            volume[i][wanted.numpy()] = found.float().cpu().numpy()
        on_points((i + 1) * resolution**2)


def _outwards(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the faces turned so that the volume they enclose is positive."""
    a, b, c = (points[faces[:, i]] for i in range(3))
    volume = float((a * np.cross(b, c)).sum())
    return faces if volume > 0 else faces[:, ::-1]


@torch.no_grad()
def _colors(model: FittedScene, points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the color of each vertex seen straight on, uint8."""

    def look(piece: tuple[Tensor, Tensor]) -> Tensor:
        _, colors = model.field(*piece)
        return colors.float().cpu()

    at, towards = (torch.from_numpy(x.astype(np.float32)).to(model.device) for x in (points, -normals))
    pieces = list(zip(at.split(_POINTS_AT_ONCE), towards.split(_POINTS_AT_ONCE), strict=True))
    colors = torch.cat(parallel_map(look, pieces, device=model.device))
    return np.rint(colors.clamp(0, 1).numpy() * 255).astype(np.uint8)
