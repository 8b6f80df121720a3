"""Assemble a training: field, rays, grid, objective, optimiser and schedule of the chosen preset."""

import torch

from finer_core.activations import fuse_activations
from finer_core.precision import set_backward_precision
from finer_core.training import DivergenceGuard, Fit, TimedLength, build_optimizers, schedule_of
from finer_nerf.fields.radiance_field import RadianceField
from finer_nerf.fields.tcnn_grid import use_tcnn
from finer_nerf.model import BACKGROUNDS, RadianceModel
from finer_nerf.rendering.marching import march
from finer_nerf.rendering.nerfacc_backend import march_by_nerfacc
from finer_nerf.rendering.occupancy import OccupancyGrid
from finer_nerf.scenes import Scene
from finer_nerf.training.carving import carve
from finer_nerf.training.objective import PhotometricObjective
from finer_nerf.training.plan import TrainingPlan, piece_samples
from finer_nerf.training.rays import TrainingRays

_ATTEMPT_SEEDS = 1_000_003
"""Distance between the seeds of a training's first and second attempt."""


def field_of(plan: TrainingPlan, *, attempt: int = 0) -> RadianceField:
    """Build the plan's field, drawn on the CPU from its seed, ready to train.

    Args:
        plan: The plan.
        attempt: How often the training started over; each attempt draws other weights.
    """
    settings = plan.settings
    generator = torch.Generator().manual_seed((settings.seed + attempt * _ATTEMPT_SEEDS) % (1 << 63))
    field = RadianceField.build(plan.field, generator=generator).to(plan.device).train()
    fuse_activations(bool(settings.compile))
    set_backward_precision(field, settings.precision or "fp32")
    if plan.backend == "tcnn":
        use_tcnn(field.parts["density"])
    return field


def model_of(plan: TrainingPlan, field: RadianceField, scene: Scene, grid: OccupancyGrid) -> RadianceModel:
    """Return a field with all that rendering it needs."""
    settings = plan.settings
    assert settings.max_samples is not None and settings.least_weight is not None
    return RadianceModel(
        field=field,
        frame=plan.frame,
        bound=plan.bound,
        grid=grid,
        background=settings.background,
        min_near=settings.min_near,
        max_samples=settings.max_samples,
        least_weight=settings.least_weight,
        camera=scene.train.cameras[0],
        train_poses=plan.frame.poses_to_box(scene.train.poses),
        scene={"name": scene.name, "kind": scene.kind, "digest": scene.digest, "views": len(scene.train)},
    )


def build_objective(plan: TrainingPlan, scene: Scene, *, attempt: int = 0) -> PhotometricObjective:
    """Return what the training minimises, with its own occupancy grid."""
    settings = plan.settings
    assert settings.grid_resolution and settings.density_threshold and settings.batch_rays and settings.max_samples
    transparent = scene.train.images.shape[-1] == 4
    random = settings.train_background == "random" or (
        settings.train_background is None and (transparent or scene.kind != "blender")
    )
    paper = settings.preset == "paper"
    grid = OccupancyGrid(
        resolution=settings.grid_resolution,
        bound=plan.bound,
        threshold=settings.density_threshold,
        device=plan.device,
    )
    if paper and not settings.carve:
        opened = torch.ones_like(grid.occupied)
    else:
        opened = carve(
            scene.train,
            plan.frame,
            resolution=settings.grid_resolution,
            bound=plan.bound,
            silhouettes=bool(settings.carve),
        )
    return PhotometricObjective(
        TrainingRays(
            scene.train,
            plan.frame,
            draw="one view" if paper else "all views",
            background="random" if random else BACKGROUNDS[settings.background],
            device=plan.device,
        ),
        grid=grid,
        opened=opened,
        seed=settings.seed,
        batch_rays=settings.batch_rays,
        batch_samples=settings.batch_samples or 0,
        min_near=settings.min_near,
        max_samples=settings.max_samples,
        least_weight=settings.least_weight or 0.0,
        piece_samples=piece_samples(plan, scene),
        grid_every=settings.grid_every,
        attempt=attempt,
        sample=march_by_nerfacc if settings.renderer == "nerfacc" else march,
    )


def build_fit(plan: TrainingPlan, field: RadianceField, objective: PhotometricObjective) -> Fit:
    """Assemble the fit loop of a plan."""
    settings = plan.settings
    assert settings.steps and settings.log_every and settings.learning_rate and settings.matrix_learning_rate
    return Fit(
        network=field,
        checkpoint_seconds=settings.checkpoint_seconds,
        objective=objective,
        optimizers=build_optimizers(
            field,
            name=settings.optimizer or "adam",
            learning_rate=settings.learning_rate,
            matrix_learning_rate=settings.matrix_learning_rate,
            betas=settings.betas,
            eps=settings.eps,
            ema_decay=settings.ema_decay or 0.0,
            precision=settings.precision or "fp32",
            ema_every=settings.ema_every or 1,
        ),
        schedule=schedule_of(settings.schedule),
        steps=settings.steps,
        # Steps cost more until the second look at the density: until then every part of the box may be occupied.
        length=TimedLength(seconds=settings.seconds, after=3 * settings.grid_every) if settings.seconds else None,
        log_every=settings.log_every,
        max_grad_norm=settings.max_grad_norm,
        # Where most of a picture is background, an untrained field is half right; an empty one is begun anew in `run`.
        guard=DivergenceGuard(max_restarts=0) if settings.guard else DivergenceGuard(max_rollbacks=0),
    )
