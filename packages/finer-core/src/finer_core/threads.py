"""One core a piece of work: PyTorch operations on small tensors lose more by being split than they gain."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_threads(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return function(item) of every item, each in a thread of its own, with one thread an operation inside.

    Args:
        function: Called from several threads at once.
        items: As many as there should be threads.
    """
    if len(items) == 1:
        return [function(items[0])]
    # Always inside: a thread's number of OpenMP threads is fixed by its first operation.
    with one_thread_an_operation():
        return list(_pool(len(items)).map(function, items))


@contextmanager
def one_thread_an_operation() -> Iterator[None]:
    """Keep PyTorch from splitting operations over cores, while whole pieces of work are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=4)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="finer-pieces")
