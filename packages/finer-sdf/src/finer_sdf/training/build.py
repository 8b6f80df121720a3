"""Put a fit together from its plan: samples, objective, optimizer and schedule of the chosen preset."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import nn

from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.ranks import ALONE, Ranks
from finer_core.progress import reporting
from finer_core.training import DivergenceGuard, Fit
from finer_core.training.own_code import OwnCode, fit_of, network_of
from finer_sdf.geometry import LoadedShape, PointCloud, Shape
from finer_sdf.geometry.surface_sampling import sample_surface
from finer_sdf.inputs import facts_of
from finer_sdf.model import SdfModel
from finer_sdf.training.bacon import CloudDistance, PublishedSampler, published_schedule
from finer_sdf.training.objective import DistanceObjective
from finer_sdf.training.plan import FitPlan, chunk_points
from finer_sdf.training.precomputed import PrecomputedSamples
from finer_sdf.training.samples import Prefetcher, Sampler, workers_beside
from finer_sdf.training.target_rms import target_test
from finer_sdf.training.targets import target_of


@contextmanager
def assembled_fit(
    plan: FitPlan,
    loaded: LoadedShape,
    *,
    own: OwnCode | None = None,
    gradient_sum: GradientReducer | None = None,
    progress: bool = False,
) -> Iterator[tuple[SdfModel, Fit]]:
    """Put a fit together, for the length of a block that runs it.

    Args:
        plan: The plan.
        loaded: The surface, in the input's coordinates.
        own: The user's own module, or activation.
        gradient_sum: Adds up gradients over the processes that share the fit; None for one process.
        progress: Show on stderr how many exact distances are computed.

    Yields:
        The model whose network the fit trains, and the fit.
    """
    settings, boxed = plan.settings, plan.frame.shape_to_box(loaded.shape)
    network = network_of(plan, own=own)
    model = SdfModel(network=network, normalization=plan.frame, shape=facts_of(loaded))
    with reporting("distances", unit="sample", progress=progress) as tell:
        sampler = build_sampler(plan, boxed, ranks=gradient_sum.ranks if gradient_sum else ALONE, on_samples=tell)
    chunk = chunk_points(plan, loaded.shape, colors=loaded.colors)
    fit = build_fit(plan, network, sampler, chunk=chunk, gradient_sum=gradient_sum)
    if settings.target_rms is not None:
        fit.is_reached = target_test(model, boxed, target_rms=settings.target_rms, seed=settings.seed)
    try:
        yield model, fit
    finally:
        if isinstance(fit.objective, DistanceObjective):
            fit.objective.close()


def cloud_of(shape: Shape, *, points: int, seed: int) -> PointCloud:
    """Return a surface as an oriented cloud: a cloud as it is, a mesh as points uniform over its area."""
    if isinstance(shape, PointCloud):
        return shape
    samples = sample_surface(shape, count=points, seed=seed)
    return PointCloud(points=samples.points, normals=samples.normals)


def build_sampler(
    plan: FitPlan,
    shape: Shape,
    *,
    ranks: Ranks = ALONE,
    on_samples: Callable[[int, int], None] = lambda done, total: None,
) -> Sampler:
    """Return what makes the preset's samples.

    Args:
        plan: The plan.
        shape: The surface, in box coordinates.
        ranks: The place of this process among those that share the fit.
        on_samples: Called with the number of distances computed before training, and how many there are here.
    """
    settings = plan.settings
    assert settings.batch_points and settings.steps
    if settings.preset == "paper":
        assert settings.cloud_points
        distance = CloudDistance(cloud_of(shape, points=settings.cloud_points, seed=settings.seed))
        return PublishedSampler(distance, batch_points=settings.batch_points, seed=settings.seed, ranks=ranks)
    assert settings.samples
    return PrecomputedSamples(
        target_of(shape),
        samples=settings.samples,
        batch_points=settings.batch_points,
        steps=settings.steps,
        seed=settings.seed,
        ranks=ranks,
        on_samples=on_samples,
    )


def build_fit(
    plan: FitPlan,
    network: nn.Module,
    sampler: Sampler,
    *,
    chunk: int,
    gradient_sum: GradientReducer | None = None,
) -> Fit:
    """Assemble the fit loop of a plan."""
    settings = plan.settings
    assert settings.steps and settings.learning_rate
    objective = DistanceObjective(
        Prefetcher(sampler, steps=settings.steps, workers=workers_beside(plan.device)),
        error="squared" if settings.preset == "paper" else "absolute",
        chunk_points=chunk,
        device=plan.device,
        gradient_sum=gradient_sum,
    )
    return fit_of(
        plan,
        network,
        objective,
        ranks=gradient_sum.ranks if gradient_sum else ALONE,
        guard=DivergenceGuard(),
        schedule=None if settings.schedule else published_schedule(initial_rate=settings.learning_rate),
        amsgrad=bool(settings.amsgrad),
    )
