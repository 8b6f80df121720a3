"""Read what advice is asked for: an image, points with a signal, an oriented cloud, or a mesh."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_ntk.advisor.patches import Patch, cloud_patches, image_patches
from finer_ntk.subject.points import file_points, read_pixels

_MESHES = (".obj", ".ply", ".stl", ".glb", ".off")
_POINTS = (".npz", ".xyz")
_SURFACE_SAMPLES = 100_000
_BOX = 0.9
"""Half the side of the box that a shape is scaled into, inside [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """Hold a signal's patches, the task it belongs to, and its pixels where it is an image."""

    patches: Sequence[Patch]
    task: str
    pixels: np.ndarray | None


def read_signal(path: str, *, seed: int) -> Signal:
    """Read a signal by its file's kind.

    Args:
        path: An image; .npz with `points` and `target`; .xyz of positions and normals; or a mesh.
        seed: Of the samples of a shape.

    Raises:
        InputError: If it cannot be read, or has nothing to advise on.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        points = file_points(path)
        if points.target is None:
            raise InputError(f"{path}: advice needs a signal: an array `target` beside `points`")
        coords = points.coords.numpy()
        task = "image" if coords.shape[1] == 2 else "sdf"
        return Signal(patches=cloud_patches(coords, points.target), task=task, pixels=None)
    if suffix == ".xyz":
        return _of_surface(*_read_oriented(path), seed=seed)
    if suffix in _MESHES:
        return _of_surface(*_sample_mesh(path, seed=seed), seed=seed)
    pixels = read_pixels(path)
    return Signal(patches=image_patches(pixels), task="image", pixels=pixels)


def _of_surface(points: np.ndarray, normals: np.ndarray, *, seed: int) -> Signal:
    """Return signed distances close to a surface: along the normals they are known without any search."""
    low, high = points.min(0), points.max(0)
    extent = float((high - low).max())
    if not extent > 0:
        raise InputError("all points of the shape are the same")
    scaled = (points - (low + high) / 2) * (2 * _BOX / extent)
    spacing = (4 * _BOX**2 / len(points)) ** 0.5
    distance = np.random.default_rng(seed).uniform(-2 * spacing, 2 * spacing, (len(points), 1))
    return Signal(patches=cloud_patches(scaled + distance * normals, distance), task="sdf", pixels=None)


def _read_oriented(path: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        table = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as points and normals ({error})") from error
    if table.shape[1] != 6 or not np.isfinite(table).all():
        raise InputError(
            f"{path}: advice on a shape needs lines of a position and a normal, got {table.shape[1]} numbers"
        )
    lengths = np.linalg.norm(table[:, 3:], axis=1, keepdims=True)
    if not lengths.min() > 0:
        raise InputError(f"{path}: normal {int(lengths.argmin())} is zero")
    return table[:, :3], table[:, 3:] / lengths


def _sample_mesh(path: str, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    try:
        import trimesh
    except ImportError as error:
        raise InputError(f'{path}: reading meshes is an extra: pip install "finer-ntk[shapes]"') from error
    try:
        mesh: Any = trimesh.load(path, force="mesh")
        points, faces = trimesh.sample.sample_surface(mesh, _SURFACE_SAMPLES, seed=seed)
        normals = np.asarray(mesh.face_normals[faces])
    except Exception as error:  # trimesh raises whatever its parsers do
        raise InputError(f"{path}: cannot be read as a mesh ({error})") from error
    return np.asarray(points), normals
