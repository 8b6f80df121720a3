"""The color head: networks that are fitted to the colors of a surface, beside its distance."""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.metrics import psnr_of_mse
from finer_core.networks.build import build_network, published_config
from finer_core.networks.config import NetworkConfig
from finer_core.progress import reporting
from finer_core.training import Fit, build_optimizers, chunk_rows, warmup_cosine
from finer_sdf.geometry.loaded_shape import LoadedShape, SurfaceColors
from finer_sdf.model import ColorHead, SdfModel
from finer_sdf.model_data import TASK
from finer_sdf.training.objective import DistanceObjective
from finer_sdf.training.plan import COLOR_BATCH, DETAIL_STEPS, SMOOTH_STEPS, FitPlan, color_samples
from finer_sdf.training.samples import SdfSamples

_SMOOTH = {"hidden_features": 64, "hidden_layers": 2, "first_omega_0": 5.0}
"""Of low frequencies: it is what colors between points, and beside the surface, are made of."""
_SMOOTH_RATE = 2e-3
_GRID = {"levels": 6, "features_per_level": 4, "log2_table_size": 16, "base_resolution": 64, "finest_resolution": 1024}
"""Over [-1, 1], of which the box is half: 512 cells of the finest level lie across it."""
_DETAIL_RATE, _EPS = 1e-2, 1e-15
"""As instant-ngp trains its grids: most rows of a table have a gradient in few steps."""
_AT_ONCE = 1 << 16
_ROOM = 200_000_000
"""Bytes that a step may take; a piece that fits a core's cache takes much less."""
_OF_THE_HEAD, _OF_THE_FIGURE = 7, 8
"""Added to the seed: independent of what the distance draws, and of each other."""


class ColorSampler:
    """Draw colors at surface points, a batch a step, for the objective that distances have.

    Args:
        coords: (n, 3) of the box.
        colors: (n, 3), sRGB, or what is left of it.
        seed: Of the batches.
    """

    def __init__(self, coords: Tensor, colors: Tensor, *, seed: int) -> None:
        self.coords, self.colors, self.seed = coords, colors, seed
        self._weight = torch.full((COLOR_BATCH, 1), 1 / (3 * COLOR_BATCH))  # the mean over points and channels

    def batch(self, step: int) -> SdfSamples:
        """Return points with colors in the place of distances."""
        random = np.random.default_rng([self.seed, step])
        rows = torch.from_numpy(random.integers(0, len(self.coords), size=COLOR_BATCH))
        return SdfSamples(coords=self.coords[rows], sdf=self.colors[rows], weight=self._weight)


def wants_color(plan: FitPlan, loaded: LoadedShape) -> bool:
    """Return whether a fit has a color head: where the input has colors, and the networks are ours."""
    return plan.settings.color == "auto" and loaded.colors is not None and isinstance(plan.network, NetworkConfig)


def smooth_network() -> NetworkConfig:
    """Return the smooth network of a color head, whatever the method of the distance: finer's, in a small size."""
    return published_config(method="finer", task=TASK, in_features=3, out_features=3, **_SMOOTH)


def detail_network() -> NetworkConfig:
    """Return the network of details: 3 -> hash grid -> 64 -> 3 without biases, so that no features are no detail."""
    sizes = {"in_features": 3, "out_features": 3, "hidden_features": 64, "hidden_layers": 0}
    return published_config(method="ngp", task="nerf", **sizes, **_GRID)


def add_color(model: SdfModel, plan: FitPlan, loaded: LoadedShape, *, progress: bool = False) -> float | None:
    """Fit a color head to a model whose input has colors, if that is asked for.

    A small network of low frequencies is fitted to points of the surface with interpolated colors, and a hash grid to
    what it leaves, each as many steps as the distance had and at most 500 and 750. Details that are none at other
    points, as between those of a sparse cloud, are left out.

    Returns:
        PSNR in dB of the model's colors at other points of the surface; None without a head.
    """
    settings = plan.settings
    if not wants_color(plan, loaded):
        return None
    assert loaded.colors is not None and settings.steps
    seed = settings.seed + _OF_THE_HEAD
    first, second = min(settings.steps, SMOOTH_STEPS), min(settings.steps, DETAIL_STEPS)
    points, colors = loaded.colors.samples(color_samples(settings.steps), seed=seed)
    coords = torch.from_numpy(plan.frame.to_box(points).astype(np.float32))
    wanted = torch.from_numpy(colors)
    with reporting("color", unit="step", progress=progress) as tell:

        def fitted(config: NetworkConfig, *, before: int, steps: int, **rates: Any) -> nn.Module:
            network = build_network(config, generator=torch.Generator().manual_seed(seed)).to(plan.device)
            chunk = chunk_rows(config, room=_ROOM, device=plan.device)
            sampler = ColorSampler(coords, wanted, seed=seed)
            fit = Fit(
                network=network,
                objective=DistanceObjective(sampler, error="squared", chunk_points=chunk, device=plan.device),
                optimizers=build_optimizers(network, name="adam", betas=(0.9, 0.99), **rates),
                schedule=warmup_cosine(),
                steps=steps,
                log_every=100,
            )
            fit.on_step = lambda step, steps, loss: tell(before + step, first + second)
            fit.run()
            return network.eval()

        smooth = fitted(smooth_network(), before=0, steps=first, learning_rate=_SMOOTH_RATE)
        _subtract(ColorHead(smooth=smooth, detail=None), coords, wanted, device=plan.device)
        detail = fitted(detail_network(), before=first, steps=second, learning_rate=_DETAIL_RATE, eps=_EPS)
    judged = partial(color_psnr, model, loaded.colors, seed=settings.seed + _OF_THE_FIGURE)
    model.color = ColorHead(smooth=smooth, detail=None).eval()
    without = judged()
    model.color.detail = detail
    if (psnr := judged()) > without:
        return psnr
    model.color.detail = None
    return without


@torch.no_grad()
def _subtract(head: ColorHead, coords: Tensor, colors: Tensor, *, device: str) -> None:
    """Leave of colors (n, 3) at coordinates (n, 3) what a head does not know."""
    for at, rest in zip(coords.split(_AT_ONCE), colors.split(_AT_ONCE), strict=True):
        rest -= head(at.to(device)).to(rest.device)


def color_psnr(model: SdfModel, colors: SurfaceColors, *, seed: int, samples: int = 100_000) -> float:
    """Return the PSNR in dB of a model's colors at points of a colored surface: -10 log10 of the mean squared error."""
    points, wanted = colors.samples(samples, seed=seed, held_out=True)
    error = float(np.square(model.colors(points) - wanted).mean())
    return psnr_of_mse(error)
