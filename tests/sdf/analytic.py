"""Surfaces whose distance and normals are known exactly, and small fields fitted to them."""

from functools import lru_cache

import numpy as np
import torch

from finer_core import build_network
from finer_core.networks import Network
from finer_core.networks.build import published_config
from finer_core.training import Fit, build_optimizers, warmup_cosine
from finer_sdf.geometry import unit_vectors
from finer_sdf.training.objective import DistanceObjective
from finer_sdf.training.precomputed import PrecomputedSamples


class Sphere:
    """A sphere of radius 0.3 about the origin."""

    radius = 0.3

    def surface_points(self, count: int, random: np.random.Generator) -> np.ndarray:
        return self.radius * unit_vectors(random.normal(size=(count, 3)))

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points, axis=1) - self.radius

    def normals(self, points: np.ndarray) -> np.ndarray:
        return unit_vectors(points)


class Torus:
    """A torus about the z axis, radii 0.28 and 0.12."""

    large, small = 0.28, 0.12

    def surface_points(self, count: int, random: np.random.Generator) -> np.ndarray:
        u, v = random.uniform(0, 2 * np.pi, size=(2, count))
        ring = self.large + self.small * np.cos(v)
        return np.stack([ring * np.cos(u), ring * np.sin(u), self.small * np.sin(v)], axis=1)

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        ring = np.hypot(points[:, 0], points[:, 1]) - self.large
        return np.hypot(ring, points[:, 2]) - self.small

    def normals(self, points: np.ndarray) -> np.ndarray:
        axis = self.large * unit_vectors(points * [1, 1, 0])
        return unit_vectors(points - axis)


SHAPES = {"sphere": Sphere(), "torus": Torus()}


@lru_cache(maxsize=4)
def fitted(name: str, *, steps: int = 400) -> Network:
    """Return a small FINER network fitted by the fast preset's objective, trained with the detached factor."""
    config = published_config(method="finer", task="sdf", in_features=3, out_features=1, hidden_features=64)
    network = build_network(config, generator=torch.Generator().manual_seed(0))
    sampler = PrecomputedSamples(SHAPES[name], samples=100_000, batch_points=2048, steps=steps, seed=0)
    Fit(
        network=network,
        objective=DistanceObjective(sampler, error="absolute", chunk_points=1024, device="cpu"),
        optimizers=build_optimizers(network, name="adam", learning_rate=2e-3, betas=(0.9, 0.99)),
        schedule=warmup_cosine(),
        steps=steps,
        log_every=50,
    ).run()
    return network.eval()
