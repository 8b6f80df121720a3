"""Build the network that a config, or a method's published values, describe."""

from typing import Any

import torch
from torch import Generator

from finer_core.errors import InputError
from finer_core.networks.base import Network
from finer_core.networks.config import SIZES, SIZES_GIVEN, NetworkConfig, find_method
from finer_core.resources import checked_device


def published_config(*, method: str, task: str, in_features: int, out_features: int, **overrides: Any) -> NetworkConfig:
    """Return a method's published network for a task, with overrides.

    Args:
        method: A key of `METHODS`.
        task: "image", "sdf", "nerf" or "ntk".
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        **overrides: `hidden_features`, `hidden_layers`, or any option of the method. A value of None counts: it is
            PyTorch's default for `first_bias_scale`.

    Raises:
        InputError: If the method has no values for the task, or an override is unknown.

    Example:
        >>> from finer_core import published_config
        >>> config = published_config(method="finer", task="image", in_features=2, out_features=3)
        >>> config.hidden_features, config.options["first_omega_0"]
        (256, 30.0)
    """
    values = find_method(method, task=task).for_task(task)
    sizes = {name: overrides.pop(name) for name in SIZES_GIVEN if name in overrides}
    return NetworkConfig(
        method=method,
        in_features=in_features,
        out_features=out_features,
        hidden_features=sizes.get("hidden_features", values.hidden_features),
        hidden_layers=sizes.get("hidden_layers", values.hidden_layers),
        options={**values.options, **overrides},
    )


def build_network(
    method: str | NetworkConfig,
    *,
    in_features: int | None = None,
    out_features: int | None = None,
    task: str = "image",
    generator: Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    **overrides: Any,
) -> Network:
    """Build a method's published network, or the one that a config describes.

    Args:
        method: A key of `METHODS`, or a config; the sizes, the task and overrides are those of a config then.
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        task: Whose published values are taken: "image", "sdf", "nerf" or "ntk".
        generator: Source of randomness of the initialization; None for the global one.
        device: Where the parameters are made.
        dtype: Their (real) type.
        **overrides: `hidden_features`, `hidden_layers`, or any option of the method, in place of the published values.

    Returns:
        The network, freshly initialized: coords (..., in_features) in [-1, 1] to (..., out_features). `network.config`
        describes it.

    Raises:
        InputError: For an unknown method or option, a missing size, a device that is not here, or a value that the
            method refuses.

    Example:
        >>> import torch
        >>> from finer_core import build_network
        >>> network = build_network("finer", in_features=2, out_features=3, first_bias_scale=5.0)
        >>> network(torch.zeros(4, 2)).shape
        torch.Size([4, 3])
    """
    if isinstance(method, NetworkConfig):
        sizes = {"in_features": in_features, "out_features": out_features}
        given = [*(name for name, value in sizes.items() if value is not None), *overrides]
        if given:
            raise InputError(f"{given[0]} is given beside a config, which has its own; use dataclasses.replace on it")
        return _built(method, generator=generator, device=device, dtype=dtype)
    if in_features is None or out_features is None:
        raise InputError(f"a network of method {method!r} needs in_features and out_features")
    config = published_config(method=method, task=task, in_features=in_features, out_features=out_features, **overrides)
    return _built(config, generator=generator, device=device, dtype=dtype)


def _built(config: NetworkConfig, **placement: Any) -> Network:
    sizes = {name: getattr(config, name) for name in SIZES}
    if placement["device"] is not None:
        checked_device(placement["device"], needs_numbers=False)
    dtype = placement["dtype"]
    if isinstance(dtype, torch.dtype) and not (dtype.is_floating_point or dtype.is_complex):
        raise _no_real(config, dtype)
    try:
        network = find_method(config.method).network_class(**sizes, **config.options, **placement)
    except (ValueError, TypeError, ArithmeticError, RuntimeError, MemoryError) as error:  # RuntimeError: no memory
        reason = str(error).partition("\n")[0]  # PyTorch adds its own stack trace
        raise InputError(f"cannot build method {config.method!r}: {reason}") from error
    if isinstance(dtype, torch.dtype) and dtype.is_complex:  # networks that are complex inside say it better
        raise _no_real(config, dtype)
    network.config = config
    return network


def _no_real(config: NetworkConfig, dtype: torch.dtype) -> InputError:
    return InputError(f"cannot build method {config.method!r}: dtype must be a real floating-point one, got {dtype}")
