"""The record of a cell: what was run, where, with what result; as JSON."""

import hashlib
import json
import os
import platform
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from finer_core.errors import InputError
from finer_core.io.files import finite, small_file, without_repetition
from finer_core.reproduction.cell import Cell, Outcome
from finer_core.resources import environment_versions
from finer_core.schema import build

FORMAT = 1
_MOST_BYTES = 1 << 24
"""Of a record; one has some thousands."""
_LIBRARIES = ("torch", "numpy", "scipy", "scikit-image")
"""What a result may depend on beside our packages."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """Hold what is known of one cell that was run.

    Attributes:
        digest: Of what determines the result.
        application: "finer-image" and so on.
        table: That it was run for; other tables with the same fit take it too.
        row: Label of its row there.
        method: Key of `METHODS`.
        input: Name of what was fitted.
        data_sha256: Of its content.
        settings: Of the fit, as it was asked for.
        size: Size that the input was brought to; None for its own.
        seed: Of the fit.
        scaled: In what it is not as published.
        metrics: By name; None for what is infinite, or not defined.
        facts: Of the data.
        curve: Columns of the history; None for infinite.
        seconds: Of the fit.
        parameters: Trained numbers; a complex one is two.
        versions: Of Python, the platform and the packages.
        hardware: Processor, threads, graphics card.
        machine: A digest that tells machines apart and names none.
        date: When it was finished, in UTC.
        error: Why the fit failed, if it diverged.
        format: Version of this format.

    Example:
        >>> from dataclasses import fields
        >>> from finer_core.reproduction import Record
        >>> [field.name for field in fields(Record)][:3]
        ['digest', 'application', 'table']
    """

    digest: str
    application: str
    table: str
    row: str
    method: str
    input: str
    data_sha256: str
    settings: Mapping[str, Any]
    size: int | None
    seed: int
    scaled: tuple[str, ...]
    metrics: Mapping[str, float | None]
    facts: Mapping[str, Any]
    curve: Mapping[str, Sequence[float | None]]
    seconds: float
    parameters: int
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]
    machine: str
    date: str
    error: str | None = None
    format: int = field(default=FORMAT)

    @property
    def stem(self) -> str:
        """Name of its files: of what determines the result, and the machine."""
        words = "-".join((self.method, self.input, f"seed{self.seed}"))
        plain = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in words)
        return f"{plain.lstrip('.')[:80]}-{self.digest}-{self.machine}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)

    @classmethod
    def of_file(cls, path: Path) -> "Record":
        """Read a record.

        Raises:
            InputError: If the file is damaged or no record.
        """
        try:
            text = small_file(path, most=_MOST_BYTES).decode("utf-8")
            content = json.loads(text, object_pairs_hook=without_repetition)
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: damaged ({error}); remove it to compute the cell again") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise InputError(f"{path}: is no record of format {FORMAT}; move it out of the folder")
        record: Record = build(cls, content, what=str(path))
        return record


def record_of(cell: Cell, outcome: Outcome | Exception) -> Record:
    """Return the record of a cell that this process has just run, with as many threads as are set."""
    error = str(outcome) if isinstance(outcome, Exception) else None
    if isinstance(outcome, Exception):
        outcome = Outcome(metrics={}, facts={}, curve={}, seconds=0.0, sha256="", parameters=0)
    return Record(
        digest=cell.digest,
        application=cell.application,
        table=cell.table,
        row=cell.row,
        method=cell.method,
        input=cell.input.name,
        data_sha256=cell.input.sha256,
        settings=dict(cell.settings),
        size=cell.size,
        seed=cell.seed,
        scaled=cell.scaled,
        metrics=finite(outcome.metrics),  # as the file will have them
        facts=dict(outcome.facts),
        curve=finite(outcome.curve),
        seconds=round(outcome.seconds, 3),
        parameters=outcome.parameters,
        versions=environment_versions("finer-core", cell.application, *_LIBRARIES),
        hardware=hardware(),
        machine=machine(),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        error=error,
    )


def hardware() -> dict[str, Any]:
    """Return what this process computes on."""
    import torch

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": card,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def machine() -> str:
    """Return eight hex digits that are this machine's."""
    return hashlib.sha256(f"{platform.node()} {uuid.getnode()}".encode()).hexdigest()[:8]
