"""The whole state of a fit at one step: taken in memory, written to one safe file, read back bit for bit.

Tensors go into a safetensors file, plain data into its metadata; nothing is pickled.
"""

import copy
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from finer_core.errors import InputError
from finer_core.tensor_file import read_tensors, write_tensors
from finer_core.training.objective import Objective

_FORMAT = "finer-checkpoint-1"


@dataclass(frozen=True, kw_only=True)
class FitState:
    """Hold everything that the rest of a fit depends on.

    Attributes:
        step: Updates done.
        network: The network's state dict, copied.
        optimizers: Each optimiser's state dict, copied.
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
    best: "FitState | None" = None


def take_state(
    network: nn.Module, optimizers: list[Optimizer], objective: Objective, *, step: int, loop: Mapping[str, Any]
) -> FitState:
    """Copy the state of a running fit."""
    random_state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        random_state["cuda"] = torch.cuda.get_rng_state()
    return FitState(
        step=step,
        network={name: value.detach().clone() for name, value in network.state_dict().items()},
        optimizers=[copy.deepcopy(optimizer.state_dict()) for optimizer in optimizers],
        objective=copy.deepcopy(dict(objective.state_dict())),
        random_state=random_state,
        loop=dict(loop),
    )


def put_state(state: FitState, network: nn.Module, optimizers: list[Optimizer], objective: Objective) -> None:
    """Give a fit the state that `take_state` copied; the state stays usable.

    Raises:
        InputError: If the state is of another network or other optimisers.
    """
    if len(state.optimizers) != len(optimizers):
        raise InputError(f"the checkpoint has {len(state.optimizers)} optimisers, this fit {len(optimizers)}")
    try:
        network.load_state_dict(state.network)
        for optimizer, saved in zip(optimizers, state.optimizers, strict=True):
            optimizer.load_state_dict(copy.deepcopy(dict(saved)))
        objective.load_state_dict(copy.deepcopy(dict(state.objective)))
    except (RuntimeError, ValueError, KeyError) as error:
        raise InputError(f"the checkpoint is of another fit: {str(error).splitlines()[0]}") from error
    torch.set_rng_state(state.random_state["cpu"])
    if "cuda" in state.random_state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state.random_state["cuda"])


def write_state(state: FitState, path: str | os.PathLike[str]) -> None:
    """Write a state atomically: a killed writer leaves the previous file."""
    tensors: dict[str, Tensor] = {}
    plain = _plain(state, tensors)
    if state.best is not None:
        plain["best"] = _plain(state.best, tensors, prefix="best.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {"format": _FORMAT, "state": json.dumps(plain)})


def read_state(path: str | os.PathLike[str]) -> FitState:
    """Read a state.

    Raises:
        InputError: If the file is missing, damaged, or not a checkpoint.
    """
    name = os.fspath(path)
    header, tensors = read_tensors(name, what="checkpoint", expected_format=_FORMAT)
    try:
        plain = json.loads(header["state"])
        best = _state_of(plain["best"], tensors) if "best" in plain else None
        return replace(_state_of(plain, tensors), best=best)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{name}: damaged checkpoint ({error!r})") from error


def _plain(state: FitState, tensors: dict[str, Tensor], *, prefix: str = "") -> dict[str, Any]:
    """Return a state as plain data, its tensors moved to `tensors`."""
    return {
        "network": _flatten(dict(state.network), f"{prefix}network", tensors),
        "optimizers": _flatten(list(state.optimizers), f"{prefix}optimizers", tensors),
        "objective": _flatten(dict(state.objective), f"{prefix}objective", tensors),
        "random_state": _flatten(dict(state.random_state), f"{prefix}random_state", tensors),
        "loop": dict(state.loop),
        "step": state.step,
    }


def _state_of(plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FitState:
    return FitState(
        step=int(plain["step"]),
        network=_unflatten(plain["network"], tensors),
        optimizers=_unflatten(plain["optimizers"], tensors),
        objective=_unflatten(plain["objective"], tensors),
        random_state=_unflatten(plain["random_state"], tensors),
        loop=plain["loop"],
    )


def _flatten(value: Any, key: str, tensors: dict[str, Tensor]) -> Any:
    """Move tensors out of nested plain data into `tensors`, leaving tagged references; keep integer keys and tuples."""
    if isinstance(value, Tensor):
        name = key if key not in tensors else f"{key}#{len(tensors)}"  # "a.b" may also be b of a
        tensors[name] = value
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"map": [[k, _flatten(v, f"{key}.{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        tag = "tuple" if isinstance(value, tuple) else "list"
        return {tag: [_flatten(v, f"{key}.{i}", tensors) for i, v in enumerate(value)]}
    return {"plain": value}


def _unflatten(node: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    ((tag, value),) = node.items()
    if tag == "tensor":
        return tensors[value]
    if tag == "map":
        return {k: _unflatten(v, tensors) for k, v in value}
    if tag == "tuple":
        return tuple(_unflatten(v, tensors) for v in value)
    if tag == "list":
        return [_unflatten(v, tensors) for v in value]
    return value
