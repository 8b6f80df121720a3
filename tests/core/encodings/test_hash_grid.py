"""The hash grid: layout, interpolation, hashing, gradients."""

import itertools

import pytest
import torch

from finer_core import build_network, load_model, published_config, save_model
from finer_core.encodings.hash_grid import HashGrid, corner_rows, grid_levels

SMALL = {"levels": 3, "features_per_level": 2, "log2_table_size": 7, "base_resolution": 4, "finest_resolution": 16}


def small_grid(**changes) -> HashGrid:
    grid = HashGrid(**{**SMALL, **changes}, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        grid.table.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    return grid


def test_levels_of_the_published_configuration():
    levels = grid_levels(levels=16, log2_table_size=19, base_resolution=16, finest_resolution=2048)
    assert [level.resolution for level in levels[:3]] == [16, 23, 31]
    assert levels[0].size == 4096 and levels[0].dense
    assert levels[-1].size == 2**19 and not levels[-1].dense
    assert abs(levels[-1].scale - 2047) < 1e-6
    # A grid of 16 corners a side has 4096 rows, one of 22.1 has 23^3 = 12167 rounded up to 12168.
    assert levels[1].size == 12168 and levels[1].start == 4096
    assert HashGrid().table.shape[0] == sum(level.size for level in levels)


def test_hashes_by_hand():
    level = grid_levels(levels=1, log2_table_size=5, base_resolution=64, finest_resolution=64)[0]
    for x, y, z in itertools.product((0, 3, 50), repeat=3):
        expected = ((x * 1) ^ ((y * 2654435761) % 2**32) ^ ((z * 805459861) % 2**32)) % 2**32 % 32
        assert int(corner_rows(level, torch.tensor([x, y, z]))) == expected


def test_dense_rows_count_x_first():
    level = grid_levels(levels=1, log2_table_size=12, base_resolution=5, finest_resolution=5)[0]
    assert level.dense
    assert int(corner_rows(level, torch.tensor([1, 2, 3]))) == 1 + 5 * (2 + 5 * 3)


def test_interpolation_against_a_slow_reference():
    grid = small_grid()
    points = torch.rand(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = []
    for point in points:
        row = []
        for level in grid.levels:
            place = point * level.scale + 0.5
            total = torch.zeros(2, dtype=torch.float64)
            for bits in itertools.product((0, 1), repeat=3):
                weight, corner = 1.0, []
                for axis in range(3):
                    low = int(place[axis])
                    part = float(place[axis]) - low
                    weight *= part if bits[axis] else 1 - part
                    corner.append(min(low + bits[axis], level.resolution - 1) if level.dense else low + bits[axis])
                total += weight * grid.table[int(corner_rows(level, torch.tensor(corner)))]
            row.append(total)
        expected.append(torch.cat(row))
    torch.testing.assert_close(grid(points), torch.stack(expected), rtol=0, atol=1e-12)


def test_a_linear_table_is_interpolated_exactly():
    grid = HashGrid(levels=1, features_per_level=1, log2_table_size=12, base_resolution=9, finest_resolution=9)
    with torch.no_grad():
        corners = torch.stack(torch.meshgrid(*[torch.arange(9.0)] * 3, indexing="ij"), dim=-1)
        rows = corner_rows(grid.levels[0], corners.long())
        grid.table[rows.reshape(-1), 0] = (corners @ torch.tensor([1.0, 2.0, -3.0])).reshape(-1)
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(3)) * 0.9
    expected = (points * 8 + 0.5) @ torch.tensor([1.0, 2.0, -3.0])
    torch.testing.assert_close(grid(points)[:, 0], expected, rtol=0, atol=1e-5)


def test_gradients():
    grid = small_grid(levels=2)
    points = (torch.rand(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 0.9).requires_grad_()
    assert torch.autograd.gradcheck(grid, points)

    def of_table(table: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(grid, {"table": table}, points.detach())

    table = grid.table.detach().clone().requires_grad_()
    found = torch.autograd.grad(of_table(table).square().sum(), table)[0]
    step = torch.zeros_like(table)
    step[3, 1] = 1e-6
    slope = (of_table(table + step).square().sum() - of_table(table - step).square().sum()) / 2e-6
    assert float(found[3, 1]) == pytest.approx(float(slope.detach()), abs=1e-6)


def test_the_backward_pass_is_reproducible_to_the_bit():
    grid = HashGrid(**SMALL)
    points = torch.rand(5000, 3, generator=torch.Generator().manual_seed(5))
    grads = [torch.autograd.grad(grid(points).square().sum(), grid.table)[0] for _ in range(2)]
    assert torch.equal(*grads)


def test_a_model_file_holds_the_grid(tmp_path):
    config = published_config(method="ngp", task="nerf", in_features=3, out_features=4, log2_table_size=8, levels=4)
    network = build_network(config, generator=torch.Generator().manual_seed(6))
    save_model(network, tmp_path / "m.safetensors")
    points = torch.rand(9, 3) * 2 - 1
    assert torch.equal(load_model(tmp_path / "m.safetensors")(points), network(points))


@pytest.mark.parametrize("change", [{"levels": 0}, {"log2_table_size": 31}, {"base_resolution": 20}])
def test_bad_sizes(change):
    with pytest.raises(ValueError, match="hash grid needs"):
        HashGrid(**{**SMALL, **change})
