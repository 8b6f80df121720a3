"""One core a piece of work: PyTorch operations on small tensors lose more by being split than they gain."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Do pieces of work in as many threads as PyTorch has, one thread an operation; return the results in order.

    A single piece stays in the calling thread, whose operations use all cores, and so do all where there is one core.

    Args:
        work: Called from several threads at once.
        items: What it is called with.
    """
    if len(items) == 1 or torch.get_num_threads() == 1:
        return [work(item) for item in items]
    # Always inside: a thread's number of OpenMP threads is fixed by its first operation.
    with one_thread_an_operation() as threads:
        return list(_pool(threads).map(work, items))


@contextmanager
def one_thread_an_operation() -> Iterator[int]:
    """Keep PyTorch from splitting operations over cores, while whole pieces of work are; yield how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=4)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="finer-pieces")
