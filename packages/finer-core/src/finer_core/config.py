"""Settings as dataclass fields: their help, their checks, and how layers of them are merged; needs no PyTorch.

A field made by `setting` is an option of every command whose settings have it. A preset, a config file and the command
line are merged in this order by `merge_settings`; a program's keywords replace a config's fields by `config_with`.
"""

import dataclasses
import difflib
import os
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

from finer_core.errors import InputError
from finer_core.schema import build, check, fits, plain, shown, wanted

Config = TypeVar("Config")
Plan = TypeVar("Plan", bound="SavedPlan")


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    metavar: str | None = None,
    preset: str | None = None,
) -> Any:
    """Describe a setting: its default, its help text, and the values it may take.

    Args:
        default: Value when no preset, file or argument gives one.
        help: One line for `--help`.
        choices: The allowed values.
        metavar: Name of the value in the help.
        preset: The only preset that uses it; None for all.
    """
    metadata = {"help": help, "choices": choices, "metavar": metavar, "preset": preset}
    return dataclasses.field(default=default, metadata=metadata)


def merge_settings(settings: type, *layers: Mapping[str, Any]) -> Any:
    """Build a settings object from layers of values, the later winning.

    NumPy's numbers and PyTorch's devices become Python's. A layer's None means "not given"; the string "none" on the
    command line arrives as `NONE` and sets None.

    Raises:
        InputError: For a name that the settings do not have, or a value of another type or choice than the option's.
    """
    known = {field.name: field for field in dataclasses.fields(settings)}
    types_of = typing.get_type_hints(settings)
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, given in layer.items():
            value = plain(given)
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(f"unknown setting {name!r}{hint}")
            if value is not None and value is not NONE:
                _check_value(name, value, types_of[name], known[name].metadata.get("choices"))
            if value is not None:
                merged[name] = None if value is NONE else value
    return settings(**merged)


def check_fields(settings: Any) -> None:
    """Make NumPy's numbers in a settings object Python's, and raise InputError for a value that its field cannot have.

    Args:
        settings: The object, which is being made; a frozen dataclass.
    """
    kinds = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        value = plain(getattr(settings, field.name))
        object.__setattr__(settings, field.name, value)
        if value is not None or not fits(None, kinds[field.name]):
            _check_value(field.name, value, kinds[field.name], field.metadata.get("choices"))


def _check_value(name: str, value: Any, kind: Any, choices: Sequence[str] | None) -> None:
    """Raise InputError for a value, mostly from a config file, that an option cannot have."""
    if not fits(value, kind):
        as_option = "--" + name.replace("_", "-")
        raise InputError(
            f"setting {name!r} must be {wanted(value, kind).replace(' or none', '')}, got {shown(value)} ({as_option})"
        )
    if choices and value not in choices:
        raise InputError(f"setting {name!r} must be one of {', '.join(choices)}, got {value!r}")


class _None:
    def __repr__(self) -> str:
        return "none"


NONE = _None()
"""An explicit "none" given by the user, which is not the same as nothing given."""


def plain_type(kind: Any) -> type:
    """Return T of T | None, the first of several."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def config_with(kind: type[Config], config: Config | None, overrides: Mapping[str, Any]) -> Config:
    """Return a config with some fields replaced.

    Args:
        kind: Its dataclass.
        config: The config; None for the default one.
        overrides: Values by name; None means "decided later" where a field may be that.

    Raises:
        InputError: For a config of another kind, a name that is no field, or a value of another type or choice.
    """
    if config is not None and not isinstance(config, kind):
        given = f"the class {config.__name__}" if isinstance(config, type) else f"one of type {type(config).__name__}"
        raise InputError(f"config must be a {kind.__name__}, such as {kind.__name__}(steps=100), got {given}")
    before = {} if config is None else vars(config)
    kinds, layer = typing.get_type_hints(kind), {}
    for name, value in overrides.items():
        if name not in kinds and "network" in kinds and not difflib.get_close_matches(name, kinds, n=1):
            raise InputError(
                f"unknown setting {name!r}; a network's own are given as network={{{name!r}: ...}}, all others are "
                f"fields of {kind.__name__}"
            )
        if value is None and name in kinds:
            check(None, kinds[name], name=f"setting {name!r}")
        layer[name] = NONE if value is None else tuple(value) if isinstance(value, list) else value
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


def refuse_fields_without_effect(config: Any, *names: str, named: Collection[str], why: str) -> None:
    """Raise InputError for a field that a program gave and that does nothing in what it calls.

    Args:
        config: A dataclass whose fields all have defaults.
        *names: The fields without effect.
        named: Fields that the program named.
        why: Says why, after the field, and where it would have one.
    """
    given = given_fields(config, named)
    for name in names:
        if name in given:
            raise InputError(f"{name} {shown(getattr(config, name))} does nothing {why}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SavedPlan:
    """Be a plan, with `settings` and `device`, that `config.json` says and a resumed run takes back.

    Attributes:
        resolved: Settings that may not be None, because every plan has decided them.
    """

    resolved: ClassVar[Sequence[str]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for `config.json`."""
        return {field.name: _saved(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_config(cls: type[Plan], config: Mapping[str, Any], *, source: str | os.PathLike[str]) -> Plan:
        """Take a plan back from the entries of `config.json` that are its fields.

        Args:
            config: The content.
            source: The file, for messages.

        Raises:
            InputError: If an entry is missing or of another type, a value is refused, or the device is absent.
        """
        from finer_core.resources import resolve_device

        names = [field.name for field in dataclasses.fields(cls)]
        plan: Any = build(cls, {name: config[name] for name in names if name in config}, what=os.fspath(source))
        # Other optimizers than Adam have a rate for matrices.
        is_adam = getattr(plan.settings, "optimizer", None) in (None, "adam")
        needed = (*cls.resolved, *(() if is_adam else ("matrix_learning_rate",)))
        missing = [name for name in needed if getattr(plan.settings, name) is None]
        if missing:
            raise InputError(f"{os.fspath(source)}: settings: {missing[0]} is none; a run has it decided")
        resolved: Plan = dataclasses.replace(plan, device=resolve_device(plan.device))
        return resolved


def _saved(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return list(value) if isinstance(value, tuple) else value
