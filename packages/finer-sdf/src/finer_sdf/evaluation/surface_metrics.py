"""All figures of a mesh against a reference surface, under names that say what each is."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.progress import ProgressOption, reporting
from finer_core.resources import check_room, parse_memory
from finer_core.schema import check_number, check_within
from finer_core.training.batching import in_plain_modes
from finer_sdf.distance_field import DistanceField
from finer_sdf.evaluation.chamfer import chamfer_of_samples, sampling_floor
from finer_sdf.evaluation.inner_walls import Outside, outside_of
from finer_sdf.evaluation.iou import PUBLISHED_BOX, RESOLUTION, iou_of, joint_box
from finer_sdf.evaluation.notes import inside_notes, place_notes, wall_notes
from finer_sdf.evaluation.surface_distance import OneWay, distances_to_mesh, f_score, normal_figures
from finer_sdf.evaluation.topology import topology_report
from finer_sdf.geometry import LoadedShape, Mesh, PointCloud, Shape
from finer_sdf.geometry.surface_sampling import SurfaceSamples, sample_surface
from finer_sdf.inputs import as_shape
from finer_sdf.normalization import THE_BOX_ITSELF, Normalization, published_normalization

PUBLISHED_SAMPLES = 300_000
THRESHOLDS = (0.001, 0.002, 0.005)
"""Distances of the F-scores, in units of the box's side."""
F_SCORE_THRESHOLD = 0.002
"""The one of them that `f_score` is at."""
_STAGES = 5
_BYTES_A_SAMPLE = 310
"""Measured, of 4 million."""
_OURS, _THEIRS = 1, 2
"""Make two independent seeds of one, both unlike the one itself, by which the paper's preset draws its cloud."""


@in_plain_modes()
def evaluate(
    surface: Any,
    reference: Any,
    *,
    resolution: int = 256,
    samples: int = PUBLISHED_SAMPLES,
    seed: int = 0,
    memory: str | int = "4GB",
    progress: ProgressOption = False,
) -> dict[str, Any]:
    """Compare a fitted surface with the original, in units of the box that the original is fitted in.

    Args:
        surface: An `SdfModel`, another `DistanceField`, or a mesh in the reference's coordinates: whatever `fit` takes
            that has faces.
        reference: The original: whatever `fit` takes.
        resolution: Grid points per axis of a model's mesh.
        samples: Surface samples a side, at least 1000.
        seed: Seed of the samples.
        memory: What the work may take.
        progress: False, True for a bar on stderr, or a function of (done, total, {}) for each part of the work.

    Returns:
        `chamfer_l1`, `chamfer_l2_sum`, `iou`, `f_score`, `hausdorff` and more; see `compare_surfaces`.

    Raises:
        InputError: If one of them is no surface, a model has none in its box, an operation's result has walls that the
            resolution cannot show, or a setting cannot be used.

    Example:
        >>> import trimesh
        >>> from finer_sdf import evaluate
        >>> ball, larger = trimesh.creation.icosphere(radius=9.0), trimesh.creation.icosphere(radius=9.1)
        >>> round(evaluate(larger, ball, samples=2000)["hausdorff"], 4)  # 0.1 of 20
        0.005
    """
    check_number(samples, what="--samples", is_whole=True)
    if samples < 1000:
        raise InputError(f"--samples must be at least 1000, got {samples}")
    check_within(seed, "[0, inf)", what="--seed", is_whole=True)
    limit = parse_memory(memory)
    check_room(_BYTES_A_SAMPLE * samples, limit, what=f"drawing {samples} samples", advice="draw fewer", process=0)
    loaded = as_shape(reference, memory=limit, what="reference")
    normalization, boxed = published_normalization(loaded.shape), loaded.shape
    if isinstance(surface, DistanceField):
        surface.check_resolution(resolution)
        mesh, notes = surface.extract(resolution=resolution, memory=limit, progress=progress).mesh, []
        if surface.normalization == normalization:  # in the box as a fit compares them, with nothing lost on the way
            normalization, boxed = THE_BOX_ITSELF, normalization.shape_to_box(boxed)
        else:
            mesh = surface.normalization.mesh_to_input(mesh)
    else:
        own = as_shape(surface, memory=limit, what="surface")
        mesh, notes = mesh_of(own), [f"{own.name}: {note}" for note in own.notes]
    with reporting("evaluate", unit="stage", progress=progress) as tell:
        figures = compare_surfaces(mesh, boxed, normalization=normalization, samples=samples, seed=seed, on_stage=tell)
    notes += [f"{loaded.name}: {note}" for note in loaded.notes]
    return {**figures, "notes": [*figures["notes"], *notes]}


def mesh_of(loaded: LoadedShape) -> Mesh:
    """Return the mesh that a surface is.

    Raises:
        InputError: If it is a point cloud, to which there is no inside and no exact distance.
    """
    if not isinstance(loaded.shape, Mesh):
        raise InputError(f"{loaded.name}: a point cloud cannot be evaluated, only be the reference; give a mesh")
    return loaded.shape


def compare_surfaces(
    mesh: Mesh,
    reference: Shape,
    *,
    normalization: Normalization,
    samples: int = PUBLISHED_SAMPLES,
    seed: int = 0,
    iou_resolution: int = RESOLUTION,
    on_stage: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> dict[str, Any]:
    """Compare a mesh with a reference, in units of the reference's normalized box.

    Args:
        mesh: What is compared.
        reference: A mesh, or a point cloud: then its points stand for the surface, there is no inside and no exact
            distance to it.
        normalization: Moves both into the box; every length below is in box units.
        samples: Surface samples a side.
        seed: Seed of the samples; other numbers than a fit of the same seed draws.
        iou_resolution: Grid points an axis of both IoUs.
        on_stage: Called before each part of the work with those done, those in all, and its name.

    Returns:
        `chamfer_l2_sum` with `_floor` (what perfect agreement gives at this number of samples) and `_excess`,
        `chamfer_l1`, `iou` (over the box around both), `iou_published` (over [-1, 1]^3), `f_score` at
        `f_score_threshold`, `f_scores`, `normal_consistency` and angles, `hausdorff`, `surface_distance` (exact, both
        ways), `watertight`, `manifold`, `components`, `topology`, `samples`, `samples_seed`, `lengths_in`, and `notes`:
        sentences on what limits the figures. What a point cloud cannot answer is None, and an IoU whose grid has no
        point inside either.

    Raises:
        InputError: If a mesh has no area.
    """
    begin = _beginning(on_stage)
    begin("sampling")
    boxed = normalization.mesh_to_box(mesh)
    ours = outside_of(boxed)
    drawn = sample_surface(ours.surface, count=samples, seed=(seed, _OURS))
    begin("topology")
    topology = topology_report(boxed)
    notes = place_notes(mesh, reference) + inside_notes(topology, reference) + wall_notes("mesh", ours)
    if isinstance(reference, Mesh):
        theirs = outside_of(normalization.mesh_to_box(reference))
        notes += wall_notes("reference", theirs)
        figures = _against_mesh(ours, drawn, theirs, seed, iou_resolution, begin)
        notes += [
            f"{name} is not known: its grid of {iou_resolution} points an axis meets the inside of neither surface"
            for name in ("iou", "iou_published")
            if figures[name] is None
        ]
    else:
        figures = _against_cloud(ours, drawn, reference, normalization, seed, begin)
    return {
        **figures,
        **{name: topology[name] for name in ("watertight", "manifold", "components")},
        "topology": topology,
        "samples": samples,
        "samples_seed": seed,
        "lengths_in": "sides of the normalized box",
        "notes": notes,
    }


def _beginning(on_stage: Callable[[int, int, str], None]) -> Callable[[str], None]:
    """Return a function to be told the name of each part of a comparison before it."""
    done = itertools.count()
    return lambda name: on_stage(next(done), _STAGES, name)


def no_surface() -> dict[str, Any]:
    """Return the figures of a model that has no surface: every one None."""
    names = ("chamfer_l2_sum", "chamfer_l2_sum_floor", "chamfer_l2_sum_excess", "chamfer_l1", "iou", "iou_published")
    more = ("f_score", "normal_consistency", "hausdorff", "surface_distance", "watertight", "manifold", "components")
    return dict.fromkeys((*names, *more))


def _against_mesh(
    ours: Outside,
    drawn: SurfaceSamples,
    theirs: Outside,
    seed: int,
    resolution: int,
    begin: Callable[[str], None],
) -> dict[str, Any]:
    count = len(drawn.points)
    theirs_drawn = sample_surface(theirs.surface, count=count, seed=(seed, _THEIRS))
    begin("Chamfer distance")
    floor = sampling_floor(area=theirs.surface.area(), samples=count)
    figures = _chamfer_figures(drawn.points, theirs_drawn.points, floor)
    begin("distances between the surfaces")
    to_reference = distances_to_mesh(drawn, theirs.surface, theirs.distance)
    from_reference = distances_to_mesh(theirs_drawn, ours.surface, ours.distance)
    begin("intersection over union")
    own, published = (
        iou_of(ours.mesh, theirs.mesh, box=box, resolution=resolution, distances=(ours.distance, theirs.distance))
        for box in (joint_box(ours.mesh, theirs.mesh), PUBLISHED_BOX)
    )
    return {
        **figures,
        "iou": own,
        "iou_published": published,
        **_distance_figures(to_reference, from_reference),
    }


def _against_cloud(
    ours: Outside,
    drawn: SurfaceSamples,
    reference: PointCloud,
    normalization: Normalization,
    seed: int,
    begin: Callable[[str], None],
) -> dict[str, Any]:
    points, normals = normalization.to_box(reference.points), reference.normals
    count = len(drawn.points)
    if len(points) > count:
        kept = np.random.default_rng((seed, _THEIRS)).choice(len(points), count, replace=False)
        points, normals = points[kept], normals[kept]
    begin("Chamfer distance")
    area = ours.surface.area()
    floor = (sampling_floor(area=area, samples=count) + sampling_floor(area=area, samples=len(points))) / 2
    figures = _chamfer_figures(drawn.points, points, floor)
    begin("distances between the surfaces")
    cloud = PointCloud(points=points, normals=normals)
    from_reference = distances_to_mesh(cloud, ours.surface, ours.distance)
    return {**figures, "iou": None, "iou_published": None, **_distance_figures(None, from_reference)}


def _chamfer_figures(ours: np.ndarray, theirs: np.ndarray, floor: float) -> dict[str, Any]:
    chamfer = chamfer_of_samples(ours, theirs)
    return {
        "chamfer_l2_sum": chamfer.l2_sum,
        "chamfer_l2_sum_floor": floor,
        "chamfer_l2_sum_excess": chamfer.l2_sum - floor,
        "chamfer_l1": chamfer.l1,
    }


def _distance_figures(to_reference: OneWay | None, from_reference: OneWay) -> dict[str, Any]:
    """Return what exact distances give; without those to the reference only half of it."""
    summaries = {
        "to_reference": to_reference.summary() if to_reference else None,
        "from_reference": from_reference.summary(),
    }
    scores: dict[str, Any] | None = None
    if to_reference:
        scores = {
            f"{threshold:g}": f_score(to_reference.distance, from_reference.distance, threshold=threshold)
            for threshold in THRESHOLDS
        }
    farthest = [way["max"] for way in summaries.values() if way]
    return {
        "f_score": scores[f"{F_SCORE_THRESHOLD:g}"]["f_score"] if scores else None,
        "f_score_threshold": F_SCORE_THRESHOLD,
        "f_scores": scores,
        **normal_figures([to_reference.cosine if to_reference else None, from_reference.cosine]),
        "hausdorff": max(farthest) if to_reference else None,
        "surface_distance": summaries,
    }
