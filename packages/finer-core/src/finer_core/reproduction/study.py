"""Run a table of an application: plan the cells, skip what is there, compute the rest, compare."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finer_core.distributed.sharing import Sharing
from finer_core.errors import InputError
from finer_core.methods import METHODS
from finer_core.progress import ProgressOption
from finer_core.reproduction.cell import Cell, Input, Scale, cells_of
from finer_core.reproduction.folder import ResultsFolder
from finer_core.reproduction.html import html_page
from finer_core.reproduction.record import Record
from finer_core.reproduction.render import FORMATS, rendered
from finer_core.reproduction.run import run_cells
from finer_core.reproduction.summary import summary_rows
from finer_core.reproduction.table import Row, Table
from finer_core.schema import check_flag
from finer_core.seeds import different_seeds


@dataclass(frozen=True, kw_only=True)
class Study:
    """Say what an application can reproduce, and how.

    Attributes:
        application: "finer-image" and so on; extras are named after it.
        tables: By name.
        compute: "module:function" of a `Cell`, which returns its `Outcome`; workers import it.
        find_inputs: Function of a table and paths that returns inputs; with no paths, what is built in.
        pictures: What the pictures of outcomes show, for reports.
        lengths: What its fits can be scaled by: of "steps" and "passes".

    Example:
        >>> from finer_core.reproduction import Study
        >>> how = {"compute": "my_study:compute", "find_inputs": lambda table, paths: []}
        >>> study = Study(application="finer-core", tables={}, **how)
        >>> study.table("toy")
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: no table 'toy'; there are none
    """

    application: str
    tables: Mapping[str, Table]
    compute: str
    find_inputs: Callable[[Table, Sequence[str]], list[Input]]
    pictures: str = ""
    lengths: Sequence[str] = ("steps",)

    def table(self, name: str) -> Table:
        """Return a table.

        Raises:
            InputError: If there is none of the name.
        """
        if name not in self.tables:
            raise InputError(f"no table {name!r}; there are {', '.join(self.tables) or 'none'}")
        return self.tables[name]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """Hold a table beside what was computed.

    Attributes:
        table: What was published.
        rows: A mapping for each row, metric and input: published, ours, spread, difference, verdict and more.
        records: Of the cells that were run, by digest.
        scaled: In what the run is not as published; empty if it is.
        notes: What was left aside.
        pictures: PNG files, by digest.
        shown: What the pictures show.
        failed: How many cells could not be run; the notes say why.

    Example:
        >>> from dataclasses import fields
        >>> from finer_core.reproduction import Reproduction
        >>> [field.name for field in fields(Reproduction)][:3]
        ['table', 'rows', 'records']
    """

    table: Table
    rows: Sequence[Mapping[str, Any]]
    records: Mapping[str, Record]
    scaled: Sequence[str]
    notes: Sequence[str]
    pictures: Mapping[str, bytes]
    shown: str = ""
    failed: int = 0

    def render(self, format: str = "md") -> str:
        """Return the table as text.

        Args:
            format: "md", "csv", "json", "tex" (booktabs) or "html" (one file that opens offline).

        Raises:
            InputError: For another format.
        """
        if format == "html":
            return html_page(
                self.table,
                self.rows,
                self.records,
                self.pictures,
                shown=self.shown,
                scaled=self.scaled,
                notes=self.notes,
            )
        return rendered(format, self.table, self.rows, scaled=self.scaled, notes=self.notes)

    def write(self, folder: ResultsFolder) -> None:
        """Write the table in every format into a results folder.

        Raises:
            InputError: If it cannot be written.
        """
        for format in (*FORMATS, "html"):
            folder.write_table(f"{self.table.name}.{format}", self.render(format))


def reproduce(
    study: Study,
    table: str,
    inputs: Sequence[str | os.PathLike[str]] = (),
    *,
    preset: str = "paper",
    limit: int | None = None,
    steps: int | None = None,
    passes: int | None = None,
    size: int | None = None,
    methods: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    out: str | os.PathLike[str] | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    threads: int = 1,
    run: bool = True,
    progress: ProgressOption = False,
) -> Reproduction:
    """Run a published table and compare; see the applications' functions of this name.

    Args:
        study: The application's.
        table: Name of the table.
        inputs: Files or folders of the table's data; none for what is built in.
        preset: "paper" for the published protocol, "fast" for ours in its place.
        limit: The first inputs only.
        steps: Steps in place of the published.
        passes: How often each sample is used, in place of the published steps; where the study has `lengths` of it.
        size: Size of the inputs in place of the published.
        methods: Labels of rows, or methods, all of whose rows are taken; None for all.
        seeds: Of the fits; figures are means over them.
        out: Results folder; None to write nothing.
        workers: Processes of this machine that share the cells, by Dask; 0 to run them here, one after the other.
        scheduler: Address of a Dask scheduler, such as "tcp://10.0.0.1:8786", whose workers share them.
        threads: Of every fit, wherever it runs, because its last bits depend on them.
        run: Whether to compute what is not in the folder.
        progress: False, True for a bar on stderr, or a function of (cells done, cells, {}).

    Returns:
        The comparison.

    Raises:
        InputError: For an unknown table, row or input, or a setting that cannot be used, before the first fit.

    Example:
        >>> from finer_core.reproduction import Input, Metric, Row, Study, Table, reproduce
        >>> metric = Metric(name="psnr", heading="PSNR", tolerance=0.3, reason="spread", unit="dB")
        >>> row = Row(label="FINER", method="finer", published={"psnr": {"a": 40.76}})
        >>> told = {"title": "A table", "source": "a paper", "provenance": "A", "data": "one image", "inputs": ["a"]}
        >>> table = Table(name="toy", **told, rows=[row], metrics=[metric], settings={"steps": 100})
        >>> def find_inputs(table, paths):
        ...     return [Input(name=name, source=name, sha256="0" * 64) for name in table.inputs]
        >>> how = {"compute": "my_study:compute", "find_inputs": find_inputs}
        >>> study = Study(application="finer-core", tables={"toy": table}, **how)
        >>> print(reproduce(study, "toy", run=False).render("csv").splitlines()[1])
        toy,FINER,finer,a,psnr,40.76,A,,,0,,0.3,not run,,
    """
    found = study.table(table)
    scale = Scale(preset=preset, limit=limit, steps=steps, passes=passes, size=size)
    _check(scale, lengths=study.lengths)
    check_flag(run, what="run")
    seeds = different_seeds(seeds)
    extra = f"{study.application}[dask]"
    sharing = Sharing(workers=workers, scheduler=scheduler, threads=threads, extra=extra)
    rows = chosen_rows(found, methods)
    folder = ResultsFolder(out)
    given = _different(study.find_inputs(found, [os.fspath(path) for path in inputs]))[:limit]
    cells = cells_of(study.application, found, given, rows=rows, seeds=seeds, scale=scale)
    missing = [cell for cell in {cell.digest: cell for cell in cells}.values() if folder.get(cell.digest) is None]
    failures: dict[str, str] = {}
    if run and missing:
        failures = run_cells(
            missing,
            study.compute,
            folder=folder,
            sharing=sharing,
            progress=progress,
        )
    result = _compared(study, found, rows, cells, folder, scale, failures)
    if folder.path is not None:
        result.write(folder)
    return result


def _different(inputs: Sequence[Input]) -> list[Input]:
    """Return inputs each once; InputError for two of one name, which the table could not tell apart."""
    named: dict[str, Input] = {}
    for each in inputs:
        other = named.setdefault(each.name, each)
        if other.sha256 != each.sha256:
            raise InputError(f"{other.source} and {each.source} are both {each.name!r} in the table; give one of them")
    return list(named.values())


def _compared(
    study: Study,
    table: Table,
    rows: Sequence[Row],
    cells: Sequence[Cell],
    folder: ResultsFolder,
    scale: Scale,
    failures: Mapping[str, str],
) -> Reproduction:
    records = {cell.digest: record for cell in cells if (record := folder.get(cell.digest)) is not None}
    scaled = list(scale.reasons(table))
    names = {cell.input.name for cell in cells}
    if names and not names.issuperset(table.inputs):
        scaled.append(f"{len(names & set(table.inputs))} of {len(table.inputs)} published inputs")
    return Reproduction(
        table=table,
        rows=summary_rows(table, rows, cells, records, failures),
        records=records,
        scaled=scaled,
        notes=[*folder.notes, *failures.values()],
        pictures={digest: picture for digest in records if (picture := folder.picture(digest)) is not None},
        shown=study.pictures,
        failed=len(failures),
    )


def chosen_rows(table: Table, methods: Sequence[str] | None) -> list[Row]:
    """Return the rows that are asked for by label or by method, in the table's order.

    Raises:
        InputError: If a name is neither.
    """
    if methods is None:
        return list(table.rows)
    wanted = {name.casefold() for name in methods}
    known = {name.casefold() for row in table.rows for name in (row.label, row.method or "")}
    for name in methods:
        if name.casefold() not in known:
            labels = ", ".join(row.label for row in table.rows)
            hint = "" if name not in METHODS else ", which has no row there"
            raise InputError(f"table {table.name!r} has no row or method {name!r}{hint}; rows: {labels}")
    return [row for row in table.rows if wanted & {row.label.casefold(), (row.method or row.label).casefold()}]


def _check(scale: Scale, *, lengths: Sequence[str]) -> None:
    if scale.preset not in ("paper", "fast"):
        raise InputError(f"unknown preset {scale.preset!r} (known: paper, fast)")
    if len(scale.length) > 1:
        raise InputError("--steps and --passes both say how long the fits are; give one of them")
    for name in scale.length:
        if name not in lengths:
            can = f"give {' or '.join(lengths)}" if lengths else "they have no length"
            raise InputError(f"these fits cannot be scaled by {name}; {can}")
    for name, value in {"limit": scale.limit, **scale.length, "size": scale.size}.items():
        if value is not None and value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")
