"""Gram and Schmidt's process on many matrices at once: panels of columns by a Triton kernel, the rest by products."""

import torch
import triton
import triton.language as tl
from torch import Tensor

_PANEL = 32
"""Columns that a program holds in its registers; all of a matrix of 256 would take it 16 microseconds a column."""
_ROUNDS = 3
"""Twice is enough (Giraud et al., 2005), but for matrices of lower rank than their rounding shows."""
_SMALLEST = 16
"""Rows that a smaller matrix is filled up to with zeros, as Triton's shapes are powers of 2."""


def gram_schmidt(matrices: Tensor) -> Tensor:
    """Return matrices with orthonormal columns that span, one after the other, what those given do.

    Args:
        matrices: (n, size, size), float32, size at most 256 on an NVIDIA GPU.

    Returns:
        (n, size, size), contiguous.
    """
    size = matrices.shape[-1]
    largest = matrices.abs().amax(1, keepdim=True)
    matrices = matrices / torch.where(largest > 0, largest, 1.0)  # products of small numbers would vanish
    result = torch.empty_like(matrices, memory_format=torch.contiguous_format)
    for start in range(0, size, _PANEL):
        panel = matrices[:, :, start : start + _PANEL].contiguous()
        before = result[:, :, :start]
        for _ in range(_ROUNDS):
            if start:
                panel = torch.baddbmm(panel, before, before.mT @ panel, alpha=-1)
            _orthonormalize_(panel, first=start)
        result[:, :, start : start + _PANEL] = panel
    return result


def _orthonormalize_(panels: Tensor, *, first: int) -> None:
    """Make the columns of (n, size, columns) orthonormal, in place; `first` is the number of the first one."""
    count, size, columns = panels.shape
    height, width = max(_SMALLEST, triton.next_power_of_2(size)), triton.next_power_of_2(columns)
    warps = 4 if height * width >= 4096 else 1
    _kernel[(count,)](panels, first, SIZE=size, COLUMNS=columns, HEIGHT=height, WIDTH=width, num_warps=warps)


@triton.jit
def _kernel(  # type: ignore[no-untyped-def]
    panels, first, SIZE: tl.constexpr, COLUMNS: tl.constexpr, HEIGHT: tl.constexpr, WIDTH: tl.constexpr
):
    """Orthonormalize one panel, each column against all before it."""
    row = tl.arange(0, HEIGHT)
    place = tl.arange(0, WIDTH)
    offset = tl.program_id(0).to(tl.int64) * SIZE * COLUMNS + row[:, None] * COLUMNS + place[None, :]
    inside = (row[:, None] < SIZE) & (place[None, :] < COLUMNS)
    a = tl.load(panels + offset, mask=inside, other=0.0)
    for j in range(COLUMNS):
        this = (place == j)[None, :]
        column = tl.sum(tl.where(this, a, 0.0), axis=1)
        largest = tl.max(tl.abs(column), axis=0)
        column = tl.where(largest > 0, column, (row == first + j).to(tl.float32))  # nothing is left: begin another
        column = column / tl.where(largest > 0, largest, 1.0)  # its squares neither vanish nor overflow
        column = column / tl.sqrt(tl.sum(column * column, axis=0))
        shares = tl.sum(a * column[:, None], axis=0)
        shares = tl.where(place > j, shares, 0.0)
        a = tl.where(this, column[:, None], a - column[:, None] * shares[None, :])
    tl.store(panels + offset, a, mask=inside)
