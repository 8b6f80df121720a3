"""Describe a network as data, and build it.

A `NetworkConfig` is what a model file stores and what a command line fills; `METHODS` in `finer_core.methods` says
which class a method name stands for and with which published values.
"""

import difflib
import inspect
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Generator

from finer_core.errors import InputError
from finer_core.methods import METHODS, Method
from finer_core.networks import Network
from finer_core.schema import build, fits, shown

_SIZES = ("in_features", "out_features", "hidden_features", "hidden_layers")
_LARGEST_NUMBER = 3.4e38
"""Of single precision, in which networks compute."""
_PLACEMENT = ("generator", "device", "dtype")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Describe a network completely: method, sizes, and the method's own options.

    Attributes:
        method: A key of `METHODS`.
        in_features: Number of coordinates.
        out_features: Number of signal channels.
        hidden_features: Width.
        hidden_layers: Hidden-to-hidden layers.
        options: Every other argument of the method's class; missing ones take the class's defaults.

    Raises:
        InputError: For an unknown method, an option that the method does not have, or a value of another type.
    """

    method: str
    in_features: int
    out_features: int
    hidden_features: int = 256
    hidden_layers: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = option_names(self.method)
        for name in self.options:
            if name not in known:
                raise InputError(f"method {self.method!r} has no option {name!r}; it has {', '.join(sorted(known))}")
        kinds = typing.get_type_hints(find_method(self.method).network.__init__)
        for name, value in self.options.items():
            numbers = [item for item in (value if isinstance(value, list | tuple) else [value]) if item is not None]
            if not fits(value, kinds[name]) or any(fits(n, float) and abs(n) > _LARGEST_NUMBER for n in numbers):
                raise InputError(f"method {self.method!r}: option {name!r} cannot be {shown(value)}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` takes back."""
        return {**asdict(self), "options": dict(self.options)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "NetworkConfig":
        """Build from plain data, refusing unknown or missing keys.

        Raises:
            InputError: If a key is unknown, missing, or of the wrong type.
        """
        return build(cls, data, what="network config")


def find_method(name: str) -> Method:
    """Return the method of that name.

    Raises:
        InputError: If there is none; the message names the nearest.
    """
    if name in METHODS:
        return METHODS[name]
    near = difflib.get_close_matches(str(name).lower(), METHODS, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"unknown method {name!r}{hint} (known: {', '.join(METHODS)})")


def option_names(method: str) -> frozenset[str]:
    """Return the names of the options that a method's class takes besides sizes and placement."""
    parameters = inspect.signature(find_method(method).network).parameters
    return frozenset(parameters) - {*_SIZES, *_PLACEMENT}


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
    """
    values = find_method(method).for_task(task)
    sizes = {name: overrides.pop(name) for name in ("hidden_features", "hidden_layers") if name in overrides}
    return NetworkConfig(
        method=method,
        in_features=in_features,
        out_features=out_features,
        hidden_features=sizes.get("hidden_features", values.hidden_features),
        hidden_layers=sizes.get("hidden_layers", values.hidden_layers),
        options={**values.options, **overrides},
    )


def build_network(
    config: NetworkConfig,
    *,
    generator: Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Network:
    """Build the network that a config describes.

    Args:
        config: The description.
        generator: Source of randomness of the initialisation; None for the global one.
        device: Where the parameters are made.
        dtype: Their (real) type.

    Returns:
        The network, freshly initialised; `network.config` is `config`.

    Raises:
        InputError: If a size or option has a value the method refuses.
    """
    sizes = {name: getattr(config, name) for name in _SIZES}
    try:
        network = find_method(config.method).network(
            **sizes, **config.options, generator=generator, device=device, dtype=dtype
        )
    except (ValueError, TypeError, ArithmeticError) as error:
        reason = str(error).partition("\n")[0]  # PyTorch adds its own stack trace
        raise InputError(f"cannot build method {config.method!r}: {reason}") from error
    network.config = config
    return network
