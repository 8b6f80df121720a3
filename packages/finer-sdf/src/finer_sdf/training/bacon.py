"""The published Bacon-style protocol: samples, loss weights and learning rate (methods of BACON, FINER and FINER++).

One step: points of the cloud, half moved far and half moved a little; a target distance from the three nearest cloud
points; squared errors, the near half weighing a hundred times the far half.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from pykdtree.kdtree import KDTree

from finer_core.distributed.ranks import ALONE, Ranks, part_of
from finer_core.errors import InputError
from finer_core.shapes import Float, Int
from finer_core.training import Schedule
from finer_sdf.geometry import PointCloud
from finer_sdf.geometry.clouds.curve import along_a_curve
from finer_sdf.training.samples import SdfSamples

COARSE_SCALE, FINE_SCALE = 0.1, 0.001
"""Scales of the Laplace noise of the even and the odd points, in box units."""
COARSE_WEIGHT = 0.01
"""Factor of the even points' terms in the loss."""
NEIGHBORS = 3
FINAL_RATE = 1e-4
"""Rate that the schedule ends at, whatever it starts from."""


@dataclass(frozen=True, kw_only=True)
class PublishedBatch:
    """Hold the points of a step, or of a process's part of it, before they become tensors.

    Attributes:
        index: (n,) cloud points that were drawn.
        unwrapped: (n, 3) after the noise.
        points: (n, 3) after wrapping into the box.
        sdf: (n, 1) target.
    """

    index: np.ndarray
    unwrapped: np.ndarray
    points: np.ndarray
    sdf: np.ndarray


class CloudDistance:
    """Answer the published signed distance to an oriented cloud.

    Formula: sdf(p) = (p - v_1) . m, with v_1 the nearest cloud point and m the plain mean of the normals of the three
    nearest, not normalized again. It is a projection and no true distance; positive outside.

    Args:
        cloud: In box coordinates; at least three points.
    """

    def __init__(self, cloud: PointCloud) -> None:
        if len(cloud.points) < NEIGHBORS:
            raise InputError(f"a cloud needs at least {NEIGHBORS} points, got {len(cloud.points)}")
        self.cloud = cloud
        self._tree = KDTree(np.ascontiguousarray(cloud.points))

    def neighbors(
        self, points: Float[np.ndarray, "points 3"]
    ) -> tuple[Float[np.ndarray, "points 3"], Int[np.ndarray, "points 3"]]:
        """Return distance and index (n, 3) of the three cloud points nearest to points (n, 3), nearest first."""
        order = along_a_curve(points)  # neighbors in the query are neighbors in the tree: fewer cache misses
        distance, index = np.empty((len(points), NEIGHBORS)), np.empty((len(points), NEIGHBORS), dtype=np.int64)
        distance[order], index[order] = self._tree.query(np.ascontiguousarray(points[order]), k=NEIGHBORS)
        return distance, index

    def signed_distance(self, points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 1"]:
        """Return the signed distance (n, 1) at points (n, 3)."""
        _, index = self.neighbors(points)
        direction = self.cloud.normals[index].mean(axis=1)
        offset = points - self.cloud.points[index[:, 0]]
        return np.einsum("ij,ij->i", offset, direction)[:, None]


def wrap_into_box(points: Float[np.ndarray, "points 3"]) -> Float[np.ndarray, "points 3"]:
    """Move coordinates above 0.5 down by 1 and those below -0.5 up by 1, once, as the published sampler does."""
    return points - (points > 0.5) + (points < -0.5)


def published_batch(
    random: np.random.RandomState, distance: CloudDistance, *, batch_points: int, ranks: Ranks = ALONE
) -> PublishedBatch:
    """Draw the points of one step, and compute the targets of this process's part of them.

    Args:
        random: NumPy's legacy generator; it draws indices, then coarse noise, then fine noise.
        distance: The cloud's distance.
        batch_points: Even.
        ranks: The place of this process among those that share the step.

    Raises:
        InputError: If `batch_points` is odd: the two halves would differ.
    """
    if batch_points % 2:
        raise InputError(f"--batch-points must be even (half near, half far), got {batch_points}")
    index = random.randint(0, len(distance.cloud.points), batch_points)
    points = distance.cloud.points[index]
    points[::2] += random.laplace(scale=COARSE_SCALE, size=(batch_points // 2, 3))
    points[1::2] += random.laplace(scale=FINE_SCALE, size=(batch_points // 2, 3))
    mine = part_of(batch_points, ranks)
    index, points = index[mine], points[mine]
    wrapped = wrap_into_box(points)
    return PublishedBatch(index=index, unwrapped=points, points=wrapped, sdf=distance.signed_distance(wrapped))


class PublishedSampler:
    """Draw each step's published batch from the seed and the step.

    Args:
        distance: The cloud's distance.
        batch_points: Points a step, even.
        seed: Seed of the run.
        ranks: The place of this process among those that share the fit; each serves a contiguous part of a batch.
    """

    def __init__(self, distance: CloudDistance, *, batch_points: int, seed: int, ranks: Ranks = ALONE) -> None:
        self._distance, self._batch_points, self._seed, self._ranks = distance, batch_points, seed, ranks

    def batch(self, step: int) -> SdfSamples:
        """Return the samples of step `step`, or this process's part of them."""
        random = np.random.RandomState(np.random.SeedSequence([self._seed, step]).generate_state(8))
        drawn = published_batch(random, self._distance, batch_points=self._batch_points, ranks=self._ranks)
        return SdfSamples(
            coords=torch.from_numpy(drawn.points.astype(np.float32)),
            sdf=torch.from_numpy(drawn.sdf.astype(np.float32)),
            weight=published_weights(self._batch_points)[part_of(self._batch_points, self._ranks)],
        )


def published_weights(
    batch_points: int, *, coarse_weight: float = COARSE_WEIGHT
) -> Float[torch.Tensor, "{batch_points} 1"]:
    """Return the loss weights (n, 1): `coarse_weight` for even points, 1 for odd ones.

    Formula: L = sum_odd e_i + w sum_even e_i, e the squared error (with several heads their mean); a sum and no mean,
    so the loss grows with the batch.
    """
    weight = torch.ones(batch_points, 1)
    weight[::2] = coarse_weight
    return weight


def published_schedule(*, initial_rate: float) -> Schedule:
    """Return the published learning-rate schedule, as a factor on `initial_rate`.

    Formula: rate(k) = (0.01 + 0.99 sin(pi/2 min(k, 1))) r_0^(1 - k/K) r_K^(k/K), r_K = 1e-4: step 0 runs at 1 % of the
    rate, the rest is a geometric path that ends at 1e-4 wherever it starts.
    """
    ratio = FINAL_RATE / initial_rate
    return lambda step, steps: (0.01 + 0.99 * math.sin(0.5 * math.pi * min(step, 1))) * ratio ** (step / steps)
