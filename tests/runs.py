"""What tests of every application's runs share: the figures that all have, and a run that is killed on its way."""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
