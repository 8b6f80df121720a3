"""Share out the memory of `--memory`: what the process takes by itself, and what is left for pixels."""

PROCESS_BYTES = 450_000_000
"""What Python, PyTorch and the imaging libraries take by themselves."""
_ROOM_TO_WORK = 8_000_000
"""Least room beside the pixels: the smallest piece of a batch that is worth training on, for the published networks."""


def room_for_pixels(memory: int, *, copies: int) -> int:
    """Return how large an image may be to be held in memory whole; a larger one is worked on in parts.

    Args:
        memory: Bytes the process may use.
        copies: Arrays of the image's size that the work keeps: 2 to fit (the image and its reconstruction) or to write
            a file (the pixels and their encoding), 1 to judge.

    Returns:
        Bytes of one copy, at least 0.
    """
    return max(0, (memory - PROCESS_BYTES - _ROOM_TO_WORK) // copies)
