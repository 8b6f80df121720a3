"""One step's training samples, and who makes them ahead of time."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from finer_core.parallel import as_here, worker_count
from finer_core.shapes import Float
from finer_core.training.transfer import send


@dataclass(frozen=True, kw_only=True)
class SdfSamples:
    """Hold points of the box with what the field should be there.

    Attributes:
        coords: (n, 3).
        sdf: (n, 1) target distance, in box units; of a color head (n, 3), the colors.
        weight: (n, 1) factor of each point's term in the loss.
    """

    coords: Float[Tensor, "points 3"]
    sdf: Float[Tensor, "points values"]
    weight: Float[Tensor, "points 1"]

    def to(self, device: torch.device | str) -> "SdfSamples":
        """Move the samples to a device."""
        return SdfSamples(
            coords=send(self.coords, device), sdf=send(self.sdf, device), weight=send(self.weight, device)
        )

    def split(self, rows: int) -> Sequence["SdfSamples"]:
        """Cut into pieces of at most `rows` points."""
        parts = zip(self.coords.split(rows), self.sdf.split(rows), self.weight.split(rows), strict=True)
        return [SdfSamples(coords=coords, sdf=sdf, weight=weight) for coords, sdf, weight in parts]


class Sampler(Protocol):
    """Make the samples of a step from the step's number alone, so that a resumed fit sees the same ones."""

    def batch(self, step: int) -> SdfSamples:
        """Return the samples of step `step`, on the CPU."""
        ...


_MOST_WORKERS = 4
"""Threads that make samples beside a GPU: each works with matrices or a tree that has threads of its own."""


def workers_beside(device: torch.device | str) -> int:
    """Return how many threads make samples beside a fit on a device.

    A step on a GPU takes less time than its samples may, and the cores have little else to do; on a CPU they train.
    """
    return 1 if torch.device(device).type == "cpu" else min(_MOST_WORKERS, worker_count())


class Prefetcher:
    """Make the next steps' samples in the background while a step trains.

    Args:
        sampler: What makes them; it is called from other threads.
        steps: Steps in all: nothing is made beyond them.
        workers: How many steps' samples are made at once, each by a thread of its own.
    """

    def __init__(self, sampler: Sampler, *, steps: int, workers: int = 1) -> None:
        self._sampler, self._steps, self._depth = sampler, steps, 2 * workers
        self._worker = ThreadPoolExecutor(workers, thread_name_prefix="finer-samples")
        self._coming: dict[int, Future[SdfSamples]] = {}

    def batch(self, step: int) -> SdfSamples:
        """Return the samples of step `step`, ready-made if the steps come in order."""
        make: Callable[[int], SdfSamples] = as_here(self._sampler.batch)
        for number in range(step, min(step + self._depth + 1, self._steps)):
            if number not in self._coming:
                self._coming[number] = self._worker.submit(make, number)
        for number in [n for n in self._coming if n < step or n > step + self._depth]:
            self._coming.pop(number).cancel()  # after a rollback or a restart the steps begin elsewhere
        return self._coming.pop(step).result() if step in self._coming else make(step)

    def close(self) -> None:
        """Stop the background work."""
        self._worker.shutdown(wait=True, cancel_futures=True)
