"""Put a training together from its plan: field, rays, grid, objective, optimizer and loop; begun anew where it must."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

import torch

from finer_core.activations import fuse_activations
from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.errors import DivergenceError, InputError
from finer_core.metrics import psnr_of_mse
from finer_core.schema import check
from finer_core.training import DivergenceGuard, Fit, LogEntry, TimedLength
from finer_core.training.own_code import OwnCode, fit_of
from finer_core.training.precision import set_backward_precision
from finer_core.training.state import TrainState
from finer_nerf.backends.nerfacc import march_by_nerfacc
from finer_nerf.backends.tinycudann import use_tcnn
from finer_nerf.backgrounds import LEARNED, color_of
from finer_nerf.evaluation import judge_views
from finer_nerf.fields.field import Field
from finer_nerf.fields.own_field import OwnField
from finer_nerf.fields.radiance_field import RadianceField
from finer_nerf.inputs import judged_views
from finer_nerf.model import NerfModel
from finer_nerf.rendering.occupancy import OccupancyGrid
from finer_nerf.rendering.unbounded import open_ball, sampler_of
from finer_nerf.scenes import Scene
from finer_nerf.training.background import LearnedBackground
from finer_nerf.training.exposure import Exposure
from finer_nerf.training.objective import EmptySceneError, PhotometricObjective
from finer_nerf.training.plan import FitPlan, chunk_samples
from finer_nerf.training.rays import TrainingRays
from finer_nerf.training.visual_hull import carve

_ATTEMPT_SEEDS = 1_000_003
"""Distance between the seeds of a training's first and second attempt."""
_MOST_ATTEMPTS = 4
_NEAR = 0.5
"""Decibels below the target from which on views are rendered: the training PSNR is a mean over steps, and lags."""
Done = TypeVar("Done")


def run_attempts(
    plan: FitPlan,
    scene: Scene,
    run: Callable[[Fit, PhotometricObjective], Done],
    *,
    own: OwnCode | None = None,
    first: int = 0,
    on_restart: Callable[[str], None],
    gradient_sum: GradientReducer | None = None,
    agreed: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[NerfModel, PhotometricObjective, Done]:
    """Train; a field that becomes empty is drawn again from another seed, and the training starts over.

    Args:
        plan: The plan.
        scene: The scene.
        run: Runs a fit, which is put together here, to its end.
        own: The user's own module, or activation.
        first: The attempt to begin with.
        on_restart: Called with what happened, in words, before another attempt, to remove what the last one left.
        gradient_sum: Adds up gradients over the processes that share the training; None for one process.
        agreed: Makes a block succeed in all of them or fail in all.

    Returns:
        The model in evaluation mode, the objective, and what `run` returned.

    Raises:
        DivergenceError: If the field becomes empty every time.
    """
    attempt = first
    while True:
        with agreed():
            field = field_of(plan, attempt=attempt, own=own)
            objective = build_objective(plan, scene, attempt=attempt, gradient_sum=gradient_sum)
            fit = build_fit(plan, field, objective)
        fit.is_reached = target_test(plan, field, scene, objective)
        try:
            done = run(fit, objective)
        except EmptySceneError as error:
            attempt += 1
            if own and own.network is not None:
                raise DivergenceError(f"{error}; try a lower learning rate, or other weights to begin with") from error
            if attempt == _MOST_ATTEMPTS:
                raise DivergenceError(
                    f"{error}, and so did {attempt - 1} restarts; lower the learning rate or check bound and cameras"
                ) from error
            on_restart(f"{error}: starting over with other initial weights ({attempt})")
        else:
            return model_of(plan, field, scene, objective).eval(), objective, done


def attempt_of(state: TrainState | None, source: Path) -> int:
    """Return which attempt a checkpoint is of; 0 for none.

    Raises:
        InputError: If it does not say, or a number that no training comes to.
    """
    attempt = 0 if state is None else state.objective.get("attempt", 0)
    check(attempt, int, name=f"{source}: attempt")
    if not 0 <= attempt < _MOST_ATTEMPTS:
        raise InputError(f"{source}: attempt must be from 0 to {_MOST_ATTEMPTS - 1}, got {attempt}; start a new run")
    return int(attempt)


def target_test(
    plan: FitPlan, field: Field, scene: Scene, objective: PhotometricObjective
) -> Callable[[LogEntry], bool]:
    """Return what tells at a log point whether the held-out views have the PSNR that ends the training.

    They are rendered only where the rays that were trained on have come near it: unseen views are no better than these.
    """
    target = plan.settings.target_psnr
    if target is None:
        return lambda point: False

    def is_reached(point: LogEntry) -> bool:
        if psnr_of_mse(point.loss) < target - _NEAR:
            return False
        field.eval()
        model = model_of(plan, field, scene, objective)
        views = judged_views(scene)
        total = sum(view.psnr for view in judge_views(model, views, background=model.background))
        field.train()
        return total >= target * len(views)

    return is_reached


def metrics_of(loss: float, objective: PhotometricObjective) -> dict[str, float]:
    """Return what a log interval's loss tells, and what its rays were."""
    return {
        "psnr": psnr_of_mse(loss),
        "samples_per_ray": objective.samples_per_ray,
        "rays": objective.rays_seen,
    }


def field_of(plan: FitPlan, *, attempt: int = 0, own: OwnCode | None = None) -> Field:
    """Return the plan's field, drawn on the CPU from its seed, or the user's own module, ready to train.

    Args:
        plan: The plan.
        attempt: How often the training started over; each attempt draws other weights.
        own: The user's own module, or activation, which goes into both networks.

    Raises:
        InputError: If the activation cannot be used, or the plan is of a module that is not given.
    """
    settings, own = plan.settings, own or OwnCode()
    if own.network is not None:
        field: Field = OwnField(own.network)
    else:
        generator = torch.Generator().manual_seed((settings.seed + attempt * _ATTEMPT_SEEDS) % (1 << 63))
        ours = RadianceField.build(plan.config, generator=generator)
        field = ours if own.activation is None else ours.set_activation(own.activation)
    field = field.to(plan.device).train()
    fuse_activations(bool(settings.compile))
    set_backward_precision(field, settings.precision or "fp32")
    if plan.backend == "tcnn" and isinstance(field, RadianceField):
        use_tcnn(field.parts["density"])
    return field


def model_of(plan: FitPlan, field: Field, scene: Scene, objective: PhotometricObjective) -> NerfModel:
    """Return a field with all that rendering it needs."""
    settings = plan.settings
    assert settings.max_samples is not None and settings.min_weight is not None and settings.background
    return NerfModel(
        field=field,
        frame=plan.frame,
        bound=plan.bound,
        grid=objective.grid,
        background=settings.background if objective.learned is None else objective.learned.name,
        min_near=settings.min_near,
        max_samples=settings.max_samples,
        min_weight=settings.min_weight,
        camera=scene.train.cameras[0],
        train_poses=plan.frame.poses_to_box(scene.train.poses),
        scene={"name": scene.name, "kind": scene.kind, "digest": scene.digest, "views": len(scene.train)},
    )


def build_objective(
    plan: FitPlan, scene: Scene, *, attempt: int = 0, gradient_sum: GradientReducer | None = None
) -> PhotometricObjective:
    """Return what the training minimizes, with its own occupancy grid."""
    settings = plan.settings
    assert settings.grid_resolution and settings.density_threshold and settings.batch_rays and settings.max_samples
    assert settings.background
    learned = settings.background == LEARNED
    behind = torch.tensor((0.5, 0.5, 0.5) if learned else color_of(settings.background))
    paper = settings.preset == "paper"
    grid = OccupancyGrid(
        resolution=settings.grid_resolution,
        bound=plan.bound,
        threshold=settings.density_threshold,
        device=plan.device,
        contracted=bool(settings.contract),
    )
    if settings.contract:
        opened = open_ball(grid)
    elif paper and not settings.visual_hull:
        opened = torch.ones_like(grid.occupied)
    else:
        opened = carve(
            scene.train,
            plan.frame,
            resolution=settings.grid_resolution,
            bound=plan.bound,
            silhouettes=bool(settings.visual_hull),
        )
    return PhotometricObjective(
        TrainingRays(
            scene.train,
            plan.frame,
            draw="one view" if paper else "all views",
            background="random" if settings.train_background == "random" else behind,
            device=plan.device,
        ),
        grid=grid,
        opened=opened,
        seed=settings.seed,
        batch_rays=settings.batch_rays,
        batch_samples=settings.batch_samples or 0,
        min_near=settings.min_near,
        max_samples=settings.max_samples,
        min_weight=settings.min_weight or 0.0,
        chunk_samples=chunk_samples(plan, scene),
        grid_every=settings.grid_every,
        attempt=attempt,
        sample=march_by_nerfacc if settings.renderer == "nerfacc" else sampler_of(grid),
        learned=LearnedBackground.guess(scene.train.images, device=plan.device) if learned else None,
        exposure=Exposure(views=len(scene.train), device=plan.device) if settings.exposure else None,
        gradient_sum=gradient_sum,
    )


def build_fit(plan: FitPlan, field: Field, objective: PhotometricObjective) -> Fit:
    """Assemble the fit loop of a plan."""
    settings = plan.settings
    fit = fit_of(
        plan,
        field,
        objective,
        ranks=objective.gradient_sum.ranks,
        # Where most of a picture is background, an untrained field is half right; an empty one is begun anew in `run`.
        guard=DivergenceGuard(max_restarts=0),
        eps=settings.eps,
        ema_every=settings.ema_every or 1,
    )
    if settings.seconds:
        # Steps cost more until the second look at the density: until then every part of the box may be occupied.
        fit.length = TimedLength(seconds=settings.seconds, after=3 * settings.grid_every)
    return fit
