"""Pictures and turntables of fields and meshes, without a display or a graphics card."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import igl
import imageio_ffmpeg
import numpy as np
import torch
from PIL import Image

from finer_core.errors import InputError
from finer_core.files import atomic_path
from finer_sdf.mesh_distance import MeshDistance
from finer_sdf.model import SdfModel
from finer_sdf.seeing import shading
from finer_sdf.seeing.camera import OrbitCamera, sphere_around
from finer_sdf.seeing.cone_marching import clear_depths
from finer_sdf.seeing.sphere_tracing import trace
from finer_sdf.shapes import Mesh, unit_vectors

KINDS = ("shaded", "normals", "error")
_RAYS_AT_ONCE = 1 << 19
_LARGEST_SIDE = 4096
"""Pixels; with 2 x 2 rays each, what a picture sees of a shape that fills it takes some 2 GB."""


@dataclass(frozen=True, kw_only=True)
class Seen:
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


def look_at_model(
    model: SdfModel,
    *,
    height: int,
    width: int,
    azimuth: float = 30.0,
    elevation: float = 20.0,
    up: str = "y",
    supersample: int = 2,
    on_rows: Callable[[int], None] = lambda done: None,
) -> Seen:
    """Sphere-trace a model's surface; `paint` turns the result into pictures.

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
    centre, radius = sphere_around(model.bounds())
    camera = OrbitCamera(azimuth=azimuth, elevation=elevation, up=up, centre=centre, radius=radius)
    steepness = steepness_of(model)
    masks, points, normals = [], [], []
    for rows in _bands(height, width, supersample=supersample):
        rays_o, rays_d = camera.rays(
            height=height * supersample, width=width * supersample, rows=rows, device=model.device
        )
        start = clear_depths(model.field, rays_o, rays_d, lipschitz=steepness).flatten()
        rays_o, rays_d = rays_o.reshape(-1, 3), rays_d.reshape(-1, 3)
        hits = trace(model.field, rays_o, rays_d, lipschitz=steepness, start=start)
        masks.append(hits.mask.cpu().numpy())
        points.append(hits.points[hits.mask].cpu().numpy())
        normals.append(_normals(model, hits.points[hits.mask]))
        on_rows(rows.stop // supersample)
    return Seen(
        mask=np.concatenate(masks),
        points=np.concatenate(points),
        normals=np.concatenate(normals),
        camera=camera,
        height=height,
        width=width,
        supersample=supersample,
    )


def steepness_of(model: SdfModel) -> float:
    """Return a bound on the field's change per unit length: 1.1 times the 99th percentile of its gradient's norm.

    A true distance has 1. Where a fitted field is steeper still, `trace` notices and goes back.
    """
    coords = torch.rand(4096, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    norms = model.field_and_gradient(coords.to(model.device))[1].norm(dim=1)
    return max(1.1, 1.1 * float(norms.quantile(0.99)))


def _normals(model: SdfModel, points: torch.Tensor) -> np.ndarray:
    """Return the exact gradient's direction at points (n, 3)."""
    pieces = [model.field_and_gradient(piece)[1].cpu().numpy() for piece in points.split(1 << 14)]
    return unit_vectors(np.concatenate(pieces))


def _bands(height: int, width: int, *, supersample: int) -> Iterator[range]:
    """Yield the rows of rays, in bands of whole pixels that are small enough to trace at once."""
    step = max(1, _RAYS_AT_ONCE // (width * supersample**2))
    for start in range(0, height, step):
        yield range(start * supersample, min(start + step, height) * supersample)


def paint(
    seen: Seen, kind: str = "shaded", *, reference: MeshDistance | None = None, largest_error: float | None = None
) -> np.ndarray:
    """Return a picture of what was seen.

    Args:
        seen: From `look_at_model` or `look_at_mesh`.
        kind: "shaded", "normals", or "error": the exact distance to the reference, in box units, with a colour bar.
        reference: Distances to the reference, in box coordinates.
        largest_error: End of the colour bar; None for the 99th percentile in this picture, rounded up.

    Returns:
        (height, width, 3) uint8.

    Raises:
        InputError: For an unknown kind, or "error" without a reference.
    """
    _check_kind(kind, reference)
    if kind == "shaded":
        return _picture(seen, shading.shaded(seen.normals, seen.camera.basis()))
    if kind == "normals" or reference is None:
        return _picture(seen, shading.normal_colours(seen.normals))
    errors = reference.nearest(seen.points).distance if len(seen.points) else np.zeros(0)
    largest = largest_error or typical_error(errors)
    picture = _picture(seen, shading.error_colours(errors, largest=largest))
    return shading.with_colour_bar(picture, largest=largest, label="distance to the reference, box units")


def _check_kind(kind: str, reference: MeshDistance | None) -> None:
    """Refuse an unknown kind of picture, and "error" without a reference."""
    if kind not in KINDS:
        raise InputError(f"unknown kind of picture {kind!r} (known: {', '.join(KINDS)})")
    if kind == "error" and reference is None:
        raise InputError("a picture of the error needs a reference mesh to measure against")


def typical_error(errors: np.ndarray) -> float:
    """Return a colour bar's end: the 99th percentile of errors (n,), rounded up to 1, 2 or 5 times a power of ten."""
    return shading.round_up(float(np.quantile(errors, 0.99)) if len(errors) else 0.0)


def look_at_mesh(
    mesh: Mesh,
    *,
    height: int,
    width: int,
    azimuth: float = 30.0,
    elevation: float = 20.0,
    up: str = "y",
    supersample: int = 2,
) -> Seen:
    """Cast rays at a mesh: the nearest face along each, seen from either side.

    Args:
        mesh: In box coordinates.
        height: Rows.
        width: Columns.
        azimuth: Degrees round the shape.
        elevation: Degrees above it.
        up: Axis that is up.
        supersample: Rays along each side of a pixel.
    """
    centre, radius = sphere_around(mesh.bounds)
    camera = OrbitCamera(azimuth=azimuth, elevation=elevation, up=up, centre=centre, radius=radius)
    tree = igl.AABB()
    vertices, faces = np.ascontiguousarray(mesh.vertices), np.ascontiguousarray(mesh.faces)
    tree.init(vertices, faces)
    outward = unit_vectors(mesh.face_vectors()).astype(np.float32)
    masks, points, normals = [], [], []
    for rows in _bands(height, width, supersample=supersample):
        rays_o, rays_d = (
            np.ascontiguousarray(rays.reshape(-1, 3).double().numpy())
            for rays in camera.rays(height=height * supersample, width=width * supersample, rows=rows)
        )
        hit, depth, _ = tree.intersect_ray_first(vertices, faces, rays_o, rays_d)
        mask = hit >= 0
        facing = outward[hit[mask]]
        away = np.einsum("ij,ij->i", facing, rays_d[mask]) > 0
        masks.append(mask)
        points.append((rays_o[mask] + depth[mask, None] * rays_d[mask]).astype(np.float32))
        normals.append(np.where(away[:, None], -facing, facing))
    return Seen(
        mask=np.concatenate(masks),
        points=np.concatenate(points),
        normals=np.concatenate(normals),
        camera=camera,
        height=height,
        width=width,
        supersample=supersample,
    )


def _picture(seen: Seen, colours: np.ndarray) -> np.ndarray:
    """Put colours (hits, 3) where rays met the surface, and average each pixel's rays."""
    picture = np.empty((seen.height, seen.width, 3), dtype=np.uint8)
    start = 0
    for row, mask in enumerate(seen.mask.reshape(seen.height, -1)):
        canvas = np.tile(shading.BACKGROUND, (len(mask), 1))
        canvas[mask] = colours[start : (start := start + int(mask.sum()))]
        rays = canvas.reshape(seen.supersample, seen.width, seen.supersample, 3)
        picture[row] = np.rint(255 * rays.mean(axis=(0, 2)))
    return picture


def write_png(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Write a picture (h, w, 3) uint8, atomically."""
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


def write_turntable(
    model: SdfModel,
    path: str | os.PathLike[str],
    *,
    height: int,
    width: int,
    frames: int = 72,
    fps: int = 24,
    elevation: float = 20.0,
    up: str = "y",
    kind: str = "shaded",
    reference: MeshDistance | None = None,
    supersample: int = 1,
    on_frame: Callable[[int], None] = lambda done: None,
) -> None:
    """Write an MP4 in which the shape turns once.

    Args:
        model: The field.
        path: An .mp4 file; its folder exists.
        height: Rows; rounded down to an even number, which H.264 needs.
        width: Columns; likewise.
        frames: Pictures in a turn.
        fps: Pictures a second.
        elevation: Degrees above the shape.
        up: Axis that is up.
        kind: See `paint`.
        reference: See `paint`; the colour bar of the first picture holds for all.
        supersample: Rays along each side of a pixel.
        on_frame: Called with the number of pictures done.

    Raises:
        InputError: For an unknown kind, or "error" without a reference; before any work.
        OSError: If the film could not be written whole.
    """
    _check_kind(kind, reference)
    height, width = max(2, height // 2 * 2), max(2, width // 2 * 2)
    largest: float | None = None
    with atomic_path(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary), (width, height), fps=fps, quality=8, macro_block_size=2, ffmpeg_log_level="error"
        )
        writer.send(None)
        try:
            for number in range(frames):
                seen = look_at_model(
                    model,
                    height=height,
                    width=width,
                    azimuth=360 * number / frames,
                    elevation=elevation,
                    up=up,
                    supersample=supersample,
                )
                if kind == "error" and reference is not None and largest is None and len(seen.points):
                    largest = typical_error(reference.nearest(seen.points).distance)
                picture = paint(seen, kind, reference=reference, largest_error=largest)
                writer.send(np.ascontiguousarray(picture))
                on_frame(number + 1)
        finally:
            writer.close()
        written, _ = imageio_ffmpeg.count_frames_and_secs(str(temporary))
        if written != frames:  # the encoder may fail, on a full disk for example, after it took the last picture
            raise OSError(f"{path}: the encoder wrote {written} of {frames} pictures; is the disk full?")


def check_view_path(path: str | os.PathLike[str]) -> None:
    """Refuse a file that no picture can be written to, before any work.

    Raises:
        InputError: If the suffix is not .png or .mp4, or the folder does not exist.
    """
    name = Path(path)
    if name.suffix.lower() not in (".png", ".mp4"):
        raise InputError(f"{path}: cannot write a view as {name.suffix or 'no suffix'!r}; use .png or .mp4")
    if not name.parent.is_dir():
        raise InputError(f"{path}: the folder {name.parent} does not exist")
    if name.is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")


def parse_size(text: str) -> tuple[int, int]:
    """Turn "HxW" into height and width.

    Raises:
        InputError: If it is not a size of 1 to 4096 pixels a side.
    """
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text.strip())
    height, width = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (0 < height <= _LARGEST_SIDE and 0 < width <= _LARGEST_SIDE):
        raise InputError(
            f"--size {text!r} is not a size; write HEIGHTxWIDTH in pixels, 1 to {_LARGEST_SIDE} each, e.g. 720x720"
        )
    return height, width
