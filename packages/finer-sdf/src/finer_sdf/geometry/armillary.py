"""The built-in shape: an armillary sphere of fifty round parts, whose signed distance is known exactly everywhere."""

import hashlib
import json
from functools import cache

import numpy as np

from finer_sdf.config import BUILT_IN
from finer_sdf.geometry.loaded_shape import LoadedShape
from finer_sdf.geometry.primitives import RoundedBox, Solid, Torus
from finer_sdf.geometry.shapes import Mesh

CHORD = 1e-4
"""How far the mesh's faces are from the true surface, at most; the shape is 0.92 wide."""


def builtin_shape(*, chord: float = CHORD) -> LoadedShape:
    """Return the armillary sphere as a mesh, all vertices on the true surface.

    A globe with two moons; around it, rings of tablets, of beads and of metal: ecliptic, two tropics, equator and
    meridian; and the axis in two pieces. The finest parts have a radius of 0.0135, and 0.0115 lie between parts.

    Args:
        chord: How far faces may be from the true surface; the number of faces goes as 1 / chord.

    Returns:
        The mesh: one watertight outward part for every solid.
    """
    meshes = [part.mesh(chord=chord) for part in builtin_parts()]
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts[:-1], strict=True)]
    mesh = Mesh(vertices=np.concatenate([mesh.vertices for mesh in meshes]), faces=np.concatenate(faces))
    return LoadedShape(shape=mesh, name=BUILT_IN, sha256=_digest(chord))


@cache
def builtin_parts() -> tuple[Solid, ...]:
    """Return the solids; they are disjoint.

    Rings lie on spheres around one center whose radii differ by more than the tubes and the gap, so their tilts are
    free. The axis passes through them all: no ring but the meridian, which it ends before, comes near it.
    """
    tilted = _axes((0.36, 0.18, 0.91))
    parts: list[Solid] = [
        _ball((0, 0, 0), 0.13),
        _ball(tilted @ (0.19, 0.02, 0.03), 0.022),
        _ball(tilted @ (-0.17, -0.08, -0.03), 0.022),
    ]
    for end in (1, -1):
        place = tilted @ (0, 0, end * 0.293)
        parts.append(RoundedBox(center=place, axes=tilted, half=(0, 0, 0.137), radius=0.014))
    for tilt, height, major, minor in (
        ((0.92, 0.4, 0), 0.0, 0.478, 0.018),  # meridian: the axis lies in its plane
        ((0, 0, 1), 0.0, 0.428, 0.016),  # equator
        ((0, 0, 1), 0.245, 0.35, 0.014),  # tropics, on the equator's sphere
        ((0, 0, 1), -0.245, 0.35, 0.014),
        ((0.3, -0.26, 0.92), 0.0, 0.378, 0.016),  # ecliptic
    ):
        axes = _axes(tilted @ tilt)
        parts.append(Torus(center=height * axes[:, 2], axes=axes, major=major, minor=minor))
    beads = _axes(tilted @ (-0.55, 0.55, 0.63))
    for number in range(24):
        parts.append(_ball(beads @ _on_circle(number / 24, 0.318), (0.02, 0.014)[number % 2]))
    tablets = _axes(tilted @ (0.35, 0.45, 0.82))
    for number in range(16):
        out = tablets @ _on_circle(number / 16, 1.0)
        along = np.cross(tablets[:, 2], out)
        axes = np.stack([out, along, tablets[:, 2]], axis=1)
        parts.append(RoundedBox(center=0.25 * out, axes=axes, half=(0.0015, 0.0125, 0.0065), radius=0.0135))
    return tuple(parts)


def _ball(center: np.ndarray | tuple[float, ...], radius: float) -> RoundedBox:
    return RoundedBox(center=np.asarray(center, dtype=np.float64), axes=np.eye(3), half=(0, 0, 0), radius=radius)


def _on_circle(turn: float, radius: float) -> np.ndarray:
    return radius * np.array([np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn), 0.0])


def _axes(third: np.ndarray | tuple[float, float, float]) -> np.ndarray:
    """Return an orthonormal matrix (3, 3) whose last column has the direction of `third`."""
    w = np.asarray(third, dtype=np.float64) / np.linalg.norm(third)
    u = np.cross((0.0, 1.0, 0.0), w)
    u /= np.linalg.norm(u)
    return np.stack([u, np.cross(w, u), w], axis=1)


def _digest(chord: float) -> str:
    """Return a digest of what defines the mesh, rounded so that the last bits of a machine's sines do not matter."""
    parts = [
        [type(part).__name__, *((np.round(np.ravel(value), 9) + 0.0).tolist() for value in vars(part).values())]
        for part in builtin_parts()
    ]
    return hashlib.sha256(json.dumps([chord, parts]).encode()).hexdigest()
