"""What a program gives beside a config: fields that replace those of the config."""

import dataclasses
import typing
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

import numpy as np

from finer_core.cli import NONE, merge_settings
from finer_core.schema import check

Config = TypeVar("Config")


def config_with(kind: type[Config], config: Config | None, overrides: Mapping[str, Any]) -> Config:
    """Return a config with some fields replaced.

    Args:
        kind: Its dataclass.
        config: The config; None for the default one.
        overrides: Values by name; None means "decided later" where a field may be that.

    Raises:
        InputError: For a name that is no field, or a value of another type or choice.
    """
    before = {} if config is None else vars(config)
    kinds, layer = typing.get_type_hints(kind), {}
    for name, value in overrides.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if plain is None and name in kinds:
            check(None, kinds[name], name=f"setting {name!r}")
        layer[name] = NONE if plain is None else tuple(plain) if isinstance(plain, list) else plain
    merged: Config = merge_settings(kind, {name: before[name] for name in kinds if name in before}, layer)
    return merged


def given_fields(config: Any, named: Collection[str]) -> set[str]:
    """Return the fields of a config that a program gave: those it named, and those that are not the default's.

    Args:
        config: A dataclass whose fields all have defaults.
        named: Fields that it named.
    """
    default = type(config)()
    names = [field.name for field in dataclasses.fields(config)]
    return {name for name in names if name in named or getattr(config, name) != getattr(default, name)}
