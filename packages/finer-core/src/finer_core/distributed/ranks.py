"""One process among several that work together, and its part of the work. Loads no PyTorch.

`torchrun` starts the processes and tells each its place by environment variables: RANK of WORLD_SIZE in all, and
LOCAL_RANK of LOCAL_WORLD_SIZE on its machine.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from finer_core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Hold the place of this process.

    Attributes:
        rank: Its number, from 0.
        size: Processes in all.
        local_rank: Its number on its machine.
        local_size: Processes on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.size and 0 <= self.local_rank < self.local_size <= self.size):
            raise InputError(
                f"process {self.rank} of {self.size}, {self.local_rank} of {self.local_size} on its machine: "
                "RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE contradict each other; start with torchrun"
            )

    @property
    def is_first(self) -> bool:
        """Return whether this process makes the run folder, writes, and speaks."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Return whether there is no other process."""
        return self.size == 1


ALONE = Ranks()
"""The usual case: one process."""


def ranks_of_environment(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Return the place that torchrun gave this process; `ALONE` where WORLD_SIZE is missing or 1.

    Raises:
        InputError: If a variable is missing or no number.
    """
    size = _number(environment, "WORLD_SIZE", 1)
    if size == 1:
        return ALONE
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if name not in environment:
            raise InputError(f"WORLD_SIZE is {size} but {name} is not set; start with torchrun, or unset WORLD_SIZE")
    return Ranks(
        rank=_number(environment, "RANK", 0),
        size=size,
        local_rank=_number(environment, "LOCAL_RANK", 0),
        local_size=_number(environment, "LOCAL_WORLD_SIZE", 1),
    )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{name}={text!r} is not a number; start with torchrun, or unset it") from None


def part_of(count: int, ranks: Ranks) -> slice:
    """Return this process's contiguous part of `count` things in order.

    Formula: [count rank / size], ..., [count (rank + 1) / size] - 1. The parts differ by one thing at most, and cover
    everything once; some are empty where there are fewer things than processes.
    """
    return slice(count * ranks.rank // ranks.size, count * (ranks.rank + 1) // ranks.size)


def threads_of(ranks: Ranks, environment: Mapping[str, str] = os.environ) -> int | None:
    """Return how many threads this process should compute with; None to leave PyTorch's choice.

    torchrun sets OMP_NUM_THREADS=1 where the user set nothing, which leaves cores idle; the cores of the machine are
    shared out instead. Any other value is the user's and stays.
    """
    if ranks.is_alone or environment.get("OMP_NUM_THREADS", "1") != "1":
        return None
    return max(1, usable_cores() // ranks.local_size)


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
