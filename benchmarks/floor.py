"""What a full-batch step cannot do without: its matrix products, and one sine and one cosine a unit."""

from collections.abc import Callable

import torch

from finer_core.threads import in_threads

HIDDEN_LAYERS = 3


def floor_of(side: int, width: int) -> Callable[[], object]:
    """Return the products, sines and cosines of a step of `side` x `side` pixels, in pieces that stay in the cache.

    Every core takes whole pieces, and nothing is allocated but the thin results: faster than split operations.
    """
    rows = max(256, 262_144 // width)
    pieces = -(-side * side // rows)
    workers = torch.get_num_threads()

    def work(share: int) -> None:
        h, g, out = (torch.randn(rows, width) for _ in range(3))
        w, square = torch.randn(width, width), torch.empty(width, width)
        thin, entry, narrow = torch.randn(rows, 3), torch.randn(rows, 2), torch.randn(3, width)
        for _ in range(share, pieces, workers):
            for _ in range(HIDDEN_LAYERS):
                torch.mm(h, w.t(), out=out)
                torch.mm(g, w, out=out)
                torch.mm(g.t(), h, out=square)
            entry @ narrow[:2], g.t() @ entry, h @ narrow.t(), thin @ narrow, thin.t() @ h
            for _ in range(HIDDEN_LAYERS + 1):
                torch.sin(h, out=out)
                torch.cos(h, out=out)

    return lambda: in_threads(work, range(workers))
