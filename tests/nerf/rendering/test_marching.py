"""Samples along rays: nothing occupied is missed, nothing empty is sampled, and sums are right."""

import pytest
import torch

from finer_core.errors import InputError
from finer_nerf.rendering.compositing import sum_along_rays, transmittance_and_weights
from finer_nerf.rendering.occupancy import OccupancyGrid
from finer_nerf.rendering.ray_marching import PackedSamples, march, slots_of, step_length


def random_rays(count: int, *, distance: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    origins = torch.randn(count, 3, generator=generator)
    origins = distance * origins / origins.norm(dim=-1, keepdim=True)
    towards = torch.rand(count, 3, generator=generator) - 0.5 - origins
    return origins, towards / towards.norm(dim=-1, keepdim=True)


def grid_with(occupied: torch.Tensor, *, bound: float = 1.0) -> OccupancyGrid:
    grid = OccupancyGrid(resolution=len(occupied), bound=bound, threshold=1.0)
    grid.occupied = occupied
    return grid


@pytest.mark.parametrize("steps", [64, 200])
@pytest.mark.parametrize("bound", [1.0, 2.0])
def test_march_finds_exactly_the_occupied_steps(steps, bound):
    """A slow scalar march over every step agrees, so the skipping of whole segments loses nothing."""
    occupied = torch.rand(16, 16, 16, generator=torch.Generator().manual_seed(1)) > 0.97
    grid = grid_with(occupied, bound=bound)
    rays_o, rays_d = random_rays(40, distance=3.0 * bound)
    found = march(rays_o, rays_d, grid=grid, min_near=0.2, steps=steps)
    assert len(found) > 30
    step = step_length(bound=bound, steps=steps)
    expected = []
    for ray in range(40):
        lower, upper = (-bound - rays_o[ray]) / rays_d[ray], (bound - rays_o[ray]) / rays_d[ray]
        near = max(float(torch.minimum(lower, upper).max()), 0.2)
        far = float(torch.maximum(lower, upper).min())
        i = 0
        while near < far and near + (i + 0.5) * step < far:
            t = near + (i + 0.5) * step
            cell = ((rays_o[ray] + rays_d[ray] * t + bound) / (2 * bound) * 16).long().clamp(0, 15)
            if occupied[tuple(cell)]:
                expected.append((ray, t))
            i += 1
    assert abs(len(expected) - len(found)) <= 2  # a sample on a cell's face may fall to either side
    there = {(ray, round(t, 3)) for ray, t in expected}
    ours = {(int(ray), round(float(t), 3)) for ray, t in zip(found.ray, found.depths, strict=True)}
    assert len(ours - there) <= 0.02 * len(there) + 2


def test_a_full_grid_gives_every_step_of_the_interval():
    grid = grid_with(torch.ones(8, 8, 8, dtype=torch.bool))
    rays_o, rays_d = torch.tensor([[0.0, 0.0, -3.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    found = march(rays_o, rays_d, grid=grid, min_near=0.2, steps=100)
    step = step_length(bound=1.0, steps=100)
    assert len(found) == int(2.0 / step - 0.5) + 1
    assert found.depths[0] == pytest.approx(2 + step / 2, abs=1e-6)
    assert torch.allclose(found.depths.diff(), torch.tensor(step), atol=1e-5)
    assert found.slot.tolist() == list(range(len(found)))


def test_rays_without_samples_are_background():
    grid = grid_with(torch.zeros(8, 8, 8, dtype=torch.bool))
    rays_o, rays_d = random_rays(5)
    found = march(rays_o, rays_d, grid=grid, min_near=0.2, steps=64)
    assert len(found) == 0
    passing, weights = transmittance_and_weights(torch.zeros(0), found)
    assert passing.shape == weights.shape == (0,)
    assert torch.equal(sum_along_rays(torch.zeros(0, 3), found), torch.zeros(5, 3))


def test_weights_of_packed_samples_by_hand():
    samples = PackedSamples(
        ray=torch.tensor([0, 0, 2]),
        slot=torch.tensor([0, 1, 0]),
        depths=torch.tensor([1.0, 2.0, 1.0]),
        step=0.5,
        rays=3,
    )
    sigmas = torch.tensor([2.0, 4.0, 1.0], dtype=torch.float64, requires_grad=True)
    passing, weights = transmittance_and_weights(sigmas, samples)
    e = torch.exp(torch.tensor([-1.0, -2.0, -0.5], dtype=torch.float64))
    torch.testing.assert_close(passing.detach(), torch.stack([e[0] ** 0, e[0], e[0] ** 0]))
    torch.testing.assert_close(weights.detach(), torch.stack([1 - e[0], e[0] * (1 - e[1]), 1 - e[2]]))
    opacity = sum_along_rays(weights, samples)
    torch.testing.assert_close(opacity.detach(), torch.stack([1 - e[0] * e[1], torch.tensor(0.0).double(), 1 - e[2]]))
    assert torch.autograd.gradcheck(lambda s: transmittance_and_weights(s, samples)[1], sigmas)


def test_dropped_samples_count_as_empty():
    rays_o, rays_d = random_rays(6)
    grid = grid_with(torch.ones(8, 8, 8, dtype=torch.bool))
    samples = march(rays_o, rays_d, grid=grid, min_near=0.2, steps=64)
    sigmas = torch.rand(len(samples), generator=torch.Generator().manual_seed(2)) * 5
    wanted = torch.rand(len(samples), generator=torch.Generator().manual_seed(3)) > 0.4
    _, all_weights = transmittance_and_weights(sigmas * wanted, samples)
    _, kept_weights = transmittance_and_weights(sigmas[wanted], samples.keep(wanted))
    torch.testing.assert_close(kept_weights, all_weights[wanted])


def test_slots_count_along_each_ray():
    assert slots_of(torch.tensor([0, 0, 0, 2, 2, 5]), rays=6).tolist() == [0, 1, 2, 0, 1, 0]


def test_the_widened_grid_covers_every_neighbor():
    occupied = torch.zeros(9, 9, 9, dtype=torch.bool)
    occupied[4, 4, 4] = True
    grid = grid_with(occupied)
    centers = (torch.arange(9) + 0.5) * grid.cell - 1
    points = torch.stack(torch.meshgrid(centers, centers, centers, indexing="ij"), dim=-1)
    assert int(grid.at(points).sum()) == 1
    assert int(grid.at(points, widen=grid.cell * 1.5).sum()) == 5**3


def test_the_grid_keeps_cells_where_the_density_is():
    def density(points: torch.Tensor) -> torch.Tensor:
        return 50.0 * (points.norm(dim=-1) < 0.5)

    grid = OccupancyGrid(resolution=32, bound=1.0, threshold=1.0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(8):
        grid.update(density, generator=generator)
    inside = torch.rand(2000, 3, generator=generator) * 2 - 1
    radius = inside.norm(dim=-1)
    assert bool(grid.at(inside[radius < 0.45]).all())
    assert not bool(grid.at(inside[radius > 0.62]).any())
    for _ in range(200):
        grid.update(lambda points: torch.zeros(len(points)), generator=generator, share=0.5)
    assert grid.share < 0.02 or float(grid.densities.max()) < 1e-2


def test_a_fading_field_never_loses_all_its_cells():
    grid = OccupancyGrid(resolution=16, bound=1.0, threshold=1.0)
    generator = torch.Generator().manual_seed(0)
    for level in range(60):
        grid.update(lambda p, level=level: 0.8**level * (1 + p[:, 0]), generator=generator)
    assert 0.1 < grid.share < 0.9


def test_closed_cells_stay_closed():
    grid = OccupancyGrid(resolution=8, bound=1.0, threshold=0.1)
    opened = torch.zeros(8, 8, 8, dtype=torch.bool)
    opened[:4] = True
    grid.open_only(opened)
    for share in (1.0, 0.3):
        grid.update(lambda p: torch.ones(len(p)), generator=torch.Generator().manual_seed(0), share=share)
        assert torch.equal(grid.occupied, opened)


def test_grid_text_round_trip_and_damage():
    occupied = torch.rand(12, 12, 12, generator=torch.Generator().manual_seed(4)) > 0.5
    text = grid_with(occupied).to_text()
    other = OccupancyGrid(resolution=12, bound=1.0, threshold=1.0)
    other.load_text(text)
    assert torch.equal(other.occupied, occupied)
    with pytest.raises(InputError, match="occupancy grid"):
        other.load_text(text[: len(text) // 2])
    with pytest.raises(InputError, match="occupancy grid"):
        OccupancyGrid(resolution=16, bound=1.0, threshold=1.0).load_text(text)
