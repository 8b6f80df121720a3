"""Importance sampling: more pixels where the fit is still wrong, weighted so that the loss stays the image's own."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from finer_core.training import accumulate_gradients
from finer_image.training.objective import PixelTarget
from finer_image.training.stratified import cell_shape

ERROR_SHARE = 0.5
"""How much of the batch follows the error; the rest is uniform, so that no weight exceeds 2."""
_NEWS = 0.3
"""How much a cell's running error takes of what a step finds there."""


class ErrorSampledObjective:
    """Compute L = mean (f(x) - t)^2 from pixels drawn where the error is large.

    The image is cut into as many cells as a batch has pixels. Cell c of area a_c (its share of the image) is drawn with
    probability q_c = (1 - s) a_c + s a_c e_c / sum(a e), s = `ERROR_SHARE`, e_c the running mean of the squared errors
    seen there, and a pixel of it uniformly; the pixel counts a_c / q_c times, which makes the loss an unbiased estimate
    of the whole image's. Draws are systematic: their places in the sum of q are equally spaced, from a random start.

    Args:
        target: The image.
        batch_pixels: Pixels a step.
        seed: Chooses the draws, which depend on it, the step and the errors alone.
        chunk_pixels: Most pixels that go through the network at once.
    """

    def __init__(self, target: PixelTarget, *, batch_pixels: int, seed: int, chunk_pixels: int) -> None:
        if min(batch_pixels, chunk_pixels) < 1:
            raise ValueError(f"batch_pixels and chunk_pixels must be at least 1, got {batch_pixels}, {chunk_pixels}")
        self.target, self.batch_pixels, self.seed, self.chunk_pixels = target, batch_pixels, seed, chunk_pixels
        height, width = cell_shape(target.height, target.width, batch_pixels)
        rows, columns = torch.arange(0, target.height, height), torch.arange(0, target.width, width)
        heights, widths = (target.height - rows).clamp_max(height), (target.width - columns).clamp_max(width)
        self._corner = torch.cartesian_prod(rows, columns)
        self._size = torch.cartesian_prod(heights, widths)
        self._area = self._size.prod(dim=1).double() / (target.height * target.width)
        self.errors = torch.ones(len(self._area), dtype=torch.float64)

    def backward(self, network: nn.Module, step: int) -> Tensor:
        """Accumulate the gradients of one step, take its errors into account, and return its loss."""
        cells, pixels, weights = self.draw(step)
        weights = weights.to(self.target.device, self.target.dtype)
        pixels = pixels.to(self.target.device)
        found: dict[int, Tensor] = {}

        def loss_of(piece: slice) -> Tensor:
            coords, values = self.target.at(pixels[piece])
            squares = (network(coords) - values).square().mean(dim=-1)
            found[piece.start] = squares.detach()
            loss: Tensor = (squares * weights[piece]).sum() / len(pixels)
            return loss

        starts = range(0, len(pixels), self.chunk_pixels)
        pieces = [slice(start, min(start + self.chunk_pixels, len(pixels))) for start in starts]
        loss = accumulate_gradients(network, pieces, loss_of)
        self._learn(cells, torch.cat([found[piece.start] for piece in pieces]).double().cpu())
        return loss

    def draw(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return a step's cells, flat pixel numbers and weights, each (batch_pixels,), in the cells' order."""
        key = hashlib.blake2b(f"{self.seed} {step}".encode(), digest_size=4).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(key, "little"))
        by_error = self._area * self.errors
        chance = (1 - ERROR_SHARE) * self._area + ERROR_SHARE * by_error / by_error.sum()
        start = torch.rand(1, dtype=torch.float64, generator=generator)
        places = (torch.arange(self.batch_pixels) + start) / self.batch_pixels
        cells = torch.searchsorted(chance.cumsum(0), places).clamp_max(len(chance) - 1)
        inside = torch.rand(self.batch_pixels, 2, dtype=torch.float64, generator=generator) * self._size[cells]
        place = self._corner[cells] + torch.minimum(inside.long(), self._size[cells] - 1)
        return cells, place[:, 0] * self.target.width + place[:, 1], (self._area / chance)[cells]

    def _learn(self, cells: Tensor, errors: Tensor) -> None:
        """Move the running errors of the cells that were seen towards the mean of what was found there."""
        count = torch.bincount(cells, minlength=len(self.errors))
        total = torch.zeros_like(self.errors).index_add_(0, cells, errors)
        seen = count > 0
        self.errors[seen] = self.errors[seen].lerp(total[seen] / count[seen], _NEWS)

    def state_dict(self) -> Mapping[str, Any]:
        """Return the running errors."""
        return {"errors": self.errors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` returned.

        Raises:
            ValueError: If an error is negative, by which no pixels can be drawn.
        """
        if bool((state["errors"] < 0).any()):
            raise ValueError("an error in objective.errors is negative")
        self.errors = state["errors"].clone()
