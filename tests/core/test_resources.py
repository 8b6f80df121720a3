"""Sizes, peak memory, devices."""

import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from finer_core import InputError
from finer_core.resources import checked_device, memory_figures, parse_memory, peak_memory_mb, resolve_device
from finer_core.schema import shown

STATUS = Path("/proc/self/status")
HAS_OWN_PEAK = STATUS.is_file() and "VmHWM" in STATUS.read_text()


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
        (4_000_000_000, 4 * 10**9),
        (np.int64(123), 123),
    ],
)
def test_sizes(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "0", "0GB", "-4GB", "4XB", "GB", "4 G B", "1e9", "4,5GB", "inf", "nan", "0.1", "4GB!", "4.GB", "9" * 5000]
    + [0, -4, True, 4e9, None, b"4GB"],
)
def test_other_texts_are_named(text):
    with pytest.raises(InputError) as caught:
        parse_memory(text)
    assert str(caught.value) == str(InputError(f"--memory {shown(text)} is not a size; write 4GB or 512MB"))


def test_peak_memory_sees_a_large_array_and_does_not_forget_it():
    code = (
        "from finer_core.resources import peak_memory_mb\nbefore = peak_memory_mb()\n"
        "block = b'x' * int(before * 1e6 + 1e8)\nduring = peak_memory_mb()\ndel block\n"
        "print(before, during, peak_memory_mb())"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    before, during, after = map(float, result.stdout.split())
    assert before > 5
    assert before + 100 <= during < 2 * before + 120
    assert after == pytest.approx(during, abs=5)


@pytest.mark.skipif(not HAS_OWN_PEAK, reason="this system does not tell a process's own peak")
def test_peak_memory_does_not_count_the_parent():
    block = b"x" * 300_000_000  # this process is large when the other starts
    code = "from finer_core.resources import peak_memory_mb; print(peak_memory_mb())"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert float(result.stdout) < len(block) / 1e6


@pytest.mark.parametrize(("platform", "expected"), [("linux", 3_072_000 / 1e6), ("darwin", 3000 / 1e6)])
def test_units_of_the_platforms(monkeypatch, platform, expected):
    resource = types.SimpleNamespace(RUSAGE_SELF=0, getrusage=lambda who: types.SimpleNamespace(ru_maxrss=3000))
    monkeypatch.setitem(sys.modules, "resource", resource)
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    monkeypatch.setattr(sys, "platform", platform)
    assert peak_memory_mb() == pytest.approx(expected)


def test_a_platform_that_cannot_tell(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    assert peak_memory_mb() != peak_memory_mb(), "not a number"


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_a_device_without_a_count_of_its_memory(device):
    figures = memory_figures(device)
    assert figures["peak_memory_mb"] > 0 and figures["peak_device_memory_mb"] is None


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_the_peak_of_a_gpu_is_of_the_device_that_was_asked_for(monkeypatch, device):
    peaks = {"cuda": 123_456_789, "cuda:1": 2_000_000}
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda asked: peaks[asked])
    assert memory_figures(device)["peak_device_memory_mb"] == round(peaks[device] / 1e6, 1)


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


@pytest.mark.parametrize("device", ["auto", "tpu", "cuda:9999", torch.device("cuda", 9999), 3.5, "meta"])
def test_a_device_that_a_program_gives_is_tried(device):
    with pytest.raises(InputError, match=r"^device .*; give 'cpu'"):
        checked_device(device)


def test_devices_that_are_here():
    assert checked_device("cpu") == checked_device(torch.device("cpu")) == checked_device(None) == torch.device("cpu")
    assert checked_device("meta", needs_numbers=False).type == "meta"
