"""Fit a network to an image, from Python: no folder, no file and no output unless asked for."""

import dataclasses
import os
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.activations import fusion_kept
from finer_core.cli import NONE, merge_settings
from finer_core.errors import InputError
from finer_core.own_network import describe_network
from finer_core.progress import ProgressOption
from finer_core.resources import parse_memory
from finer_core.schema import check, check_entries, shown
from finer_core.training import FitState, TrainingHistory, run_recorded, saved_state
from finer_image.disk_image import DiskImage
from finer_image.input_digest import sha256_of_input
from finer_image.inputs import as_image
from finer_image.model import ImageModel
from finer_image.pixels import Image
from finer_image.plan import FitPlan, digest_of, plan_of
from finer_image.raster import Raster
from finer_image.settings import ImageConfig
from finer_image.timed_plan import plan_timed_fit
from finer_image.training.build import OwnCode, build_fit, network_of, psnr_of_loss


def fit(
    image: Any,
    config: ImageConfig | None = None,
    *,
    network: Mapping[str, Any] | nn.Module | None = None,
    activation: Callable[[Tensor], Tensor] | None = None,
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
        progress: False, True for a line on stderr, or a function of (step, steps, metrics) for each entry.
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
    if isinstance(network, Mapping):
        overrides["network"] = dict(network)
    settings = config_with(config, overrides)
    raster = as_image(image, memory=parse_memory(settings.memory))
    own = _own_code(None if isinstance(network, Mapping) else network, activation, settings, channels=raster.channels)
    state = saved_state(checkpoint, resume=resume)
    about = {} if checkpoint is None else {"image_sha256": _digest(raster), "own": own.name}
    with fusion_kept(), torch.random.fork_rng(devices=[]):
        if state is None:
            plan = plan_timed_fit(settings, raster, own=own)
        else:
            plan = _plan_of_state(state, settings, about, named=overrides, source=Path(checkpoint or ""))
        trained = network_of(plan, own=own)
        loop = build_fit(plan, trained, raster)
        loop.about = {**about, **plan.to_dict()} if about else {}
        history = run_recorded(
            loop,
            name=f"fit {type(network).__name__ if own.network else plan.settings.method}",
            metrics_of=lambda loss: {"psnr": psnr_of_loss(plan, loss)},
            figure=lambda loss: f"PSNR {psnr_of_loss(plan, loss):.2f} dB",
            state=state,
            checkpoint=checkpoint,
            callbacks=callbacks,
            progress=progress,
        )
    return ImageModel.of(trained, raster, target_range=plan.target_range).eval(), history


def _own_code(network: Any, activation: Any, settings: ImageConfig, *, channels: int) -> OwnCode:
    """Check what the user's own code is, before anything is trained.

    Raises:
        InputError: If it cannot be used, or contradicts another argument.
    """
    if network is None:
        return OwnCode(activation=activation)
    if not isinstance(network, nn.Module):
        raise InputError(f"network must be a mapping of hyper-parameters or a torch module, got {shown(network)}")
    if settings.network or activation is not None:
        what = "activation=" if activation is not None else f"hyper-parameter {next(iter(settings.network))!r}"
        raise InputError(f"network {type(network).__name__} is a module with its own layers; leave out {what}")
    return OwnCode(network=network, described=describe_network(network, in_features=2, out_features=channels))


def config_with(config: ImageConfig | None, overrides: Mapping[str, Any]) -> ImageConfig:
    """Return a config with some fields replaced.

    Args:
        config: The config; None for the default one.
        overrides: Values by name; None means "decided later" where a field may be that.

    Raises:
        InputError: For a name that is no field, or a value of another type or choice.
    """
    before = {} if config is None else {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    kinds, layer = typing.get_type_hints(ImageConfig), {}
    for name, value in overrides.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if plain is None and name in kinds:
            check(None, kinds[name], name=f"setting {name!r}")
        layer[name] = NONE if plain is None else tuple(plain) if isinstance(plain, list) else plain
    merged: ImageConfig = merge_settings(ImageConfig, before, layer)
    return merged


def _digest(image: Raster) -> str:
    """Return what tells whether an image is the one that a checkpoint was begun with."""
    if isinstance(image, Image):
        return digest_of(image)
    assert isinstance(image, DiskImage)
    return sha256_of_input(image.path)


_MAY_DIFFER = {"network", "device", "memory", "checkpoint_seconds"}
"""Settings that are compared in another way, or that a resumed fit takes from its checkpoint without a word."""


def _plan_of_state(
    state: FitState, settings: ImageConfig, about: Mapping[str, Any], *, named: Collection[str], source: Path
) -> FitPlan:
    """Take the plan back that a checkpoint holds.

    Raises:
        InputError: If it holds none, or is of another image or of other settings than the given ones.
    """
    saved = state.loop.get("about")
    if not isinstance(saved, Mapping):
        raise InputError(f"{source}: not a checkpoint of finer_image.fit; one of a run folder goes on by --resume")
    check_entries(saved, {"image_sha256": str, "own": str, "network": Mapping}, what=os.fspath(source))
    if saved["image_sha256"] != about["image_sha256"]:
        raise InputError(f"{source}: a fit of another image; leave out resume=True and name another checkpoint")
    plan = plan_of(saved, source=source)
    network = plan.network.to_dict()
    if saved["own"] != about["own"]:
        raise InputError(
            f"{source}: a fit of {shown(saved['own'] or 'a network of ours')}, not of "
            f"{shown(about['own'] or 'a network of ours')}; give the same network= or activation= to go on"
        )
    default = ImageConfig()
    given = {name for name, value in vars(settings).items() if name in named or value != getattr(default, name)}
    pairs = [(name, getattr(settings, name), getattr(plan.settings, name)) for name in given - _MAY_DIFFER]
    options = {**network, **network.get("options", {})}
    pairs += [(name, value, options.get(name)) for name, value in settings.network.items()]
    for name, value, before in pairs:
        if value != before:
            raise InputError(
                f"{source}: {name} {shown(value)} differs from the fit's, {shown(before)}; leave it out to go on"
            )
    return plan
