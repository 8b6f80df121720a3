"""Pictures and turntables of fields and meshes, without a display or a graphics card."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from finer_core.errors import InputError
from finer_core.io.figures import png_bytes, write_mp4
from finer_core.io.files import check_output_path, given_path, output_path
from finer_core.schema import check_number, whole_numbers
from finer_core.training.batching import in_plain_modes
from finer_sdf.geometry.mesh_distance import MeshDistance
from finer_sdf.rendering import shading
from finer_sdf.rendering.raycast import Raycast, Surface, raycast_field

KINDS = ("shaded", "color", "normals", "error")
Colors = Callable[[np.ndarray], np.ndarray]
"""From points (n, 3) of the box to their colors, (n, 3) uint8."""
_PREVIEW_SIDE = 256
LARGEST_SIDE = 4096
"""Pixels; with 2 x 2 rays each, what a picture sees of a shape that fills it takes `BYTES_PER_RAY` for each."""
_POINTS_AT_ONCE = 1 << 18
"""Of which distances to a reference are found."""


def paint(
    seen: Raycast,
    kind: str = "shaded",
    *,
    reference: MeshDistance | None = None,
    colors: Colors | None = None,
    largest_error: float | None = None,
) -> np.ndarray:
    """Return a picture of what was seen.

    Args:
        seen: From `raycast_field` or `raycast_mesh`.
        kind: "shaded", as clay; "color", the surface's own under the same lights; "normals", or "error": the exact
            distance to the reference, in box units, with a color bar.
        reference: Distances to the reference, in box coordinates.
        colors: Colors of the surface; see `finer_sdf.queries.colors_in_box`.
        largest_error: End of the color bar; None for the 99th percentile in this picture, rounded up.

    Returns:
        (height, width, 3) uint8, on white.

    Raises:
        InputError: For an unknown kind, "color" without colors, or "error" without a reference.
    """
    check_kind(kind, reference=reference, colors=colors)
    basis = seen.camera.basis()
    if kind == "color" and colors is not None:
        return _picture(seen, lambda hits: shading.lit(colors(seen.points[hits]) / 255, seen.normals[hits], basis))
    if kind == "shaded":
        return _picture(seen, lambda hits: shading.shaded(seen.normals[hits], basis))
    if kind == "normals" or reference is None:
        return _picture(seen, lambda hits: shading.normal_colors(seen.normals[hits]))
    errors = _errors(seen, reference)
    largest = largest_error or typical_error(errors)
    picture = _picture(seen, lambda hits: shading.error_colors(errors[hits], largest=largest))
    return shading.with_color_bar(picture, largest=largest, label="distance to the reference, box units")


def check_kind(kind: str, *, reference: MeshDistance | None, colors: Colors | None) -> None:
    """Refuse an unknown kind of picture, "color" without colors, and "error" without a reference."""
    if kind not in KINDS:
        raise InputError(f"unknown kind of picture {kind!r} (known: {', '.join(KINDS)})")
    if kind == "color" and colors is None:
        raise InputError("kind 'color' needs colors: the input (or one of those combined) had none, or color was 'off'")
    if kind == "error" and reference is None:
        raise InputError("a picture of the error needs a reference mesh to measure against")


def typical_error(errors: np.ndarray) -> float:
    """Return a color bar's end: the 99th percentile of errors (n,), rounded up to 1, 2 or 5 times a power of ten."""
    return shading.round_up(float(np.quantile(errors, 0.99)) if len(errors) else 0.0)


def _errors(seen: Raycast, reference: MeshDistance) -> np.ndarray:
    """Return the distances (hits,) of what was seen to a reference."""
    pieces = [seen.points[start : start + _POINTS_AT_ONCE] for start in range(0, len(seen.points), _POINTS_AT_ONCE)]
    return np.concatenate([np.zeros(0), *(reference.nearest(piece).distance for piece in pieces)])


def _picture(seen: Raycast, colors_of: Callable[[slice], np.ndarray]) -> np.ndarray:
    """Put colors, which are asked for a row at a time, where rays met the surface, and average each pixel's rays."""
    picture = np.empty((seen.height, seen.width, 3), dtype=np.uint8)
    start = 0
    for row, mask in enumerate(seen.mask.reshape(seen.height, -1)):
        canvas = np.zeros((len(mask), 4))  # with the share of the surface last
        canvas[mask, :3] = colors_of(slice(start, start := start + int(mask.sum())))
        canvas[mask, 3] = 1
        pixels = canvas.reshape(seen.supersample, seen.width, seen.supersample, 4).mean(axis=(0, 2))
        picture[row] = np.rint(255 * (pixels[:, :3] + (1 - pixels[:, 3:]) * shading.WHITE))
    return picture


@in_plain_modes()
def preview(model: Surface) -> bytes:
    """Return a small picture of a field's surface as a PNG file."""
    return png_bytes(paint(raycast_field(model, height=_PREVIEW_SIDE, width=_PREVIEW_SIDE, supersample=1)))


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width as whole numbers.

    Raises:
        InputError: If they are not two of 1 to 4096 pixels.
    """
    height, width = whole_numbers(size, count=2, what="size (height, width)")
    if not (0 < height <= LARGEST_SIDE and 0 < width <= LARGEST_SIDE):
        raise InputError(f"size {height}x{width} is not of 1 to {LARGEST_SIDE} pixels a side")
    return height, width


def write_png(path: str | os.PathLike[str], pixels: np.ndarray) -> None:
    """Write a picture (h, w, 3) uint8, atomically.

    Raises:
        InputError: If the path is not of a .png file in a folder that exists.
    """
    check_view_path(path, suffixes=(".png",))
    with output_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG")


@in_plain_modes()
def write_turntable(
    model: Surface,
    path: str | os.PathLike[str],
    *,
    height: int,
    width: int,
    frames: int = 72,
    elevation: float = 20.0,
    up: str = "y",
    kind: str = "shaded",
    reference: MeshDistance | None = None,
    colors: Colors | None = None,
    on_frame: Callable[[int], None] = lambda done: None,
) -> None:
    """Write an MP4 in which the shape turns once.

    Args:
        model: The field.
        path: An .mp4 file.
        height: Rows; rounded down to an even number, which H.264 needs.
        width: Columns; likewise.
        frames: Pictures in a turn, at 24 a second.
        elevation: Degrees above the shape.
        up: Axis that is up.
        kind: See `paint`.
        reference: See `paint`; the color bar of the first picture holds for all.
        colors: See `paint`.
        on_frame: Called with the number of pictures done.

    Raises:
        InputError: For an unknown kind, "color" without colors, "error" without a reference, no frames, or a path that
            is not of an .mp4 file in a folder that exists, before any work; or as `write_mp4`.
    """
    check_view_path(path, suffixes=(".mp4",))
    check_kind(kind, reference=reference, colors=colors)
    check_number(frames, what="frames", is_whole=True)
    if frames < 1:
        raise InputError(f"a turntable needs at least 1 frame, got {frames}")
    height, width = max(2, height // 2 * 2), max(2, width // 2 * 2)
    largest: float | None = None

    def pictures() -> Iterator[np.ndarray]:
        nonlocal largest
        view: dict[str, Any] = {"height": height, "width": width, "elevation": elevation, "up": up, "supersample": 1}
        for number in range(frames):
            seen = raycast_field(model, azimuth=360 * number / frames, **view)
            if kind == "error" and reference is not None and largest is None and len(seen.points):
                largest = typical_error(_errors(seen, reference))
            yield paint(seen, kind, reference=reference, colors=colors, largest_error=largest)
            on_frame(number + 1)

    write_mp4(pictures(), path, fps=24)


def check_view_path(path: str | os.PathLike[str], *, suffixes: tuple[str, ...] = (".png", ".mp4")) -> None:
    """Refuse a file that no picture can be written to, before any work.

    Raises:
        InputError: If the suffix is none of them, or no file can be written there.
    """
    name = given_path(path)
    if name.suffix.lower() not in suffixes:
        raise InputError(f"{path}: cannot write a view as {name.suffix or 'no suffix'!r}; use {' or '.join(suffixes)}")
    check_output_path(path)
