"""What is kept of a module, in a model file or a checkpoint: its state, which must be tensors with numbers."""

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from finer_core.errors import InputError


def check_state(network: nn.Module, *, what: str) -> None:
    """Raise InputError for a module whose state is more than dense tensors, or has not its numbers yet.

    Args:
        network: Any module.
        what: What cannot be done with it then, for the message.
    """
    check_numbers(network, what=what)
    for name, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise InputError(
                f"network {type(network).__name__} cannot be {what}: {name!r} of its state is a "
                f"{type(value).__name__}; keep it in a tensor, by register_buffer"
            )
        steps = value.stride() if value.layout == torch.strided else value.shape
        if any(count > 1 and not step for count, step in zip(value.shape, steps, strict=True)):
            raise InputError(
                f"network {type(network).__name__} cannot be {what}: {name!r} has one number in memory for several, as "
                "expand() leaves them, and cannot be written to; make it with .clone()"
            )


def check_numbers(network: nn.Module, *, what: str) -> None:
    """Raise InputError for a module that has not its numbers yet: with lazy layers, or on the device meta."""
    title = f"network {type(network).__name__} cannot be {what}"
    tensors = (*network.parameters(), *network.buffers())
    if any(map(is_lazy, tensors)):
        raise InputError(f"{title}: it has lazy layers, without weights yet; call it once")
    if any(tensor.is_meta for tensor in tensors):
        raise InputError(f"{title}: it is on the device meta, without numbers; make it on another")
