"""Numbers as a program may give them: scalars and arrays of NumPy in the place of Python's own.

NumPy is not loaded for it, so `--help` stays fast.
"""

import sys
from collections.abc import Mapping
from typing import Any

from finer_core.errors import InputError
from finer_core.schema import shown


def plain(value: Any) -> Any:
    """Return a value with Python's numbers in the place of NumPy's scalars, in mappings, lists and tuples too.

    Args:
        value: What a program gave for a setting, or several.
    """
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(each) for each in value)
    numpy = sys.modules.get("numpy")  # who has a number of NumPy's has loaded it
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
    if found.shape != (count,) or found.dtype.kind not in "iu":
        raise InputError(f"{what}: {count} whole numbers are wanted, got {shown(values)}")
    return tuple(int(each) for each in found)
