"""Check plain data that a file holds against the types that a dataclass declares: one schema for all files of ours.

A file may have been changed by anybody. What comes out of here has the declared types, whole numbers that the machine's
have room for, and finite numbers; what the fields may say beyond that, the dataclass checks when it is made.
"""

import dataclasses
import difflib
import math
import sys
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from finer_core.errors import InputError

T = TypeVar("T")
_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    Mapping: "a mapping",
    dict: "a mapping",
    Sequence: "a list",
    tuple: "a list",
    type(None): "none",
}
_MOST_INTEGER = 2**63 - 1


def fits(value: Any, kind: Any) -> bool:
    """Return whether plain data fits an annotation.

    An integer is a number, a truth value is not; numbers are finite, and integers have at most 64 bits.

    Args:
        value: Plain data: what JSON can hold, and tuples.
        kind: A type, or one of Literal, Union, Sequence, tuple and Mapping with their parts.
    """
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return True
    if origin is typing.Literal:
        return any(value == part and type(value) is type(part) for part in parts)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin in (Mapping, dict) or kind in (Mapping, dict):
        item = parts[1] if parts else Any
        return isinstance(value, Mapping) and all(isinstance(k, str) and fits(v, item) for k, v in value.items())
    if origin is tuple and parts[-1:] != (Ellipsis,):
        return _is_list(value) and len(value) == len(parts) and all(map(fits, value, parts))
    if origin in (Sequence, list, tuple):
        return _is_list(value) and all(fits(item, parts[0]) for item in value)
    if kind in (float, int):
        return _is_number(value) and (kind is float or isinstance(value, int))
    return isinstance(value, kind)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_number(value: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= _MOST_INTEGER
    return isinstance(value, float) and math.isfinite(value)


def described(kind: Any) -> str:
    """Return an annotation in words, for messages."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(described(part) for part in parts)
    if origin is tuple and parts[-1:] != (Ellipsis,):
        return f"a list of {len(parts)}"
    return _WORDS.get(origin or kind) or str(getattr(kind, "__name__", kind))


def check(value: Any, kind: Any, *, name: str) -> None:
    """Raise InputError if plain data does not fit an annotation.

    Args:
        value: The data.
        kind: The annotation; see `fits`.
        name: What it is, for the message.
    """
    if not fits(value, kind):
        raise InputError(f"{name} must be {wanted(value, kind)}, got {shown(value)}")


def wanted(value: Any, kind: Any) -> str:
    """Return in words what an annotation wants in the place of a value that does not fit it."""
    is_too_large = isinstance(value, int) and abs(value) > _MOST_INTEGER and fits(0, kind)
    return described(kind) + " between 1 - 2^63 and 2^63 - 1" * is_too_large


def shown(value: Any) -> str:
    """Return a value for a message: what is too long, or too large to be written, is cut short.

    What takes several lines, as tables and modules do, is told by its type.
    """
    try:
        text = repr(value)
        return text[:200] if "\n" not in text else f"one of type {type(value).__name__}"
    except ValueError:  # an integer of more digits than Python writes
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"


def check_entries(data: Any, kinds: Mapping[str, Any], *, what: str) -> None:
    """Raise InputError if a mapping lacks an entry, or one is of another type; it may have further ones.

    Args:
        data: The mapping.
        kinds: The entries and their annotations; see `fits`.
        what: What the mapping is, with its place, for the message.
    """
    check(data, Mapping, name=what)
    for name, kind in kinds.items():
        if name not in data:
            raise InputError(f"{what} has no {name!r}")
        check(data[name], kind, name=f"{what}: {name}")


def build(kind: type[T], data: Any, *, what: str) -> T:
    """Make a dataclass of plain data, after checking names and types.

    Args:
        kind: The dataclass. Its fields of dataclass type, or of one of several, are made of mappings in the same way,
            its tuples of lists.
        data: A mapping of its fields; those with a default may be missing.
        what: What the data is, with its place, for messages.

    Raises:
        InputError: If a field is unknown, missing, or of another type, or the dataclass refuses its values.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"{what} must be a mapping, got {type(data).__name__}")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    kinds = typing.get_type_hints(kind)
    unknown = sorted(map(str, set(data) - set(fields)))
    missing = sorted(name for name, field in fields.items() if name not in data and not _has_default(field))
    if unknown or missing:
        near = difflib.get_close_matches(unknown[0], fields, n=1) if unknown else []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{what} has unknown keys {unknown[:3]} and lacks {missing[:3]}{hint}")
    values = {name: _value(data[name], kinds[name], fields[name], what=f"{what}: {name}") for name in data}
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{what} cannot be used ({shown(error)})") from error


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _value(value: Any, kind: Any, field: "dataclasses.Field[Any]", *, what: str) -> Any:
    choices_of_kind = [each for each in typing.get_args(kind) or (kind,) if dataclasses.is_dataclass(each)]
    if choices_of_kind and not (
        value is None and fits(value, kind)
    ):  # the one whose fields the entries are, else the first, which says what is wrong
        names = set(value) if isinstance(value, Mapping) else set()
        fitting = [each for each in choices_of_kind if names <= {field.name for field in dataclasses.fields(each)}]
        return build((fitting or choices_of_kind)[0], value, what=what)  # type: ignore[arg-type]
    check(value, kind, name=what)
    choices = field.metadata.get("choices")
    if choices and value is not None and value not in choices:
        raise InputError(f"{what} must be one of {', '.join(choices)}, got {shown(value)}")
    return tuple(value) if isinstance(value, list) and "tuple" in str(kind) else value


def plain(value: Any) -> Any:
    """Return a value with Python's own in the place of NumPy's scalars and PyTorch's devices, in collections too."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(each) for each in value)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")  # who has something of theirs has loaded them
    if torch is not None and isinstance(value, getattr(torch, "device", ())):
        return str(value)
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def whole_numbers(values: Any, *, count: int, what: str) -> tuple[int, ...]:
    """Return so many whole numbers.

    Args:
        values: A tuple, a list, an array or a tensor of them.
        count: How many.
        what: What they are, for the message.

    Raises:
        InputError: If they are something else.
    """
    import numpy as np

    try:
        found = np.asarray(values)
    except (ValueError, TypeError, RuntimeError):  # of several lengths, or on another device
        found = np.empty(0)
    has_truth = isinstance(values, list | tuple) and any(isinstance(each, bool | np.bool_) for each in values)
    if found.shape != (count,) or found.dtype.kind not in "iu" or has_truth or np.ma.is_masked(values):
        raise InputError(f"{what}: {count} whole numbers are wanted, got {shown(values)}")
    return tuple(int(each) for each in found)


def check_number(value: Any, *, what: str, is_whole: bool = False) -> None:
    """Refuse what is no number before it is compared with one.

    Args:
        value: What a program gave.
        what: What it is, for the message.
        is_whole: Whether it must be an integer.

    Raises:
        InputError: If it is something else.
    """
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, int if is_whole else int | float):
        raise InputError(f"{what} must be {'an integer' if is_whole else 'a number'}, got {shown(value)[:100]}")


def check_flag(value: Any, *, what: str) -> None:
    """Refuse what is neither true nor false: Python takes any other value for one of them.

    Args:
        value: What a program gave.
        what: What it is, for the message.

    Raises:
        InputError: If it is something else.
    """
    if type(value) is not bool and not isinstance(plain(value), bool):  # activations ask in every layer
        raise InputError(f"{what} must be True or False, got {shown(value)[:100]}")


def check_within(value: Any, interval: str, *, what: str, is_whole: bool = False) -> None:
    """Refuse what is no number of an interval.

    Args:
        value: What a program gave.
        interval: As mathematics writes it, such as "[0, 1)" or "(0, inf)".
        what: What it is, for the message.
        is_whole: Whether it must be an integer.

    Raises:
        InputError: If it is something else.
    """
    check_number(value, what=what, is_whole=is_whole)
    low, high = map(float, interval[1:-1].split(","))
    is_above = value >= low if interval[0] == "[" else value > low
    is_below = value <= high if interval[-1] == "]" else value < high
    if not (is_above and is_below):
        raise InputError(f"{what} must be in {interval}, got {shown(value)[:100]}")
