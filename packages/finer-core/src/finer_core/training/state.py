"""The whole state of a fit at one step: taken of it in memory, and given back to it bit for bit."""

import copy
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from finer_core.errors import InputError
from finer_core.schema import fits, shown
from finer_core.training.objective import Objective


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Hold everything that the rest of a fit depends on.

    Attributes:
        step: Updates done.
        network: The network's state dict, copied.
        optimizers: Each optimizer's state dict, copied.
        objective: The objective's state.
        random_state: Global random state of the CPU generator (and of CUDA's where it is in use).
        loop: The loop's own plain data (guard, loss statistics, seconds so far).
        best: The best state before this one; None where this one is.
    """

    step: int
    network: Mapping[str, Tensor]
    optimizers: list[Mapping[str, Any]]
    objective: Mapping[str, Any]
    random_state: Mapping[str, Tensor]
    loop: Mapping[str, Any]
    best: "TrainState | None" = None


def take_state(
    network: nn.Module, optimizers: list[Optimizer], objective: Objective, *, step: int, loop: Mapping[str, Any]
) -> TrainState:
    """Copy the state of a running fit."""
    random_state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        random_state["cuda"] = torch.cuda.get_rng_state()
    return TrainState(
        step=step,
        network={name: value.detach().clone() for name, value in network.state_dict().items()},
        optimizers=[_copied(optimizer.state_dict(), {}) for optimizer in optimizers],
        objective=_copied(dict(objective.state_dict()), {}),
        random_state=random_state,
        loop=dict(loop),
    )


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    """Return what `copy.deepcopy` does, which takes tens of times as long for a small tensor as its clone.

    A fit that logs often would spend more on its copies than on small networks.
    """
    if id(value) in memo:
        return memo[id(value)]
    if type(value) is dict:
        found: Any = {name: _copied(item, memo) for name, item in value.items()}
    elif type(value) is list:
        found = [_copied(item, memo) for item in value]
    elif type(value) is Tensor and not value.requires_grad:
        found = value.clone()
    else:
        return copy.deepcopy(value, memo)
    memo[id(value)] = found
    return found


def put_state(state: TrainState, network: nn.Module, optimizers: list[Optimizer], objective: Objective) -> None:
    """Give a fit the state that `take_state` copied of it; the state stays usable."""
    network.load_state_dict(state.network)
    for optimizer, saved in zip(optimizers, state.optimizers, strict=True):
        optimizer.load_state_dict(_copied(dict(saved), {}))
    objective.load_state_dict(_copied(dict(state.objective), {}))
    torch.set_rng_state(state.random_state["cpu"])
    if "cuda" in state.random_state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state.random_state["cuda"])


def put_read_state(state: TrainState, network: nn.Module, optimizers: list[Optimizer], objective: Objective) -> None:
    """Give a fit a state that may be of another one, as one from a file; the state stays usable.

    Raises:
        InputError: If the state is of another network or other optimizers.
    """
    if len(state.optimizers) != len(optimizers):
        raise InputError(
            f"the checkpoint has {len(state.optimizers)} optimizers, this fit {len(optimizers)}: it was begun with "
            "other settings, or by another version; start anew, with --overwrite or another checkpoint"
        )
    own = {"network": network.state_dict(), "objective": dict(objective.state_dict())}
    if other := difference({"network": state.network, "objective": state.objective}, own, ""):
        raise InputError(f"the checkpoint is of another fit: {other}")
    try:
        needed = [[set(group) for group in optimizer.param_groups] for optimizer in optimizers]
        put_state(state, network, optimizers, objective)
        for optimizer, names_of_groups in zip(optimizers, needed, strict=True):
            for names, group in zip(names_of_groups, optimizer.param_groups, strict=True):
                if lacking := sorted(names - set(group)):
                    raise ValueError(f"{', '.join(lacking)} of {type(optimizer).__name__} is not in it")
            _check_moments(optimizer)
    except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"the checkpoint is of another fit: {str(error).strip().partition(chr(10))[0]}") from error


def _check_moments(optimizer: Optimizer) -> None:
    """Raise ValueError for a state of another shape than its parameter's: PyTorch's own kernels would not look.

    Others than Adam may also hold square matrices of a parameter's sides, as ours do, and its sums by rows or columns,
    as Adafactor does.
    """
    for parameter, state in optimizer.state.items():
        full = tuple(parameter.shape)
        for name, value in state.items():
            shape = tuple(value.shape) if isinstance(value, Tensor) else ()
            is_sum = len(shape) == len(full) and all(a in (1, b) for a, b in zip(shape, full, strict=True))
            is_part = not isinstance(optimizer, Adam) and (is_sum or shape in {(side, side) for side in full})
            if shape and shape != full and not is_part:
                raise ValueError(f"{name} of shape {shape} for a parameter of shape {full}")


def difference(saved: Any, own: Any, place: str) -> str:
    """Return in words where a saved state has another form than the fit's own, or is not finite where that is."""
    if saved is None or own is None:  # an objective may come to have something, or have it no more
        return ""
    if isinstance(own, Tensor):
        if not isinstance(saved, Tensor) or saved.shape != own.shape or saved.is_complex() != own.is_complex():
            found = f"{saved.dtype} {tuple(saved.shape)}" if isinstance(saved, Tensor) else type(saved).__name__
            return f"{place} is {found}, not {own.dtype} {tuple(own.shape)}"
        is_fine = saved.isfinite() | ~own.isfinite().to(saved.device)
        return "" if bool(is_fine.all()) else f"{place} holds NaN or infinity"
    if isinstance(own, Mapping):
        if not isinstance(saved, Mapping) or set(saved) != set(own):
            names = set(saved) ^ set(own) if isinstance(saved, Mapping) else set(own)
            return f"{place or 'it'} differs in {', '.join(sorted(map(str, names))[:3])}"
        parts = (difference(saved[name], own[name], f"{place}.{name}".lstrip(".")) for name in own)
        return next((part for part in parts if part), "")
    if isinstance(own, int | float) and not isinstance(own, bool):
        is_whole = isinstance(saved, int) and not isinstance(saved, bool)  # generators count in more than 64 bits
        return "" if is_whole or fits(saved, float) else f"{place} is {shown(saved)}, not a number"
    return "" if isinstance(saved, type(own)) else f"{place} is {shown(saved)}"


@contextmanager
def blaming(checkpoint: str | os.PathLike[str], *, begun: Callable[[], bool]) -> Iterator[None]:
    """Turn what a wrong state makes a block raise into a refusal of the checkpoint that it goes on from.

    Args:
        checkpoint: The file, for the message.
        begun: Says whether the state was taken, by all that a first step needs of it; then the error is another's.

    Raises:
        InputError: In place of an error that a wrong state can cause.
    """
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())
        own = type(error).__module__.startswith("finer") and not isinstance(error, InputError)
        if begun() or own or "memory" in reason:
            raise
        raise InputError(f"{os.fspath(checkpoint)}: cannot be gone on from ({reason})") from error
