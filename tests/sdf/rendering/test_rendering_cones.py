"""Whole tiles of rays skip what is empty, and every ray still meets the surface where it did."""

import math

import pytest
import torch
from torch import Tensor

from finer_sdf.rendering import cone_marching, sphere_tracing
from finer_sdf.rendering.camera import OrbitCamera
from finer_sdf.rendering.cone_marching import clear_depths
from finer_sdf.rendering.sphere_tracing import box_interval, trace
from tests.sdf.distance_fields import Field, sphere, torus, union

BESIDE = sphere(radius=0.08, center=(0.4, -0.35, 0.38))
FIELDS = {
    "a sphere": sphere(),
    "a torus": torus,
    "a small thing at the edge": BESIDE,
    "both": union(torus, BESIDE),
    "a steep field": lambda x: 3 * sphere()(x),
    "a wall that the box cuts": lambda x: x[:, 1:2] + 0.1 * x[:, :1] - 0.2,
}
STEEPNESS = {"a steep field": 3.0, "a wall that the box cuts": math.hypot(1, 0.1)}


def picture_rays(*, height: int = 75, width: int = 101, **camera: object) -> tuple[Tensor, Tensor]:
    """Return rays (h, w, 3); by default of a size that no tile divides."""
    return OrbitCamera(**camera).rays(height=height, width=width)


def flat(rays: Tensor) -> Tensor:
    return rays.reshape(-1, 3)


def counted(field: Field, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many points each call of the field asks for, without what fills pieces up."""
    sizes: list[int] = []

    def evaluate(field: Field, coords: Tensor) -> Tensor:
        sizes.append(len(coords))
        return field(coords)[:, 0]

    for module in (sphere_tracing, cone_marching):
        monkeypatch.setattr(module, "evaluate", evaluate)
    return sizes


@pytest.mark.parametrize("elevation", [20.0, 90.0])
@pytest.mark.parametrize("name", FIELDS)
def test_no_ray_starts_behind_the_surface(name, elevation):
    rays_o, rays_d = picture_rays(elevation=elevation)
    field, steepness = FIELDS[name], STEEPNESS.get(name, 1.0)
    clear = clear_depths(field, rays_o, rays_d, lipschitz=steepness)
    hits = trace(field, flat(rays_o), flat(rays_d), lipschitz=steepness)
    assert hits.mask.any()
    assert bool((clear.flatten() <= hits.depth + 1e-6).all()), "no hit is skipped: misses have infinite depth"
    entry, far = (depth.reshape(clear.shape) for depth in box_interval(flat(rays_o), flat(rays_d)))
    assert bool((clear >= entry)[entry < far].all())


@pytest.mark.parametrize("name", FIELDS)
def test_the_picture_is_the_same(name):
    rays_o, rays_d = picture_rays(radius=0.6)
    field, steepness = FIELDS[name], STEEPNESS.get(name, 1.0)
    plain = trace(field, flat(rays_o), flat(rays_d), lipschitz=steepness)
    start = clear_depths(field, rays_o, rays_d, lipschitz=steepness).flatten()
    hits = trace(field, flat(rays_o), flat(rays_d), lipschitz=steepness, start=start)
    assert int((hits.mask != plain.mask).sum()) <= 1, "a ray that just touches the surface may go either way"
    both = hits.mask & plain.mask
    assert both.sum() > 10
    assert float((hits.depth - plain.depth)[both].abs().quantile(0.99)) < 1e-4


def test_more_than_half_of_the_work_is_saved(monkeypatch):
    rays_o, rays_d = picture_rays(height=256, width=256, radius=0.6)
    sizes = counted(sphere(), monkeypatch)
    trace(sphere(), flat(rays_o), flat(rays_d))
    plain = sum(sizes)
    sizes.clear()
    start = clear_depths(sphere(), rays_o, rays_d, lipschitz=1.1)
    cones = sum(sizes)
    hits = trace(sphere(), flat(rays_o), flat(rays_d), start=start.flatten())
    assert sum(sizes) < 0.5 * plain
    assert cones < 0.05 * plain
    assert start.isinf().sum() > 0.9 * (~hits.mask).sum(), "nearly all misses are known before any ray is followed"


def test_the_field_is_asked_in_its_box_only():
    def field(coords: Tensor) -> Tensor:
        assert float(coords.abs().max()) <= 0.5
        return torus(coords)

    clear_depths(field, *picture_rays(azimuth=45, elevation=35), lipschitz=1.0)


def test_a_field_that_is_no_number_stops_no_ray():
    clear = clear_depths(lambda x: torch.full_like(x[:, :1], math.nan), *picture_rays(), lipschitz=1.0)
    assert not clear.isnan().any()
    assert bool((clear == clear_depths(lambda x: -torch.ones_like(x[:, :1]), *picture_rays(), lipschitz=1.0)).all())


def test_a_ray_that_starts_too_late_begins_again_where_it_enters():
    rays_o = torch.tensor([[0.0, 0.0, 2.0], [0.1, 0.0, 2.0], [0.45, 0.0, 2.0]])
    rays_d = torch.tensor([[0.0, 0.0, -1.0]]).expand(3, 3)
    late = torch.tensor([1.9, 0.0, 1.9])

    def field(coords: Tensor) -> Tensor:
        assert float(coords.abs().max()) <= 0.5 + 1e-6
        return sphere()(coords)

    hits = trace(field, rays_o, rays_d, start=late)
    assert hits.mask.tolist() == [True, True, False]
    expected = [2 - 0.3, 2 - math.sqrt(0.3**2 - 0.1**2)]
    assert hits.depth[:2].tolist() == pytest.approx(expected, abs=2e-5)
    assert bool(hits.depth[2].isinf())
