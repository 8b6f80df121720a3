"""Solids whose distance is known in closed form, and triangle meshes with every vertex on their surface."""

from dataclasses import dataclass

import numpy as np

from finer_sdf.geometry.shapes import Mesh

_LONGEST_FLAT = 6
"""Steps on flat parts are at most this many times as long as those on round ones."""


@dataclass(frozen=True, kw_only=True)
class RoundedBox:
    """Hold all points within `radius` of a box: also a ball (half sizes 0), a capsule (two of them 0) or a plate.

    Attributes:
        center: (3,) of the box.
        axes: (3, 3) orthonormal, its columns the directions of the box's sides.
        half: (3,) half sizes of the box, not negative.
        radius: Positive.
    """

    center: np.ndarray
    axes: np.ndarray
    half: tuple[float, float, float]
    radius: float

    def mesh(self, *, chord: float) -> Mesh:
        """Return a closed outward mesh whose faces are within `chord` of the surface.

        A cube with a grid on each side is blown up to a ball, grid lines at equal angles, and pulled apart at its
        middle planes by the half sizes. A right triangle with legs s on a sphere of radius r is s^2 / (4 r) deep.
        """
        steps = max(1, int(np.ceil(np.pi / 4 / np.sqrt(4 * chord / self.radius))))
        longest = _LONGEST_FLAT * self.radius * np.pi / 4 / steps
        lines = [_grid_lines(half, steps=steps, longest=longest) for half in self.half]
        corners, quads = _cube_surface(*(len(slopes) for slopes, _ in lines))
        slopes = np.stack([lines[axis][0][corners[:, axis]] for axis in range(3)], axis=1)
        offsets = np.stack([lines[axis][1][corners[:, axis]] for axis in range(3)], axis=1)
        local = offsets + self.radius * slopes / np.linalg.norm(slopes, axis=1, keepdims=True)
        return Mesh(vertices=local @ self.axes.T + self.center, faces=_split(quads, local))


@dataclass(frozen=True, kw_only=True)
class Torus:
    """Hold all points within `minor` of a circle.

    Attributes:
        center: (3,) of the circle.
        axes: (3, 3) orthonormal, its third column the axis of the circle.
        major: Radius of the circle.
        minor: Radius of the tube, smaller.
    """

    center: np.ndarray
    axes: np.ndarray
    major: float
    minor: float

    def mesh(self, *, chord: float) -> Mesh:
        """Return a closed outward mesh whose faces are within `chord` of the surface.

        Steps of angle t around a radius r are r t^2 / 8 deep; each direction may have half of `chord`.
        """
        around = int(np.ceil(2 * np.pi / np.sqrt(4 * chord / (self.major + self.minor))))
        across = int(np.ceil(2 * np.pi / np.sqrt(4 * chord / self.minor)))
        u, v = np.meshgrid(
            np.arange(around) * (2 * np.pi / around), np.arange(across) * (2 * np.pi / across), indexing="ij"
        )
        wide = self.major + self.minor * np.cos(v)
        local = np.stack([wide * np.cos(u), wide * np.sin(u), self.minor * np.sin(v)], axis=-1).reshape(-1, 3)
        numbers = np.arange(around * across).reshape(around, across)
        next_u, next_v = np.roll(numbers, -1, axis=0), np.roll(numbers, -1, axis=1)
        quads = np.stack([numbers, next_u, np.roll(next_u, -1, axis=1), next_v], axis=-1).reshape(-1, 4)
        return Mesh(vertices=local @ self.axes.T + self.center, faces=_split(quads, local))


Solid = RoundedBox | Torus


def _grid_lines(half: float, *, steps: int, longest: float) -> tuple[np.ndarray, np.ndarray]:
    """Return slope and offset of the grid lines of one axis: from -1 to 1, with a flat part of length 2 half."""
    rising = np.tan(np.linspace(0, np.pi / 4, steps + 1))
    rising[-1] = 1.0  # exactly, so that the three sides of the cube meet in the same point
    if half == 0:
        return np.concatenate([-rising[:0:-1], rising]), np.zeros(2 * steps + 1)
    flat = int(np.ceil(2 * half / longest))
    slopes = np.concatenate([-rising[::-1], np.zeros(flat - 1), rising])
    offsets = np.concatenate([np.full(steps, -half), np.linspace(-half, half, flat + 1), np.full(steps, half)])
    return slopes, offsets


def _cube_surface(*lines: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the grid points on the surface of a box of grid lines, as indices (n, 3), and its cells (m, 4)."""
    keys = np.arange(np.prod(lines)).reshape(lines)
    cells = []
    for axis in range(3):
        # In cyclic order of the axes, so that the first direction turns to the second as seen from outside.
        sheets = np.moveaxis(keys, [(axis + 1) % 3, (axis + 2) % 3, axis], [0, 1, 2])
        for sheet in (sheets[:, :, -1], sheets[:, :, 0].T):
            corners = (sheet[:-1, :-1], sheet[1:, :-1], sheet[1:, 1:], sheet[:-1, 1:])
            cells.append(np.stack(corners, axis=-1).reshape(-1, 4))
    used, numbers = np.unique(np.concatenate(cells), return_inverse=True)
    return np.stack(np.unravel_index(used, lines), axis=1), numbers.reshape(-1, 4)


def _split(quads: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Return two triangles for every four corners (m, 4), cut along the shorter diagonal, the first of equal ones."""
    diagonals = np.linalg.norm(vertices[quads[:, :2]] - vertices[quads[:, 2:]], axis=2)
    turned = diagonals[:, 1] < diagonals[:, 0] * (1 - 1e-9)
    quads = np.where(turned[:, None], np.roll(quads, -1, axis=1), quads)
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int64)
