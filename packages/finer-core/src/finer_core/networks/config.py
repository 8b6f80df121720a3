"""Describe a network as data.

A `NetworkConfig` is what a model file stores and what a command line fills; `METHODS` in `finer_core.methods` says
which class a method name stands for and with which published values.
"""

import difflib
import functools
import inspect
import sys
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from finer_core.errors import InputError
from finer_core.methods import METHODS, OWN_METHODS, Method, installed_methods, load_method, method_names
from finer_core.schema import build, fits, plain, shown

SIZES_GIVEN = ("hidden_features", "hidden_layers")
"""Sizes that a user chooses; the others are the data's."""
SIZES = ("in_features", "out_features", *SIZES_GIVEN)
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

    Example:
        >>> from finer_core import NetworkConfig, build_network
        >>> config = NetworkConfig(method="finer", in_features=2, out_features=3, options={"first_bias_scale": 5.0})
        >>> build_network(config).config == NetworkConfig.from_dict(config.to_dict())
        True
    """

    method: str
    in_features: int
    out_features: int
    hidden_features: int = 256
    hidden_layers: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in SIZES:
            object.__setattr__(self, name, plain(getattr(self, name)))
        object.__setattr__(self, "options", plain(self.options))
        check_option_names(self.method, self.options)
        kinds = typing.get_type_hints(find_method(self.method).network_class.__init__)
        for name, value in self.options.items():
            numbers = [item for item in (value if isinstance(value, list | tuple) else [value]) if item is not None]
            if not fits(value, kinds[name]) or any(fits(n, float) and abs(n) > _LARGEST_NUMBER for n in numbers):
                raise InputError(f"method {self.method!r}: option {name!r} cannot be {shown(value)}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that `from_dict` takes back."""
        return {**asdict(self), "options": dict(sorted(self.options.items()))}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "NetworkConfig":
        """Build from plain data, refusing unknown or missing keys.

        Raises:
            InputError: If a key is unknown, missing, or of the wrong type.
        """
        return build(cls, data, what="network config")


def find_method(name: str, *, task: str | None = None) -> Method:
    """Return the method of that name.

    Args:
        name: On the command line.
        task: What it is for, "image", "sdf", "nerf" or "ntk": the message names methods of that task only.

    Raises:
        InputError: If there is none; the message names the nearest. If another has the name of one of finer-core's, or
            it has no values for the task.
    """
    if not isinstance(name, str):
        raise InputError(f"a method is named by a text, got {shown(name)[:100]}")
    if name in OWN_METHODS:
        replaced = f"METHODS[{name!r}]" if METHODS.get(name) is not OWN_METHODS[name] else ""
        rival = replaced or _rivals(tuple(sys.path)).get(name)
        if rival:
            raise InputError(f"{rival} is another method than finer-core's {name!r}; give it a name of its own")
    method = METHODS.get(name) or load_method(name)
    if method is not None and not isinstance(method, Method):
        raise InputError(f"METHODS[{name!r}] must be a Method, got {method!r:.100}")
    if method is not None:
        if task is not None:
            method.for_task(task)
        return method
    known = method_names(task)
    near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"unknown method {name!r}{hint} (known: {', '.join(known)})")


@functools.cache
def _rivals(path: tuple[str, ...]) -> dict[str, str]:
    """Return the methods of packages on Python's path that have names of finer-core's, by these names."""
    found = (entry for entry in installed_methods() if entry.name in OWN_METHODS)
    return {entry.name: f"the installed {entry.value}" for entry in found}


def check_option_names(method: str, names: Iterable[str], *, sizes: Collection[str] = ()) -> None:
    """Raise InputError for a name that is none of a method's options.

    Args:
        method: A key of `METHODS`.
        names: What was given.
        sizes: Names beside the options that are one: `SIZES_GIVEN` where a user names both.
    """
    known = option_names(method)
    for name in names:
        if name not in known and name not in sizes:
            raise InputError(
                f"method {method!r} has no option {name!r}; it has {', '.join(sorted(known))}, beside the sizes "
                f"{' and '.join(SIZES_GIVEN)}"
            )


def option_names(method: str) -> frozenset[str]:
    """Return the names of the options that a method's class takes besides sizes and placement."""
    parameters = inspect.signature(find_method(method).network_class).parameters
    return frozenset(parameters) - {*SIZES, *_PLACEMENT}
