"""Which held-out views failed, which of them a report shows, and the table of all: the worst first."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from finer_nerf.evaluation import JudgedView

FAR_BELOW, SPREADS = 3.0, 4.0
"""A view has failed if its PSNR lies this far below the median, in dB and in robust standard deviations."""
_COLUMNS = ("psnr", "ssim", "lpips")


def failed_views(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of views that are much worse than most, the worst first.

    Formula: PSNR < median - max(3 dB, 4 * 1.4826 * median absolute deviation).
    """
    if not rows:
        return []
    values = np.array([row["psnr"] for row in rows.values()], dtype=np.float64)
    middle = float(np.median(values))
    off = np.subtract(values, middle, out=np.zeros_like(values), where=values != middle)  # both may be infinite
    spread = 1.4826 * float(np.median(np.abs(off)))
    least = middle - max(FAR_BELOW, SPREADS * spread)
    return [name for name in worst_first(rows) if rows[name]["psnr"] < least]


def worst_first(rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the names of views by their PSNR, the least first."""
    return sorted(rows, key=lambda name: float(rows[name]["psnr"]))


class ShownViews:
    """Keep a few of many views: half of them the worst, the others spread evenly; no more are in memory at once.

    Args:
        views: How many there are.
        most: How many may be kept.
    """

    def __init__(self, *, views: int, most: int) -> None:
        self.spread = most if views <= most else most - most // 2
        self.every = max(1, -(-views // self.spread))
        self.worst_count = most - self.spread
        self.number = 0
        self.even: list[JudgedView] = []
        self.worst: list[JudgedView] = []

    def add(self, view: JudgedView) -> None:
        """Look at the next view."""
        if self.number % self.every == 0:
            self.even.append(view)
        elif self.worst_count:
            self.worst = sorted([*self.worst, view], key=lambda each: each.psnr)[: self.worst_count]
        self.number += 1

    @property
    def views(self) -> list[JudgedView]:
        """Return the views that are kept, the worst first."""
        return sorted([*self.even, *self.worst], key=lambda view: view.psnr)


def view_table(rows: Mapping[str, Mapping[str, Any]], *, failed: Sequence[str]) -> str:
    """Return a table of all views as HTML, the worst first, failed ones marked."""
    columns = [name for name in _COLUMNS if any(row.get(name) is not None for row in rows.values())]
    head = "".join(f"<th>{name.upper()}</th>" for name in columns)
    body = ""
    for name in worst_first(rows):
        cells = "".join(f"<td class=value>{_shown(rows[name].get(column), column)}</td>" for column in columns)
        mark = "failed" if name in failed else ""
        body += f"<tr><th>{html.escape(name)}</th>{cells}<td>{mark}</td></tr>"
    return f"<table><tr><th>view</th>{head}<th></th></tr>{body}</table>"


def _shown(value: float | None, column: str) -> str:
    return "" if value is None else f"{value:.2f}" if column == "psnr" else f"{value:.4f}"
