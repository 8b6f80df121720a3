"""Gradients of a batch that several processes share: one exchange a step.

Every process adds up the gradients of its part of the batch. One exchange of one buffer then gives all of them the
same sums, bit for bit, so that each makes the same update and their parameters stay equal. The loss travels in the same
buffer, and so does the wish to stop: all processes see it after the same step, and stop there.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from finer_core.distributed.ranks import ALONE, Ranks
from finer_core.distributed.team import collective
from finer_core.errors import CollectiveError

_ALIGNMENT = 16
"""Numbers: each parameter's gradient begins at a cache line, and an even offset is what complex numbers need."""
_CHECK_EVERY = 64
"""Steps between two comparisons of the processes' parameters."""
_CHECKSUMS = 4096
"""Different checksums, few enough that the sum over thousands of processes is exact in float32."""
_LOSS, _STOP, _CHECKSUM = -1, -2, -3
"""Where the buffer holds them."""


class GradientReducer:
    """Sum gradients and loss over all processes, in the same order in every run.

    Args:
        ranks: The place of this process; alone, nothing is done.
        asked_to_stop: Says whether this process was asked to stop.
    """

    def __init__(self, ranks: Ranks = ALONE, *, asked_to_stop: Callable[[], bool] = lambda: False) -> None:
        self.ranks = ranks
        self._asked_to_stop = asked_to_stop
        self._steps = 0
        self._buffer: Tensor | None = None
        self._views: list[Tensor] = []

    def __call__(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Replace every parameter's `grad` by its sum over all processes; return the sum of the losses.

        The gradients are views of one buffer, which the next call overwrites: reset them by None, as `Fit` does.

        Args:
            network: The same in every process.
            loss: This process's part of the loss, a detached scalar; 0 where its part of the batch is empty.

        Raises:
            CollectiveError: If a process is gone, or its parameters differ from this one's.
        """
        if self.ranks.is_alone:
            return loss
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        buffer = self._buffer if self._buffer is not None else self._allocate(parameters)
        for parameter, view in zip(parameters, self._views, strict=True):
            if parameter.grad is None:
                view.zero_()
            else:
                view.copy_(parameter.grad)
        buffer[_LOSS] = loss
        buffer[_STOP] = float(self._asked_to_stop())
        is_check = self._steps % _CHECK_EVERY == 0
        checksum = checksum_of(parameters) if is_check else 0
        buffer[_CHECKSUM] = checksum
        self._exchange(buffer)
        if is_check and int(buffer[_CHECKSUM]) != self.ranks.size * checksum:
            raise CollectiveError(
                "the processes' parameters differ; they need the same versions, on processors of one kind"
            )
        for parameter, view in zip(parameters, self._views, strict=True):
            parameter.grad = view
        self._steps += 1
        return buffer[_LOSS].clone()

    def add_up(self, values: Tensor) -> Tensor:
        """Return the sum of a tensor over all processes, by an exchange of its own; alone, the tensor itself.

        Args:
            values: What this process has of a step, of one shape and type in all processes.

        Raises:
            CollectiveError: If a process is gone.
        """
        if self.ranks.is_alone:
            return values
        total = values.clone()
        self._exchange(total)
        return total

    def should_stop(self) -> bool:
        """Return whether any process had been asked to stop when the last step was made; all get the same answer."""
        if self.ranks.is_alone:
            return self._asked_to_stop()
        if self._buffer is None or (self._buffer.device.type != "cpu" and self._steps % _CHECK_EVERY):
            return False  # to read from a GPU is to wait for it
        return bool(self._buffer[_STOP] > 0)

    def _exchange(self, buffer: Tensor) -> None:
        """Sum the buffer over all processes."""
        from torch import distributed as dist

        with collective():
            dist.all_reduce(buffer)

    def _allocate(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """Make the buffer, and the views of it that serve as gradients."""
        real = [torch.view_as_real(p.detach()) if p.is_complex() else p.detach() for p in parameters]
        lengths = [-(-part.numel() // _ALIGNMENT) * _ALIGNMENT for part in real]
        wide = any(part.dtype == torch.float64 for part in real)
        buffer = torch.zeros(
            sum(lengths) + _ALIGNMENT, dtype=torch.float64 if wide else torch.float32, device=real[0].device
        )
        for parameter, part, piece in zip(parameters, real, buffer.split([*lengths, _ALIGNMENT]), strict=False):
            view = piece[: part.numel()].view(part.shape)
            self._views.append(torch.view_as_complex(view) if parameter.is_complex() else view)
        self._buffer = buffer
        return buffer


def checksum_of(parameters: Sequence[Tensor]) -> int:
    """Return a number from 0 to 4095 that differs, most likely, where a bit of a parameter does."""
    total = 0
    for parameter in parameters:
        value = parameter.detach()
        bits = (torch.view_as_real(value) if value.is_complex() else value).reshape(-1).view(torch.int16)
        total += int(bits.sum(dtype=torch.int64))
    return total % _CHECKSUMS
