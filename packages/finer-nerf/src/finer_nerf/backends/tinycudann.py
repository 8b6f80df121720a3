"""tiny-cuda-nn's hash grid in place of ours, where it is installed. Unmeasured: no GPU was at hand."""

from typing import Any

import torch
from torch import Tensor, nn

from finer_core.encodings.hash_grid import HashGrid
from finer_core.errors import InputError
from finer_core.networks.unchanged import what_it_is

_INSTALL = "pip install git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch (needs nvcc)"


def tcnn_available() -> bool:
    """Return whether tinycudann can be imported."""
    try:
        import tinycudann  # noqa: F401
    except (ImportError, OSError):  # OSError: built for another GPU or PyTorch
        return False
    return True


def choose_backend(backend: str, device: str) -> str:
    """Return who computes a hash grid: "torch" or "tcnn".

    Args:
        backend: "auto", "torch" or "tcnn"; auto is tcnn on CUDA where it is installed.
        device: Where the field is.

    Raises:
        InputError: If tcnn was asked for and cannot be had.
    """
    on_cuda = torch.device(device).type == "cuda"
    if backend == "torch" or (backend == "auto" and not (on_cuda and tcnn_available())):
        return "torch"
    if not tcnn_available():
        raise InputError(f"--backend tcnn: tinycudann is not installed: {_INSTALL}, or use --backend torch")
    if not on_cuda:
        raise InputError(f"--backend tcnn needs CUDA, this run is on {device}; use --backend torch")
    return "tcnn"


class TcnnHashGrid(nn.Module):
    """Compute a `HashGrid` by tinycudann.

    It shares the grid's table, whose layout is tiny-cuda-nn's, so a model file is the same with either.

    Args:
        grid: The grid to stand in for, on CUDA.

    Attributes:
        stands_for: What that grid is; see `finer_core.networks.unchanged`.
    """

    def __init__(self, grid: HashGrid) -> None:
        super().__init__()
        import tinycudann

        first, last = grid.levels[0], grid.levels[-1]
        growth = ((last.scale + 1) / (first.scale + 1)) ** (1 / max(len(grid.levels) - 1, 1))
        self.encoding = tinycudann.Encoding(
            grid.in_features,
            {
                "otype": "HashGrid",
                "n_levels": len(grid.levels),
                "n_features_per_level": grid.features_per_level,
                "log2_hashmap_size": max(level.size for level in grid.levels).bit_length() - 1,
                "base_resolution": round(first.scale + 1),
                "per_level_scale": growth,
            },
            dtype=torch.float32,
        )
        del self.encoding.params
        self.table = grid.table
        self.out_features = grid.out_features
        self.stands_for = what_it_is(grid)

    def forward(self, coords: Tensor) -> Tensor:
        """Map (..., in_features) in [0, 1] to (..., out_features)."""
        flat = coords.reshape(-1, coords.shape[-1]).clamp(0, 1).contiguous()
        self.encoding.params = self.table.reshape(-1)
        encoded: Tensor = self.encoding(flat)
        return encoded.view(*coords.shape[:-1], self.out_features)


def use_tcnn(network: Any) -> None:
    """Let tinycudann compute the hash grid of a `HashGridMLP` on CUDA; its parameters and their names stay."""
    network.encoding.grid = TcnnHashGrid(network.encoding.grid)
