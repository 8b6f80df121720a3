"""One core a piece of work: PyTorch operations on small tensors lose more by being split than they gain."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar, copy_context
from functools import lru_cache, partial
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_workers: ContextVar[int] = ContextVar("workers", default=0)
"""Threads that whole pieces of work may go to, while operations have one; 0 outside. A thread of theirs sees 0."""


def worker_count() -> int:
    """Return how many threads `parallel_map` deals work out to here: PyTorch's number, where it was not lent out."""
    return _workers.get() or torch.get_num_threads()


def parallel_map(
    work: Callable[[Item], Result], items: Sequence[Item], *, device: torch.device | str = "cpu"
) -> list[Result]:
    """Do pieces of work in as many threads as PyTorch has, one thread an operation; return the results in order.

    A single piece stays in the calling thread, whose operations use all cores, and so do all where there is one core,
    or where another device than the CPU computes.

    Args:
        work: Called from several threads at once, in each as it would be here (`as_here`).
        items: What it is called with.
        device: What computes.
    """
    workers = worker_count() if torch.device(device).type == "cpu" else 1
    if workers == 1:
        return [work(item) for item in items]
    if len(items) == 1:
        with threads_an_operation(workers):
            return [work(items[0])]
    # Always inside: a thread's number of OpenMP threads is fixed by its first operation.
    with one_thread_per_op():
        return list(_pool(workers).map(as_here(work), items))


def as_here(work: Callable[[Item], Result]) -> Callable[[Item], Result]:
    """Return work that computes in other threads as it does in this one, for whatever is done in threads of a pool.

    A thread begins with context variables, and with modes of PyTorch, of its own: exact derivatives, autocast,
    gradients, inference mode and the default device would depend on how many threads there are.

    Args:
        work: Called with the variables and modes that are set here and now; what it sets itself ends with the call.
    """
    context, modes = copy_context(), _modes_of_this_thread()

    def call(item: Item) -> Result:
        _workers.set(0)
        with ExitStack() as entered:
            for mode in modes:
                entered.enter_context(mode())
            return work(item)

    return lambda item: context.copy().run(call, item)


def _modes_of_this_thread() -> list[Callable[[], AbstractContextManager[object]]]:
    """Return what makes a fresh thread's modes those of this one: nothing, in most programs."""
    modes: list[Callable[[], AbstractContextManager[object]]] = []
    is_inference, records = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    if is_inference:
        modes.append(torch.inference_mode)
    if records == is_inference:  # a thread records, but for inference
        modes.append(partial(torch.set_grad_enabled, records))
    for kind in ("cpu", "cuda"):
        if torch.is_autocast_enabled(kind):
            dtype, cached = torch.get_autocast_dtype(kind), torch.is_autocast_cache_enabled()
            modes.append(partial(torch.autocast, kind, dtype=dtype, cache_enabled=cached))
    device = torch.get_default_device()
    if device.type != "cpu":  # the context itself makes every operation slower
        modes.append(lambda: device)
    return modes


@contextmanager
def one_thread_per_op() -> Iterator[int]:
    """Keep PyTorch from splitting operations over cores, while whole pieces of work are; yield how many there are.

    Work between two such pieces belongs inside too: after an operation that was split, OpenMP's threads wait for the
    next one by spinning, for milliseconds in which they take a core away from whatever the pieces do there.
    """
    workers, before = worker_count(), _workers.get()
    _workers.set(workers)
    try:
        with threads_an_operation(1):
            yield workers
    finally:
        _workers.set(before)


@contextmanager
def threads_an_operation(threads: int) -> Iterator[None]:
    """Let PyTorch split operations over so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@lru_cache(maxsize=4)
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="finer-pieces")


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_pool.cache_clear)  # its threads are the parent's
