"""`fit`: train a network on a loss of one's own, with the loop that every fit of the applications runs in."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from finer_core.casts import check_module
from finer_core.errors import InputError
from finer_core.networks.kept_state import check_state
from finer_core.progress import ProgressOption, checked_progress
from finer_core.schema import check_within, shown
from finer_core.training.guard import DivergenceGuard
from finer_core.training.history import TrainingHistory
from finer_core.training.loop import Fit
from finer_core.training.objective import Objective, StatelessObjective
from finer_core.training.optimizers.build import build_optimizers
from finer_core.training.recorded import run_recorded, saved_state
from finer_core.training.resumption import description_of, refuse_other_fit
from finer_core.training.schedules import Schedule

Loss = Callable[[Any, int], Tensor]
"""Returns the scalar loss of a step: loss(network, step)."""


def fit(
    network: nn.Module,
    objective: Objective | Loss,
    *,
    steps: int,
    optimizers: Optimizer | Sequence[Optimizer] | None = None,
    learning_rate: float = 5e-4,
    schedule: Schedule | None = None,
    log_every: int = 100,
    max_grad_norm: float | None = None,
    guard: DivergenceGuard | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_seconds: float = 30.0,
    resume: bool = False,
    callbacks: Sequence[Any] = (),
    progress: ProgressOption = False,
) -> TrainingHistory:
    """Train a network in place, and leave it in its best state.

    Ctrl-C, and a callback's `should_stop`, end the fit with its best state so far; `history.interrupted` says so. So
    does the guard where the loss diverges again and again; `history.ended_early` says so, and a warning is logged.

    Gradients are recorded for the fit where the program around it does not, under `torch.no_grad()` or
    `torch.inference_mode()`; the network must have been made outside the latter.

    Args:
        network: The network.
        objective: A function of (network, step) that returns the scalar loss of the step, differentiable; or an
            `Objective`, which computes the gradients in its own way.
        steps: Updates in all.
        optimizers: One or several; None for Adam on all parameters at `learning_rate`.
        learning_rate: Adam's, where no optimizers are given.
        schedule: Factor on the initial rates by (step, steps), such as `exponential_decay()`; None for 1.
        log_every: Steps between two entries of the history; the guard judges the fit there.
        max_grad_norm: Clip the norm of all gradients together; None for no clipping.
        guard: What goes back to the best state when a fit diverges or loses ground; None for one of the default
            settings. Only its settings count: a guard may be given to any number of fits.
        checkpoint: A file that the state is written to every `checkpoint_seconds`, and at the end.
        checkpoint_seconds: Least time between two writes of it.
        resume: Go on from the checkpoint, if there is one yet, to the same bits as without the interruption. That is so
            on a CPU, if the loss follows from the step and PyTorch's random numbers. Network, optimizers and settings
            must be of the same kinds and values; the loss cannot be compared.
        callbacks: `finer_core.training.Callback`s, or objects with some of its methods.
        progress: False, True for a bar on stderr, or a function of (step, steps, metrics) for each entry.

    Returns:
        The history of this call: an entry a log interval.

    Raises:
        DivergenceError: If the fit diverged for good.
        InputError: For no steps, an argument of another kind, a rate or norm that is not positive, a network without
            trainable parameters, optimizers that have none of them or need a closure, or a checkpoint that exists or is
            of another fit.
        ValueError: If the function returns no real scalar, or one without a gradient.

    Example:
        >>> import torch
        >>> from finer_core import build_network, grid_coords, training
        >>> generator = torch.Generator().manual_seed(0)
        >>> network = build_network("finer", in_features=2, out_features=1, hidden_features=32, generator=generator)
        >>> coords = grid_coords(16, 16)
        >>> target = (8 * coords[:, :1]).sin()
        >>> def loss(net, step):
        ...     return (net(coords) - target).square().mean()
        >>> history = training.fit(network, loss, steps=40, log_every=10)
        >>> len(history), history[-1].loss < history[0].loss
        (4, True)
    """
    for name, number in (("steps", steps), ("log_every", log_every)):
        check_within(number, "[1, inf)", what=name, is_whole=True)
    progress = checked_progress(progress)
    check_module(network)
    check_state(network, what="trained")
    if not callable(objective) and not callable(getattr(objective, "backward", None)):
        raise InputError(f"objective must be a function of network and step, got {shown(objective)[:100]}")
    if guard is not None and not isinstance(guard, DivergenceGuard):
        raise InputError(f"guard must be a DivergenceGuard or None, got {shown(guard)[:100]}")
    if optimizers is None:
        chosen = build_optimizers(network, learning_rate=learning_rate)
    else:
        given = [optimizers] if isinstance(optimizers, Optimizer) else optimizers
        if not isinstance(given, Sequence) or not all(isinstance(each, Optimizer) for each in given):
            raise InputError(
                f"optimizers must be of PyTorch's, or a list of them, got {shown(optimizers)}; make one of "
                "network.parameters()"
            )
        chosen = list(given)
    if schedule is not None and not callable(schedule):
        raise InputError(f"schedule must be a function of step and steps, got {shown(schedule)}; see schedule_of")
    state = saved_state(checkpoint, resume=resume)
    with torch.inference_mode(False), torch.enable_grad(), _initial_rates(chosen):
        loop = Fit(
            network=network,
            objective=_as_objective(objective),
            optimizers=chosen,
            schedule=schedule or (lambda step, steps: 1.0),
            steps=steps,
            log_every=min(log_every, steps),
            max_grad_norm=max_grad_norm,
            guard=guard or DivergenceGuard(),
            checkpoint_seconds=checkpoint_seconds,
        )
        if checkpoint is not None:
            loop.about = description_of(loop)
            if state is not None:
                refuse_other_fit(state, loop.about, source=checkpoint)
        return run_recorded(
            loop,
            name=f"fit {type(network).__name__}",
            metrics_of=lambda loss: {},
            figure=lambda loss: f"loss {loss:.3e}",
            state=state,
            checkpoint=checkpoint,
            callbacks=callbacks,
            progress=progress,
        )


@contextmanager
def _initial_rates(optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """Let a fit begin with the rates that optimizers have, and give them back: a schedule's are none of the next fit.

    What a scheduler of PyTorch's takes for the initial rates is as it was before, too.
    """
    names = ("lr", "initial_lr")

    def groups() -> list[dict[str, Any]]:  # new ones, where a state was loaded
        return [group for optimizer in optimizers for group in optimizer.param_groups]

    before = [{name: group[name] for name in names if name in group} for group in groups()]
    for group in groups():
        group["initial_lr"] = group["lr"]
    try:
        yield
    finally:
        for group, kept in zip(groups(), before, strict=True):
            group.pop("initial_lr", None)
            group.update(kept)


def _as_objective(objective: Objective | Loss) -> Objective:
    own_way = getattr(objective, "backward", None) is not None
    return cast(Objective, objective) if own_way else _LossObjective(cast(Loss, objective))


class _LossObjective(StatelessObjective):
    """Minimize what a function returns."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss

    def backward(self, network: nn.Module, step: int) -> Tensor:
        with torch.enable_grad():
            loss = self.loss(network, step)
        if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.is_complex():
            found = f"{loss.dtype} {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
            raise ValueError(f"the loss of a step must be a real scalar tensor, got {found}")
        if not loss.requires_grad:
            raise ValueError("the loss of a step has no gradient; compute it of the network's outputs")
        loss.backward()
        return loss.detach().reshape(())
