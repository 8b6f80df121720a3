"""An affine color of each training camera: exposure and white balance that differ from picture to picture."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.shapes import Float, Int
from finer_nerf.rendering.volume import RayRendering
from finer_nerf.scenes import Scene
from finer_nerf.training.rays import RayBatch

_KEPT = 0.98
"""How much of the sums stays at each step."""
_PRIOR, _PRIOR_SHARE = 10.0, 0.05
"""Rays that no change counts as, of colors of length 1, and share of a picture's rays: what it does not tell stays."""
_FIRST = 50
"""Steps before pictures are told apart: fog has no colors to compare."""


def check_exposure(scene: Scene) -> None:
    """Raise InputError for pictures whose colors are mixed with a background of ours."""
    if scene.train.is_transparent:
        raise InputError(
            f"{scene.name}: --exposure is for opaque pictures, and these are transparent; leave it out, or put them on "
            "a background"
        )


class Exposure:
    """Keep the affine map from the scene's colors to each picture's that fits best what rays see.

    Formula: [A_v b_v] minimizes k |[A b] - [I 0]|^2 + sum |A c + b - c_true|^2 over recent rays of view v, c what they
    see, n of them: the ridge solution for a given field, k = 10 + n / 20, each step's sums fading by a constant factor.
    The maps' mean over views is divided out, for the field's colors are only known up to one map of all.

    Args:
        views: Number of training views.
        device: Where the rays are.
    """

    def __init__(self, *, views: int, device: torch.device | str) -> None:
        self.sums = torch.zeros(views, 4, 7, dtype=torch.float64, device=device)
        self.steps = 0
        self._maps: Tensor | None = None

    @property
    def maps(self) -> Tensor:
        """Return [A b] of each view, float32 (views, 3, 4)."""
        if self._maps is None:
            same = torch.eye(4, dtype=torch.float64, device=self.sums.device)
            if self.steps < _FIRST:
                self._maps = same[:3].float().expand(len(self.sums), 3, 4)
                return self._maps
            ridge = (_PRIOR + _PRIOR_SHARE * self.sums[:, 3, 3])[:, None, None] * same
            solved = torch.linalg.solve(self.sums[..., :4] + ridge, self.sums[..., 4:] + ridge[..., :3]).mT
            mean = torch.cat([solved.mean(dim=0), same[3:]])
            self._maps = (solved @ torch.linalg.pinv(mean)).float()
        return self._maps

    def apply(self, colors: Float[Tensor, "rays 3"], view: Int[Tensor, " rays"]) -> Float[Tensor, "rays 3"]:
        """Return the scene's colors (n, 3) as pictures of views (n,) have them; differentiable by the colors."""
        maps = self.maps[view]
        return torch.einsum("nij,nj->ni", maps[..., :3], colors) + maps[..., 3]

    def undo(self, batch: RayBatch) -> RayBatch:
        """Return a batch with what its pictures show in the scene's colors."""
        maps = self.maps
        inverse = torch.linalg.pinv(maps[..., :3])[batch.view]
        target = torch.einsum("nij,nj->ni", inverse, batch.target - maps[batch.view, :, 3])
        return dataclasses.replace(batch, target=target)

    @torch.no_grad()
    def look(
        self,
        seen: list[tuple[int, RayRendering, RayBatch]],
        *,
        add_up: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """Take account of the rays of a step.

        Args:
            seen: Pieces of the step in their order: their rays, what these saw, and the pictures.
            add_up: Adds the sums over the rays of the other processes that share the step; None if there are none.
        """
        image = torch.cat([rendering.image.detach() for _, rendering, _ in seen]).double()
        target, view = (torch.cat([getattr(piece, name) for _, _, piece in seen]) for name in ("target", "view"))
        rows = torch.cat([image, torch.ones_like(image[:, :1])], dim=1)
        products = rows[:, :, None] * torch.cat([rows, target.double()], dim=1)[:, None, :]
        if add_up is None:
            self.sums = (_KEPT * self.sums).index_add(0, view, products)
        else:
            self.sums = _KEPT * self.sums + add_up(torch.zeros_like(self.sums).index_add(0, view, products))
        self.steps, self._maps = self.steps + 1, None

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed fit needs."""
        return {"sums": self.sums, "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned.

        Raises:
            ValueError: If no maps follow from it.
        """
        self.sums = state["sums"].to(self.sums)
        self.steps, self._maps = int(state["steps"]), None
        squares = self.sums[..., :4].diagonal(dim1=-2, dim2=-1)
        if self.steps < 0 or bool((squares < 0).any()) or not bool(torch.isfinite(self.maps).all()):
            raise ValueError(f"objective.exposure of {self.steps} steps gives no colors")
