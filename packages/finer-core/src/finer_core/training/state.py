"""The whole state of a fit at one step: taken in memory, written to one safe file, read back bit for bit.

Tensors go into a safetensors file, plain data into its metadata; nothing is pickled.
"""

import copy
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from finer_core.errors import CollectiveError, InputError
from finer_core.io.tensor_file import read_shapes, read_tensors, write_tensors
from finer_core.schema import fits, shown
from finer_core.training.guard import DivergenceGuard
from finer_core.training.objective import Objective

_FORMAT = "finer-checkpoint-1"


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
        optimizers=[copy.deepcopy(optimizer.state_dict()) for optimizer in optimizers],
        objective=copy.deepcopy(dict(objective.state_dict())),
        random_state=random_state,
        loop=dict(loop),
    )


def put_state(state: TrainState, network: nn.Module, optimizers: list[Optimizer], objective: Objective) -> None:
    """Give a fit the state that `take_state` copied of it; the state stays usable."""
    network.load_state_dict(state.network)
    for optimizer, saved in zip(optimizers, state.optimizers, strict=True):
        optimizer.load_state_dict(copy.deepcopy(dict(saved)))
    objective.load_state_dict(copy.deepcopy(dict(state.objective)))
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
    if other := _difference({"network": state.network, "objective": state.objective}, own, ""):
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


def _difference(saved: Any, own: Any, place: str) -> str:
    """Return in words where a saved state has another form than the fit's own, or is not finite where that is."""
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
        parts = (_difference(saved[name], own[name], f"{place}.{name}".lstrip(".")) for name in own)
        return next((part for part in parts if part), "")
    if isinstance(own, int | float) and not isinstance(own, bool):
        return "" if fits(saved, float) else f"{place} is {shown(saved)}, not a number"
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


@contextmanager
def saving(state: TrainState, path: Path | None) -> Iterator[None]:
    """Write a state, if it has a file, where a block raises CollectiveError because another process is gone."""
    try:
        yield
    except CollectiveError as error:
        if not path:
            raise
        write_state(state, path)
        raise CollectiveError(f"{error}; saved at step {state.step}, go on with --resume") from error


def write_state(state: TrainState, path: str | os.PathLike[str]) -> None:
    """Write a state atomically: a killed writer leaves the previous file."""
    tensors: dict[str, Tensor] = {}
    plain = _plain(state, tensors)
    if state.best is not None:
        plain["best"] = _plain(state.best, tensors, prefix="best.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {"format": _FORMAT, "state": json.dumps(plain)})


def read_state(path: str | os.PathLike[str]) -> TrainState:
    """Read a state.

    Raises:
        InputError: If the file is missing, damaged, or not a checkpoint.
    """
    name = os.fspath(path)
    header, tensors = read_tensors(name, what="checkpoint", expected_format=_FORMAT)
    try:
        plain = json.loads(header["state"])
        best = _state_of(plain["best"], tensors) if "best" in plain else None
        state = replace(_state_of(plain, tensors), best=best)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{name}: damaged checkpoint (its state cannot be read: {error})") from error
    wrong = _wrong_part(state)
    if best is not None and not wrong:
        wrong = _wrong_part(best) or _difference(
            {"network": best.network, "objective": best.objective},
            {"network": state.network, "objective": state.objective},
            "best",
        )
    if wrong:
        raise InputError(f"{name}: damaged checkpoint ({wrong})")
    return state


def saved_numbers(path: str | os.PathLike[str]) -> int:
    """Return how many numbers the network of a checkpoint has, without reading them.

    Raises:
        InputError: As `read_state`.
    """
    shapes = read_shapes(path, what="checkpoint", expected_format=_FORMAT)
    return sum(math.prod(shape) for name, shape in shapes.items() if name.startswith("network."))


def _wrong_part(state: TrainState) -> str:
    """Return in words which part of a state is not what it should be; empty if none is."""
    wrong = [name for name in ("network", "objective") if not isinstance(getattr(state, name), Mapping)]
    if not fits(state.optimizers, list[Mapping[str, Any]]):
        wrong.append("optimizers")
    own = state.random_state.get("cpu") if isinstance(state.random_state, Mapping) else None
    if not isinstance(own, Tensor) or own.dtype != torch.uint8:
        wrong.append("random_state")
    loop = state.loop if isinstance(state.loop, Mapping) else {}
    guard = loop.get("guard")
    guard = guard if isinstance(guard, Mapping) else {}
    if not all(_is_like(guard.get(name), own) for name, own in DivergenceGuard().state_dict().items()):
        wrong.append("loop: guard")
    known = {"loss": 0.0, "seconds": 0.0, "steps": 0, "is_reached": False}
    if not all(_is_like(loop.get(name), own) for name, own in known.items()):
        wrong.append("loop")
    elif not fits([state.step, loop["steps"]], list[int]) or not 0 <= state.step <= loop["steps"]:
        wrong.append("step")
    return ", ".join(wrong)


def _is_like(value: Any, own: float | bool) -> bool:
    """Return whether a value is a truth value, a count or a number as `own` is; a loss may be NaN or infinite."""
    if isinstance(own, bool):
        return isinstance(value, bool)
    if isinstance(own, int):  # a negative count of rollbacks would allow as many more
        return fits(value, int) and value >= 0
    return isinstance(value, float) or fits(value, int)


def _plain(state: TrainState, tensors: dict[str, Tensor], *, prefix: str = "") -> dict[str, Any]:
    """Return a state as plain data, its tensors moved to `tensors`."""
    return {
        "network": _flatten(dict(state.network), f"{prefix}network", tensors),
        "optimizers": _flatten(list(state.optimizers), f"{prefix}optimizers", tensors),
        "objective": _flatten(dict(state.objective), f"{prefix}objective", tensors),
        "random_state": _flatten(dict(state.random_state), f"{prefix}random_state", tensors),
        "loop": dict(state.loop),
        "step": state.step,
    }


def _state_of(plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TrainState:
    return TrainState(
        step=plain["step"],
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
