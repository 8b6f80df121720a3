"""A cell: one fit of a table, what determines its result, and what came out."""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finer_core.errors import InputError
from finer_core.reproduction.table import Row, Table, merged
from finer_core.resources import environment_versions
from finer_core.training_config import LENGTHS


@dataclass(frozen=True, kw_only=True)
class Input:
    """Name something that is fitted.

    Attributes:
        name: Of the table's inputs, or another one.
        source: A path, or the name of what is built in.
        sha256: Of its content.
        other: Why it is not the published input of that name; empty where nothing speaks against it.

    Example:
        >>> from finer_core.reproduction import Input
        >>> Input(name="astronaut", source="built-in", sha256="0" * 64).other
        ''
    """

    name: str
    source: str
    sha256: str
    other: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hold what an application computed of a cell.

    Attributes:
        metrics: By name.
        facts: Of the data, which a table's `expects` is compared with.
        curve: Columns of the fit's history, "step" among them.
        seconds: Of the fit.
        sha256: Of the input that was read.
        parameters: Trained numbers; a complex one is two.
        picture: A PNG of the result beside the original.

    Example:
        >>> from finer_core.reproduction import Outcome
        >>> facts = {"facts": {"height": 512}, "curve": {}, "seconds": 9.0, "sha256": "0" * 64, "parameters": 198_657}
        >>> outcome = Outcome(metrics={"psnr": 40.9}, **facts)
        >>> outcome.metrics["psnr"]
        40.9
    """

    metrics: Mapping[str, float | None]
    facts: Mapping[str, Any]
    curve: Mapping[str, Sequence[float]]
    seconds: float
    sha256: str
    parameters: int
    picture: bytes | None = None

    @classmethod
    def of_fit(cls, model: Any, history: Any, *, columns: Sequence[str] = ("step", "loss"), **rest: Any) -> "Outcome":
        """Return the outcome of a fit.

        Args:
            model: A module; its parameters are counted.
            history: Its `TrainingHistory`.
            columns: Of the history, which make the curve.
            **rest: What is not theirs: metrics, facts, sha256 and picture.
        """
        from finer_core.networks.base import parameter_count

        return cls(
            curve={name: history[name].tolist() for name in columns},
            seconds=float(history[-1].seconds),
            parameters=parameter_count(model),
            **rest,
        )


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Say how a table is run.

    Attributes:
        preset: "paper", or "fast" with ours in the place of the table's protocol.
        limit: The first inputs only.
        steps: Steps in place of the published.
        passes: How often each sample is used, in place of the published steps.
        size: Size of the inputs in place of the published.
    """

    preset: str = "paper"
    limit: int | None = None
    steps: int | None = None
    passes: int | None = None
    size: int | None = None

    @property
    def length(self) -> dict[str, int]:
        """The setting of fits that says how long they are; none for the published length."""
        lengths = {"steps": self.steps, "passes": self.passes}
        return {name: count for name, count in lengths.items() if count is not None}

    def reasons(self, table: Table) -> tuple[str, ...]:
        """Return in what a cell is not as published; empty if it is."""
        found = []
        published = table.settings.get("steps")
        for unit, count in self.length.items():
            if unit != "steps" or count != published:
                of = f" of {published}" if published and unit == "steps" else ""
                found.append(f"{count}{of} {unit}")
        if self.size is not None and self.size != table.size:
            found.append(f"size {self.size} of {table.size}" if table.size else f"size {self.size}")
        scaled = (f"scaled: {', '.join(found)}",) if found else ()
        return scaled + (("preset fast",) if self.preset == "fast" else ())


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Describe one fit of a table completely.

    Attributes:
        application: "finer-image" and so on.
        table: Name of the table that it was run for.
        row: Label of its row.
        method: Key of `METHODS`.
        input: What is fitted.
        settings: Of the fit.
        size: Size that the input is brought to; None for its own.
        seed: Of the fit.
        scaled: In what it is not as published.

    Example:
        >>> from finer_core.reproduction import Cell, Input
        >>> data = Input(name="astronaut", source="built-in", sha256="0" * 64)
        >>> cell = Cell(application="finer-image", table="table", row="FINER", method="finer", input=data, seed=1)
        >>> len(cell.digest)
        20
    """

    application: str
    table: str
    row: str
    method: str
    input: Input
    settings: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    seed: int = 0
    scaled: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Hex digits of what determines the result: equal in every table that has this fit, and on every machine.

        The versions of the packages count, so that a newer one does not take an older one's records for its own. What
        computed it does not: threads, processors and graphics cards change the last bits, a thousandth of what any
        tolerance allows, and with them the folders of two machines would hold no cell in common. The record says them.
        """
        content = {
            "versions": {name: _version(name) for name in ("finer-core", self.application)},
            "application": self.application,
            "method": self.method,
            "data": self.input.sha256,
            "settings": self.settings,
            "size": self.size,
            "seed": self.seed,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


@functools.cache  # a table asks for digests by the thousand, and a package's version is read from files
def _version(package: str) -> str:
    return environment_versions(package)[package]


def files_of_inputs(
    table: Table, paths: Sequence[str], find: Callable[[Path, str], Path | None], *, what: str
) -> list[Path]:
    """Return the files that paths mean: themselves, and of folders those of the table's inputs.

    Args:
        table: Has the names of inputs.
        paths: Files and folders.
        find: Returns the file of a folder that is meant by an input's name, if there is one.
        what: What the inputs are, for the message.

    Returns:
        The files, in the order of the paths, and in a folder of the table's inputs.

    Raises:
        InputError: If a folder has none of them.

    Example:
        >>> from finer_core.reproduction import Table, files_of_inputs
        >>> told = {"title": "A table", "source": "a paper", "provenance": "A", "data": "one image", "inputs": ["a"]}
        >>> table = Table(name="toy", **told, rows=[], metrics=[])
        >>> [path.name for path in files_of_inputs(table, ["photo.png"], lambda folder, name: None, what="images")]
        ['photo.png']
    """
    files: list[Path] = []
    for path in map(Path, paths):
        found = [file for name in table.inputs if (file := find(path, name))] if os.path.isdir(path) else [path]
        if not found:
            names = table.inputs if len(table.inputs) <= 8 else [f"{table.inputs[0]} to {table.inputs[-1]}"]
            raise InputError(f"{path}: holds none of the {what} of table {table.name!r} ({', '.join(names) or 'none'})")
        files += found
    return files


def cells_of(
    application: str, table: Table, inputs: Sequence[Input], *, rows: Sequence[Row], seeds: Sequence[int], scale: Scale
) -> list[Cell]:
    """Return the cells of some rows, input by input; rows of methods that are not here have none."""
    return [
        Cell(
            application=application,
            table=table.name,
            row=row.label,
            method=row.method,
            input=each,
            settings=_settings(table, row, scale),
            size=None if scale.size == table.size else scale.size,
            seed=seed,
            scaled=scale.reasons(table),
        )
        for seed in seeds
        for each in inputs
        for row in rows
        if row.method is not None
    ]


def _settings(table: Table, row: Row, scale: Scale) -> dict[str, Any]:
    protocol = table.settings if scale.preset == "paper" else {}
    settings = merged({"preset": scale.preset}, protocol, row.settings)
    if not scale.length:
        return settings
    return {name: value for name, value in settings.items() if name not in LENGTHS} | scale.length
