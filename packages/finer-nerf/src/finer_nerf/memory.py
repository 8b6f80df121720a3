"""What a process takes, and what is left of the memory that the user allows."""

from finer_core.errors import InputError

PROCESS_BYTES = 500_000_000
"""What Python, PyTorch and the picture libraries take by themselves."""


def check_room(needed: float, memory: int | None, *, what: str, advice: str) -> None:
    """Raise InputError, before it is taken, for memory that the limit has no room for.

    Args:
        needed: Bytes, besides the process itself.
        memory: The limit in bytes; None for none.
        what: Takes it.
        advice: What the user can do.
    """
    if memory is not None and PROCESS_BYTES + needed > memory:
        raise InputError(
            f"{what} needs about {(PROCESS_BYTES + needed) / 1e6:.0f} MB of memory, and --memory allows "
            f"{memory / 1e6:.0f} MB; {advice}, or raise --memory"
        )
