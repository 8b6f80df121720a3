"""Fits of a benchmark shared among processes or machines by Dask; importing this module does not load PyTorch.

Every fit has its run folder, which the worker writes. A fit whose worker died is gone on with by another one from its
last checkpoint, to the same bits; the figures of one that is finished are read, if it is of this input and these
settings. So nothing is lost, and nothing fitted twice.
"""

import argparse
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from finer_core.app.cli import add_options
from finer_core.app.network_options import add_network_options
from finer_core.app.run_folder import check_writable, open_run_folder
from finer_core.distributed.sharing import Sharing, found_from_anywhere, shared_results
from finer_core.errors import InputError
from finer_core.io.partial_files import TEMPORARY_PREFIX
from finer_core.progress import reporting

Row = dict[str, Any]


class BenchmarkFit(NamedTuple):
    """Name a fit of a benchmark: what is fitted, what it is called, by which settings, in which run folder."""

    signal: Any
    label: str
    settings: Any
    out: Path


RowOf = Callable[[Any, BenchmarkFit], Row]
"""Runs a fit of a plan and returns its row."""


def add_sharing_options(parser: argparse.ArgumentParser, *, what: str, threads: int | None) -> None:
    """Add --workers, --scheduler and --threads."""
    share = f"share the {what} among N processes (Dask)"
    several = f"threads of a fit, wherever it runs (default: {threads or 'all, and 1 with --workers or --scheduler'})"
    parser.add_argument("--workers", type=int, default=0, metavar="N", help=share)
    parser.add_argument("--scheduler", metavar="ADDRESS", help="share them among a Dask scheduler's workers: tcp://...")
    parser.add_argument("--threads", type=int, default=threads, metavar="N", help=several)


def add_benchmark_options(parser: argparse.ArgumentParser, settings: type, *, out: str, fits: str = "fits") -> None:
    """Add what every benchmark command has, beside its inputs."""
    parser.add_argument("--methods", nargs="+", default=["finer", "siren"], metavar="NAME", help="methods to compare")
    several = "seeds: every method with each, and the means and spreads in the table (default: --seed's)"
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help=several)
    parser.add_argument("--out", default=out, metavar="DIR", help="folder (default: %(default)s)")
    parser.add_argument("--resume", action="store_true", help=f"keep finished {fits} and go on")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier benchmark in the folder")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")
    add_sharing_options(parser, what=fits, threads=None)
    add_options(parser, settings, group=f"settings of all {fits}", without=("method",))
    add_network_options(parser)


def sharing_of(arguments: argparse.Namespace, *, application: str) -> Sharing:
    """Return what a command line says of sharing.

    Raises:
        InputError: For a number that cannot be used.
    """
    return Sharing(
        workers=arguments.workers,
        scheduler=arguments.scheduler,
        threads=arguments.threads,
        extra=f"{application}[dask]",
    )


def rows_of_fits(row_of: RowOf, plan: Any, fits: Sequence[BenchmarkFit]) -> Iterator[list[Row]]:
    """Run the fits of a plan, here or on workers; after each one yield the rows so far, in the order of the fits.

    Args:
        row_of: Runs a fit of the plan and returns its row; workers import it.
        plan: Has `out`, `mode`, `quiet` and `sharing`.
        fits: No two in one folder.

    Raises:
        InputError: If workers are asked for and cannot be had, or do not see the folder.
        CollectiveError: If the scheduler is gone, or a fit's workers die again and again.
    """
    if not plan.sharing.is_on:
        rows: list[Row] = []
        for fit in fits:
            rows.append(row_of(plan, fit))
            yield list(rows)
        return
    found: dict[int, Row] = {}
    with reporting("benchmark", unit="fit", progress=not plan.quiet) as tell:
        for number, row in _rows_of_workers(row_of, plan, fits):
            found[number] = row
            tell(len(found), len(fits), fits[number].out.name)
            yield [found[number] for number in sorted(found)]


def _rows_of_workers(row_of: RowOf, plan: Any, fits: Sequence[BenchmarkFit]) -> Iterator[tuple[int, Row]]:
    def prepare() -> None:
        # Here and not by the workers, whose second attempt at a fit has to find what the first one left.
        if plan.mode == "resume":
            return
        for fit in fits:
            check_writable(fit.out, mode=plan.mode)
        for fit in fits:
            if plan.mode == "overwrite" and fit.out.exists():
                open_run_folder(fit.out, mode="overwrite")

    # Only who shares the disk finds this file. Others would write elsewhere, and take what lies there for ours.
    with tempfile.NamedTemporaryFile(dir=plan.out, prefix=TEMPORARY_PREFIX) as token:
        seen = partial(
            _row_where_folder_is_seen,
            row_of,
            dataclasses.replace(plan, out=plan.out.absolute(), mode="resume", quiet=True, sharing=Sharing()),
            os.path.abspath(token.name),
        )
        yield from shared_results(
            seen,
            [fit._replace(signal=found_from_anywhere(fit.signal), out=fit.out.absolute()) for fit in fits],
            sharing=plan.sharing,
            name_of=lambda fit: fit.out.name,
            prepare=prepare,
            advice="start the command again with --resume: what is finished is kept",
        )


def _row_where_folder_is_seen(row_of: RowOf, plan: Any, token: str, fit: BenchmarkFit) -> Row:
    if not os.path.exists(token):
        raise InputError(f"--out {plan.out}: a worker does not see this folder; give one on a disk that all share")
    return row_of(plan, fit)
