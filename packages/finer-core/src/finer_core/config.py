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
from finer_core.methods import METHODS, Method, load_method
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
    method = METHODS.get(name) or load_method(name)
    if method is not None:
        return method
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
        generator: Source of randomness of the initialisation; None for the global one.
        device: Where the parameters are made.
        dtype: Their (real) type.
        **overrides: `hidden_features`, `hidden_layers`, or any option of the method, in place of the published values.

    Returns:
        The network, freshly initialised: coords (..., in_features) in [-1, 1] to (..., out_features). `network.config`
        describes it.

    Raises:
        InputError: For an unknown method or option, a missing size, or a value that the method refuses.

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
    sizes = {name: getattr(config, name) for name in _SIZES}
    try:
        network = find_method(config.method).network(**sizes, **config.options, **placement)
    except (ValueError, TypeError, ArithmeticError) as error:
        reason = str(error).partition("\n")[0]  # PyTorch adds its own stack trace
        raise InputError(f"cannot build method {config.method!r}: {reason}") from error
    network.config = config
    return network
