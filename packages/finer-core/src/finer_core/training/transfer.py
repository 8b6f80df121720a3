"""Numbers on their way from the CPU to another device."""

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Return a tensor on a device, without waiting for what the device has still to do.

    An ordinary copy to an NVIDIA GPU begins when everything before it is done, and returns after that. From page-locked
    memory it takes its place in the queue.

    Args:
        tensor: Any shape. One that is there already is returned as it is.
        device: Where it is wanted.
    """
    if tensor.device.type != "cpu" or torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
