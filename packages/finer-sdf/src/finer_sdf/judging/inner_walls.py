"""Tell a solid's outside from the walls within it, which closed parts have where they overlap."""

from dataclasses import dataclass

import numpy as np

from finer_sdf.judging.surface_sampling import SurfaceSamples, sample_surface
from finer_sdf.mesh_distance import MeshDistance
from finer_sdf.shapes import Mesh

_OFFSET = 1e-5
"""How far beside a wall its sides are asked for, in units of the box: libigl answers in single precision."""
_PROBE = 4096
"""Samples that decide whether the others are looked at."""
_SHARE = 2e-3
"""Less of an area is no wall: beside a concave edge, as far as the offset goes, both sides of a face are inside."""
_ROOM = 1.05
"""More samples than the share demands are drawn by this factor, so that enough are left."""


@dataclass(frozen=True, kw_only=True)
class OuterSamples:
    """Hold samples of a solid's outside.

    Attributes:
        samples: As many as were asked for.
        share: Share of the mesh's area that lies inside, 0 where there are no walls.
    """

    samples: SurfaceSamples
    share: float


def sample_outside(mesh: Mesh, distance: MeshDistance, *, count: int, seed: tuple[int, ...]) -> OuterSamples:
    """Draw points that are uniform over a mesh's area without its inner walls.

    A point is on an inner wall if both its sides are inside, where the winding number is above 1/2. Without such
    walls the samples are those of `sample_surface`.

    Args:
        mesh: In box coordinates.
        distance: Its winding numbers.
        count: How many.
        seed: Numbers that make the seed of the draw.
    """
    samples = sample_surface(mesh, count=count, seed=seed)
    share = float(_on_inner_walls(_some(samples, np.arange(min(count, _PROBE))), distance).mean())
    if share < _SHARE or share == 1:
        return OuterSamples(samples=samples, share=0.0)
    drawn = sample_surface(mesh, count=int(_ROOM * count / (1 - share)) + _PROBE, seed=seed)
    inner = _on_inner_walls(drawn, distance)
    return OuterSamples(samples=_some(drawn, np.flatnonzero(~inner)[:count]), share=float(inner.mean()))


def _on_inner_walls(samples: SurfaceSamples, distance: MeshDistance) -> np.ndarray:
    sides = [distance.inside(samples.points + offset * samples.normals) for offset in (-_OFFSET, _OFFSET)]
    both: np.ndarray = sides[0] & sides[1]
    return both


def _some(samples: SurfaceSamples, which: np.ndarray) -> SurfaceSamples:
    return SurfaceSamples(points=samples.points[which], normals=samples.normals[which], faces=samples.faces[which])
