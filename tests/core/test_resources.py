"""Sizes, peak memory, devices."""

import sys
import types

import pytest
import torch
from finer_core import InputError
from finer_core.resources import parse_memory, peak_memory_mb, resolve_device


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4 * 10**9),
        ("4gb", 4 * 10**9),
        ("4G", 4 * 10**9),
        ("512 MiB", 512 * 2**20),
        ("1.5 GiB", 3 * 2**29),
        ("0.1GB", 10**8),
        ("2Ki", 2048),
        ("1TB", 10**12),
        ("1TiB", 2**40),
        ("800kb", 800_000),
        ("123", 123),
        ("123B", 123),
        (" 7 MB ", 7 * 10**6),
        ("9" * 400, int("9" * 400)),
    ],
)
def test_sizes(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text", ["", "0", "0GB", "-4GB", "4XB", "GB", "4 G B", "1e9", "4,5GB", "inf", "nan", "0.1", "4GB!", "4.GB"]
)
def test_other_texts_are_named(text):
    with pytest.raises(InputError) as caught:
        parse_memory(text)
    assert str(caught.value) == f"--memory {text!r} is not a size; write 4GB or 512MB"


def test_peak_memory_never_falls_and_sees_a_large_array():
    before = peak_memory_mb()
    block = bytearray(200_000_000)
    block[::4096] = b"x" * len(block[::4096])
    after = peak_memory_mb()
    del block
    assert 10 < before <= after == pytest.approx(peak_memory_mb(), rel=0.01)
    assert after > 200


@pytest.mark.parametrize(("platform", "expected"), [("linux", 3_072_000 / 1e6), ("darwin", 3000 / 1e6)])
def test_units_of_the_platforms(monkeypatch, platform, expected):
    resource = types.SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: types.SimpleNamespace(ru_maxrss=3000))
    monkeypatch.setitem(sys.modules, "resource", resource)
    monkeypatch.setattr(sys, "platform", platform)
    assert peak_memory_mb() == pytest.approx(expected)


def test_a_platform_that_cannot_tell(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory_mb() != peak_memory_mb(), "not a number"


@pytest.mark.parametrize(
    ("cuda", "mps", "best"), [(False, False, "cpu"), (False, True, "mps"), (True, False, "cuda"), (True, True, "cuda")]
)
def test_auto_takes_the_best_device(monkeypatch, cuda, mps, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert resolve_device("auto") == best
    assert resolve_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_absent(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"device '{name}' is not available here"):
        resolve_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:0", ""])
def test_unknown_device(name):
    with pytest.raises(InputError, match=f"unknown device '{name}'"):
        resolve_device(name)
