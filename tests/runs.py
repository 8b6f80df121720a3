"""What tests of every application's runs share: figures, threads, and a run that is killed on its way."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from tests import refusals
from tests.prepared import PreparedProcess

FIGURES = frozenset(
    ["method", "preset", "steps", "seconds", "parameters", "peak_memory_mb", "peak_device_memory_mb", "device", "seed"]
)
"""Names in every `metrics.json`."""


def start(module: str, arguments: Sequence[str]) -> PreparedProcess:
    """Start an application's command in a process of its own."""
    return PreparedProcess(["-m", module, *arguments])


def wait_for_lines(log: Path, count: int, process: "PreparedProcess | subprocess.Popen[Any]") -> None:
    """Wait until a log has `count` lines, or the process that writes it ended."""
    while (len(log.read_text().splitlines()) if log.is_file() else 0) < count and process.poll() is None:
        time.sleep(0.002)


def assert_threads_hold(main: Callable[..., int], arguments: Sequence[str], out: Path, capsys: Any) -> None:
    """Fit by a command with three threads, and go on with two: runs have them, and this process has its own again."""
    command, before = [*arguments, "--out", str(out)], torch.get_num_threads()
    refusals.assert_refused(main, [*command, "--threads", "0"], capsys, "--threads must be at least 1, got 0")
    assert main([*command, "--threads", "3"]) == 0
    assert json.loads((out / "config.json").read_text())["threads"] == 3 != before == torch.get_num_threads()
    capsys.readouterr()
    assert main([*command, "--threads", "2", "--resume"]) == 0
    assert "begun with threads 3 where it is 2 now" in capsys.readouterr().err
    assert torch.get_num_threads() == before
