"""How a step's rays are cut: by cores on a CPU, by memory alone on a GPU; and how often a step asks its device."""

import collections

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from finer_core.errors import InputError
from finer_core.training import DivergenceGuard
from finer_nerf.config import NerfConfig
from finer_nerf.rendering.occupancy import OccupancyGrid
from finer_nerf.rendering.ray_marching import march, slots_of
from finer_nerf.rendering.volume import render_packed
from finer_nerf.training.build import build_fit, build_objective, field_of, metrics_of
from finer_nerf.training.plan import FitPlan, chunk_samples, plan_fit
from tests.nerf.small_scenes import ball_scene


def plan_on(device: str, monkeypatch: pytest.MonkeyPatch, **settings) -> FitPlan:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    scene = ball_scene()
    given = NerfConfig(device=device, **settings)
    return plan_fit(given, scene)


def objective_of(*, device: str, piece: int, samples_per_ray: float):
    scene = ball_scene()
    given = NerfConfig(device="cpu", grid_resolution=8, max_samples=512)
    plan = plan_fit(given, scene)
    objective = build_objective(plan, scene)
    objective.rays.device, objective.chunk_samples, objective.samples_per_ray = device, piece, samples_per_ray
    return objective


@pytest.mark.parametrize("threads", [1, 16])
@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_gpu_takes_all_rays_at_once_whatever_the_number_of_threads(monkeypatch, device, threads):
    monkeypatch.setattr("finer_nerf.training.objective.worker_count", lambda: threads)
    objective = objective_of(device=device, piece=48_000, samples_per_ray=8.0)
    assert objective._piece(4096) == 4096  # 32,768 samples, which on a CPU are two pieces or one a thread


def test_a_gpu_takes_as_many_rays_as_its_memory_holds():
    objective = objective_of(device="cuda", piece=50_000, samples_per_ray=60.0)
    assert objective._piece(4096) == 820  # five pieces of 49,200 samples for 245,760
    objective.samples_per_ray = 0.0  # the first step: a ray may have 512
    assert objective._piece(4096) * 512 <= 50_000
    objective.chunk_samples = 1
    assert objective._piece(1) == 1


def test_a_cpu_has_a_piece_for_every_thread(monkeypatch):
    monkeypatch.setattr("finer_nerf.training.objective.worker_count", lambda: 4)
    assert objective_of(device="cpu", piece=1, samples_per_ray=8.0)._piece(4096) == 1024


def test_the_published_step_fits_the_default_memory_of_a_gpu(monkeypatch):
    plan = plan_on("cuda", monkeypatch, preset="paper")
    small, large = (
        chunk_samples(plan, ball_scene()),
        chunk_samples(plan_on("cuda", monkeypatch, preset="paper", memory="60GB"), ball_scene()),
    )
    assert 48_000 <= small < 4096 * 64 < large, "cut at 4 GB, whole at 60"


def test_memory_for_less_than_the_smallest_piece_is_refused_alike_everywhere(monkeypatch):
    told = []
    for device in ("cpu", "cuda"):
        with pytest.raises(InputError, match="leaves no room") as caught:
            plan_on(device, monkeypatch, preset="paper", memory="600MB")
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_slots_of_rays_without_samples():
    assert slots_of(torch.tensor([1, 1, 4, 4, 4]), rays=6).tolist() == [0, 1, 0, 1, 2]
    assert slots_of(torch.zeros(0, dtype=torch.long), rays=3).tolist() == []


class Asked(TorchDispatchMode):
    """Count the operations that a GPU would be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: collections.Counter[str] = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.split("::")[1]
        if name in ("nonzero", "bincount", "_local_scalar_dense", "masked_select"):
            self.found[name] += 1
        if name in ("index", "index_put_") and any(i is not None and i.dtype == torch.bool for i in args[1]):
            self.found["mask"] += 1
        return function(*args, **(kwargs or {}))


class Fog:
    """A field of one density and one color."""

    def density_and_features(self, points):
        return torch.full_like(points[:, 0], 0.5), points

    def color(self, directions, features):
        return torch.sigmoid(features)


def rays_and_grid():
    generator = torch.Generator().manual_seed(0)
    rays_o = torch.tensor([0.0, 0.0, -3.0]).expand(50, 3).contiguous()
    rays_d = torch.nn.functional.normalize(
        torch.randn(50, 3, generator=generator) * 0.3 + torch.tensor([0.0, 0.0, 1.0])
    )
    grid = OccupancyGrid(resolution=8, bound=1.0, threshold=1.0)
    grid.open_only(torch.rand(8, 8, 8, generator=generator) < 0.5)
    return rays_o, rays_d, grid


def test_how_often_rays_ask_their_device():
    rays_o, rays_d, grid = rays_and_grid()
    with Asked() as asked:
        samples = march(rays_o, rays_d, grid=grid, min_near=0.2, steps=64)
    assert len(samples) > 100
    assert asked.found == {"nonzero": 3, "_local_scalar_dense": 1}
    with Asked() as asked:
        render_packed(Fog(), rays_o, rays_d, samples, background=1.0, min_weight=1e-3)
    looks = 2  # a CPU looks how long a row must be; on a GPU `most` is taken
    assert asked.found == {"nonzero": 1, "_local_scalar_dense": looks}


def test_a_bound_known_beforehand_holds_and_changes_nothing(monkeypatch):
    rays_o, rays_d, grid = rays_and_grid()
    samples = march(rays_o, rays_d, grid=grid, min_near=0.2, steps=64)
    assert samples.most is not None and samples.places() <= samples.most
    seen = render_packed(Fog(), rays_o, rays_d, samples, background=1.0)
    monkeypatch.setattr(type(samples), "places", lambda self: self.most)  # as on a GPU
    again = render_packed(Fog(), rays_o, rays_d, samples, background=1.0)
    assert torch.equal(seen.image, again.image) and torch.equal(seen.depth, again.depth)


def test_rays_of_steps_that_were_undone_were_seen_too(monkeypatch):
    """Their seconds count, and a rate is of both."""
    scene, drawn, asked = ball_scene(), [], []
    settings = {"grid_resolution": 8, "max_samples": 16, "batch_rays": 64, "steps": 20, "log_every": 5}
    plan = plan_fit(NerfConfig(device="cpu", network={"hidden_features": 8}, **settings), scene)
    objective = build_objective(plan, scene)
    take = objective.rays.batch
    monkeypatch.setattr(objective.rays, "batch", lambda **how: drawn.append(how["rays"]) or take(**how))
    is_bad = DivergenceGuard.is_bad
    monkeypatch.setattr(DivergenceGuard, "is_bad", lambda *given, **more: _third(asked) or is_bad(*given, **more))
    logged = []
    fit = build_fit(plan, field_of(plan), objective)
    fit.on_log = lambda entry: logged.append((entry.rollbacks, metrics_of(entry.loss, objective)["rays"], sum(drawn)))
    fit.run()
    assert logged[-1][0] == 1 and len(drawn) == 25
    assert all(rays == seen for _, rays, seen in logged)
    assert objective.rays_seen == sum(drawn)
    other = build_objective(plan, scene)
    other.load_state_dict(objective.state_dict())
    assert other.rays_seen == objective.rays_seen


def _third(asked: list[None]) -> bool:
    asked.append(None)
    return len(asked) == 3
