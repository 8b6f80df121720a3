"""What a full-batch step cannot do without: its matrix products, and one sine and one cosine a unit."""

from collections.abc import Callable

import torch

from finer_core.parallel import parallel_map

HIDDEN_LAYERS = 3


def floor_of(side: int, width: int) -> Callable[[], object]:
    """Return the products, sines and cosines of a step of `side` x `side` pixels, in pieces that stay in the cache.

    Every core takes whole pieces, and nothing is allocated but the thin results: faster than split operations.
    """
    rows = max(256, 262_144 // width)
    pieces = -(-side * side // rows)
    workers = torch.get_num_threads()
    shapes = (*[(rows, width)] * 3, *[(width, width)] * 2, (rows, 3), (rows, 2), (3, width))
    operands = [[torch.randn(*shape) for shape in shapes] for _ in range(workers)]

    def work(share: int) -> None:
        h, g, out, w, square, thin, entry, narrow = operands[share]
        for _ in range(share, pieces, workers):
            for _ in range(HIDDEN_LAYERS):
                torch.mm(h, w.t(), out=out)
                torch.mm(g, w, out=out)
                torch.mm(g.t(), h, out=square)
            entry @ narrow[:2], entry.t() @ g, h @ narrow.t(), thin @ narrow, thin.t() @ h
            for _ in range(HIDDEN_LAYERS + 1):
                torch.sin(h, out=out)
                torch.cos(h, out=out)

    return lambda: parallel_map(work, range(workers))
