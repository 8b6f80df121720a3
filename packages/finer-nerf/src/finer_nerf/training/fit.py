"""Train a radiance field on posed pictures, from Python: no folder, no file and no output unless asked for."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from finer_core.config import config_with, refuse_fields_without_effect
from finer_core.errors import InputError, shortened
from finer_core.metrics import psnr_of_mse
from finer_core.networks.own_network import AnyActivation
from finer_core.progress import ProgressOption, checked_progress
from finer_core.training import Fit, TrainingHistory, run_recorded, saved_state
from finer_core.training.batching import apart_from_the_program
from finer_core.training.own_code import own_code
from finer_core.training.resumption import refuse_other_settings, saved_fit
from finer_core.training.state import TrainState
from finer_nerf.config import NerfConfig
from finer_nerf.fields.own_field import describe_field
from finer_nerf.inputs import checked_scene, content_digest, given_scene, read_as_resolved
from finer_nerf.model import NerfModel
from finer_nerf.scenes import Scene
from finer_nerf.training.build import attempt_of, metrics_of, run_attempts
from finer_nerf.training.objective import PhotometricObjective
from finer_nerf.training.plan import FitPlan, plan_fit

logger = logging.getLogger(__name__)


def fit(
    scene: Scene | str | os.PathLike[str],
    config: NerfConfig | None = None,
    *,
    network: Mapping[str, Any] | nn.Module | None = None,
    activation: AnyActivation | None = None,
    callbacks: Sequence[Any] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: ProgressOption = False,
    **overrides: Any,
) -> tuple[NerfModel, TrainingHistory]:
    """Train a radiance field on a scene, in the same bits as `finer-nerf train` with the same settings.

    Ctrl-C, and a callback's `should_stop`, end the training with its best state so far; `history.interrupted` says so.
    A second Ctrl-C raises KeyboardInterrupt. A field that turned transparent where the pictures are not is begun anew
    from other weights: callbacks are then started again, and the history is of the last attempt.

    Args:
        scene: What `read_scene` returns, which is trained on as it is; or a path, read as `config` says.
        config: The settings; None for the default ones.
        network: Hyper-parameters of the method's networks by name, such as {"hidden_features": 128}; or a module of
            your own, float32, that maps points (n, 3) of the box and unit directions (n, 3) to densities (n,) per box
            unit and colors (n, 3) in [0, 1], each row by itself. It is trained in place, from the weights that it
            has, at the method's rates. One that has `density_and_features(points)` and `color(directions, features)`
            is asked for them apart, which costs less.
        activation: Of your own, in the place of the method's in both networks: a module, copied for each layer, or a
            function of tensors. Weights are drawn by the method's rule.
        callbacks: `finer_core.training.Callback`s, or objects with some of its methods.
        checkpoint: A file that the state is written to every `checkpoint_seconds`, and at the end.
        resume: Go on from the checkpoint, if there is one yet, to the same bits as without the interruption. Settings
            come from it; others that are given must be equal. The history is of this call.
        progress: False, True for a bar on stderr, or a function of (step, steps, metrics) for each entry.
        **overrides: Fields of `NerfConfig` that replace those of `config`, such as method="siren", preset="paper",
            seed=1, and the length: steps= or seconds=, and with any of them target_psnr=. `orbit_frames`, of the
            report of `finer-nerf train` alone, is refused.

    Returns:
        The model, in evaluation mode, and the history: an entry a log interval, with the columns "psnr" (dB, of the
        training rays), "samples_per_ray" and "rays" (so far).

    Raises:
        InputError: For a scene, a setting or an activation that cannot be used, or a checkpoint that is of another
            training or exists.
        DivergenceError: If the training diverged for good, or the field became empty again and again.
        TypeError: If a callback has none of the methods.

    Example:
        >>> from finer_nerf import builtin_scene, fit
        >>> scene = builtin_scene(size=8)
        >>> small = {"network": {"hidden_features": 8}, "max_samples": 8, "grid_resolution": 8}
        >>> model, history = fit(scene, steps=4, **small)
        >>> len(history), history[-1].step, history["psnr"].shape
        (4, 4, (4,))
    """
    progress = checked_progress(progress)
    if isinstance(network, Mapping):
        overrides["network"] = dict(network)
    settings = config_with(NerfConfig, config, overrides)
    why = "to a training without a report; leave it out; model.orbit(frames) has the poses of a film"
    refuse_fields_without_effect(settings, "orbit_frames", named=overrides, why=why)
    with apart_from_the_program():
        own = own_code(network, activation, options=settings.network, describe=describe_field)
    state = saved_state(checkpoint, resume=resume)
    path = Path(checkpoint or "")
    if state is None:
        views, settings = given_scene(scene, settings, named=overrides)
        plan = plan_fit(settings, views, own=own.described)
        about = _about(checkpoint, plan, views, own=own.name)
    else:
        plan = FitPlan.from_config(_mapping(state, path), source=path)
        if isinstance(scene, str | os.PathLike):
            views = read_as_resolved(os.fspath(scene), plan.settings)
        else:
            views = checked_scene(scene)
        about = _about(checkpoint, plan, views, own=own.name)
        saved_fit(state, about, source=path, verb="finer_nerf.fit", signal="scene")
        refuse_other_settings(plan, settings, named=overrides, source=path)
    for note in (*views.notes, *plan.notes):
        logger.info("%s: %s", views.name, note)
    name, begun = f"train {type(network).__name__ if own.network is not None else plan.settings.method}", state

    def run(loop: Fit, objective: PhotometricObjective) -> TrainingHistory:
        loop.about = about
        return run_recorded(
            loop,
            name=name,
            metrics_of=lambda loss: metrics_of(loss, objective),
            figure=lambda loss: f"training PSNR {psnr_of_mse(loss):.2f} dB",
            state=begun,
            checkpoint=checkpoint,
            callbacks=callbacks,
            progress=progress,
        )

    def start_over(text: str) -> None:
        nonlocal begun
        begun = None
        logger.info("%s: %s", name, text)
        if progress is True and sys.stderr:
            print(shortened(f"{name}: {text}"), file=sys.stderr)
        if checkpoint is not None:
            path.unlink(missing_ok=True)

    with apart_from_the_program():
        model, _, history = run_attempts(
            plan, views, run, own=own, first=attempt_of(state, path), on_restart=start_over
        )
    return model, history


def _about(checkpoint: object, plan: FitPlan, scene: Scene, *, own: str) -> dict[str, Any]:
    """Return what a checkpoint says of its training; nothing where there is none."""
    if checkpoint is None:
        return {}
    return {
        "input_sha256": content_digest(scene),
        "own": own,
        "network": plan.network.to_dict(),
        **plan.to_dict(),
    }


def _mapping(state: TrainState, path: Path) -> Mapping[str, Any]:
    saved = state.loop.get("about")
    if not isinstance(saved, Mapping) or "bound" not in saved:
        raise InputError(f"{path}: not a checkpoint of finer_nerf.fit; one of a run folder goes on by --resume")
    return saved
