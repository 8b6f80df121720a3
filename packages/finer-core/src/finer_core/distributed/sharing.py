"""Say who computes tasks, this process or workers of Dask, and let them; importing this module loads no PyTorch."""

import dataclasses
import os
from asyncio import TimeoutError as AsyncTimeoutError  # another class before Python 3.11
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from finer_core.c_library import allow_building, building_is_allowed
from finer_core.errors import InputError
from finer_core.schema import check_number, shown

Task = TypeVar("Task")
Result = TypeVar("Result")
_MOST_THREADS = 4096
"""More than any machine has processors for; of a hundred thousand OpenMP dies without a word."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sharing:
    """Say who computes.

    Attributes:
        workers: Local processes; 0 for none.
        scheduler: Address of a Dask scheduler; None for none.
        threads: Of every fit; None for as many as PyTorch takes, or one with workers.
        extra: What Dask is installed by, for the message.

    Raises:
        InputError: For a number that cannot be used.
    """

    workers: int = 0
    scheduler: str | None = None
    threads: int | None = None
    extra: str = ""

    def __post_init__(self) -> None:
        for name, value, least in (("workers", self.workers, 0), ("threads", self.threads, 1)):
            if value is None:
                continue
            check_number(value, what=f"--{name}", is_whole=True)
            if value < least:
                raise InputError(f"--{name} must be at least {least}, got {value}")
        if self.threads is not None and self.threads > _MOST_THREADS:
            raise InputError(f"--threads must be at most {_MOST_THREADS}, got {shown(self.threads)}")

    @property
    def is_on(self) -> bool:
        """Return whether tasks go to workers."""
        return bool(self.workers or self.scheduler)

    @contextmanager
    def threads_here(self) -> Iterator[None]:
        """Compute with the threads that were asked for, in this process."""
        if self.threads is None or self.is_on:
            yield
            return
        from finer_core.parallel import threads_an_operation

        with threads_an_operation(self.threads):
            yield


def found_from_anywhere(given: Any) -> Any:
    """Return the absolute path of a file or folder, and anything else as it is: a worker is at work elsewhere."""
    if not isinstance(given, str | os.PathLike) or not os.path.exists(given):
        return given
    path = os.path.abspath(given)
    return path if isinstance(given, str) else Path(path)


def shared_results(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    sharing: Sharing,
    name_of: Callable[[Task], str],
    prepare: Callable[[], None] = lambda: None,
    advice: str,
) -> Iterator[tuple[int, Result]]:
    """Call a function of every task on workers; yield each task's place and its result, as they come.

    A worker computes with the threads that were asked for, takes or builds the kernels that this process would, and has
    its random state back afterwards: so results have the bits of a run in this process with as many threads.

    Args:
        function: What workers can import; it has the same result however often it is called.
        tasks: Its arguments.
        sharing: Who computes; on.
        name_of: What a task is called in messages.
        prepare: Called once the workers can be reached, before the first task is handed out.
        advice: What to do where the scheduler is gone, for the message.

    Raises:
        InputError: If Dask is not installed, or nobody answers at the address.
        CollectiveError: If the scheduler is gone, or a task's workers die again and again.
    """
    from finer_core.activations._kernels.dispatch import fusion_choice
    from finer_core.distributed.by_dask import shared_by_dask

    how = {"threads": sharing.threads or 1, "building": building_is_allowed(), "fused": fusion_choice()}
    on_worker: Callable[[Task], Result | _Failure] = partial(_on_worker, function, how)
    shared = shared_by_dask(
        on_worker,
        {str(place): task for place, task in enumerate(tasks)},
        workers=sharing.workers,
        scheduler=sharing.scheduler,
        extra=sharing.extra,
        name_of=name_of,
        prepare=prepare,
        advice=advice,
    )
    for place, result in shared:
        if isinstance(result, _Failure):
            raise result.error
        yield int(place), result


class _Failure(NamedTuple):
    """Hold an error of a task of a kind that Dask itself reports the loss of its scheduler by."""

    error: Exception


def _on_worker(function: Callable[[Task], Result], how: Mapping[str, Any], task: Task) -> Result | _Failure:
    import torch

    from finer_core.activations import fuse_activations, fusion_kept
    from finer_core.parallel import threads_an_operation

    if how["building"]:
        allow_building()
    with threads_an_operation(how["threads"]), torch.random.fork_rng(devices=[]), fusion_kept():
        fuse_activations(how["fused"])
        try:
            return function(task)
        except (OSError, AsyncTimeoutError) as error:
            return _Failure(error)
