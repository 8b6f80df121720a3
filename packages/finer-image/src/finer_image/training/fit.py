"""Fit a network to an image, from Python: no folder, no file and no output unless asked for."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from finer_core.config import config_with
from finer_core.networks.own_network import AnyActivation, describe_network
from finer_core.progress import ProgressOption, checked_progress
from finer_core.resources import parse_memory
from finer_core.training import TrainingHistory, run_recorded, saved_state
from finer_core.training.batching import apart_from_the_program
from finer_core.training.own_code import network_of, own_code
from finer_core.training.resumption import refuse_other_settings, saved_fit
from finer_image.config import ImageConfig
from finer_image.inputs import as_image
from finer_image.io.image import Image
from finer_image.io.input_digest import sha256_of_input
from finer_image.io.lazy_image import DiskImage
from finer_image.io.raster import Raster
from finer_image.model import ImageModel
from finer_image.training.build import build_fit, psnr_of_loss
from finer_image.training.plan import FitPlan, digest_of
from finer_image.training.timed_plan import plan_timed_fit


def fit(
    image: Any,
    config: ImageConfig | None = None,
    *,
    network: Mapping[str, Any] | nn.Module | None = None,
    activation: AnyActivation | None = None,
    callbacks: Sequence[Any] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: ProgressOption = False,
    **overrides: Any,
) -> tuple[ImageModel, TrainingHistory]:
    """Fit a network to an image, in the same bits as `finer-image fit` with the same settings.

    Ctrl-C, and a callback's `should_stop`, end the fit with its best state so far; `history.interrupted` says so. A
    second Ctrl-C raises KeyboardInterrupt.

    Args:
        image: An array (H, W) or (H, W, C) of any real type, an `Image`, a picture of Pillow's, or a path.
        config: The settings; None for the default ones.
        network: Hyper-parameters of the method's network by name, such as {"hidden_features": 128}; or a module of your
            own, float32, that maps coordinates (n, 2) in [-1, 1] to (n, C), each row by itself. It is trained in place,
            from the weights that it has, at the method's rates and to its target range.
        activation: Of your own, in the place of the method's: a module, copied for each layer, or a function of
            tensors. Weights are drawn by the method's rule.
        callbacks: `finer_core.training.Callback`s, or objects with some of its methods.
        checkpoint: A file that the state is written to every `checkpoint_seconds`, and at the end.
        resume: Go on from the checkpoint, if there is one yet, to the same bits as without the interruption. Settings
            come from it; others that are given must be equal. The history is of this call.
        progress: False, True for a bar on stderr, or a function of (step, steps, metrics) for each entry.
        **overrides: Fields of `ImageConfig` that replace those of `config`, such as method="siren", preset="paper",
            seed=1, and the length: one of passes=, steps=, seconds=, and with any of them target_psnr=.

    Returns:
        The model, in evaluation mode, and the history: an entry a log interval, with the column "psnr" (dB, of the
        pixels trained on, unclipped).

    Raises:
        InputError: For an image, a setting, a network or an activation that cannot be used, or a checkpoint that is of
            another fit or exists.
        DivergenceError: If the fit diverged for good.
        TypeError: If a callback has none of the methods.

    Example:
        >>> import numpy as np
        >>> from finer_image import fit
        >>> rows, columns = np.mgrid[0:16, 0:16]
        >>> model, history = fit(np.sin(0.5 * rows) * columns, steps=20, network={"hidden_features": 16})
        >>> model.render().shape, model.dtype, len(history), history[-1].step, history["psnr"].shape
        ((16, 16), dtype('float64'), 20, 20, (20,))
    """
    progress = checked_progress(progress)
    if isinstance(network, Mapping):
        overrides["network"] = dict(network)
    settings = config_with(ImageConfig, config, overrides)
    raster = as_image(image, memory=parse_memory(settings.memory))
    with apart_from_the_program():
        describe = partial(describe_network, in_features=2, out_features=raster.channels)
        own = own_code(network, activation, options=settings.network, describe=describe)
    state = saved_state(checkpoint, resume=resume)
    about = {} if checkpoint is None else {"input_sha256": _digest(raster), "own": own.name}
    with apart_from_the_program():
        if state is None:
            plan = plan_timed_fit(settings, raster, own=own)
        else:
            source = Path(checkpoint or "")
            saved = saved_fit(state, about, source=source, verb="finer_image.fit", signal="image")
            plan = FitPlan.from_config(saved, source=source)
            refuse_other_settings(plan, settings, named=overrides, source=source)
        trained = network_of(plan, own=own)
        loop = build_fit(plan, trained, raster)
        loop.about = {**about, **plan.to_dict()} if about else {}
        history = run_recorded(
            loop,
            name=f"fit {type(network).__name__ if own.network is not None else plan.settings.method}",
            metrics_of=lambda loss: {"psnr": psnr_of_loss(plan, loss)},
            figure=lambda loss: f"PSNR {psnr_of_loss(plan, loss):.2f} dB",
            state=state,
            checkpoint=checkpoint,
            callbacks=callbacks,
            progress=progress,
        )
    return ImageModel.of(trained, raster, target_range=plan.target_range).eval(), history


def _digest(image: Raster) -> str:
    """Return what tells whether an image is the one that a checkpoint was begun with: pixels, and what they mean."""
    if isinstance(image, Image):
        meaning = f"{digest_of(image)} {image.mode} {image.value_range} {image.nodata}"
        return hashlib.sha256(meaning.encode()).hexdigest()
    assert isinstance(image, DiskImage)
    return sha256_of_input(image.path)
