"""A multiresolution hash grid: trainable features at the corners of ever finer grids (instant-ngp).

The layout of the table is tiny-cuda-nn's, so that its flat parameter vector and ours are interchangeable.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from finer_core.casts import keeps_precision
from finer_core.shapes import Float, Int

_PRIMES = (1, 2654435761, 805459861)
_INITIAL = 1e-4
_is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # PyTorch 2.6 has the latter only


@dataclass(frozen=True)
class Level:
    """Hold one grid.

    Attributes:
        scale: Grid steps over the unit interval.
        resolution: Corners per axis.
        size: Rows of the table.
        start: First row.
        dense: Whether every corner has a row of its own; otherwise corners share rows by a hash.
    """

    scale: float
    resolution: int
    size: int
    start: int
    dense: bool


def grid_levels(
    *, levels: int, log2_table_size: int, base_resolution: int, finest_resolution: int, in_features: int = 3
) -> list[Level]:
    """Return the grids from coarse to fine.

    Formula: b = exp((ln N_max - ln N_min)/(L - 1)), N_l = N_min b^l (Mueller et al., SIGGRAPH 2022, equations 2 and 3);
    scale_l = N_l - 1, resolution_l = ceil(scale_l) + 1, rows = min(resolution^d rounded up to 8, 2^T).

    Args:
        levels: L.
        log2_table_size: T.
        base_resolution: N_min.
        finest_resolution: N_max.
        in_features: d.

    Raises:
        ValueError: For sizes that make no grid.
    """
    sizes_fit = 3 <= log2_table_size <= 30 and 2 <= base_resolution <= finest_resolution <= 2**30
    if not 1 <= levels <= 64 or not sizes_fit:
        raise ValueError(
            "a hash grid needs 1 to 64 levels, 3 <= log2_table_size <= 30, 2 <= base <= finest resolution <= 2^30, got "
            f"{levels}, {log2_table_size}, {base_resolution}, {finest_resolution}"
        )
    growth = math.log2(finest_resolution / base_resolution) / max(levels - 1, 1)
    found, start = [], 0
    for number in range(levels):
        scale = 2 ** (number * growth) * base_resolution - 1
        resolution = math.ceil(scale - 1e-9) + 1
        corners = resolution**in_features
        size = min(-(-corners // 8) * 8, 2**log2_table_size)
        found.append(Level(scale=scale, resolution=resolution, size=size, start=start, dense=corners <= size))
        start += size
    return found


def corner_rows(level: Level, corners: Int[Tensor, "*corners d"]) -> Int[Tensor, "*corners"]:
    """Return the table's row of integer corners (..., d).

    Formula: x + y N + z N^2 on a dense level, (x p_1 xor y p_2 xor z p_3) mod size on a hashed one.
    """
    if level.dense:
        row = torch.zeros_like(corners[..., 0])
        for axis in reversed(range(corners.shape[-1])):
            row = row * level.resolution + corners[..., axis]
        return level.start + row % level.size
    row = corners[..., 0] * _PRIMES[0]
    for axis in range(1, corners.shape[-1]):
        row = row ^ (corners[..., axis] * _PRIMES[axis])
    return level.start + (row & 0xFFFFFFFF) % level.size


class _Interpolate(torch.autograd.Function):
    """Sum table rows by weights; the backward pass adds into the table in a fixed order."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(table, rows, weights)
        return nn.functional.embedding_bag(rows, table, per_sample_weights=weights, mode="sum")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        table, rows, weights = ctx.saved_tensors
        (grad,) = grad_outputs
        grad_table = grad_weights = None
        if ctx.needs_input_grad[0]:
            spread = (weights[..., None] * grad[:, None]).reshape(-1, table.shape[1])
            grad_table = torch.zeros_like(table).index_add_(0, rows.reshape(-1), spread)
        if ctx.needs_input_grad[2]:
            grad_weights = (table[rows] * grad[:, None]).sum(dim=-1)
        return grad_table, None, grad_weights


def _interpolate(
    table: Float[Tensor, "rows features"], rows: Int[Tensor, "n corners"], weights: Float[Tensor, "n corners"]
) -> Float[Tensor, "n features"]:
    """Sum table rows (n, corners) by weights (n, corners), (n, features).

    One kernel does it, but for `torch.func` and an export, which know its parts only.
    """
    if _is_exporting() or torch._C._are_functorch_transforms_active():
        return (table[rows] * weights[..., None]).sum(dim=-2)
    out: Tensor = _Interpolate.apply(table, rows, weights)
    return out


class HashGrid(nn.Module):
    """Encode coordinates in [0, 1] by features interpolated from grids of several resolutions.

    Formula: for each level, the 2^d corners around x * scale + 0.5, weighted linearly; the levels' features one after
    another (Mueller et al., SIGGRAPH 2022, section 3). Differentiable once, with respect to table and coordinates.

    Args:
        in_features: d, up to 3.
        levels: Number of grids.
        features_per_level: Features of each.
        log2_table_size: Logarithm of the largest number of rows of a grid.
        base_resolution: Corners per axis of the coarsest grid.
        finest_resolution: Of the finest.
        generator: Source of randomness of the initialization, U(-1e-4, 1e-4).
        device: Where the table is made.
        dtype: Its type.

    Example:
        >>> import torch
        >>> from finer_core.encodings import HashGrid
        >>> HashGrid(in_features=3, levels=4)(torch.zeros(5, 3)).shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        *,
        in_features: int = 3,
        levels: int = 16,
        features_per_level: int = 2,
        log2_table_size: int = 19,
        base_resolution: int = 16,
        finest_resolution: int = 2048,
        generator: Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= in_features <= len(_PRIMES) or features_per_level < 1:
            raise ValueError(
                f"a hash grid takes 1 to 3 coordinates and at least 1 feature, got {in_features}, {features_per_level}"
            )
        self.in_features, self.features_per_level = in_features, features_per_level
        self.levels = grid_levels(
            levels=levels,
            log2_table_size=log2_table_size,
            base_resolution=base_resolution,
            finest_resolution=finest_resolution,
            in_features=in_features,
        )
        rows = self.levels[-1].start + self.levels[-1].size
        self.table = nn.Parameter(torch.empty(rows, features_per_level, device=device, dtype=dtype))
        nn.init.uniform_(self.table, -_INITIAL, _INITIAL, generator=generator)

    @property
    def out_features(self) -> int:
        """Return the number of encoded features."""
        return len(self.levels) * self.features_per_level

    @keeps_precision
    def forward(
        self, coords: Float[Tensor, "*points {self.in_features}"]
    ) -> Float[Tensor, "*points {self.out_features}"]:
        """Map (..., in_features) in [0, 1] to (..., out_features); coordinates outside are clipped."""
        if coords.shape[-1] != self.in_features:
            raise ValueError(f"expected coords of shape (..., {self.in_features}), got {tuple(coords.shape)}")
        flat = coords.reshape(-1, self.in_features).clamp(0, 1)
        axes = torch.arange(self.in_features, device=flat.device)
        corners = torch.arange(2**self.in_features, device=flat.device)[:, None] // 2**axes % 2  # ONNX has no shift
        encoded = []
        for level in self.levels:
            place = flat * level.scale + 0.5
            low = place.detach().floor()
            within = place - low
            weights = torch.where(corners[:, None].bool(), within, 1 - within).prod(dim=-1).t()
            at = (low.long()[:, None] + corners).clamp_max(level.resolution - 1 if level.dense else 2**62)
            encoded.append(_interpolate(self.table, corner_rows(level, at), weights))
        return torch.cat(encoded, dim=-1).view(*coords.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """Show the sizes."""
        finest = self.levels[-1].resolution
        return f"levels={len(self.levels)}, features={self.features_per_level}, rows={len(self.table)}, finest={finest}"
