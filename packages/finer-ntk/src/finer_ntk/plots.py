"""The figures: kernels as heat maps, eigenvalues, eigenvectors, energies and training curves.

Made without matplotlib's global state, so that no display is ever asked for.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from finer_core.casts import as_array
from finer_core.io.figures import subplots
from finer_core.schema import check_flag
from finer_core.shapes import Float, Real
from finer_ntk.spectrum.measures import traced

_LARGEST_SIDE = 512
"""Kernels are drawn from at most this many rows."""


def _shown(kernel: Real[np.ndarray, "n m ..."] | Tensor) -> np.ndarray:
    """Return every n-th row and column, few enough to draw; channels are added up."""
    if isinstance(kernel, Tensor):
        kernel = as_array(kernel)
    rows, columns = (max(1, -(-side // _LARGEST_SIDE)) for side in kernel.shape[:2])
    return traced(np.asarray(kernel[::rows, ::columns], dtype=np.float64))


def draw_kernels(kernels: Mapping[str, np.ndarray | Tensor], *, normalize: bool) -> Any:
    """Draw kernels side by side on one color scale.

    Args:
        kernels: By their titles: (n, m) or with channels, arrays, mapped files or tensors; of more than 512 rows every
            second, third ... is drawn.
        normalize: Divide each by the mean of its diagonal, so that kernels of unlike size can share the scale.

    Returns:
        The figure.

    Example:
        >>> import numpy as np
        >>> from finer_ntk import plots
        >>> figure = plots.draw_kernels({"one": np.eye(4), "two": np.ones((4, 4))}, normalize=True)
        >>> [axes.get_title() for axes in figure.axes[:2]]
        ['one', 'two']
    """
    check_flag(normalize, what="normalize")
    shown = {name: _shown(kernel) for name, kernel in kernels.items()}
    if normalize:
        shown = {name: kernel / np.abs(np.diagonal(kernel)).mean() for name, kernel in shown.items()}
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, grid = subplots(rows, columns, figsize=(2.6 * columns + 1.2, 2.8 * rows))
    low = min(float(kernel.min()) for kernel in shown.values())
    high = max(float(kernel.max()) for kernel in shown.values())
    image = None
    for axes, (name, kernel) in zip(grid.ravel(), shown.items(), strict=False):
        image = axes.imshow(kernel, vmin=low, vmax=high, cmap="viridis", interpolation="nearest")
        axes.set_title(name, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    for axes in grid.ravel()[len(shown) :]:
        axes.axis("off")
    label = "K(x, x') / mean of the diagonal" if normalize else "K(x, x')"
    figure.colorbar(image, ax=grid.ravel().tolist(), label=label, fraction=0.03)
    return figure


def draw_eigenvalues(spectra: Mapping[str, np.ndarray]) -> Any:
    """Draw eigenvalues over their rank, each divided by the largest of its kernel.

    Args:
        spectra: By their kernels' names: eigenvalues, the largest first.

    Returns:
        The figure.

    Example:
        >>> import numpy as np
        >>> from finer_ntk import plots
        >>> figure = plots.draw_eigenvalues({"finer": np.array([4.0, 2.0, 1.0])})
        >>> figure.axes[0].lines[0].get_ydata().tolist()
        [1.0, 0.5, 0.25]
    """
    figure, grid = subplots(1, 1, figsize=(6, 3.8))
    axes = grid[0, 0]
    for name, values in spectra.items():
        shares = values / values[0]
        shown = shares > 1e-12
        axes.loglog(np.arange(1, len(values) + 1)[shown], shares[shown], label=name, linewidth=1.2)
    axes.set_xlabel("rank")
    axes.set_ylabel("eigenvalue / largest")
    axes.grid(alpha=0.3, which="both")
    if len(spectra) > 1:
        axes.legend(fontsize=7)
    return figure


def draw_eigenvectors(vectors: Float[np.ndarray, "n k"], shape: Sequence[int] | None) -> Any:
    """Draw the first eigenvectors: curves on a line, maps on a plane (the middle slice of a box).

    Args:
        vectors: One a column, of which at most twelve are drawn.
        shape: Points an axis of the grid that they are on; None for points in no grid.

    Returns:
        The figure.

    Example:
        >>> import numpy as np
        >>> from finer_ntk import plots
        >>> figure = plots.draw_eigenvectors(np.eye(12)[:, :3], (3, 4))
        >>> [axes.get_title() for axes in figure.axes]
        ['1', '2', '3']
    """
    count = min(12, vectors.shape[1])
    columns = min(4, count)
    figure, grid = subplots(-(-count // columns), columns, figsize=(2.4 * columns, 2.0 * -(-count // columns)))
    for index, axes in enumerate(grid.ravel()):
        if index >= count:
            axes.axis("off")
            continue
        vector = vectors[:, index]
        axes.set_title(f"{index + 1}", fontsize=8)
        if shape is None or len(shape) == 1:
            axes.plot(vector, linewidth=0.7)
        else:
            field = vector.reshape(shape)
            while field.ndim > 2:
                field = field[len(field) // 2]
            top = float(np.abs(field).max()) or 1.0
            axes.imshow(field, vmin=-top, vmax=top, cmap="RdBu_r", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
    return figure


def draw_reach(kernel: np.ndarray, shape: Sequence[int]) -> Any:
    """Draw K(center, x) over the points x: how far learning at one point reaches.

    Args:
        kernel: (n, n), of the points of a grid.
        shape: Points an axis of that grid.

    Returns:
        The figure.

    Example:
        >>> import numpy as np
        >>> from finer_ntk import plots
        >>> figure = plots.draw_reach(np.eye(5), (5,))
        >>> figure.axes[0].lines[0].get_ydata().tolist()
        [0.0, 0.0, 1.0, 0.0, 0.0]
    """
    center = int(np.ravel_multi_index(tuple(side // 2 for side in shape), tuple(shape)))
    row = np.asarray(kernel[center], dtype=np.float64)
    figure, grid = subplots(1, 1, figsize=(4.2, 3.4))
    axes = grid[0, 0]
    if len(shape) == 1:
        axes.plot(row, linewidth=0.9)
        axes.set_xlabel("point")
        return figure
    field = row.reshape(tuple(shape))
    while field.ndim > 2:
        field = field[len(field) // 2]
    figure.colorbar(axes.imshow(field, cmap="viridis", interpolation="nearest"), ax=axes)
    return figure


def draw_training(predicted: np.ndarray, real: np.ndarray) -> Any:
    """Draw predicted and real losses.

    Args:
        predicted: Mean square errors step by step, as the kernel has them.
        real: Those of gradient descent.

    Returns:
        The figure.

    Example:
        >>> import numpy as np
        >>> from finer_ntk import plots
        >>> figure = plots.draw_training(np.array([1.0, 0.5]), np.array([1.0, 0.6]))
        >>> [line.get_label() for line in figure.axes[0].lines]
        ['gradient descent', 'predicted by the kernel at the start']
    """
    figure, grid = subplots(1, 1, figsize=(6, 3.4))
    axes = grid[0, 0]
    axes.semilogy(real, label="gradient descent", linewidth=2.2, alpha=0.5)
    axes.semilogy(predicted, "--", label="predicted by the kernel at the start", linewidth=1.2)
    axes.set_xlabel("step")
    axes.set_ylabel("mean square error")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def draw_trends(rows: Sequence[Mapping[str, Any]], figures: Sequence[str]) -> Any:
    """Draw figures of a sweep as bars, one panel a figure.

    Args:
        rows: Of `sweep`, with their names.
        figures: The columns that are drawn; None in one leaves its bar out.

    Returns:
        The figure.

    Example:
        >>> from finer_ntk import plots
        >>> rows = [{"name": "finer", "effective_rank": 40.0}, {"name": "siren", "effective_rank": 20.0}]
        >>> figure = plots.draw_trends(rows, ["effective_rank"])
        >>> figure.axes[0].get_xlabel(), [float(bar.get_width()) for bar in figure.axes[0].patches]
        ('effective rank', [40.0, 20.0])
    """
    figure, grid = subplots(1, len(figures), figsize=(3.6 * len(figures), max(2.4, 0.25 * len(rows) + 1.4)))
    names = [str(row["name"]) for row in rows]
    for axes, key in zip(grid[0], figures, strict=True):
        axes.barh(range(len(rows)), [float(row[key]) if row[key] is not None else math.nan for row in rows])
        axes.set_yticks(range(len(rows)), names if axes is grid[0, 0] else [""] * len(rows), fontsize=7)
        axes.invert_yaxis()
        axes.set_xlabel(key.replace("_", " "))
    return figure


def draw_energies(shares: Mapping[str, np.ndarray]) -> Any:
    """Draw how much of a signal lies on the first eigenvectors of several kernels.

    Args:
        shares: By the kernels' names: the share of the signal's energy on each eigenvector.

    Returns:
        The figure.

    Example:
        >>> import numpy as np
        >>> from finer_ntk import plots
        >>> figure = plots.draw_energies({"finer": np.array([0.5, 0.25, 0.25])})
        >>> figure.axes[0].lines[0].get_ydata().tolist()
        [0.5, 0.75, 1.0]
    """
    figure, grid = subplots(1, 1, figsize=(6, 3.8))
    axes = grid[0, 0]
    for name, values in shares.items():
        axes.semilogx(np.arange(1, len(values) + 1), np.cumsum(values), label=name)
    axes.set_xlabel("eigenvectors")
    axes.set_ylabel("share of the signal's energy")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=7)
    return figure
