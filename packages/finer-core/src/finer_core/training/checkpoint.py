"""A fit's state in one safe file: written, and read back bit for bit.

Tensors go into a safetensors file, plain data into its metadata; nothing is pickled.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from finer_core.errors import CollectiveError, InputError
from finer_core.io.tensor_file import read_shapes, read_tensors, write_tensors
from finer_core.schema import fits, plain
from finer_core.training.guard import DivergenceGuard
from finer_core.training.state import TrainState, difference

_FORMAT = "finer-checkpoint-1"
_DTYPES = {str(each): each for each in (torch.float64, torch.float32, torch.bfloat16, torch.float16)}
"""The types of numbers that an optimizer's settings may name."""


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
    parts = _plain(state, tensors)
    if state.best is not None:
        parts["best"] = _plain(state.best, tensors, prefix="best.")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {"format": _FORMAT, "state": json.dumps(parts)})


def read_state(path: str | os.PathLike[str]) -> TrainState:
    """Read a state.

    Raises:
        InputError: If the file is missing, damaged, or not a checkpoint.
    """
    name = os.fspath(path)
    header, tensors = read_tensors(name, what="checkpoint", expected_format=_FORMAT)
    try:
        parts = json.loads(header["state"])
        best = _state_of(parts["best"], tensors) if "best" in parts else None
        state = replace(_state_of(parts, tensors), best=best)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(f"{name}: damaged checkpoint (its state cannot be read: {error})") from error
    wrong = _wrong_part(state)
    if best is not None and not wrong:
        wrong = _wrong_part(best) or difference(
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
    fine = {"network": fits(state.network, Mapping[str, Tensor]), "objective": isinstance(state.objective, Mapping)}
    wrong = [name for name, is_fine in fine.items() if not is_fine]
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
        "loop": plain(state.loop),
        "step": state.step,
    }


def _state_of(parts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TrainState:
    nested = ("network", "optimizers", "objective", "random_state")
    return TrainState(
        step=parts["step"], loop=parts["loop"], **{name: _unflatten(parts[name], tensors) for name in nested}
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
    if isinstance(value, torch.dtype):
        return {"dtype": str(value)}
    return {"plain": plain(value)}


def _unflatten(node: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    ((tag, value),) = node.items()
    if tag == "tensor":
        return tensors[value]
    if tag == "map":
        return {k: _unflatten(v, tensors) for k, v in value}
    if tag == "tuple":
        return tuple(_unflatten(v, tensors) for v in value)
    if tag == "dtype":
        return _DTYPES[value]
    if tag == "list":
        return [_unflatten(v, tensors) for v in value]
    return value
