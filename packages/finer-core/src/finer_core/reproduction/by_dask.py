"""Share cells among processes or machines by dask.distributed, which is an extra.

A worker that dies gives its cell to another one; Dask holds the cell responsible after some deaths (`KilledWorker`),
and then it is handed in again. Records come back to this process, which alone writes them: whatever was finished
before this process or the scheduler ended is in the folder, and the next run does the rest.
"""

import itertools
import logging
import time
from asyncio import TimeoutError as AsyncTimeoutError  # another class before Python 3.11
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from finer_core.c_library import building_is_allowed
from finer_core.errors import CollectiveError, InputError
from finer_core.reproduction.cell import Cell
from finer_core.reproduction.compute import Computed, computed

ATTEMPTS = 20
"""How often a cell is handed in whose workers died."""
_DEATHS = 100
"""Workers that may die under a cell before a scheduler of ours gives it up for one attempt."""

_PATIENCE = 10.0
"""Seconds that a dead worker may take to be up again."""

_FETCHING = 5.0
"""Seconds that fetching a record may take before the workers are looked after again."""


def computed_by_dask(
    cells: Sequence[Cell], compute: str, *, workers: int, scheduler: str | None, threads: int, extra: str
) -> Iterator[tuple[Cell, Computed]]:
    """Compute cells on the workers of a local cluster or of a scheduler; yield them as they are finished.

    Args:
        cells: Different ones.
        compute: "module:function" of a cell.
        workers: Local processes, where there is no scheduler.
        scheduler: Its address.
        threads: Of every fit.
        extra: What Dask is installed by, for the message.

    Raises:
        InputError: If Dask is not installed, or nobody answers at the address.
        CollectiveError: If the scheduler is gone, or a cell's workers die again and again.
    """
    try:
        from distributed import KilledWorker, as_completed
        from distributed.client import FutureCancelledError
    except ImportError as error:
        raise InputError(f'--workers and --scheduler need an extra: pip install "{extra}" ({error})') from error
    number = itertools.count()
    with _client(workers, scheduler) as (client, revive):

        def submit(cell: Cell) -> Any:
            # A key of its own, because Dask would give back the failure of the last attempt.
            return client.submit(
                computed,
                cell,
                compute,
                threads=threads,
                building=building_is_allowed(),
                key=f"finer-{cell.digest}-{next(number)}",
                pure=False,
            )

        waiting = {future.key: (cell, future, 1) for cell in cells for future in [submit(cell)]}
        finished = as_completed([future for _, future, _ in waiting.values()], loop=client.loop)
        for future in _as_they_come(finished, waiting, revive):
            cell, _, attempt = waiting[future.key]
            try:
                result: Computed = future.result(timeout=_FETCHING)
            except (TimeoutError, AsyncTimeoutError):  # it died with the worker that had it, and is computed again
                finished.add(future)
                continue
            except KilledWorker as error:
                del waiting[future.key]
                if attempt == ATTEMPTS:
                    raise CollectiveError(f"{cell.row}, {cell.input.name}: its workers died {attempt} times") from error
                again = submit(cell)
                waiting[again.key] = (cell, again, attempt + 1)
                finished.add(again)
                continue
            except (FutureCancelledError, OSError) as error:
                raise CollectiveError(
                    "the Dask scheduler is gone; start the command again, finished cells are kept"
                ) from error
            del waiting[future.key]
            future.release()
            yield cell, result


def _as_they_come(finished: Any, waiting: Mapping[str, Any], revive: Callable[[], None]) -> Iterator[Any]:
    """Yield finished futures until none is waited for, and look after the workers meanwhile."""
    while waiting:
        ready = finished.next_batch(block=False)
        yield from ready
        if not ready:
            revive()
            time.sleep(0.05)


class _Reviver:
    """Start workers in the place of those that stay away.

    A worker's nanny starts it again when it dies, but not where it dies the moment that it is up.

    Args:
        cluster: A local one, with its scheduler in this process.
        workers: How many there are to be.
    """

    def __init__(self, cluster: Any, workers: int) -> None:
        self._cluster, self._workers, self._asked = cluster, workers, workers
        self._complete, self._patience = time.monotonic(), _PATIENCE

    def __call__(self) -> None:
        """Look, and act once some have been missing for long."""
        there = len(self._cluster.scheduler.workers)
        if there >= self._workers:
            self._complete, self._patience = time.monotonic(), _PATIENCE
        elif time.monotonic() - self._complete > self._patience:
            self._asked += self._workers - there
            self._cluster.scale(self._asked)
            self._complete, self._patience = time.monotonic(), 2 * self._patience


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[tuple[Any, Callable[[], None]]]:
    import dask
    from distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=10, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(f"--scheduler {scheduler}: nobody answers there ({error})") from error
        logger, level = logging.getLogger("distributed"), logging.getLogger("distributed").level
        logger.setLevel(logging.CRITICAL)  # that the scheduler is gone is said in one line
        try:
            with client:
                yield client, lambda: None
        finally:
            logger.setLevel(level)
        return
    settings = {"distributed.scheduler.allowed-failures": _DEATHS, "distributed.worker.profile.enabled": False}
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client, _Reviver(cluster, workers)
