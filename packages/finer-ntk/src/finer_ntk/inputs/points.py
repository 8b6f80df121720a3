"""Points that a kernel is computed on, with a target signal if there is one; and those of grids."""

import hashlib
import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from finer_core.coords import axis_coords
from finer_core.errors import InputError
from finer_core.schema import check, plain, whole_numbers

_DEFAULT_GRIDS = {1: "1024", 2: "64x64", 3: "16x16x16"}
_SIGNAL_FREQUENCIES = (1, 3, 8, 20)
_MOST_POINTS = 10**8


@dataclass(frozen=True, kw_only=True)
class Points:
    """Hold points in double precision.

    Attributes:
        coords: (n, in_features).
        shape: Of the grid that they are, in row-major order; None for scattered points.
        target: A signal at the points, (n, channels) in [-1, 1]; None where there is none.
        what: One line for people.
        notes: What was left out or taken for something when a file was read, a sentence each.

    Example:
        >>> from finer_ntk import line_grid
        >>> line_grid(8).in_features
        1
    """

    coords: Tensor
    shape: tuple[int, ...] | None
    target: np.ndarray | None
    what: str
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}: {self.what}"

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
    check(plain(count), int, name="count")
    if count < 1:
        raise InputError(f"a grid needs at least 1 point, got {count}")
    x = torch.arange(count, device="cpu", dtype=torch.float64)[:, None] / count
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
    if not isinstance(shape, Sequence) or not shape:
        raise InputError(f"a grid needs at least one side, as in (64, 64), got {shape!r}")
    shape = whole_numbers(shape, count=len(shape), what="a grid's sides")
    if min(shape) < 1:
        raise InputError(f"a grid needs at least 1 point a side, got {shape}")
    return _of_axes([_axis(length) for length in shape], what="grid on [-1, 1]")


def grid_points(text: str) -> Points:
    """Return the points of `--grid`, such as "1024" or "64x64"; InputError if it is neither."""
    if not re.fullmatch(r"\d{1,9}(x\d{1,9})*", text.strip().lower()):
        raise InputError(f"--grid {text!r} is not a size; write 1024 or 64x64")
    sizes = tuple(int(part) for part in text.lower().split("x"))
    if not 0 < math.prod(sizes) <= _MOST_POINTS:
        raise InputError(f"--grid {text!r} has {math.prod(sizes)} points; give at least 1, at most {_MOST_POINTS}")
    return line_grid(sizes[0]) if len(sizes) == 1 else box_grid(sizes)


def default_points(in_features: int) -> Points:
    """Return the grid that is used when none was asked for; InputError for more than three coordinates."""
    if in_features not in _DEFAULT_GRIDS:
        raise InputError(f"a network of {in_features} coordinates has no default grid; give --points FILE")
    return grid_points(_DEFAULT_GRIDS[in_features])


def pixel_points(height: int, width: int, *, limit: int, pixels: np.ndarray | None = None) -> Points:
    """Return an image's pixels, every s-th row and column so that there are at most `limit`; their values as target."""
    step = next(step for step in itertools.count(1) if -(-height // step) * -(-width // step) <= limit)
    axes = [_axis(length)[::step] for length in (height, width)]
    which = "" if step == 1 else f", one in {step} a direction"
    target = None
    if pixels is not None:
        target = pixels[::step, ::step].astype(np.float64).reshape(-1, math.prod(pixels.shape[2:]))
    return _of_axes(axes, what=f"pixels of {height}x{width}{which}", target=target)


def _axis(length: int) -> Tensor:
    return axis_coords(length, device="cpu", dtype=torch.float64)  # wherever the program makes its tensors


def _of_axes(axes: list[Tensor], *, what: str, target: np.ndarray | None = None) -> Points:
    coords = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(axes))
    shape = tuple(len(axis) for axis in axes)
    return Points(coords=coords, shape=shape, target=target, what=f"{'x'.join(map(str, shape))} {what}")
