"""The color head: a second network that is fitted to the colors of a surface, beside its distance."""

import math

import numpy as np
import torch
from torch import Tensor

from finer_core.networks.build import build_network, published_config
from finer_core.networks.config import NetworkConfig
from finer_core.progress import reporting
from finer_core.training import Fit, build_optimizers, chunk_rows, warmup_cosine
from finer_sdf.geometry.loaded_shape import LoadedShape, SurfaceColors
from finer_sdf.model import SdfModel
from finer_sdf.training.objective import DistanceObjective
from finer_sdf.training.plan import FitPlan
from finer_sdf.training.samples import SdfSamples

_MOST_STEPS, _BATCH, _MOST_SAMPLES = 1000, 4096, 1_200_000
_RATE, _EPS = 1e-2, 1e-15
"""Adam's, which instant-ngp trains its grids with: most rows of a table have a gradient in few steps."""
_GRID = {"levels": 6, "features_per_level": 4, "log2_table_size": 16, "base_resolution": 64, "finest_resolution": 1024}
"""Over [-1, 1], of which the box is half: 512 cells of the finest level lie across it."""
_ROOM = 200_000_000
"""Bytes that a step may take; a piece that fits a core's cache takes much less."""
_OF_THE_HEAD, _OF_THE_FIGURE = 7, 8
"""Added to the seed: independent of what the distance draws, and of each other."""


class ColorSampler:
    """Draw colors at surface points, a batch a step, for the objective that distances have.

    Args:
        coords: (n, 3) of the box.
        colors: (n, 3) in [0, 1].
        seed: Of the batches.
    """

    def __init__(self, coords: Tensor, colors: Tensor, *, seed: int) -> None:
        self.coords, self.colors, self.seed = coords, colors, seed
        self._weight = torch.full((_BATCH, 1), 1 / (3 * _BATCH))  # the mean over points and channels

    def batch(self, step: int) -> SdfSamples:
        """Return points with colors in the place of distances."""
        rows = torch.from_numpy(np.random.default_rng([self.seed, step]).integers(0, len(self.coords), size=_BATCH))
        return SdfSamples(coords=self.coords[rows], sdf=self.colors[rows], weight=self._weight)


def wants_color(plan: FitPlan, loaded: LoadedShape) -> bool:
    """Return whether a fit has a color head: where the input has colors, and the networks are ours."""
    return plan.settings.color == "auto" and loaded.colors is not None and isinstance(plan.network, NetworkConfig)


def color_network() -> NetworkConfig:
    """Return the network of a color head, whatever the method of the distance: 3 -> hash grid -> 64x1 -> 3.

    Colors need not be smooth, nor have derivatives, and a texture has more detail than the surface that it lies on.
    """
    sizes = {"in_features": 3, "out_features": 3, "hidden_features": 64, "hidden_layers": 1}
    return published_config(method="ngp", task="nerf", **sizes, **_GRID)


def add_color(model: SdfModel, plan: FitPlan, loaded: LoadedShape, *, progress: bool = False) -> float | None:
    """Fit a color head to a model whose input has colors, if that is asked for.

    It is a network on a hash grid from box coordinates to sRGB, fitted to points of the surface with interpolated
    colors, as many steps as the distance had and at most 1000.

    Args:
        model: Gets the head.
        plan: What the distance was fitted by.
        loaded: What was fitted.
        progress: Show the steps on stderr.

    Returns:
        PSNR in dB of the model's colors at other points of the surface; None without a head.
    """
    settings = plan.settings
    if not wants_color(plan, loaded):
        return None
    assert loaded.colors is not None and settings.steps
    config, steps, seed = color_network(), min(settings.steps, _MOST_STEPS), settings.seed + _OF_THE_HEAD
    network = build_network(config, generator=torch.Generator().manual_seed(seed)).to(plan.device)
    points, colors = loaded.colors.samples(min(_MOST_SAMPLES, steps * _BATCH), seed=seed)
    coords = torch.from_numpy(plan.frame.to_box(points).astype(np.float32))
    sampler = ColorSampler(coords, torch.from_numpy(colors), seed=seed)
    fit = Fit(
        network=network,
        objective=DistanceObjective(
            sampler,
            error="squared",
            chunk_points=chunk_rows(config, room=_ROOM, device=plan.device),
            device=plan.device,
        ),
        optimizers=build_optimizers(network, name="adam", learning_rate=_RATE, betas=(0.9, 0.99), eps=_EPS),
        schedule=warmup_cosine(),
        steps=steps,
        log_every=100,
    )
    with reporting("color", unit="step", progress=progress) as tell:
        fit.on_step = lambda step, steps, loss: tell(step, steps)
        fit.run()
    model.color = network.eval()
    return color_psnr(model, loaded.colors, seed=settings.seed + _OF_THE_FIGURE)


def color_psnr(model: SdfModel, colors: SurfaceColors, *, seed: int, samples: int = 100_000) -> float:
    """Return the PSNR in dB of a model's colors at points of a colored surface: -10 log10 of the mean squared error."""
    points, wanted = colors.samples(samples, seed=seed)
    error = float(np.square(model.colors(points) - wanted).mean())
    return math.inf if error == 0 else -10 * math.log10(error)
