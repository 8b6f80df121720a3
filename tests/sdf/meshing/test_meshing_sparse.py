"""The sparse search finds what a dense evaluation finds, evaluates nothing twice, and keeps its three promises."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch

from finer_core import build_network
from finer_core.networks.build import published_config
from finer_sdf.meshing import evaluate_points, extract_mesh
from finer_sdf.meshing.blocks import BLOCK, BlockValues
from finer_sdf.meshing.grid import Grid, Sampler
from finer_sdf.meshing.sparse import search
from tests.sdf.distance_fields import sphere, torus, union


def steep(field, *, slope=50.0):
    """Return a field far steeper than a distance, flat away from the surface."""
    return lambda x: (slope * field(x)).clamp(-1, 1)


def active_cells(found, *, resolution):
    cells = np.zeros((resolution - 1,) * 3, dtype=bool)
    for x, y, z in found.values.blocks * BLOCK:
        cells[x : x + BLOCK, y : y + BLOCK, z : z + BLOCK] = True
    return cells


def crossed_cells(field, *, resolution, around):
    """Return the cells in which a field changes sign, which is positive beyond cubes: their middles and half sides."""
    sampler, inside = Sampler(field=field, grid=Grid(resolution=resolution)), np.zeros((resolution,) * 3, dtype=bool)
    for middle, half in around:
        near = [np.flatnonzero(np.abs(np.linspace(-0.5, 0.5, resolution) - at) <= half) for at in middle]
        index = np.stack(np.meshgrid(*near, indexing="ij"), axis=-1)
        inside[np.ix_(*near)] = sampler.at(index.reshape(-1, 3)).reshape(index.shape[:3]) <= 0
    assert inside.any()
    count = sum(
        inside[x : resolution - 1 + x, y : resolution - 1 + y, z : resolution - 1 + z].astype(np.uint8)
        for x, y, z in product((0, 1), repeat=3)
    )
    return (count > 0) & (count < 8)


@pytest.mark.parametrize("resolution", [97, 128, 130, 150])
@pytest.mark.parametrize("name", ["torus", "spheres"])
def test_sparse_and_dense_give_the_same_mesh(name, resolution):
    field = {"torus": torus, "spheres": union(sphere(radius=0.2), sphere(radius=0.02, center=(0.3, 0.31, 0.33)))}[name]
    sparse, dense = (extract_mesh(field, resolution=resolution, sparse=choice) for choice in (True, False))
    np.testing.assert_array_equal(sparse.mesh.faces, dense.mesh.faces)
    np.testing.assert_array_equal(sparse.mesh.vertices, dense.mesh.vertices)
    assert sparse.followed == 0
    assert dense.points == resolution**3 and dense.share == 1
    assert sparse.share == sparse.points / resolution**3 < 0.45


def test_sparse_and_dense_agree_on_a_network():
    config = published_config(method="finer", task="sdf", in_features=3, out_features=1, hidden_features=32)
    network = build_network(config, generator=torch.Generator().manual_seed(3))
    field = lambda x: sphere()(x) + 0.02 * network(x)  # noqa: E731
    sparse, dense = (extract_mesh(field, resolution=70, sparse=choice).mesh for choice in (True, False))
    np.testing.assert_array_equal(sparse.faces, dense.faces)
    np.testing.assert_allclose(sparse.vertices, dense.vertices, rtol=0, atol=1e-6)


def test_a_steep_field_is_searched_with_its_own_bound():
    # slope 3 and no grid point of the coarsest blocks inside: only the measured bound finds these
    one, other = (0.1414, 0.2017, -0.3071), (-0.2, 0.11, 0.33)
    field = lambda x: 3 * union(sphere(radius=0.012, center=one), sphere(radius=0.01, center=other))(x)  # noqa: E731
    found = search(Sampler(field=field, grid=Grid(resolution=257)))
    crossed = crossed_cells(field, resolution=257, around=[(one, 0.02), (other, 0.02)])
    assert not (crossed & ~active_cells(found, resolution=257)).any()
    assert found.followed == 0 and found.lipschitz > 2.5


def test_a_sign_change_between_coarse_points_is_found_without_any_bound():
    at_coarse_point = np.array([88, 120, 136]) / 256 - 0.5  # blocks of 8 cells: 256 / 8 = 32 along each axis
    field = steep(sphere(radius=1.6 / 256, center=tuple(at_coarse_point.tolist())))
    found = search(Sampler(field=field, grid=Grid(resolution=257)), margin=0)
    assert found.lipschitz == 1
    crossed = crossed_cells(field, resolution=257, around=[(at_coarse_point, 4 / 256)])
    assert not (crossed & ~active_cells(found, resolution=257)).any()


def test_the_surface_is_followed_out_of_the_blocks_found():
    # a rod two cells thick that holds one coarse point and winds away from the others
    start = torch.tensor([88, 120, 136]) / 256 - 0.5
    end = torch.tensor([165.3, 171.4, 92.7]) / 256 - 0.5

    def rod(x):
        along = ((x - start) @ (end - start) / (end - start).square().sum()).clamp(0, 1)
        return (x - start - along[:, None] * (end - start)).norm(dim=1, keepdim=True) - 1.1 / 256

    found = search(Sampler(field=steep(rod, slope=200), grid=Grid(resolution=257)), margin=0)
    assert found.followed > 10
    crossed = crossed_cells(rod, resolution=257, around=[(((start + end) / 2).tolist(), 0.16)])
    assert not (crossed & ~active_cells(found, resolution=257)).any()


def test_a_surface_the_bound_rules_out_is_missed_whole():
    between = sphere(radius=1.4 / 256, center=(91.5 / 256 - 0.5, 123.5 / 256 - 0.5, 138.5 / 256 - 0.5))
    field = steep(between, slope=200)
    assert (field(torch.tensor([[91, 123, 138], [92, 124, 139]]) / 256 - 0.5) < 0).all()
    assert len(search(Sampler(field=field, grid=Grid(resolution=257)), margin=0).values) == 0


@pytest.mark.parametrize("cells", [7, 12, 18])
def test_blocks_evaluate_each_of_their_points_once(cells):
    asked: Counter = Counter()

    def sample(index):
        asked.update(map(tuple, index.tolist()))
        return index @ np.array([1.0, 100.0, 10000.0], dtype=np.float32)

    values = BlockValues(cells=cells, sample=sample)
    every = np.stack(np.unravel_index(np.arange(values.per_axis**3), (values.per_axis,) * 3), axis=1)
    chosen = np.random.default_rng(0).permutation(every)[: len(every) // 2]
    done = []
    for part in np.array_split(chosen, 3):
        total = values.activate(part)
        before = len(asked)
        values.evaluate(on_points=done.append)
        assert len(asked) - before == total
    points = {
        (x, y, z)
        for a, b, c in (chosen * BLOCK).tolist()
        for x in range(a, min(a + BLOCK, cells) + 1)
        for y in range(b, min(b + BLOCK, cells) + 1)
        for z in range(c, min(c + BLOCK, cells) + 1)
    }
    assert set(asked) == points and set(asked.values()) == {1} and sum(done) == len(points)
    around = values.around(chosen[:1])[0]
    x, y, z = chosen[0] * BLOCK
    assert around[1, 2, 3] == (x + 1) + 100 * (y + 2) + 10000 * (z + 3) or (chosen[0] * BLOCK + 3 > cells).any()


def test_points_are_evaluated_in_order_whatever_the_threads_and_chunks():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, size=(5000, 3)).astype(np.float32)
    expected = torus(torch.from_numpy(points))[:, 0].numpy()
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            for chunk in (None, 1, 700, 5000, 9000) if threads == 3 else (None, 700):
                count = 50 if chunk == 1 else 5000
                np.testing.assert_allclose(
                    evaluate_points(torus, points[:count], chunk=chunk), expected[:count], atol=1e-6
                )
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_value_does_not_depend_on_the_points_beside_it():
    config = published_config(method="finer", task="sdf", in_features=3, out_features=1)
    network = build_network(config, generator=torch.Generator().manual_seed(0))
    points = np.random.default_rng(0).uniform(-0.5, 0.5, size=(3000, 3)).astype(np.float32)
    together = evaluate_points(network, points)
    np.testing.assert_array_equal(evaluate_points(network, points[:10]), together[:10])
    np.testing.assert_array_equal(evaluate_points(network, points[1024:2051]), together[1024:2051])


@pytest.mark.parametrize(("device", "sizes"), [("meta", [700, 300]), ("cpu", [700, 700])])
def test_only_a_cpu_fills_up_its_last_piece(device, sizes):
    seen = []

    def field(x):
        assert x.device.type == device
        seen.append(len(x))
        return torch.full((len(x), 1), 2.0)

    values = evaluate_points(field, np.zeros((1000, 3), dtype=np.float32), chunk=700, device=device)
    assert seen == sizes and values.tolist() == [2.0] * 1000


def test_no_points_have_no_values_and_wrong_shapes_are_refused():
    assert evaluate_points(torus, np.empty((0, 3), dtype=np.float32)).shape == (0,)
    with pytest.raises(ValueError, match=r"points must be \(n, 3\)"):
        evaluate_points(torus, np.zeros((4, 2), dtype=np.float32))
    with pytest.raises(ValueError, match="at least one point"):
        evaluate_points(torus, np.zeros((4, 3), dtype=np.float32), chunk=0)
    with pytest.raises(ValueError, match=r"the field must map \(4, 3\) to \(4, 1\), got \(4,\)"):
        evaluate_points(lambda x: x[:, 0], np.zeros((4, 3), dtype=np.float32), chunk=4)


def test_an_error_of_the_field_reaches_the_caller():
    def broken(x):
        raise RuntimeError("no such layer")

    with pytest.raises(RuntimeError, match="no such layer"):
        evaluate_points(broken, np.zeros((5000, 3), dtype=np.float32))
