"""Large results in huge pages: the system then hands out and clears 2 MB at a time instead of 4 kB."""

import ctypes
import sys
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

SMALLEST_BYTES = 32 << 20
"""From this size on the C library maps a block of memory by itself, so that the advice concerns no other data."""
_PAGE = 4096
_MADV_HUGEPAGE = 14


def empty_in_large_pages(shape: torch.Size, *, dtype: torch.dtype) -> Tensor:
    """Return an uninitialized tensor on the CPU, in huge pages if it is large and the system has them.

    A fresh tensor of 64 MB is 16,000 page faults otherwise, which take longer than the arithmetic that fills it.
    """
    tensor = torch.empty(shape, dtype=dtype, device="cpu")  # whatever PyTorch's default device is
    size = tensor.numel() * tensor.element_size()
    advise = _madvise() if size >= SMALLEST_BYTES else None
    if advise is not None:
        start = -(-tensor.data_ptr() // _PAGE) * _PAGE
        length = (tensor.data_ptr() + size - start) // _PAGE * _PAGE
        advise(start, length, _MADV_HUGEPAGE)  # advice: a system without huge pages says no, and nothing is lost
    return tensor


@lru_cache(maxsize=1)
def _madvise() -> Any:
    """Return the C library's madvise, or None elsewhere than on Linux."""
    if not sys.platform.startswith("linux"):
        return None
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    if madvise is not None:
        madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return madvise
