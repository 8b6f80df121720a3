"""What training rays end on: which background a scene is trained with, and one that is learned."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_nerf.backgrounds import LEARNED, background_name
from finer_nerf.config import NerfConfig
from finer_nerf.rendering.volume import RayRendering
from finer_nerf.scenes import Scene
from finer_nerf.scenes.extent import constant_background
from finer_nerf.training.rays import RayBatch

_KEPT = 0.98
"""How much of the sums stays at each step."""
_PRIOR = 10.0
"""Rays that the first guess counts as."""
_CLEAR = 8
"""Power of the transmittance that a ray counts by: fog has a color of its own, which the background must not undo."""


def with_backgrounds(settings: NerfConfig, scene: Scene) -> NerfConfig:
    """Decide what is behind a scene and what its training rays end on.

    Transparent pictures are put on white, and trained on random colors, which keep the field opaque. Opaque pictures
    show what is behind them: the one color that their edges have, or else a color that is learned.

    Args:
        settings: With None where nothing was said.
        scene: What is trained on.

    Raises:
        InputError: If a background is to be learned of transparent pictures.
    """
    transparent = scene.train.is_transparent
    is_blender = scene.kind == "blender"  # of which the published code expects transparency, or white
    background = settings.background
    if background is None:
        color = None if transparent or is_blender else constant_background(scene.train)
        found = LEARNED if color is None else background_name((color.double() / 255).tolist())
        background = "white" if transparent or is_blender else found
    if background == LEARNED and transparent:
        raise InputError("--background learned: the pictures are transparent, so nothing is behind them; name a color")
    rays_end_on = settings.train_background
    if rays_end_on is None:
        rays_end_on = "random" if transparent or (is_blender and settings.preset == "paper") else "same"
    return dataclasses.replace(settings, background=background, train_background=rays_end_on)


class LearnedBackground:
    """Keep the color that fits best what rays see through the field.

    Formula: b = (k b_0 + sum w t (c_true - c)) / (k + sum w t^2) over recent rays, t their transmittance, w = t^8, c
    what they see on black: the weighted least-squares solution for a given field, each step's sums fading by a
    constant factor.

    Args:
        first: The first guess b_0, (3,), which counts as k rays.
        device: Where the rays are.
    """

    def __init__(self, *, first: Tensor, device: torch.device | str) -> None:
        self.sums = torch.zeros(4, dtype=torch.float64)
        self.first, self.device = first.double().cpu(), device

    @classmethod
    def guess(cls, images: Tensor, *, device: torch.device | str) -> "LearnedBackground":
        """Begin with the median color at the edges of pictures, uint8 (n, height, width, 3 or 4)."""
        rows, columns = images[:, [0, -1], :, :3].flatten(0, 2), images[:, :, [0, -1], :3].flatten(0, 2)
        return cls(first=torch.cat([rows, columns]).median(dim=0).values / 255, device=device)

    @property
    def color(self) -> Tensor:
        """Return the color, float32 (3,) in [0, 1]."""
        found = (_PRIOR * self.first + self.sums[1:]) / (_PRIOR + self.sums[0])
        return found.clamp(0, 1).float().to(self.device)

    @property
    def name(self) -> str:
        """Return the color's name."""
        return background_name(self.color.tolist())

    def load_sums(self, sums: Tensor) -> None:
        """Take back `sums`, (4,).

        Raises:
            ValueError: If the first of them, of weights, is negative.
        """
        if bool(sums[0] < 0):
            raise ValueError(f"objective.background has weights of {float(sums[0])!r} in all")
        self.sums = sums.to(torch.float64).cpu()

    @torch.no_grad()
    def look(
        self,
        seen: list[tuple[int, RayRendering, RayBatch]],
        *,
        add_up: Callable[[Tensor], Tensor] = lambda sums: sums,
    ) -> None:
        """Take account of the rays of a step.

        Args:
            seen: Pieces of the step, in any order: their rays, what these saw, and the pictures.
            add_up: Adds the sums over the rays of the other processes that share the step.
        """
        rows = []
        for _, rendering, piece in seen:
            through = (1 - rendering.opacity.detach()).clamp_min(0)[:, None]
            missing = piece.target - rendering.image.detach() + through * piece.background
            weight = through ** (_CLEAR + 1)
            rows.append(torch.cat([(weight * through).sum(dim=0), (weight * missing).sum(dim=0)]).double())
        # Sorted, for pieces come in the order of threads, and sums must not depend on it.
        ordered = sorted(torch.stack(rows).tolist())
        self.sums = _KEPT * self.sums + add_up(torch.tensor(ordered, dtype=torch.float64).sum(dim=0))
