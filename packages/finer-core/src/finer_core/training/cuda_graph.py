"""A fit's step on an NVIDIA GPU as one CUDA graph: asked for once, instead of a hundred small operations.

What changes from step to step, the batch and the rates, lies in tensors that the graph reads. All that the processor
has to see, such as how many steps were made, stays outside. Results are those of the plain step, whose operations the
graph repeats.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from finer_core.activations._kernels.dispatch import compiles_on
from finer_core.training.objective import CapturableObjective, Objective

_log = logging.getLogger(__name__)
_PLAIN = 3
"""Steps before the recording: they make all that is made once, optimizers' states and libraries' handles."""


@runtime_checkable
class SplitOptimizer(Protocol):
    """An optimizer whose step is a part that can be recorded and a part that cannot."""

    def advance(self) -> None:
        """Do the part that can be recorded."""
        ...

    def finish(self) -> None:
        """Do the rest, after `advance` or what repeats it."""
        ...


class GraphedStep:
    """Do a fit's updates by a CUDA graph, after the first few.

    Args:
        network: The network.
        objective: One whose batches have the same shapes at every step.
        optimizers: The optimizers.
        max_grad_norm: Clip the norm of all gradients together; None for no clipping.
    """

    def __init__(
        self,
        network: nn.Module,
        objective: CapturableObjective,
        optimizers: Sequence[Optimizer],
        *,
        max_grad_norm: float | None,
    ) -> None:
        self.network, self.objective, self.optimizers = network, objective, list(optimizers)
        self.max_grad_norm = max_grad_norm
        device = next(network.parameters()).device
        self._rates = [torch.zeros((), device=device) for _ in self._groups]
        self._batch: list[Tensor] = []
        self._loss: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._done = 0
        self.is_refused = False

    def __call__(self, step: int) -> Tensor:
        """Do one update at the rates as they are, and return its loss, which the next one overwrites."""
        for rate, group in zip(self._rates, self._groups, strict=True):
            rate.fill_(group["lr"])
        batch = self.objective.batch_tensors(step)
        if [tensor.shape for tensor in batch] != [tensor.shape for tensor in self._batch]:
            self._batch = [tensor.clone() for tensor in batch]
            self.forget()
        else:
            for held, tensor in zip(self._batch, batch, strict=True):
                held.copy_(tensor)
        if self._graph is None and self._done >= _PLAIN and not self.is_refused:
            self._record()
        if self._graph is None:
            with self._rates_on_device():
                self._loss = self._advance()
        else:
            self._graph.replay()
        self._done += 1
        for optimizer in self.optimizers:
            if isinstance(optimizer, SplitOptimizer):
                optimizer.finish()
        assert self._loss is not None
        return self._loss

    @property
    def _groups(self) -> list[dict[str, Any]]:
        """Return the optimizers' groups, which `load_state_dict` replaces."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def forget(self) -> None:
        """Record anew, because tensors that the graph uses were replaced."""
        self._graph, self._done = None, 0

    def _advance(self) -> Tensor:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss = self.objective.backward_of(self.network, *self._batch)
        if self.max_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.max_grad_norm)
        for optimizer in self.optimizers:
            if isinstance(optimizer, SplitOptimizer):
                optimizer.advance()
            else:
                optimizer.step()
        return loss.detach()

    def _record(self) -> None:
        try:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, capture_error_mode="thread_local"), self._rates_on_device():
                self._loss = self._advance()
        except RuntimeError as error:
            self.is_refused = True
            _log.warning("the step is not recorded as a CUDA graph: %s", str(error).strip().partition("\n")[0])
            return
        self._graph = graph

    @contextmanager
    def _rates_on_device(self) -> Iterator[None]:
        """Have the optimizers read their rates where a graph can."""
        groups = self._groups
        before = [group["lr"] for group in groups]
        for rate, group in zip(self._rates, groups, strict=True):
            group["lr"] = rate
        try:
            yield
        finally:
            for value, group in zip(before, groups, strict=True):
                group["lr"] = value


def graphed_step(
    network: nn.Module, objective: Objective, optimizers: Sequence[Optimizer], *, max_grad_norm: float | None
) -> GraphedStep | None:
    """Return what does a fit's updates by a CUDA graph; None where that is not possible.

    Args:
        network: As for `GraphedStep`, and so are the others.
        objective: Any objective.
        optimizers: The optimizers.
        max_grad_norm: Of the gradients.
    """
    device = next(network.parameters()).device
    # A compiled loss is a graph of its own.
    if device.type != "cuda" or compiles_on(device) or not isinstance(objective, CapturableObjective):
        return None
    if not objective.is_capturable or not all(map(_is_capturable, optimizers)):
        return None
    return GraphedStep(network, objective, optimizers, max_grad_norm=max_grad_norm)


def _is_capturable(optimizer: Any) -> bool:
    own = not type(optimizer).__module__.startswith("torch.")
    return own or all(group.get("capturable") for group in optimizer.param_groups)
