"""The positional encoding: sines and cosines of fixed octaves."""

from typing import Literal

import torch
from torch import Tensor, nn

from finer_core.casts import keeps_precision, widened
from finer_core.shapes import Float

_MOST_OCTAVES = 120
"""float32 ends at 2^128: the phases 2^(n-1) x of coordinates within 256 are numbers."""


class PositionalEncoding(nn.Module):
    """Encode coordinates by sines and cosines of fixed octaves.

    Formula: [x, sin(f_0 x), cos(f_0 x), sin(f_1 x), ...], f_j = 2^j without a factor of pi
    (NeRF, ECCV 2020, section 5.1; each sine or cosine block holds all coordinates). Phases of half-precision
    coordinates are computed in float32.

    Args:
        in_features: Number of coordinates.
        num_frequencies: Number of octaves, at most 120; 0 leaves the coordinates as they are.
        spacing: "log" for 2^0 .. 2^(n-1), "linear" for n values evenly spaced between these two.

    Raises:
        ValueError: For sizes beyond these, or another spacing.

    Example:
        >>> import torch
        >>> from finer_core.encodings import PositionalEncoding
        >>> PositionalEncoding(in_features=3, num_frequencies=10)(torch.zeros(5, 3)).shape
        torch.Size([5, 63])
    """

    def __init__(
        self, *, in_features: int, num_frequencies: int = 10, spacing: Literal["log", "linear"] = "log"
    ) -> None:
        super().__init__()
        if in_features < 1 or num_frequencies < 0:
            raise ValueError(
                f"in_features must be at least 1 and num_frequencies at least 0, got {in_features}, {num_frequencies}"
            )
        if num_frequencies > _MOST_OCTAVES:
            raise ValueError(
                f"num_frequencies must be at most {_MOST_OCTAVES}, got {num_frequencies}: "
                "float32 does not hold phases of more octaves"
            )
        if spacing not in ("log", "linear"):
            raise ValueError(f"spacing must be 'log' or 'linear', got {spacing!r}")
        self.in_features = in_features
        self.num_frequencies = num_frequencies
        self.spacing = spacing

    @property
    def out_features(self) -> int:
        """Return the number of encoded features."""
        return self.in_features * (1 + 2 * self.num_frequencies)

    def frequencies(self) -> list[float]:
        """Return f_0 .. f_(n-1), in radians per unit."""
        n = self.num_frequencies
        if self.spacing == "log":
            return [2.0**j for j in range(n)]
        return torch.linspace(1.0, 2.0 ** (n - 1), n, dtype=torch.float64).tolist()

    @keeps_precision
    def forward(
        self, coords: Float[Tensor, "*points {self.in_features}"]
    ) -> Float[Tensor, "*points {self.out_features}"]:
        """Map (..., in_features) to (..., out_features)."""
        if coords.shape[-1] != self.in_features:
            raise ValueError(f"expected coords of shape (..., {self.in_features}), got {tuple(coords.shape)}")
        x = widened(coords)
        blocks = [x]
        for frequency in self.frequencies():
            blocks += [torch.sin(frequency * x), torch.cos(frequency * x)]
        return torch.cat(blocks, dim=-1).to(coords.dtype)

    def extra_repr(self) -> str:
        """Show every hyper-parameter."""
        return f"in_features={self.in_features}, num_frequencies={self.num_frequencies}, spacing={self.spacing!r}"
