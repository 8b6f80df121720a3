"""The color head: a second network that is fitted to the colors of a surface, beside its distance."""

import math

import numpy as np
import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.networks.build import build_network, published_config
from finer_core.networks.config import NetworkConfig
from finer_core.progress import reporting
from finer_core.training import Fit, build_optimizers, chunk_rows, warmup_cosine
from finer_sdf.geometry.loaded_shape import LoadedShape, SurfaceColors
from finer_sdf.model import SdfModel
from finer_sdf.model_data import TASK
from finer_sdf.presets import FAST_NETWORK
from finer_sdf.training.objective import DistanceObjective
from finer_sdf.training.plan import FitPlan
from finer_sdf.training.samples import SdfSamples

_MOST_STEPS, _BATCH, _SAMPLES = 1500, 4096, 300_000
_RATE = 2e-3
_ROOM = 200_000_000
"""Bytes that a step may take; a piece that fits a core's cache takes much less."""
_SIZE = {"hidden_features": 128, "hidden_layers": 2}
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


def color_network(method: str, *, preset: str) -> NetworkConfig:
    """Return the network of a color head: the method's, in a small size.

    A method that has no network of that size, such as multiscale-bacon, has finer's.
    """
    tuned = FAST_NETWORK.get(method, {}) if preset == "fast" else {}
    try:
        config = published_config(method=method, task=TASK, in_features=3, out_features=3, **{**tuned, **_SIZE})
        build_network(config, device="meta")
    except InputError:
        return color_network("finer", preset=preset)
    return config


def add_color(model: SdfModel, plan: FitPlan, loaded: LoadedShape, *, progress: bool = False) -> float | None:
    """Fit a color head to a model whose input has colors, if that is asked for.

    It is a network of the model's method from box coordinates to sRGB, of two layers of 128, fitted to 300,000 points
    of the surface with interpolated colors, as many steps as the distance had and at most 1500.

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
    config = color_network(settings.method, preset=settings.preset)
    seed = settings.seed + _OF_THE_HEAD
    network = build_network(config, generator=torch.Generator().manual_seed(seed)).to(plan.device)
    points, colors = loaded.colors.samples(_SAMPLES, seed=seed)
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
        optimizers=build_optimizers(network, name="adam", learning_rate=_RATE, betas=(0.9, 0.99)),
        schedule=warmup_cosine(),
        steps=min(settings.steps, _MOST_STEPS),
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
