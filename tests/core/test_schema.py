"""Plain data against the types of a dataclass."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from finer_core import InputError
from finer_core.schema import build, check_entries, described, fits


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, int, True), (1.0, int, False), (True, int, False), (2**63 - 1, int, True), (2**63, int, False),
        (1, float, True), (1.5, float, True), (math.nan, float, False), (math.inf, float, False),
        (10**400, float, False), (False, float, False), ("a", str, True), (None, str, False),
        (None, str | None, True), (True, bool, True),
        (1, bool, False), ("a", Literal["a", "b"], True), ("c", Literal["a", "b"], False), (1, Literal[True], False),
        ([1, 2], Sequence[int], True), ((1, 2), list[int], True), ([1, "2"], Sequence[int], False),
        ("12", Sequence[str], False),
        ([1.0, 2], tuple[float, float], True), ([1.0], tuple[float, float], False), ([1, 2, 3], tuple[int, ...], True),
        ({"a": 1}, Mapping[str, int], True), ({"a": "1"}, Mapping[str, int], False), ({1: 1}, Mapping[str, int], False),
        ({"a": []}, dict[str, Any], True), ([], Mapping, False), (object(), Any, True),
    ],
)  # fmt: skip
def test_what_fits(value, kind, expected):
    assert fits(value, kind) is expected
    assert described(kind)


@dataclass(frozen=True, kw_only=True)
class Inner:
    scale: float
    offset: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise InputError("scale must be positive")


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    inner: Inner
    mode: str = field(default="a", metadata={"choices": ("a", "b")})
    sizes: tuple[int, ...] | None = None


def test_a_dataclass_of_dataclasses_is_built():
    made = build(Outer, {"name": "n", "inner": {"scale": 2, "offset": [1, 2.5]}, "sizes": [1, 2]}, what="file")
    assert made == Outer(name="n", inner=Inner(scale=2, offset=(1, 2.5)), sizes=(1, 2))


GOOD = {"name": "n", "inner": {"scale": 2}}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "file must be a mapping, got list"),
        ({**GOOD, "nam": 1}, r"file has unknown keys \['nam'\] and lacks \[\]; did you mean 'name'"),
        ({"inner": {"scale": 1}}, r"lacks \['name'\]"),
        ({**GOOD, "name": 3}, "file: name must be a string, got 3"),
        ({**GOOD, "inner": 3}, "file: inner must be a mapping"),
        ({**GOOD, "inner": {"scale": "2"}}, "file: inner: scale must be a number, got '2'"),
        ({**GOOD, "inner": {"scale": -1}}, "file: inner: scale must be positive"),
        ({**GOOD, "inner": {"scale": 1, "offset": [1]}}, "offset must be a list of 2"),
        ({**GOOD, "mode": "c"}, "file: mode must be one of a, b, got 'c'"),
        ({**GOOD, "sizes": [1.5]}, "sizes must be a list or none"),
        ({**GOOD, "name": 10**5000}, "name must be a string, got an integer of 16610 bits"),
        ({**GOOD, "name": ["x" * 10**6]}, "name must be a string"),
    ],
)
def test_what_does_not_fit_is_named(data, message):
    with pytest.raises(InputError, match=message) as caught:
        build(Outer, data, what="file")
    assert len(str(caught.value)) <= 300


def test_entries():
    check_entries({"a": 1, "more": []}, {"a": int}, what="file")
    with pytest.raises(InputError, match="file has no 'b'"):
        check_entries({"a": 1}, {"b": int}, what="file")
    with pytest.raises(InputError, match="file: a must be a string, got 1"):
        check_entries({"a": 1}, {"a": str}, what="file")
