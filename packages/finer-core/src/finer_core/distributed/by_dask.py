"""Share tasks among processes or machines by dask.distributed, which is an extra of the applications.

A worker that dies gives its task to another one; Dask holds the task responsible after some deaths (`KilledWorker`),
and then it is handed in again. Results come back to this process: whatever was finished before this process or the
scheduler ended has been yielded, and the next run does the rest.
"""

import itertools
import logging
import time
from asyncio import TimeoutError as AsyncTimeoutError  # another class before Python 3.11
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from finer_core.errors import CollectiveError, InputError

Task = TypeVar("Task")
Result = TypeVar("Result")

ATTEMPTS = 20
"""How often a task is handed in whose workers died."""
_DEATHS = 100
"""Workers that may die under a task before a scheduler of ours gives it up for one attempt."""

_PATIENCE = 60.0
"""Seconds that a worker may stay away although its nanny lives."""
_LOOK = 1.0
"""Seconds from one look at the workers to the next."""
_DEAD = ("failed", "closing", "closing_gracefully", "closed")
"""States of a nanny that starts no worker again."""

_LARGE = "distributed.admin.large-graph-warning-threshold"

_FETCHING = 5.0
"""Seconds that fetching a result may take before the workers are looked after again."""
_REACHING = 10.0
"""Seconds in which a scheduler has to answer."""


def shared_by_dask(
    function: Callable[[Task], Result],
    tasks: Mapping[str, Task],
    *,
    workers: int,
    scheduler: str | None,
    extra: str,
    name_of: Callable[[Task], str],
    prepare: Callable[[], None] = lambda: None,
    advice: str,
) -> Iterator[tuple[str, Result]]:
    """Call a function of every task on the workers of a local cluster or of a scheduler; yield results as they come.

    Args:
        function: What workers can import; it has the same result however often it is called.
        tasks: Its arguments, by a key of their own.
        workers: Local processes, where there is no scheduler.
        scheduler: Its address.
        extra: What Dask is installed by, for the message.
        name_of: What a task is called in messages.
        prepare: Called once the workers can be reached, before the first task is handed out.
        advice: What to do where the scheduler is gone, for the message.

    Yields:
        The key of a task, and its result.

    Raises:
        InputError: If Dask is not installed, or nobody answers at the address.
        CollectiveError: If the scheduler is gone, or a task's workers die again and again.
    """
    with _installed(extra):
        import dask
        from distributed import KilledWorker, as_completed
        from distributed.client import FutureCancelledError
    number = itertools.count()
    # What is fitted may travel with its task, and has its size.
    with _client(workers, scheduler) as (client, revive), dask.config.set({_LARGE: "1 TB"}):
        prepare()

        def submit(key: str) -> Any:
            # A key of its own, because Dask would give back the failure of the last attempt.
            return client.submit(function, tasks[key], key=f"finer-{key}-{next(number)}", pure=False)

        waiting = {future.key: (key, future, 1) for key in tasks for future in [submit(key)]}
        finished = as_completed([future for _, future, _ in waiting.values()], loop=client.loop)
        for future in _as_they_come(finished, waiting, revive):
            key, _, attempt = waiting[future.key]
            try:
                result: Result = future.result(timeout=_FETCHING)
            except (TimeoutError, AsyncTimeoutError):  # it died with the worker that had it, and is computed again
                finished.add(future)
                continue
            except KilledWorker as error:
                del waiting[future.key]
                if attempt == ATTEMPTS:
                    raise CollectiveError(f"{name_of(tasks[key])}: its workers died {attempt} times") from error
                again = submit(key)
                waiting[again.key] = (key, again, attempt + 1)
                finished.add(again)
                continue
            except (FutureCancelledError, OSError) as error:
                raise CollectiveError(f"the Dask scheduler is gone; {advice}") from error
            del waiting[future.key]
            future.release()
            yield key, result


def packed(value: Any, *, extra: str) -> bytes:
    """Return a value as bytes for `pickle.loads`, with code that another process cannot import, as Dask sends it.

    Raises:
        InputError: If Dask is not installed.
        Exception: If the value cannot be pickled; which one, its class says.
    """
    with _installed(extra):
        import cloudpickle  # which Dask needs
    content: bytes = cloudpickle.dumps(value)
    return content


@contextmanager
def _installed(extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise InputError(f'--workers and --scheduler need an extra: pip install "{extra}" ({error})') from error


def _as_they_come(finished: Any, waiting: Mapping[str, Any], revive: Callable[[], None]) -> Iterator[Any]:
    """Yield finished futures until none is waited for, and look after the workers meanwhile."""
    while waiting:
        ready = finished.next_batch(block=False)
        yield from ready
        if not ready:
            revive()
            time.sleep(0.05)


class _Reviver:
    """Start workers in the place of those that are no more.

    A worker's nanny starts it again when it dies; but not where it dies while it is starting, and Dask closes the nanny
    of one that is away for longer than some seconds, as it may well be on a busy machine.
    """

    def __init__(self, cluster: Any, workers: int) -> None:
        self._cluster, self._workers, self._asked, self._more = cluster, workers, workers, 0
        self._looked, self._complete, self._patience = 0.0, time.monotonic(), _PATIENCE

    def __call__(self) -> None:
        """Look now and then, and act if some are missing."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked, there = now, len(self._cluster.scheduler.workers)
        if there >= self._workers:
            self._complete, self._patience = now, _PATIENCE
            return
        if now - self._complete > self._patience:  # the nannies live, and their workers stay away
            self._more += self._workers - there
            self._complete, self._patience = now, 2 * self._patience
        failed = sum(nanny.status.name in _DEAD for nanny in list(self._cluster.workers.values()))
        self._asked = max(self._asked, self._workers + failed + self._more)  # with fewer, Dask would choose who goes
        self._cluster.scale(self._asked)  # opens those that were closed as well


@contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[tuple[Any, Callable[[], None]]]:
    from distributed import Client

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout=_REACHING, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(f"--scheduler {scheduler}: nobody answers there ({error})") from error
        with _quiet("distributed"), client:  # that the scheduler is gone is said in one line
            yield client, lambda: None
        return
    with _local_cluster() as cluster, Client(cluster, set_as_default=False) as client:
        reviver = _Reviver(cluster, workers)
        reviver()
        yield client, reviver


@contextmanager
def _local_cluster() -> Iterator[Any]:
    import dask
    from distributed import LocalCluster

    settings = {"distributed.scheduler.allowed-failures": _DEATHS, "distributed.worker.profile.enabled": False}
    # A worker that dies while it is starting is told of on other loggers than Dask's.
    with _quiet("asyncio", "tornado.application"), dask.config.set(settings):
        cluster = LocalCluster(
            n_workers=0,  # they come afterwards, because one that dies at its start would end the cluster
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",  # none would be 8787, which another cluster may have, on every address
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
        with cluster:
            yield cluster


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    loggers = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in loggers.items():
            logger.setLevel(level)
