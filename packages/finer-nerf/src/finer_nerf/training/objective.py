"""The photometric objective: rays, occupancy, the mean squared error, and what a resumed training needs of them."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.ranks import part_of
from finer_core.errors import InputError
from finer_core.parallel import parallel_map, worker_count
from finer_core.training import accumulate_gradients
from finer_nerf.fields.field import PointField
from finer_nerf.rendering.occupancy import OccupancyGrid
from finer_nerf.rendering.ray_marching import PackedSamples, march
from finer_nerf.rendering.volume import RayRendering, render_packed
from finer_nerf.training.background import LearnedBackground
from finer_nerf.training.exposure import Exposure
from finer_nerf.training.rays import RayBatch, TrainingRays

_FULL_LOOKS = 16
"""Looks at the whole grid before only a part of the cells is looked at (torch-ngp)."""
_LATER_SHARE = 0.25
_LEAST_RAYS = 512
_FIRST_RAYS = 1024
_PIECE_SAMPLES = 16_000
"""Samples of a piece on a CPU: what a core's cache holds of a layer."""
_GRID_PIECE = 8192
_MEMORY = 0.9
"""How much of a running mean stays at each step."""
_LEAST_SAMPLES_A_RAY, _MOST_SAMPLES_A_RAY = 0.25, 1e9
_MOST_OPACITY = 1.001
"""Of a ray: the sum of its weights, which rounding may take beyond 1."""
_EMPTY_OPACITY = 0.01
_EMPTY_CHECK_FROM = 100


Marcher = Callable[..., PackedSamples]
"""`march`, or another that takes the same arguments."""


class EmptySceneError(Exception):
    """Report that a training collapsed: the field became transparent where the pictures are not."""

    def __init__(self, *, step: int, opacity: float) -> None:
        super().__init__(f"the field became empty after step {step} (mean opacity {opacity:.2g})")
        self.step, self.opacity = step, opacity


class PhotometricObjective:
    """Compare rendered rays with the pictures.

    Formula: L = mean over rays and channels of (C(r) - C_true(r))^2.

    The number of rays follows the number of samples that rays need, so that a step costs about the same while the scene
    goes from fog to surfaces.

    Args:
        rays: Where batches come from.
        grid: Occupancy; changed as the training goes.
        opened: Cells that can hold something, of the grid's shape.
        seed: Seed of rays and grid.
        batch_rays: Most rays a step.
        batch_samples: Samples a step; 0 for no limit.
        min_near: Nearest that a ray sees.
        max_samples: Most samples a ray.
        min_weight: Smallest weight of a sample that is trained.
        chunk_samples: Samples that go through the networks at once on a GPU: what its memory is allowed to hold.
        grid_every: Steps between looks at the density.
        attempt: How often this training started over.
        sample: Finds the samples of rays.
        learned: The background, where it is learned.
        exposure: Colors of each picture, where they are learned.
        gradient_sum: Adds the gradients, and what is told of the rays, of the other processes that share a step; None
            if there are none. All draw the same rays, each renders a contiguous part of them, and all look at the
            density of the same points.
    """

    def __init__(
        self,
        rays: TrainingRays,
        *,
        grid: OccupancyGrid,
        opened: Tensor,
        seed: int,
        batch_rays: int,
        batch_samples: int,
        min_near: float,
        max_samples: int,
        min_weight: float,
        chunk_samples: int,
        grid_every: int,
        attempt: int = 0,
        sample: Marcher = march,
        learned: LearnedBackground | None = None,
        exposure: Exposure | None = None,
        gradient_sum: GradientReducer | None = None,
    ) -> None:
        self.rays, self.grid = rays, grid
        self.seed, self.batch_rays, self.batch_samples = seed, batch_rays, batch_samples
        self.min_near, self.max_samples, self.min_weight = min_near, max_samples, min_weight
        self.chunk_samples, self.grid_every = chunk_samples, grid_every
        self.attempt, self.sample, self.learned, self.exposure = attempt, sample, learned, exposure
        self.gradient_sum = gradient_sum or GradientReducer()
        self.samples_per_ray = 0.0
        self.opacity = 1.0
        self.rays_seen = 0
        self.grid.open_only(opened)

    def backward(self, network: nn.Module, step: int) -> Tensor:
        """Accumulate the gradients of one step and return its loss, both of all its rays.

        Raises:
            EmptySceneError: If the field has become empty.
            InputError: If the network is no radiance field.
        """
        if not isinstance(network, PointField):
            raise InputError(
                f"{type(network).__name__} is no radiance field: it needs density_and_features(points) and "
                "color(directions, features); see finer_nerf.fields.radiance_field.RadianceField"
            )
        if step % self.grid_every == 0:
            self._look(network, step)
        if self.learned is not None and not isinstance(self.rays.background, str):
            self.rays.background = self.learned.color
        batch = self.rays.batch(rays=self._count(), generator=self._generator(step, purpose=0))
        mine = batch.part(part_of(len(batch), self.gradient_sum.ranks))
        pieces = mine.split(self._piece(len(mine)))
        seen: list[tuple[int, RayRendering, RayBatch]] = []

        def loss_of(piece: RayBatch) -> Tensor:
            rendering = self._render(network, piece)
            seen.append((len(piece), rendering, piece))
            image = rendering.image
            if self.exposure is not None:
                image = self.exposure.apply(image, piece.view)
            return (image - piece.target).square().sum() / (3 * len(batch))

        if self.exposure is not None:
            _ = self.exposure.maps  # solved once, and not by every thread
        loss = self.gradient_sum(network, accumulate_gradients(network, pieces, loss_of))
        if self.exposure is not None:
            order = {id(piece): number for number, piece in enumerate(pieces)}
            seen.sort(key=lambda each: order[id(each[2])])  # threads end in any order, and sums must not depend on it
            corrected = [(count, rendering, self.exposure.undo(piece)) for count, rendering, piece in seen]
            self.exposure.look(seen, add_up=None if self.gradient_sum.ranks.is_alone else self.gradient_sum.add_up)
            seen = corrected
        self._remember(seen, step)
        return loss

    def _render(self, field: PointField, piece: RayBatch) -> RayRendering:
        samples = self.sample(
            piece.rays_o,
            piece.rays_d,
            grid=self.grid,
            min_near=self.min_near,
            steps=self.max_samples,
            jitter=piece.jitter,
        )
        return render_packed(
            field, piece.rays_o, piece.rays_d, samples, background=piece.background, min_weight=self.min_weight
        )

    def _count(self) -> int:
        if not self.batch_samples:
            return self.batch_rays
        if not self.samples_per_ray:
            return min(_FIRST_RAYS, self.batch_rays)
        wanted = int(self.batch_samples / self.samples_per_ray)
        return min(self.batch_rays, max(wanted, _LEAST_RAYS))

    def _piece(self, rays: int) -> int:
        """Return the rays of a piece: for each core of a CPU as many pieces, elsewhere as few as the memory allows."""
        if torch.device(self.rays.device).type != "cpu":
            # Before the first step nothing is known of the samples but their limit.
            most = max(1, int(self.chunk_samples / (self.samples_per_ray or self.max_samples)))
            return -(-rays // -(-rays // most))  # all pieces alike
        expected = max(1.0, (self.samples_per_ray or 64.0) * rays)
        pieces = max(1, round(expected / _PIECE_SAMPLES))
        workers = worker_count()
        return -(-rays // (-(-pieces // workers) * workers))  # as many pieces for each core

    def _remember(self, seen: list[tuple[int, RayRendering, RayBatch]], step: int) -> None:
        if self.learned is not None:
            self.learned.look(seen, add_up=self.gradient_sum.add_up)
        # Integers and order-free maxima only above; this sum must not depend on which thread was first.
        sums = [
            ((rendering.opacity.detach() * piece.opaque).sum(dtype=torch.float64), piece.opaque.sum().double())
            for _, rendering, piece in seen
        ]
        opaque = sorted(torch.stack([torch.stack(pair) for pair in sums]).tolist())  # a GPU is waited for once
        mine = [
            sum(each for each, _, _ in seen),
            sum(rendering.evaluated for _, rendering, _ in seen),
            *map(sum, zip(*opaque, strict=True)),
        ]
        rays, samples, opacity, count = self.gradient_sum.add_up(torch.tensor(mine, dtype=torch.float64)).tolist()
        kept = _MEMORY if step else 0.0
        self.samples_per_ray = max(_LEAST_SAMPLES_A_RAY, kept * self.samples_per_ray + (1 - kept) * (samples / rays))
        self.rays_seen += int(rays)
        if count:
            mean = opacity / count
            self.opacity = _MEMORY * self.opacity + (1 - _MEMORY) * mean
        if step >= _EMPTY_CHECK_FROM and self.opacity < _EMPTY_OPACITY:
            raise EmptySceneError(step=step, opacity=self.opacity)

    def _look(self, field: PointField, step: int) -> None:
        looks = step // self.grid_every
        device = self.grid.occupied.device

        @torch.no_grad()
        def density(points: Tensor) -> Tensor:
            if device.type != "cpu":
                return field.density_and_features(points)[0]
            return torch.cat(parallel_map(lambda x: field.density_and_features(x)[0], points.split(_GRID_PIECE)))

        share = 1.0 if looks < _FULL_LOOKS else _LATER_SHARE
        self.grid.update(density, generator=self._generator(step, purpose=1), share=share)

    def _generator(self, step: int, *, purpose: int) -> torch.Generator:
        """Return the source of a step's random numbers: it depends on nothing else, so resuming is exact."""
        # Hashed, because PyTorch's CPU generator takes no more than 32 bits of a seed into account.
        key = hashlib.blake2b(f"{self.seed} {self.attempt} {step} {purpose}".encode(), digest_size=4)
        return torch.Generator().manual_seed(int.from_bytes(key.digest(), "little"))

    def state_dict(self) -> Mapping[str, Any]:
        """Return what a resumed fit needs."""
        return {
            "grid": self.grid.state_dict(),
            "samples_per_ray": self.samples_per_ray,
            "opacity": self.opacity,
            "rays_seen": self.rays_seen,
            "attempt": self.attempt,
            **({} if self.learned is None else {"background": self.learned.sums}),
            **({} if self.exposure is None else {"exposure": self.exposure.state_dict()}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned.

        Raises:
            ValueError: If it holds what no training comes to, and would fail in the next step, or begin it anew.
        """
        rays = float(state["samples_per_ray"])
        limits = {
            "samples_per_ray": rays == 0 or _LEAST_SAMPLES_A_RAY <= rays <= _MOST_SAMPLES_A_RAY,
            "opacity": 0 <= float(state["opacity"]) <= _MOST_OPACITY,
            **{name: state[name] >= 0 and state[name] == int(state[name]) for name in ("rays_seen", "attempt")},
        }
        for name, is_possible in limits.items():
            if not is_possible:
                raise ValueError(f"objective.{name} cannot be {state[name]!r}")
        self.grid.load_state_dict(state["grid"])
        self.samples_per_ray = rays
        self.opacity = float(state["opacity"])
        self.rays_seen = max(self.rays_seen, int(state["rays_seen"]))  # steps that are undone took their time too
        self.attempt = int(state["attempt"])
        if self.learned is not None:
            self.learned.load_sums(state["background"])
        if self.exposure is not None:
            self.exposure.load_state_dict(state["exposure"])
