"""Assemble and run a fit: samples, objective, optimiser and schedule of the chosen preset."""

from collections.abc import Callable

import torch

from finer_core.networks import Network
from finer_core.training import DivergenceGuard, Fit, build_optimizers, fresh_network, schedule_of
from finer_sdf.evaluation.surface_sampling import sample_surface
from finer_sdf.normalization import Normalization
from finer_sdf.shapes import Mesh, PointCloud, Shape
from finer_sdf.training.bacon import CloudDistance, PublishedSampler, published_schedule
from finer_sdf.training.objective import DistanceObjective
from finer_sdf.training.plan import FitPlan
from finer_sdf.training.precomputed import PrecomputedSamples
from finer_sdf.training.samples import Prefetcher, Sampler, workers_beside
from finer_sdf.training.targets import target_of


def network_of(plan: FitPlan) -> Network:
    """Build the plan's network, drawn from its seed, ready to train."""
    settings = plan.settings
    return fresh_network(
        plan.network,
        seed=settings.seed,
        device=plan.device,
        compiled=bool(settings.compile),
        precision=settings.precision or "fp32",
    )


def shape_in_box(shape: Shape, normalization: Normalization) -> Shape:
    """Move a surface into the box."""
    if isinstance(shape, Mesh):
        return normalization.mesh_to_box(shape)
    return PointCloud(points=normalization.to_box(shape.points), normals=shape.normals)


def cloud_of(shape: Shape, *, points: int, seed: int) -> PointCloud:
    """Return a surface as an oriented cloud: a cloud as it is, a mesh as points uniform over its area."""
    if isinstance(shape, PointCloud):
        return shape
    samples = sample_surface(shape, count=points, seed=seed)
    return PointCloud(points=samples.points, normals=samples.normals)


def build_sampler(plan: FitPlan, shape: Shape, *, on_samples: Callable[[int], None] = lambda done: None) -> Sampler:
    """Return what makes the preset's samples.

    Args:
        plan: The plan.
        shape: The surface, in box coordinates.
        on_samples: Called with the number of distances computed before training.
    """
    settings = plan.settings
    assert settings.batch_points and settings.steps
    if settings.preset == "paper":
        assert settings.cloud_points
        cloud = cloud_of(shape, points=settings.cloud_points, seed=settings.seed)
        return PublishedSampler(CloudDistance(cloud), batch_points=settings.batch_points, seed=settings.seed)
    assert settings.samples
    return PrecomputedSamples(
        target_of(shape),
        samples=settings.samples,
        batch_points=settings.batch_points,
        seed=settings.seed,
        on_samples=on_samples,
    )


def build_fit(plan: FitPlan, network: torch.nn.Module, sampler: Sampler, *, chunk: int) -> Fit:
    """Assemble the fit loop of a plan.

    Args:
        plan: The plan.
        network: Changed in place by the fit.
        sampler: Makes the samples of a step.
        chunk: Most points that go through the network at once.
    """
    settings = plan.settings
    assert settings.steps and settings.log_every and settings.learning_rate and settings.matrix_learning_rate
    paper = settings.preset == "paper"
    return Fit(
        network=network,
        checkpoint_seconds=settings.checkpoint_seconds,
        objective=DistanceObjective(
            Prefetcher(sampler, steps=settings.steps, workers=workers_beside(plan.device)),
            error="squared" if paper else "absolute",
            chunk_points=chunk,
            device=plan.device,
        ),
        optimizers=build_optimizers(
            network,
            name=settings.optimizer or "adam",
            learning_rate=settings.learning_rate,
            matrix_learning_rate=settings.matrix_learning_rate,
            betas=settings.betas,
            amsgrad=settings.amsgrad,
            ema_decay=settings.ema_decay or 0.0,
            precision=settings.precision or "fp32",
        ),
        schedule=schedule_of(settings.schedule)
        if settings.schedule
        else published_schedule(initial_rate=settings.learning_rate),
        steps=settings.steps,
        log_every=settings.log_every,
        max_grad_norm=settings.max_grad_norm,
        guard=DivergenceGuard() if settings.guard else DivergenceGuard(max_rollbacks=0),
    )
