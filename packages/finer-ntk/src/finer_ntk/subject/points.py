"""Points that a kernel is computed on: a grid, an image's pixels, or a file; with a target signal if there is one."""

import hashlib
import math
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finer_core.coords import axis_coords
from finer_core.errors import InputError

_DEFAULT_GRIDS = {1: "1024", 2: "64x64", 3: "16x16x16"}
_SIGNAL_FREQUENCIES = (1, 3, 8, 20)
_MOST_POINTS = 10**8
_MOST_BYTES = 2 * 10**9
"""Of an .npz file when it is unpacked: a small one may hold anything."""


@dataclass(frozen=True, kw_only=True)
class Points:
    """Hold points in double precision.

    Attributes:
        coords: (n, in_features).
        shape: Of the grid that they are, in row-major order; None for scattered points.
        target: A signal at the points, (n, channels) in [-1, 1]; None where there is none.
        what: One line for people.

    Example:
        >>> from finer_ntk import line_grid
        >>> line_grid(8).in_features
        1
    """

    coords: Tensor
    shape: tuple[int, ...] | None
    target: np.ndarray | None
    what: str

    @property
    def in_features(self) -> int:
        """Return the number of coordinates."""
        return self.coords.shape[1]

    def sha256(self) -> str:
        """Return a digest of points and target."""
        digest = hashlib.sha256(self.coords.numpy().tobytes())
        if self.target is not None:
            digest.update(np.ascontiguousarray(self.target).tobytes())
        return digest.hexdigest()


def line_grid(count: int) -> Points:
    """Return evenly spaced points on [0, 1), the published figure's, with a built-in signal of four frequencies.

    Formula: x_j = j / count; the target is the mean of sin(2 pi f x) over f = 1, 3, 8, 20.

    Args:
        count: How many.

    Returns:
        The points, (count, 1), and the target, (count, 1), in [-1, 1].

    Raises:
        InputError: If there are fewer than one.

    Example:
        >>> from finer_ntk import line_grid
        >>> points = line_grid(4)
        >>> points.coords[:, 0].tolist(), points.target.shape
        ([0.0, 0.25, 0.5, 0.75], (4, 1))
    """
    if count < 1:
        raise InputError(f"a grid needs at least 1 point, got {count}")
    x = torch.arange(count, dtype=torch.float64)[:, None] / count
    waves = [torch.sin(2 * math.pi * frequency * x) for frequency in _SIGNAL_FREQUENCIES]
    target = (torch.cat(waves, dim=1).mean(1, keepdim=True)).numpy()
    return Points(coords=x, shape=(count,), target=target, what=f"{count} points on [0, 1)")


def box_grid(shape: tuple[int, ...]) -> Points:
    """Return a grid over [-1, 1] in every direction, row-major, ends included.

    Args:
        shape: Points in each direction.

    Returns:
        The points, (product of `shape`, len(shape)), without a target.

    Raises:
        InputError: If a side has fewer than one point.

    Example:
        >>> from finer_ntk import box_grid
        >>> box_grid((2, 3)).coords.tolist()
        [[-1.0, -1.0], [-1.0, 0.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 0.0], [1.0, 1.0]]
    """
    if not shape or min(shape) < 1:
        raise InputError(f"a grid needs at least 1 point a side, got {shape}")
    return _of_axes([axis_coords(length, dtype=torch.float64) for length in shape], what="grid on [-1, 1]")


def parse_grid(text: str) -> tuple[int, ...]:
    """Turn "1024" or "64x64" into sizes.

    Raises:
        InputError: If it is neither.
    """
    if not re.fullmatch(r"\d{1,9}(x\d{1,9})*", text.strip().lower()):
        raise InputError(f"--grid {text!r} is not a size; write 1024 or 64x64")
    sizes = tuple(int(part) for part in text.lower().split("x"))
    if min(sizes) < 1:
        raise InputError(f"--grid {text!r}: every side must be at least 1")
    if math.prod(sizes) > _MOST_POINTS:
        raise InputError(f"--grid {text!r} has {math.prod(sizes)} points; at most {_MOST_POINTS} are possible")
    return sizes


def grid_points(text: str) -> Points:
    """Return the points of `--grid`."""
    sizes = parse_grid(text)
    return line_grid(sizes[0]) if len(sizes) == 1 else box_grid(sizes)


def default_points(in_features: int) -> Points:
    """Return the grid that is used when none was asked for.

    Raises:
        InputError: For more than three coordinates.
    """
    if in_features not in _DEFAULT_GRIDS:
        raise InputError(f"a network of {in_features} coordinates has no default grid; give --points FILE")
    return grid_points(_DEFAULT_GRIDS[in_features])


def pixel_points(height: int, width: int, *, limit: int) -> Points:
    """Return the coordinates of an image's pixels, every s-th row and column so that there are at most `limit`."""
    step = stride_for(height, width, limit=limit)
    rows = axis_coords(height, dtype=torch.float64)[::step]
    columns = axis_coords(width, dtype=torch.float64)[::step]
    which = "" if step == 1 else f", one in {step} a direction"
    return _of_axes([rows, columns], what=f"pixels of {height}x{width}{which}")


def stride_for(height: int, width: int, *, limit: int) -> int:
    """Return the smallest step that leaves at most `limit` pixels."""
    step = 1
    while -(-height // step) * -(-width // step) > limit:
        step += 1
    return step


def image_points(path: str, *, limit: int) -> Points:
    """Return an image's pixels as points, with their values in [-1, 1] as the target.

    Raises:
        InputError: If the file cannot be read as an image.
    """
    pixels = read_pixels(path)
    height, width = pixels.shape[:2]
    points = pixel_points(height, width, limit=limit)
    step = stride_for(height, width, limit=limit)
    target = pixels[::step, ::step].reshape(len(points.coords), -1)
    return Points(coords=points.coords, shape=points.shape, target=2 * target - 1, what=f"{path}: {points.what}")


def read_pixels(path: str) -> np.ndarray:
    """Return (height, width, 1 or 3) in [0, 1], upright as its EXIF says; transparency is left out."""
    from PIL import Image, ImageOps

    if not os.path.isfile(path):
        raise InputError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that is not needed
            with Image.open(path) as file:
                upright = ImageOps.exif_transpose(file)
        deep = upright.mode.startswith(("I", "F"))
        picture = upright if deep else upright.convert("L" if upright.mode in ("1", "L", "LA") else "RGB")
        values = np.asarray(picture, dtype=np.float64)
    except Exception as error:  # a damaged file makes Pillow raise anything
        raise InputError(f"{path}: cannot be read as an image ({error})") from error
    if deep:
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(high - low):
            raise InputError(f"{path}: pixels hold NaN or infinity")
        values = (values - low) / ((high - low) or 1.0)
    else:
        values = values / 255
    return values.reshape(*values.shape[:2], -1)


def file_points(path: str) -> Points:
    """Read points from .npy (n, d), .npz (`points`, and `target` if wanted), or text with a point a line.

    Raises:
        InputError: If the file is missing, of another kind, or holds no finite points.
    """
    suffix = Path(path).suffix.lower()
    readers = {".npy": _read_npy, ".npz": _read_npz, ".csv": _read_text, ".txt": _read_text, ".xyz": _read_text}
    if suffix not in readers:
        raise InputError(f"{path}: points are read from {', '.join(readers)}")
    try:
        data = readers[suffix](path)
        coords, values = _numbers(data["points"]), None if data.get("target") is None else _numbers(data["target"])
    except Exception as error:  # a damaged file makes NumPy and zipfile raise anything
        raise InputError(f"{path}: cannot be read as points ({error})") from error
    coords = coords[:, None] if coords.ndim == 1 else coords
    if suffix == ".xyz" and coords.ndim == 2 and coords.shape[1] == 6:
        coords = coords[:, :3]  # an oriented cloud: positions and normals
    if coords.ndim != 2 or coords.shape[0] < 1 or coords.shape[1] < 1:
        raise InputError(f"{path}: expected points of shape (n, coordinates), got {coords.shape}")
    if not np.isfinite(coords).all():
        raise InputError(f"{path}: point {int(np.argwhere(~np.isfinite(coords))[0, 0])} holds NaN or infinity")
    if values is not None:
        values = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
        if len(values) != len(coords) or not np.isfinite(values).all():
            raise InputError(f"{path}: a target of shape {values.shape} for {len(coords)} points, or not finite")
    return Points(
        coords=torch.from_numpy(np.ascontiguousarray(coords)),
        shape=None,
        target=values,
        what=f"{path}: {len(coords)} points",
    )


def _numbers(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{array.dtype} values, not real numbers")
    return np.array(array, dtype=np.float64)


def _read_npy(path: str) -> Mapping[str, Any]:
    return {"points": np.load(path, allow_pickle=False, mmap_mode="r")}  # maps no more than the file has


def _read_npz(path: str) -> Mapping[str, Any]:
    with zipfile.ZipFile(path) as packed:
        unpacked = sum(entry.file_size for entry in packed.infolist())
    if unpacked > _MOST_BYTES:
        raise ValueError(f"{unpacked} bytes when unpacked, at most {_MOST_BYTES}")
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in ("points", "target") if name in file}


def _read_text(path: str) -> Mapping[str, Any]:
    text = Path(path).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if not lines:
        raise ValueError("no points in it")
    rows = [[float(word) for word in re.split(r"[,;\s]+", line.strip())] for line in lines]
    if len({len(row) for row in rows}) != 1:
        raise ValueError("lines of different lengths")
    return {"points": np.array(rows)}


def _of_axes(axes: list[Tensor], *, what: str) -> Points:
    coords = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(axes))
    shape = tuple(len(axis) for axis in axes)
    return Points(coords=coords, shape=shape, target=None, what=f"{'x'.join(map(str, shape))} {what}")
