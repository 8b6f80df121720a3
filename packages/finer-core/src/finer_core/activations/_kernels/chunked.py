"""Element-wise work on large tensors in blocks that stay in a core's cache, each core its own blocks.

An activation is half a dozen passes over its input. On a tensor larger than the cache each pass waits for the memory,
and each result is a fresh allocation whose pages the system must clear; block by block only the first read and the
last write leave the cache.
"""

from collections.abc import Callable
from typing import overload

import torch
from torch import Tensor
from torch.nn import Parameter

from finer_core.activations.derivative_mode import operations_are_recorded
from finer_core.activations.large_pages import empty_in_large_pages
from finer_core.parallel import parallel_map, worker_count

BLOCK = 131_072
"""Numbers in a block: enough that starting an operation costs little, few enough for a core's cache."""
SMALLEST = 1 << 19
"""Numbers below which a tensor stays in the cache by itself."""
Results = Tensor | tuple[Tensor, Tensor]


@overload
def in_chunks(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor: ...
@overload
def in_chunks(function: Callable[..., tuple[Tensor, Tensor]], *tensors: Tensor) -> tuple[Tensor, Tensor]: ...
def in_chunks(function: Callable[..., Results], *tensors: Tensor) -> Results:
    """Return function(*tensors) of an element-wise function.

    Args:
        function: Of tensors of one shape; returns a new tensor of it, of any type, or two.
        *tensors: All of one shape. On another device than the CPU, under `torch.func` or `torch.compile`, while a graph
            or forward derivatives are recorded, or where they are not contiguous, they go through the function whole.
    """
    if not _gains(tensors):
        return function(*tensors)
    blocks = list(zip(*(tensor.reshape(-1).split(BLOCK) for tensor in tensors), strict=True))
    first = function(*blocks[0])
    results = [empty_in_large_pages(tensors[0].shape, dtype=part.dtype) for part in _several(first)]
    parts = list(zip(*(result.view(-1).split(BLOCK) for result in results), strict=True))
    workers = worker_count()

    def write(i: int, values: Results) -> None:
        for part, value in zip(parts[i], _several(values), strict=True):
            part.copy_(value)

    def work(start: int) -> None:
        for i in range(start, len(blocks), workers):
            write(i, function(*blocks[i]))

    write(0, first)
    parallel_map(work, range(1, 1 + workers))
    return results[0] if isinstance(first, Tensor) else (results[0], results[1])


def _several(values: Results) -> tuple[Tensor, ...]:
    return (values,) if isinstance(values, Tensor) else values


def is_plain(*tensors: Tensor) -> bool:
    """Return whether tensors are contiguous numbers in the CPU's memory, and nobody records what is done with them.

    It is not so on another device, of a subclass, of a conjugate or negative that is still to be made, under
    `torch.func`, `torch.compile`, a tracer or a dispatch mode.
    """
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() or torch._C._len_torch_dispatch_stack():
        return False
    if not all(type(t) in (Tensor, Parameter) and t.device.type == "cpu" and t.is_contiguous() for t in tensors):
        return False
    if any(t.is_conj() or t.is_neg() for t in tensors):
        return False
    try:
        return all(tensor.data_ptr() for tensor in tensors)
    except RuntimeError:  # a tensor of torch.func has no memory of its own
        return False


def _gains(tensors: tuple[Tensor, ...]) -> bool:
    return not operations_are_recorded() and is_plain(*tensors) and tensors[0].numel() >= SMALLEST
