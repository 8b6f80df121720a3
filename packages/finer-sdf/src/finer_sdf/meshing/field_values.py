"""Evaluate a field at many points: pieces that stay in a core's cache, each thread taking whole ones."""

import numpy as np
import torch

from finer_core.casts import as_array
from finer_core.parallel import parallel_map
from finer_core.shapes import Float
from finer_core.training.transfer import send
from finer_sdf.normalization import Field

CACHED_POINTS = 1024
"""Points a piece on a CPU: 256 features of each fit a core's cache."""
DEVICE_POINTS = 1 << 18
"""Points a piece elsewhere."""


def evaluate_points(
    field: Field, points: Float[np.ndarray, "points 3"], *, chunk: int | None = None, device: torch.device | str = "cpu"
) -> Float[np.ndarray, " points"]:
    """Evaluate a field without gradients.

    On a CPU as many threads as PyTorch has work at once, each on pieces of its own: threads that share the short
    operations of a small network wait for each other most of the time. Every piece has the same size (the last one is
    filled up), so a point's value does not depend on the points beside it, nor on the number of threads. Elsewhere the
    last piece is as short as it is: a piece there is large, and a mesh asks for many points, but a few at a time.

    Args:
        field: The field; called from several threads, so it must not change anything.
        points: (n, 3), float32 or float64.
        chunk: Points a piece; by default what suits the device.
        device: Where the field computes.

    Returns:
        (n,) of the points' type, on the CPU.

    Raises:
        ValueError: If the points are not (n, 3), the chunk is not positive, or the field's answer is not (n, 1).
    """
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"points must be (n, 3), got {points.shape}")
    on_cpu = torch.device(device).type == "cpu"
    size = chunk if chunk is not None else CACHED_POINTS if on_cpu else DEVICE_POINTS
    if size < 1:
        raise ValueError(f"a chunk needs at least one point, got {size}")
    values = np.empty(len(points), dtype=points.dtype)

    def piece(start: int) -> None:
        part = points[start : start + size]
        coords = torch.from_numpy(np.resize(part, (size, 3)) if on_cpu and len(part) < size else part)
        with torch.no_grad():
            answer = field(send(coords, device))
        if answer.shape != (len(coords), 1):
            raise ValueError(f"the field must map ({len(coords)}, 3) to ({len(coords)}, 1), got {tuple(answer.shape)}")
        values[start : start + size] = as_array(answer[: len(part), 0])

    parallel_map(piece, range(0, len(points), size), device=device)
    return values
