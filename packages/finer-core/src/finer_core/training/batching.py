"""What every fit needs before its first step: a network drawn from the seed, and pieces that fit cache and memory."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import torch
from torch import nn

from finer_core.activations import fuse_activations, fusion_kept
from finer_core.activations.derivative_mode import outside_derivative_blocks
from finer_core.casts import without_autocast
from finer_core.networks import Network
from finer_core.networks.build import build_network
from finer_core.networks.config import NetworkConfig
from finer_core.networks.own_network import OwnNetwork
from finer_core.training.precision import set_backward_precision

AnyModule = TypeVar("AnyModule", bound=nn.Module)
_CACHED_NUMBERS = 1024 * 256
"""Activations of one layer that stay in a core's cache: pieces of this many numbers train fastest on a CPU."""
_LARGEST_PIECE = 1 << 20
SMALLEST_CHUNK = 256
"""Rows below which a piece is not worth training on."""


@contextmanager
def apart_from_the_program() -> Iterator[None]:
    """Let a block compute as in a program of its own, and leave the caller's as it was.

    In it gradients are recorded, by the published rule, nothing is cast by autocast, and new tensors are of single
    precision and on the CPU; what it draws, and the kernels that it chooses, are no matter of the caller.

    Example:
        >>> import torch
        >>> from finer_core.training.batching import apart_from_the_program
        >>> with torch.no_grad():
        ...     with apart_from_the_program():
        ...         torch.is_grad_enabled()
        ...     torch.is_grad_enabled()
        True
        False
    """
    with ExitStack() as modes:
        modes.enter_context(fusion_kept())
        modes.enter_context(outside_derivative_blocks())
        modes.enter_context(torch.random.fork_rng(devices=[]))
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        modes.enter_context(in_plain_modes())
        yield


@contextmanager
def in_plain_modes() -> Iterator[None]:
    """Let a block compute without autocast, and make new tensors of single precision and on the CPU.

    For what a model is asked, in threads too: but for a default type that is another, nothing is touched that threads
    share.
    """
    dtype = torch.get_default_dtype()
    with ExitStack() as modes:
        modes.enter_context(without_autocast())
        if torch.get_default_device().type != "cpu":  # the context itself makes every operation slower
            modes.enter_context(torch.device("cpu"))
        if dtype != torch.float32:
            torch.set_default_dtype(torch.float32)
            modes.callback(torch.set_default_dtype, dtype)
        yield


def fresh_network(
    config: NetworkConfig, *, seed: int, device: torch.device | str, compiled: bool, precision: str
) -> Network:
    """Build a network, drawn from its seed, ready to train.

    Args:
        config: The network.
        seed: Seed of the initialization. It is drawn on the CPU wherever it trains, so that a seed means the same
            network on every device.
        device: Where it trains.
        compiled: Whether activations are compiled. An NVIDIA GPU has kernels for some that are there at once.
        precision: Of the backward products, "fp32" or "bf16".

    Returns:
        The network, in training mode.

    Example:
        >>> from finer_core import NetworkConfig
        >>> from finer_core.training import fresh_network
        >>> config = NetworkConfig(method="finer", in_features=2, out_features=1)
        >>> fresh_network(config, seed=0, device="cpu", compiled=False, precision="fp32").training
        True
    """
    network = build_network(config, generator=torch.Generator().manual_seed(seed))
    return ready_network(network, device=device, compiled=compiled, precision=precision)


def ready_network(network: AnyModule, *, device: torch.device | str, compiled: bool, precision: str) -> AnyModule:
    """Make a network ready to train, and return it.

    Args:
        network: The network; changed in place.
        device: As for `fresh_network`, and so are the others.
        compiled: Whether activations are compiled.
        precision: Of the backward products of layers of ours.

    Returns:
        The network that was given.

    Example:
        >>> import torch
        >>> from finer_core.training.batching import ready_network
        >>> network = torch.nn.Linear(2, 1)
        >>> ready_network(network, device="cpu", compiled=False, precision="fp32") is network
        True
    """
    network = network.to(device).train()
    fuse_activations(None if torch.device(device).type == "cuda" and not compiled else compiled)
    set_backward_precision(network, precision)
    return network


def bytes_per_row(network: NetworkConfig | OwnNetwork) -> int:
    """Return what training takes for each row of a piece, with gradients and temporaries.

    Args:
        network: The network.

    Example:
        >>> from finer_core import NetworkConfig
        >>> from finer_core.training import bytes_per_row
        >>> bytes_per_row(NetworkConfig(method="finer", in_features=2, out_features=1))
        32000
    """
    if isinstance(network, OwnNetwork):
        return network.row_bytes
    return 4 * (network.hidden_layers + 2) * (network.hidden_features * 6 + 64)


def chunk_rows(network: NetworkConfig | OwnNetwork, *, room: int, device: str) -> int:
    """Return how many rows go through a network at once in training.

    Args:
        network: The network.
        room: Bytes that are free.
        device: On the CPU a piece is what the cache holds; elsewhere as much as the memory allows, up to a million.

    Returns:
        Rows; below `SMALLEST_CHUNK` the memory is too small.

    Example:
        >>> from finer_core import NetworkConfig
        >>> from finer_core.training import chunk_rows
        >>> chunk_rows(NetworkConfig(method="finer", in_features=2, out_features=1), room=2**30, device="cpu")
        1024
    """
    cached = max(SMALLEST_CHUNK, _CACHED_NUMBERS // network.hidden_features)
    return min(cached if device == "cpu" else _LARGEST_PIECE, room // bytes_per_row(network))
