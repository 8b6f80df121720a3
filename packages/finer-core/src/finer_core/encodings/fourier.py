"""Random Fourier features of coordinates."""

import math

import torch
from torch import Generator, Tensor, nn

from finer_core.casts import keeps_precision, widened
from finer_core.shapes import Float


class FourierEncoding(nn.Module):
    """Encode coordinates by random Fourier features.

    Formula: [a sin(2 pi x B^T), a cos(2 pi x B^T)], B ~ Normal(0, frequency_std^2), a = 1
    (Tancik et al., NeurIPS 2020, section 6). B and a are fixed buffers.

    Args:
        in_features: Number of coordinates.
        num_frequencies: Rows of B.
        frequency_std: Standard deviation of B, in cycles per unit.
        generator: Source of randomness for B.
        device: Where B is made.
        dtype: Its type.

    Example:
        >>> import torch
        >>> from finer_core.encodings import FourierEncoding
        >>> FourierEncoding(in_features=2, num_frequencies=128, frequency_std=10.0)(torch.zeros(5, 2)).shape
        torch.Size([5, 256])
    """

    frequencies: Tensor
    amplitudes: Tensor

    def __init__(
        self,
        *,
        in_features: int,
        num_frequencies: int,
        frequency_std: float,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not (math.isfinite(frequency_std) and frequency_std > 0):
            raise ValueError(f"frequency_std must be positive, got {frequency_std!r}")
        if in_features < 1 or num_frequencies < 1:
            raise ValueError(
                f"in_features and num_frequencies must be at least 1, got {in_features} and {num_frequencies}"
            )
        self.frequency_std = frequency_std
        shape = (num_frequencies, in_features)
        drawn = torch.empty(shape, device=device, dtype=dtype)
        if not drawn.is_meta:  # where nothing is drawn, and PyTorch would load its compiler for that
            drawn.normal_(0.0, frequency_std, generator=generator)
        self.register_buffer("frequencies", drawn)
        self.register_buffer("amplitudes", torch.ones(num_frequencies, device=device, dtype=dtype))

    @property
    def out_features(self) -> int:
        """Return the number of encoded features."""
        return 2 * self.frequencies.shape[0]

    @keeps_precision
    def forward(self, coords: Float[Tensor, "*points in_features"]) -> Float[Tensor, "*points {self.out_features}"]:
        """Map (..., in_features) to (..., out_features)."""
        phase = (2 * math.pi * widened(coords)) @ widened(self.frequencies).t()  # half precision holds no phase
        sine, cosine = torch.sin(phase).to(coords.dtype), torch.cos(phase).to(coords.dtype)
        return torch.cat([self.amplitudes * sine, self.amplitudes * cosine], dim=-1)

    def extra_repr(self) -> str:
        """Show every hyper-parameter."""
        num, dim = self.frequencies.shape
        return f"in_features={dim}, num_frequencies={num}, frequency_std={self.frequency_std}"
