"""The figures: first-layer neurons over the image plane, the activation family, curves and maps of a run."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.activations import functional
from finer_core.casts import home_of
from finer_core.coords import grid_coords
from finer_core.errors import InputError
from finer_core.io import figures
from finer_core.io.figures import subplots
from finer_core.io.files import check_output_path
from finer_core.plots import history
from finer_core.shapes import Float, Real

__all__ = ["activations", "error_map", "history", "neurons", "spectra"]

FIGURE_SUFFIXES = (".png", ".svg", ".pdf")


@torch.no_grad()
def first_layer_responses(network: nn.Module, *, height: int, width: int) -> Float[Tensor, "{height} {width} neurons"]:
    """Return the outputs of the first layer's neurons over the image plane (FINER, figure 6).

    Returns:
        (height, width, neurons), real (the real part of complex neurons).

    Raises:
        InputError: If the network has no first layer with an activation (BACON's are its filters).

    Example:
        >>> from finer_core import build_network
        >>> from finer_image.plots import first_layer_responses
        >>> network = build_network("finer", in_features=2, out_features=3, hidden_features=16)
        >>> first_layer_responses(network, height=4, width=6).shape
        torch.Size([4, 6, 16])
    """
    layers = getattr(network, "layers", None) or getattr(network, "filters", None)
    if not layers:
        raise InputError(f"{type(network).__name__} has no first layer to draw")
    like = home_of(network)
    coords = grid_coords(height, width, device=like.device, dtype=like.dtype)
    encoding = getattr(network, "encoding", None)
    features = coords if encoding is None else encoding(coords)
    scale = getattr(network, "coords_scale", 1.0)
    out = layers[0](features * scale if scale != 1.0 else features)
    return (out.real if out.is_complex() else out).reshape(height, width, -1).cpu()


def neurons(network: nn.Module, *, count: int, size: tuple[int, int], title: str) -> Any:
    """Draw neurons of the first layer over the image plane, color range -1..1 (FINER, figure 6).

    Args:
        network: As for `first_layer_responses`.
        count: Most that are drawn, from the first.
        size: Height and width of a map, pixels.
        title: Of the figure.

    Returns:
        The figure.

    Raises:
        InputError: If the network has no first layer with an activation, or matplotlib is not installed.

    Example:
        >>> from finer_core import build_network
        >>> from finer_image import plots
        >>> network = build_network("finer", in_features=2, out_features=3, hidden_features=16)
        >>> figure = plots.neurons(network, count=4, size=(16, 16), title="FINER")
        >>> len(figure.axes)
        4
    """
    maps = first_layer_responses(network, height=size[0], width=size[1]).numpy()
    count = min(count, maps.shape[2])
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    figure, grid = subplots(rows, columns, figsize=(1.3 * columns, 1.3 * rows * size[0] / size[1] + 0.5))
    for index, axes in enumerate(grid.ravel()):
        axes.axis("off")
        if index < count:
            axes.imshow(maps[:, :, index], vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest")
    figure.suptitle(title, fontsize=10)
    return figure


def activations(*, extent: float) -> Any:
    """Draw the curves of the whole family at the papers' image settings.

    Args:
        extent: Half the range of z.

    Returns:
        The figure.

    Raises:
        InputError: If matplotlib is not installed.

    Example:
        >>> from finer_image import plots
        >>> plots.activations(extent=1.0).axes[1].get_title()
        'FINER  sin(30 (|z|+1) z)'
    """
    z = torch.linspace(-extent, extent, 4001)
    curves: Sequence[tuple[str, Tensor]] = (
        ("SIREN  sin(30 z)", functional.sine(z)),
        ("FINER  sin(30 (|z|+1) z)", functional.finer(z)),
        ("Gauss  exp(-(30 z)²)", functional.gauss(z)),
        ("Gauss-FINER  scale 3, omega 10", functional.gauss_finer(z)),
        ("WIRE  omega 20, scale 10 (real part)", functional.wire(z).real),
        ("Wire-FINER  scale 2, omega_w 4, omega 5 (real part)", functional.wire_finer(z).real),
        ("real WIRE  omega_w 20, scale 10", functional.real_wire(z)),
        ("real Wire-FINER  scale 2, omega_w 4, omega 5", functional.real_wire_finer(z)),
    )
    figure, grid = subplots(4, 2, figsize=(11, 9))
    for axes, (name, values) in zip(grid.ravel(), curves, strict=True):
        axes.plot(z.numpy(), values.numpy(), linewidth=0.8)
        axes.set_title(name, fontsize=9)
        axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("z")
    return figure


def spectra(named: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Any:
    """Draw radial spectra on logarithmic axes.

    Args:
        named: Frequencies (cycles per pixel) and power of each, by its label; power of 0 is left out.

    Returns:
        The figure.

    Raises:
        InputError: If matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from finer_image import plots
        >>> frequency = np.array([0.1, 0.2, 0.4])
        >>> figure = plots.spectra({"original": (frequency, frequency**-2)})
        >>> figure.axes[0].get_xlabel()
        'frequency (cycles per pixel)'
    """
    figure, grid = subplots(1, 1, figsize=(6, 3.6))
    axes = grid[0, 0]
    for name, (frequency, power) in named.items():
        shown = power > 0
        if shown.any():
            axes.loglog(frequency[shown], power[shown], label=name, linewidth=1.2)
    axes.set_xlabel("frequency (cycles per pixel)")
    axes.set_ylabel("power")
    axes.grid(alpha=0.3, which="both")
    if axes.lines:
        axes.legend()
    return figure


def error_map(error: Real[np.ndarray, "height width"]) -> Any:
    """Draw absolute errors with a color scale.

    Args:
        error: (height, width), as shares of the value range.

    Returns:
        The figure.

    Raises:
        InputError: If matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from finer_image import plots
        >>> len(plots.error_map(np.full((4, 6), 0.01)).axes)  # the map, and its scale
        2
    """
    figure, grid = subplots(1, 1, figsize=(6, max(1.5, min(12.0, 5.2 * error.shape[0] / error.shape[1]))))
    axes = grid[0, 0]
    top = float(np.quantile(error, 0.995)) or 1e-6
    shown = axes.imshow(error, vmin=0, vmax=top, cmap="inferno", interpolation="nearest", aspect="auto")
    axes.axis("off")
    figure.colorbar(shown, ax=axes, fraction=0.04, pad=0.02)
    return figure


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure atomically; the suffix chooses PNG, SVG or PDF.

    Raises:
        InputError: For another suffix, or a place that cannot be written to.
    """
    target = Path(path)
    if target.suffix.lower() not in FIGURE_SUFFIXES:
        raise InputError(f"{target}: a figure is written as {', '.join(FIGURE_SUFFIXES)}")
    check_output_path(target)
    figures.save_figure(figure, target)
