"""Optimizers that leave PyTorch's compiler alone: loading it takes about as long as loading PyTorch does.

Methods of `torch.optim.Optimizer` are wrapped so that the compiler does not trace them, and the wrappers load it
(pytorch 2.6 to 2.13). Here they are taken out of their wrappers; they are never compiled by a fit.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import optim


class EagerOptimizer(optim.Optimizer):
    """An `Optimizer` whose own methods do not load the compiler."""

    add_param_group = inspect.unwrap(optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(optim.Optimizer.zero_grad)


def loss_of(closure: Callable[[], Any] | None) -> Any:
    """Return what a step's closure does, which computes gradients wherever the step is made; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


class Adam(EagerOptimizer, optim.Adam):
    """PyTorch's Adam, to the same bits."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once."""
        return inspect.unwrap(optim.Adam.step)(self, closure)
