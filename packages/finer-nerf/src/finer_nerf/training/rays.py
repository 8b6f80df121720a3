"""The rays of all training pictures, and their colors, drawn at random."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from finer_core.shapes import Bool, Float, Int, UInt8
from finer_core.training.transfer import send
from finer_nerf.cameras import all_pixels, camera_directions
from finer_nerf.normalization import Normalization
from finer_nerf.scenes import Views

Draw = Literal["one view", "all views"]
"""Rays of a step: of one picture, as published, or of all pictures together."""


@dataclass(frozen=True, kw_only=True)
class RayBatch:
    """Hold the rays of a step, or of a part of it.

    Attributes:
        rays_o: (n, 3), in box units.
        rays_d: (n, 3), unit.
        target: (n, 3) in [0, 1], on the ray's background.
        background: (n, 3) in [0, 1].
        opaque: Where the picture has something, (n,).
        jitter: Uniform numbers (n,).
        view: Numbers of the pictures, (n,).
    """

    rays_o: Float[Tensor, "rays 3"]
    rays_d: Float[Tensor, "rays 3"]
    target: Float[Tensor, "rays 3"]
    background: Float[Tensor, "rays 3"]
    opaque: Bool[Tensor, " rays"]
    jitter: Float[Tensor, " rays"]
    view: Int[Tensor, " rays"]

    def __len__(self) -> int:
        return len(self.rays_o)

    def split(self, rays: int) -> list["RayBatch"]:
        """Return the batch in pieces of at most so many rays."""
        columns = zip(*(getattr(self, name).split(rays) for name in _COLUMNS), strict=True)
        return [RayBatch(**dict(zip(_COLUMNS, column, strict=True))) for column in columns]

    def part(self, rays: slice) -> "RayBatch":
        """Return some of the rays, which lie together."""
        return RayBatch(**{name: getattr(self, name)[rays] for name in _COLUMNS})


_COLUMNS = ("rays_o", "rays_d", "target", "background", "opaque", "jitter", "view")
"""What a `RayBatch` holds of each ray."""


class TrainingRays:
    """Draw rays of training views, of the pixels that their masks let count.

    Pictures stay bytes, and directions are kept once a lens, so memory hardly grows with the number of views.

    Args:
        views: The pictures.
        frame: From the input's coordinates to the box.
        draw: See `Draw`.
        background: "random" for a fresh color a ray, or a color (3,) for all, or a number for a gray one.
        device: Where the batches go.
    """

    def __init__(
        self,
        views: Views,
        frame: Normalization,
        *,
        draw: Draw,
        background: Literal["random"] | float | Tensor,
        device: str,
    ) -> None:
        self.draw, self.background, self.device = draw, background, device
        self.poses = torch.from_numpy(frame.poses_to_box(views.poses)).to(device)
        lenses = sorted(set(views.cameras), key=views.cameras.index)
        self.lens = torch.tensor([lenses.index(camera) for camera in views.cameras], device=device)
        self.directions = torch.stack([camera_directions(lens, all_pixels(lens)) for lens in lenses]).to(device)
        self.pixels = views.images.reshape(len(views), -1, views.images.shape[-1]).to(device)
        self.masks = None if views.masks is None else views.masks.reshape(len(views), -1)
        if self.masks is not None:
            self.count = self.masks.sum(dim=1)
            self.start = self.count.cumsum(0) - self.count
            self.unmasked = torch.cat([mask.nonzero()[:, 0].to(torch.int32) for mask in self.masks])

    def batch(self, *, rays: int, generator: torch.Generator) -> RayBatch:
        """Draw rays with repetition; the same generator state draws the same rays on every device."""
        views, pixels, channels = self.pixels.shape
        if self.draw == "one view":
            view = torch.randint(views, (1,), generator=generator).expand(rays)
        else:
            view = torch.randint(views, (rays,), generator=generator)
        if self.masks is None:
            pixel = torch.randint(pixels, (rays,), generator=generator)
        else:
            drawn = torch.rand(rays, generator=generator, dtype=torch.float64) * self.count[view]
            pixel = self.unmasked[self.start[view] + drawn.long()].long()
        jitter = torch.rand(rays, generator=generator)
        if isinstance(self.background, str):
            behind = torch.rand(rays, 3, generator=generator)
        else:
            behind = torch.as_tensor(self.background, dtype=torch.float32).expand(rays, 3)
        view, pixel, jitter, behind = (send(x, self.device) for x in (view, pixel, jitter, behind))
        colors = self.pixels[view, pixel].to(torch.float32) / 255
        alpha = colors[:, 3:] if channels == 4 else torch.ones_like(colors[:, :1])
        pose = self.poses[view]
        rays_d = torch.einsum("nij,nj->ni", pose[:, :3, :3], self.directions[self.lens[view], pixel])
        return RayBatch(
            rays_o=pose[:, :3, 3],
            rays_d=rays_d,
            target=colors[:, :3] * alpha + behind * (1 - alpha),
            background=behind,
            opaque=alpha[:, 0] > 0.5,
            jitter=jitter,
            view=view,
        )


def blend(images: UInt8[Tensor, "*pixels channels"], *, background: float | Tensor) -> Float[np.ndarray, "*pixels 3"]:
    """Return uint8 pictures (..., 3 or 4) on a background, a number or (3,), as (..., 3) float32 in [0, 1]."""
    colors = images.to(torch.float32) / 255
    if colors.shape[-1] == 4:
        alpha = colors[..., 3:]
        colors = colors[..., :3] * alpha + background * (1 - alpha)
    return colors.numpy()
