"""Orthonormal columns of a stack of matrices: by LAPACK, or on an NVIDIA GPU by one kernel for all of them."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from finer_core.casts import widened
from finer_core.shapes import Float

_LARGEST = 256
"""Rows and columns up to which a GPU's processor holds a matrix in its registers."""


def orthonormalize_columns(matrices: Float[Tensor, "n size size"]) -> Float[Tensor, "n size size"]:
    """Return Q of each matrix's QR decomposition, up to the signs of its columns.

    On an NVIDIA GPU by Gram and Schmidt's process, repeated, all matrices at once: its libraries' QR takes them one by
    one.

    Args:
        matrices: (n, size, size), real or complex.

    Returns:
        (n, size, size), contiguous.
    """
    if matrices.is_cuda and matrices.dtype == torch.float32 and matrices.shape[-1] <= _LARGEST:
        kernel = _gram_schmidt()
        if kernel is not None:
            return kernel(matrices)
    return torch.linalg.qr(widened(matrices)).Q.to(matrices).contiguous()


@lru_cache(maxsize=1)
def _gram_schmidt() -> Any:
    """Return the kernel; None where Triton, which comes with PyTorch for NVIDIA GPUs, is absent."""
    try:
        from finer_core.training.optimizers.gram_schmidt import gram_schmidt
    except ImportError:
        return None
    return gram_schmidt
