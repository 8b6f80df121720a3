"""Memory of finished work for the next: on a CPU a fresh megabyte is 256 page faults, dearer than what fills it.

The C library gives large blocks back to the system and asks for them again, piece after piece of a batch. Here each
thread keeps those of the piece before, which are also the ones still in its cache.
"""

import threading
from collections import defaultdict

import torch
from torch import Tensor

from finer_core.activations.large_pages import empty_in_large_pages

SMALLEST, LARGEST = 1 << 15, 1 << 20
"""Numbers in a tensor worth keeping: the C library keeps smaller ones itself, and larger ones outlast no cache."""
MOST = 1 << 24
"""Numbers that a thread keeps at most."""
_Kind = tuple[tuple[int, ...], torch.dtype]


class _Kept(threading.local):
    def __init__(self) -> None:
        self.tensors: defaultdict[_Kind, list[Tensor]] = defaultdict(list)
        self.total = 0


_kept = _Kept()


def empty(*shape: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return an uninitialized tensor, if possible one that was given back.

    Args:
        *shape: Its shape.
        dtype: Its type.
        device: Where it is; only the CPU's are kept.
    """
    of_kind = _kept.tensors.get((shape, dtype)) if device.type == "cpu" else None
    if not of_kind:
        if device.type == "cpu":
            return empty_in_large_pages(torch.Size(shape), dtype=dtype)
        return torch.empty(shape, dtype=dtype, device=device)
    tensor = of_kind.pop()
    _kept.total -= tensor.numel()
    return tensor


def empty_like(tensor: Tensor) -> Tensor:
    """Return an uninitialized tensor of the same shape, type and device, if possible one that was given back."""
    return empty(*tensor.shape, dtype=tensor.dtype, device=tensor.device)


def give_back(tensor: Tensor) -> None:
    """Keep a tensor for `empty`. It is contiguous, its memory all its own, and nobody reads it any more."""
    size = tensor.numel()
    if tensor.device.type != "cpu" or tensor.is_inference() or not SMALLEST <= size <= LARGEST:
        return  # what inference mode made can be written to there alone
    if _kept.total + size > MOST:  # what is asked for has changed
        _kept.tensors.clear()
        _kept.total = 0
    _kept.tensors[tuple(tensor.shape), tensor.dtype].append(tensor)
    _kept.total += size
