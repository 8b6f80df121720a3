"""Coordinate grids: the one place where pixels become coordinates.

Convention (FINER's image code): each axis runs from -1 to 1 with both ends on the border samples, axes are ordered
(row, column), and the first axis is slow. An axis of one sample sits at its center, 0.
"""

import torch
from torch import Tensor

from finer_core.shapes import Float, Int


def axis_coords(
    length: int, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Float[Tensor, " {length}"]:
    """Return the coordinates of one axis.

    Args:
        length: Number of samples, at least 1.
        device: Where the result is made.
        dtype: Its type; the default type if None.

    Returns:
        (length,), from -1 to 1.

    Raises:
        ValueError: If `length` is less than 1, or no integer.
    """
    if isinstance(length, float | str | tuple | list):
        raise ValueError(f"an axis has a whole number of samples, as in grid_coords(2, 3); got {length!r:.100}")
    if length < 1:
        raise ValueError(f"an axis needs at least 1 sample, got {length}")
    if length == 1:
        return torch.zeros(1, device=device, dtype=dtype)
    return torch.linspace(-1.0, 1.0, length, device=device, dtype=dtype)


def coords_of_index(index: Int[Tensor, " n"], axes: tuple[Tensor, ...]) -> Float[Tensor, "n axes"]:
    """Turn flat sample numbers into coordinates, without ever making the whole grid.

    Args:
        index: (n,) integers, row-major over the grid that `axes` span.
        axes: One 1-D tensor of coordinates an axis, slowest first.

    Returns:
        (n, len(axes)).
    """
    columns = []
    rest = index
    for axis in reversed(axes):
        columns.append(axis[rest % axis.shape[0]])
        rest = rest // axis.shape[0]
    return torch.stack(columns[::-1], dim=-1)


def grid_coords(
    *shape: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
) -> Float[Tensor, "points axes"]:
    """Return all coordinates of a grid.

    Args:
        *shape: Samples an axis, slowest first, e.g. height, width.
        device: Where the result is made.
        dtype: Its type.

    Returns:
        (product of shape, len(shape)), row-major.

    Raises:
        ValueError: If there is no axis, or one of less than 1 sample.

    Example:
        >>> from finer_core import grid_coords
        >>> grid_coords(2, 3)[:4].tolist()
        [[-1.0, -1.0], [-1.0, 0.0], [-1.0, 1.0], [1.0, -1.0]]
    """
    if not shape:
        raise ValueError("a grid needs at least one axis, as in grid_coords(height, width); got none")
    axes = [axis_coords(length, device=device, dtype=dtype) for length in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, len(shape))
