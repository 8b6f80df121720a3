"""What the fast preset learns: exact distances to a mesh, or the best estimate of them that a point cloud allows."""

import igl
import numpy as np
from pykdtree.kdtree import KDTree

from finer_core.shapes import Float
from finer_sdf.evaluation.inner_walls import outside_of
from finer_sdf.geometry import Mesh, PointCloud, Shape
from finer_sdf.geometry.mesh_distance import PIECE
from finer_sdf.geometry.point_cloud import merge_places
from finer_sdf.geometry.surface_sampling import sample_surface
from finer_sdf.training.precomputed import Target
from finer_sdf.training.smooth_surface import smooth_surface


class MeshTarget:
    """Answer with exact distances to a mesh, of parts that overlap to their union.

    Args:
        mesh: In box coordinates.
    """

    def __init__(self, mesh: Mesh) -> None:
        outside = outside_of(mesh)
        self._mesh, self._distance = outside.surface, outside.distance

    def surface_points(self, count: int, random: np.random.Generator) -> Float[np.ndarray, "{count} 3"]:
        """Return `count` points, uniform over the surface, (count, 3)."""
        return sample_surface(self._mesh, count=count, seed=int(random.integers(2**62))).points

    def signed_distance(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, " points"]:
        """Return the distance at points (n, 3), (n,): nearest triangle, sign by winding number."""
        return self._distance.signed_distance(points)


_PLACE = 2.0**-40
"""Points closer than this, in box units, are at one place: libigl divides space until every point is alone."""


class CloudTarget:
    """Estimate distances to the surface that an oriented cloud samples.

    Close to the cloud (up to twice its spacing h) the distance is that to the locally smoothed tangent planes; far from
    it (beyond four times h) the distance to the nearest point, with the sign of the generalized winding number
    (Barill et al., 2018); in between a smooth blend.

    Formula: near(p) = sum_i w_i n_i . (p - v_i) / sum_i w_i over the eight nearest points, with
    w_i = exp(-|p - v_i|^2 / h^2) (implicit moving least squares, Kolluri 2005).

    Args:
        cloud: In box coordinates; normals outwards.
    """

    def __init__(self, cloud: PointCloud) -> None:
        points, normals = merge_places(np.round(cloud.points / _PLACE) * _PLACE, cloud.normals)
        if normals is not None and len(points) < len(cloud.points):
            cloud = PointCloud(points=points, normals=normals)
        points = cloud.points
        self._cloud = cloud
        self._tree = KDTree(np.ascontiguousarray(points))
        self._neighbors = min(8, len(points))
        to_others, _ = self._tree.query(np.ascontiguousarray(points), k=self._neighbors)
        reach = to_others[:, -1]
        self.spacing = float(np.median(reach)) / np.sqrt(self._neighbors / np.pi)
        self._areas = np.pi * reach**2 / self._neighbors  # of the disk that a point stands for

    def surface_points(self, count: int, random: np.random.Generator) -> Float[np.ndarray, "{count} 3"]:
        """Return `count` points of the cloud, with repetition, (count, 3)."""
        return self._cloud.points[random.integers(0, len(self._cloud.points), count)]

    def signed_distance(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, " points"]:
        """Return the estimated distance at points (n, 3), (n,)."""
        pieces = [points[start : start + PIECE] for start in range(0, len(points), PIECE)]
        return np.concatenate([self._signed_distance(np.ascontiguousarray(piece)) for piece in pieces])

    def _signed_distance(self, points: np.ndarray) -> np.ndarray:
        distance, index = self._tree.query(points, k=self._neighbors)
        distance, index = distance.reshape(len(points), -1), index.reshape(len(points), -1).astype(np.int64)
        offset = points[:, None] - self._cloud.points[index]
        # Relative to the nearest, so that the weights of far points do not all vanish.
        weight = np.exp((distance[:, :1] ** 2 - distance**2) / self.spacing**2)
        near = (weight * np.einsum("ijk,ijk->ij", offset, self._cloud.normals[index])).sum(1) / weight.sum(1)
        far = np.where(self._winding_number(points) > 0.5, -distance[:, 0], distance[:, 0])
        blend = np.clip((distance[:, 0] / self.spacing - 2) / 2, 0, 1)
        return near + blend * (far - near)

    def _winding_number(self, points: np.ndarray) -> np.ndarray:
        number: np.ndarray = igl.fast_winding_number(self._cloud.points, self._cloud.normals, self._areas, points)
        return number.reshape(-1)


def target_of(shape: Shape) -> Target:
    """Return the distances to learn of a surface in box coordinates."""
    if isinstance(shape, Mesh):
        return MeshTarget(shape)
    return MeshTarget(smooth_surface(shape)) if shape.noise else CloudTarget(shape)
