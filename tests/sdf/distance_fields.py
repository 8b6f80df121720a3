"""Distance fields with a formula, as the mesher takes them, and what meshes of them are asked."""

from collections.abc import Callable

import numpy as np
import torch
import trimesh
from torch import Tensor

from finer_sdf.geometry import Mesh

Field = Callable[[Tensor], Tensor]


def sphere(*, radius: float = 0.3, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Field:
    return lambda x: (x - torch.tensor(center)).norm(dim=1, keepdim=True) - radius


class Ball(torch.nn.Module):
    """The distance to a ball, as a network of a user's: with one parameter."""

    def __init__(self, *, radius: float) -> None:
        super().__init__()
        self.radius = torch.nn.Parameter(torch.tensor(radius))

    def forward(self, x: Tensor) -> Tensor:
        return x.norm(dim=-1, keepdim=True) - self.radius


def torus(x: Tensor) -> Tensor:
    """Radii 0.28 and 0.12, off center, its axis along (1, 2, 2) / 3: no symmetry with the grid."""
    moved = x - torch.tensor([0.013, -0.021, 0.007])
    height = moved @ torch.tensor([1.0, 2.0, 2.0]) / 3
    ring = (moved.square().sum(dim=1) - height**2).clamp(min=0).sqrt() - 0.28
    return torch.stack([ring, height], dim=1).norm(dim=1, keepdim=True) - 0.12


def union(*fields: Field) -> Field:
    return lambda x: torch.stack([f(x) for f in fields]).amin(dim=0)


def as_trimesh(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)


def assert_closed(mesh: Mesh) -> None:
    """Every edge is used once in each direction, every vertex is used and lies at a place of its own."""
    edges = np.concatenate([mesh.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    forward = edges[:, 0] * len(mesh.vertices) + edges[:, 1]
    backward = edges[:, 1] * len(mesh.vertices) + edges[:, 0]
    assert len(np.unique(forward)) == len(forward)
    np.testing.assert_array_equal(np.sort(forward), np.sort(backward))
    np.testing.assert_array_equal(np.unique(mesh.faces), np.arange(len(mesh.vertices)))
    assert len(np.unique(mesh.vertices, axis=0)) == len(mesh.vertices)


def volume_of_sphere(radius: float) -> float:
    return 4 / 3 * np.pi * radius**3
