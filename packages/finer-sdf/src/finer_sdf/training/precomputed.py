"""The fast preset's samples: exact distances computed once, drawn again and again.

Most lie close to the surface, where the level set is decided; some farther off, some anywhere in the box, so that
no second surface appears there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from finer_sdf.normalization import BOX_HALF_SIDE
from finer_sdf.training.samples import SdfSamples


@dataclass(frozen=True, kw_only=True)
class Band:
    """Describe a kind of sample.

    Attributes:
        scale: Scale of the Laplace offset from the surface, in box units; None for points anywhere in the box.
        share: Share of a batch, and of the bank.
        last_weight: What each sample counts for at the end of a fit, relative to the beginning.
    """

    scale: float | None
    share: float
    last_weight: float = 1.0


BANDS = (
    Band(scale=0.0015, share=0.75),
    Band(scale=0.03, share=0.12, last_weight=0.1),
    Band(scale=None, share=0.13, last_weight=0.1),
)
"""What the fast preset draws; benchmarks/README.md has the comparison.

A network that is too small for the field has to divide its error. Far samples decide early where no surface is, and
then take from the surface what it could gain: hence their falling weight (docs/budgets.md).
"""

_PIECE = 1 << 16
"""Points made at once: bounds the memory, and lets progress be shown."""


class Target(Protocol):
    """Answer what the bank asks about a surface, in box coordinates."""

    def surface_points(self, count: int, random: np.random.Generator) -> np.ndarray:
        """Return `count` points of the surface, (count, 3)."""
        ...

    def signed_distance(self, points: np.ndarray) -> np.ndarray:
        """Return the distance at points (n, 3), negative inside, (n,)."""
        ...


class PrecomputedSamples:
    """Draw each step's samples from precomputed distances, from the seed and the step alone.

    Args:
        target: The surface.
        samples: Distances to compute.
        batch_points: Points a step.
        steps: Steps of the fit, over which the bands' weights go in a straight line to their last ones.
        seed: Seed of the run.
        bands: The kinds of samples.
        on_samples: Called with the number of distances done.
    """

    def __init__(
        self,
        target: Target,
        *,
        samples: int,
        batch_points: int,
        steps: int,
        seed: int,
        bands: Sequence[Band] = BANDS,
        on_samples: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._seed, self._steps, self._bands = seed, steps, bands
        self._counts = shares_of(batch_points, bands)
        self._coords: list[torch.Tensor] = []
        self._sdf: list[torch.Tensor] = []
        done = 0
        for number, (band, count) in enumerate(zip(bands, shares_of(samples, bands), strict=True)):
            coords = np.empty((count, 3), dtype=np.float32)
            sdf = np.empty((count, 1), dtype=np.float32)
            for start in range(0, count, _PIECE):
                stop = min(start + _PIECE, count)
                random = np.random.default_rng([seed, number, start])
                points = points_of_band(band, target, count=stop - start, random=random)
                # Rounded before the distance is asked, so that the pair is exact.
                coords[start:stop] = points
                sdf[start:stop, 0] = target.signed_distance(coords[start:stop].astype(np.float64))
                on_samples(done + stop)
            done += count
            self._coords.append(torch.from_numpy(coords))
            self._sdf.append(torch.from_numpy(sdf))

    def batch(self, step: int) -> SdfSamples:
        """Return the samples of step `step`, the kinds mixed evenly."""
        state = np.random.SeedSequence([self._seed, step]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]) >> 1)
        progress = step / self._steps
        coords, sdf, weights = [], [], []
        for band, bank, distances, count in zip(self._bands, self._coords, self._sdf, self._counts, strict=True):
            index = torch.randint(0, len(bank), (count,), generator=generator)
            coords.append(bank[index])
            sdf.append(distances[index])
            weights.append(torch.full((count, 1), 1 + (band.last_weight - 1) * progress))
        order = torch.randperm(sum(self._counts), generator=generator)
        weight = torch.cat(weights)
        return SdfSamples(
            coords=torch.cat(coords)[order], sdf=torch.cat(sdf)[order], weight=(weight / weight.sum())[order]
        )


def points_of_band(band: Band, target: Target, *, count: int, random: np.random.Generator) -> np.ndarray:
    """Draw points of one kind.

    Args:
        band: The kind.
        target: The surface.
        count: How many.
        random: Source of randomness.

    Returns:
        (count, 3) in the box; offsets that leave it end on its border.
    """
    if band.scale is None:
        return random.uniform(-BOX_HALF_SIDE, BOX_HALF_SIDE, size=(count, 3))
    points = target.surface_points(count, random) + random.laplace(scale=band.scale, size=(count, 3))
    return points.clip(-BOX_HALF_SIDE, BOX_HALF_SIDE)


def shares_of(total: int, bands: Sequence[Band]) -> list[int]:
    """Split a number by the bands' shares; every band gets at least one, the first takes what rounding leaves."""
    counts = [max(1, round(total * band.share)) for band in bands]
    counts[0] = max(1, total - sum(counts[1:]))
    return counts
