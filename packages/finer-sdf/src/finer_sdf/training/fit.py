"""Fit a distance field to a surface, from Python: no folder, no file and no output unless asked for."""

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from finer_core.config import config_with, refuse_fields_without_effect
from finer_core.networks.own_network import AnyActivation, describe_network
from finer_core.progress import ProgressOption, checked_progress
from finer_core.resources import parse_memory
from finer_core.training import TrainingHistory, run_recorded, saved_state
from finer_core.training.batching import apart_from_the_program
from finer_core.training.own_code import own_code
from finer_core.training.resumption import refuse_other_settings, saved_fit
from finer_sdf.config import SdfConfig
from finer_sdf.inputs import as_shape, digest_of
from finer_sdf.model import SdfModel
from finer_sdf.training.build import assembled_fit
from finer_sdf.training.color import add_color
from finer_sdf.training.plan import FitPlan
from finer_sdf.training.timed_plan import plan_timed_fit

logger = logging.getLogger(__name__)


def fit(
    shape: Any,
    config: SdfConfig | None = None,
    *,
    network: Mapping[str, Any] | nn.Module | None = None,
    activation: AnyActivation | None = None,
    callbacks: Sequence[Any] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: ProgressOption = False,
    **overrides: Any,
) -> tuple[SdfModel, TrainingHistory]:
    """Fit a signed distance field to a surface, in the same bits as `finer-sdf fit` with the same settings.

    What a mesh or a cloud needs is repaired first, as for a file; `model.shape["notes"]` says what. Where a mesh
    has a texture, or its vertices or the points of a cloud have colors, two small networks are fitted to them,
    unless color="off" says not to; `model.mesh()` then has colors too.

    Ctrl-C, and a callback's `should_stop`, end the training with its best state so far; `history.interrupted` says so.
    A second Ctrl-C raises KeyboardInterrupt.

    Args:
        shape: A `trimesh.Trimesh`, a `Mesh` or a `PointCloud`; a pair (points, normals) of arrays (n, 3), or
            (vertices, faces) with integer faces (m, 3); points (n, 3), whose normals are estimated; a path; or what
            `read_shape` returned. In any units and place.
        config: The settings; None for the default ones.
        network: Hyper-parameters of the method's network by name, such as {"hidden_features": 128}; or a module of your
            own, float32, that maps coordinates (n, 3) in [-0.5, 0.5] to distances (n, 1), each row by itself. It is
            trained in place, from the weights that it has, at the method's rates.
        activation: Of your own, in the place of the method's: a module, copied for each layer, or a function of
            tensors. Weights are drawn by the method's rule.
        callbacks: `finer_core.training.Callback`s, or objects with some of its methods.
        checkpoint: A file that the state is written to every `checkpoint_seconds`, and at the end.
        resume: Go on from the checkpoint, if there is one yet, to the same bits as without the interruption. Settings
            come from it; others that are given must be equal. The history is of this call.
        progress: False, True for a bar on stderr, or a function of (step, steps, metrics) for each entry.
        **overrides: Fields of `SdfConfig` that replace those of `config`, such as method="siren", preset="paper",
            seed=1, and the length: steps= or seconds=, and with either target_rms=. Those of the run folder alone,
            `resolution` and `eval_samples`, are refused.

    Returns:
        The model, in evaluation mode, and the history: an entry a log interval.

    Raises:
        InputError: For a shape, a setting, a network or an activation that cannot be used, or a checkpoint that is of
            another fit or exists.
        DivergenceError: If the fit diverged for good.
        TypeError: If a callback has none of the methods.

    Example:
        >>> import trimesh
        >>> from finer_sdf import fit
        >>> ball = trimesh.creation.icosphere(radius=3.0).apply_translation([10, 0, 0])
        >>> small = {"samples": 2000, "batch_points": 256, "network": {"hidden_features": 16}}
        >>> model, history = fit(ball, steps=20, **small)
        >>> model(ball.vertices).shape, len(history), history[-1].step, history["loss"].shape
        ((642,), 20, 20, (20,))
    """
    progress = checked_progress(progress)
    if isinstance(network, Mapping):
        overrides["network"] = dict(network)
    settings = config_with(SdfConfig, config, overrides)
    why = "to a fit without a run folder; give it to model.mesh or evaluate, whose {} it is"
    refuse_fields_without_effect(settings, "resolution", named=overrides, why=why.format("resolution"))
    refuse_fields_without_effect(settings, "eval_samples", named=overrides, why=why.format("samples"))
    loaded = as_shape(shape, memory=parse_memory(settings.memory))
    with apart_from_the_program():
        describe = partial(describe_network, in_features=3, out_features=1)
        own = own_code(network, activation, options=settings.network, describe=describe)
    state = saved_state(checkpoint, resume=resume)
    about = {} if checkpoint is None else {"input_sha256": digest_of(loaded.shape, loaded.colors), "own": own.name}
    for note in loaded.notes:
        logger.info("%s: %s", loaded.name, note)
    with apart_from_the_program():
        if state is None:
            plan = plan_timed_fit(settings, loaded, own=own)
        else:
            source = Path(checkpoint or "")
            saved = saved_fit(state, about, source=source, verb="finer_sdf.fit", signal="shape")
            plan = FitPlan.from_config(saved, source=source)
            refuse_other_settings(plan, settings, named=overrides, source=source)
        with assembled_fit(plan, loaded, own=own, progress=progress is True) as (model, loop):
            loop.about = {**about, **plan.to_dict()} if about else {}
            history = run_recorded(
                loop,
                name=f"fit {type(network).__name__ if own.network is not None else plan.settings.method}",
                metrics_of=lambda loss: {},
                figure=lambda loss: f"loss {loss:.3e}",
                state=state,
                checkpoint=checkpoint,
                callbacks=callbacks,
                progress=progress,
            )
        if not history.interrupted:
            add_color(model, plan, loaded, progress=progress is True)
    return model.eval(), history
