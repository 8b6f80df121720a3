"""Tell whether a field has come as near to its surface as the user wants."""

from collections.abc import Callable

import numpy as np
import torch

from finer_core.training import LogEntry
from finer_sdf.geometry import Shape
from finer_sdf.model import SdfModel
from finer_sdf.training.targets import target_of

_POINTS, _AT_ONCE = 20_000, 4096
_NEAR = 4.0
"""Mean error of a step's samples, in targets, below which the surface is asked: most samples lie close to it."""


def rms_to_surface(model: SdfModel, points: torch.Tensor) -> float:
    """Return the root mean square distance of a surface's points to the field's level set, to first order.

    Formula: sqrt(mean (f(x) / |grad f(x)|)^2).

    Returns:
        In units of the box.
    """
    total = 0.0
    for piece in points.split(_AT_ONCE):
        value, gradient = model.field_and_gradient(piece)
        slope = gradient.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        total += float((value / slope).square().sum(dtype=torch.float64))
    return (total / len(points)) ** 0.5


def target_test(model: SdfModel, shape: Shape, *, target_rms: float, seed: int) -> Callable[[LogEntry], bool]:
    """Return what tells at a log point whether the target is reached.

    Args:
        model: The field that is trained.
        shape: The surface, in box coordinates.
        target_rms: The target, in units of the box.
        seed: Of the points that are asked; not those that are trained on.
    """
    drawn = target_of(shape).surface_points(_POINTS, np.random.default_rng([seed, 1]))
    points = torch.from_numpy(drawn).to(model.device, torch.float32)

    def is_reached(point: LogEntry) -> bool:
        return point.loss < _NEAR * target_rms and rms_to_surface(model, points) <= target_rms

    return is_reached
