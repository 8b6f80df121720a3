"""Average the weights along a fit: the mean of the last steps is often better than the last one."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from finer_core.schema import check_within
from finer_core.training.optimizers.eager import EagerOptimizer, loss_of


class WeightEma(EagerOptimizer):
    """Keep an exponential moving average of the parameters (EMA), and put it in their place at the end.

    Formula: a <- d a + (1 - d) theta after each update, with d = min(decay, (1 + t) / (10 + t)) at update t, so that
    the first weights, which are random, are soon forgotten.

    It has an optimizer's form, and belongs at the end of the list that a `Fit` steps, so that its state is copied,
    rolled back and saved with theirs. It changes no parameter before `apply`.

    Args:
        params: What to average.
        decay: Share that the average keeps at an update, in (0, 1).
        every: Steps between two updates.

    Raises:
        InputError: If `decay` is outside (0, 1), or `every` below 1.

    Example:
        >>> import torch
        >>> from finer_core.training import WeightEma
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> average = WeightEma([weight], decay=0.9)
        >>> for value in (1.0, 2.0, 3.0):
        ...     _ = weight.data.fill_(value)
        ...     average.step()
        >>> average.apply()
        >>> 1 < weight.item() < 3
        True
    """

    def __init__(self, params: Iterable[nn.Parameter], *, decay: float, every: int = 1) -> None:
        check_within(decay, "(0, 1)", what="decay")
        check_within(every, "[1, inf)", what="every", is_whole=True)
        super().__init__(params, {"lr": 0.0, "initial_lr": 0.0, "decay": decay, "every": every, "steps": 0})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take the parameters as they are now into the average."""
        self.finish()
        return loss_of(closure)

    def advance(self) -> None:
        """Do nothing: how much an update counts, and whether there is one, depends on the steps made."""

    @torch.no_grad()
    def finish(self) -> None:
        """Do the step."""
        for group in self.param_groups:
            update, rest = divmod(group["steps"], group["every"])
            group["steps"] += 1
            if rest:
                continue
            decay = min(group["decay"], (1 + update) / (10 + update))
            known = [parameter for parameter in group["params"] if self.state[parameter]]
            if known:
                torch._foreach_lerp_([self.state[parameter]["average"] for parameter in known], known, 1 - decay)
            for parameter in group["params"]:
                if not self.state[parameter]:
                    self.state[parameter]["average"] = parameter.detach().clone()

    @torch.no_grad()
    def apply(self) -> None:
        """Give the parameters their averages."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if self.state[parameter]:
                    parameter.copy_(self.state[parameter]["average"])


def apply_averages(optimizers: Iterable[Optimizer]) -> None:
    """Give parameters their averages, where there are any among a fit's optimizers."""
    for optimizer in optimizers:
        if isinstance(optimizer, WeightEma):
            optimizer.apply()
