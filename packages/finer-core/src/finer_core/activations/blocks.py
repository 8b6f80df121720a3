"""Element-wise work on large tensors in blocks that stay in a core's cache, each core its own blocks.

An activation is half a dozen passes over its input. On a tensor larger than the cache each pass waits for the memory,
and each result is a fresh allocation whose pages the system must clear; block by block only the first read and the
last write leave the cache.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from finer_core.threads import in_threads

BLOCK = 32_768
"""Numbers in a block: PyTorch does not split an operation of this size over threads."""
SMALLEST = 1 << 19
"""Numbers below which a tensor stays in the cache by itself."""


def in_blocks(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Return function(*tensors) of an element-wise function.

    Args:
        function: Of tensors of one shape; returns a new tensor of it, of any type.
        *tensors: All of one shape. On another device than the CPU, under `torch.func` or `torch.compile`, while a graph
            is recorded, or where they are not contiguous, they go through the function whole.
    """
    if not _gains(tensors):
        return function(*tensors)
    blocks = list(zip(*(tensor.reshape(-1).split(BLOCK) for tensor in tensors), strict=True))
    first = function(*blocks[0])
    result = torch.empty(tensors[0].shape, dtype=first.dtype)
    parts = result.view(-1).split(BLOCK)
    parts[0].copy_(first)
    workers = torch.get_num_threads()

    def work(start: int) -> None:
        with torch.no_grad():  # a thread has its own grad mode
            for i in range(start, len(blocks), workers):
                parts[i].copy_(function(*blocks[i]))

    in_threads(work, range(1, 1 + workers))
    return result


def _gains(tensors: tuple[Tensor, ...]) -> bool:
    first = tensors[0]
    if first.device.type != "cpu" or first.numel() < SMALLEST or torch.is_grad_enabled():
        return False
    if torch.compiler.is_compiling() or not all(tensor.is_contiguous() for tensor in tensors):
        return False
    try:
        return all(tensor.data_ptr() for tensor in tensors)
    except RuntimeError:  # a tensor of torch.func has no memory of its own
        return False
