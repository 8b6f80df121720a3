"""The fast preset's samples: exact distances computed once, drawn again and again.

Most lie close to the surface, where the level set is decided; some farther off, some anywhere in the box, so that
no second surface appears there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from finer_core.distributed.ranks import ALONE, Ranks, part_of
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
        ranks: The place of this process among those that share the fit. All draw the same batches; each computes the
            distances of its part of every band, and serves the samples of a batch that are among them.
        on_samples: Called with the number of distances done, and how many are to be computed here.
    """

    def __init__(
        self,
        target: Target,
        *,
        samples: int,
        batch_points: int,
        steps: int,
        seed: int,
        ranks: Ranks = ALONE,
        on_samples: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        self._seed, self._steps, self._is_alone = seed, steps, ranks.is_alone
        self._counts = shares_of(batch_points, BANDS)
        self._sizes = shares_of(samples, BANDS)
        self._parts = [part_of(size, ranks) for size in self._sizes]
        self._coords: list[torch.Tensor] = []
        self._sdf: list[torch.Tensor] = []
        done, total = 0, sum(part.stop - part.start for part in self._parts)
        for number, (band, size, part) in enumerate(zip(BANDS, self._sizes, self._parts, strict=True)):
            coords = np.empty((part.stop - part.start, 3), dtype=np.float32)
            sdf = np.empty((part.stop - part.start, 1), dtype=np.float32)
            for start in range(part.start // _PIECE * _PIECE, part.stop, _PIECE):
                first, last = max(start, part.start), min(start + _PIECE, part.stop)
                if first == last:  # there are more processes than samples of this kind
                    continue
                random = np.random.default_rng([seed, number, start])
                points = points_of_band(band, target, count=min(_PIECE, size - start), random=random)
                here = slice(first - part.start, last - part.start)
                # Rounded before the distance is asked, so that the pair is exact.
                coords[here] = points[first - start : last - start]
                sdf[here, 0] = target.signed_distance(coords[here].astype(np.float64))
                done += last - first
                on_samples(done, total)
            self._coords.append(torch.from_numpy(coords))
            self._sdf.append(torch.from_numpy(sdf))

    def batch(self, step: int) -> SdfSamples:
        """Return the samples of step `step`, the kinds mixed evenly; of several processes this one's, kind by kind."""
        state = np.random.SeedSequence([self._seed, step]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state[0]) >> 1)
        progress = step / self._steps
        drawn, weights = [], []
        for band, size, count in zip(BANDS, self._sizes, self._counts, strict=True):
            drawn.append(torch.randint(0, size, (count,), generator=generator))
            weights.append(torch.full((count, 1), 1 + (band.last_weight - 1) * progress))
        weight = torch.cat(weights)
        weight /= weight.sum()
        if not self._is_alone:
            return self._mine(drawn, weight)
        order = torch.randperm(len(weight), generator=generator)
        coords, sdf = self._served(drawn)
        return SdfSamples(coords=coords[order], sdf=sdf[order], weight=weight[order])

    def _mine(self, drawn: Sequence[torch.Tensor], weight: torch.Tensor) -> SdfSamples:
        """Return the samples of a batch whose distances are here, with what they count for in the whole batch."""
        parts = list(zip(drawn, self._parts, strict=True))
        here = [(index >= part.start) & (index < part.stop) for index, part in parts]
        coords, sdf = self._served([index[mine] - part.start for (index, part), mine in zip(parts, here, strict=True)])
        return SdfSamples(coords=coords, sdf=sdf, weight=weight[torch.cat(here)])

    def _served(self, index: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return coordinates (n, 3) and distances (n, 1) of samples, numbered within the part that is here."""
        coords, sdf = (
            torch.cat([table[rows] for table, rows in zip(tables, index, strict=True)])
            for tables in (self._coords, self._sdf)
        )
        return coords, sdf


def points_of_band(band: Band, target: Target, *, count: int, random: np.random.Generator) -> np.ndarray:
    """Draw points of one kind.

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
