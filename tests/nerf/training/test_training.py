"""Carving, batches, the objective, and short trainings of every method."""

import dataclasses
import weakref

import pytest
import torch

from finer_core.training import LogEntry
from finer_nerf.cameras import project_to_pixels
from finer_nerf.config import NerfConfig
from finer_nerf.evaluation import judge_views, mean_figures
from finer_nerf.inputs import open_scene
from finer_nerf.normalization import Normalization
from finer_nerf.presets import with_reading
from finer_nerf.rendering.occupancy import OccupancyGrid
from finer_nerf.training import build
from finer_nerf.training.build import build_fit, build_objective, field_of, model_of
from finer_nerf.training.objective import EmptySceneError
from finer_nerf.training.plan import FitPlan, plan_fit
from finer_nerf.training.rays import TrainingRays, blend
from finer_nerf.training.visual_hull import carve
from tests.nerf.small_scenes import RADIUS, ball_scene, write_ball

FRAME = Normalization(scale=0.8)
SMALL = {"network": {"hidden_features": 32, "hidden_layers": 1}, "batch_samples": 8000, "max_samples": 48}


def plan_of(scene, **settings) -> FitPlan:
    given = NerfConfig(**{"device": "cpu", "grid_resolution": 32, **SMALL, **settings})
    return plan_fit(given, scene)


def train(scene, **settings):
    plan = plan_of(scene, **settings)
    field = field_of(plan)
    objective = build_objective(plan, scene)
    last = build_fit(plan, field, objective).run()
    return model_of(plan, field.eval(), scene, objective), objective, last


def test_carving_keeps_the_ball_and_closes_most_of_the_rest():
    opened = carve(ball_scene().train, FRAME, resolution=32, bound=1.0, silhouettes=True)
    grid = OccupancyGrid(resolution=32, bound=1.0, threshold=1.0)
    grid.open_only(opened)
    points = torch.nn.functional.normalize(torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert bool(grid.at(points * RADIUS * 0.8).all())
    assert float(opened.float().mean()) < 0.35


def test_without_silhouettes_only_unseen_cells_are_closed():
    views = ball_scene(train=2).train
    opened = carve(views, FRAME, resolution=16, bound=2.0, silhouettes=False)
    assert 0.2 < float(opened.float().mean()) < 1.0
    assert bool(opened[7:9, 7:9, 7:9].all())


def test_a_picture_closes_no_cell_that_reaches_beyond_its_border():
    views = ball_scene(train=1).train
    blank = dataclasses.replace(views, images=torch.zeros_like(views.images))
    seen, opened = (carve(blank, FRAME, resolution=16, bound=1.0, silhouettes=flag) for flag in (False, True))
    closed = (seen & ~opened).nonzero()
    assert len(closed)
    corners = closed[:, None] + torch.cartesian_prod(*[torch.tensor([0, 1])] * 3)
    pose = torch.from_numpy(FRAME.poses_to_box(views.poses)[0])
    local = (corners.reshape(-1, 3) / 8 - 1 - pose[:3, 3]) @ pose[:3, :3]
    assert bool(project_to_pixels(views.cameras[0], local)[2].all())


def test_batches_are_the_pictures_on_their_background():
    scene = ball_scene()
    rays = TrainingRays(scene.train, FRAME, draw="all views", background="random", device="cpu")
    batch = rays.batch(rays=500, generator=torch.Generator().manual_seed(0))
    assert torch.equal(batch.target[~batch.opaque], batch.background[~batch.opaque])
    closest = batch.rays_o + batch.rays_d * -(batch.rays_o * batch.rays_d).sum(-1, keepdim=True)
    assert torch.equal(closest.norm(dim=-1) < RADIUS * 0.8 * 0.999, batch.opaque)
    again = rays.batch(rays=500, generator=torch.Generator().manual_seed(0))
    assert torch.equal(batch.target, again.target) and torch.equal(batch.rays_d, again.rays_d)


def test_the_published_batch_has_rays_of_one_view():
    rays = TrainingRays(ball_scene().train, FRAME, draw="one view", background=1.0, device="cpu")
    batch = rays.batch(rays=100, generator=torch.Generator().manual_seed(3))
    assert len(batch.rays_o.unique(dim=0)) == 1
    assert bool((batch.background == 1).all())


def test_alpha_is_blended_once():
    image = torch.tensor([[[200, 100, 0, 128]]], dtype=torch.uint8)
    share = 128 / 255
    expected = torch.tensor([200 / 255, 100 / 255, 0.0]) * share + (1 - share)
    torch.testing.assert_close(torch.from_numpy(blend(image, background=1.0))[0, 0], expected)
    assert blend(image[..., :3], background=0.0)[0, 0].tolist() == pytest.approx([200 / 255, 100 / 255, 0.0])


@pytest.mark.parametrize(
    ("method", "steps"),
    [
        *[("finer", 60), ("siren", 60), ("gauss", 80), ("wire", 50), ("pemlp", 120), ("gauss-finer", 120)],
        *[("wire-finer", 50), ("ngp", 60)],
    ],
)
def test_every_method_learns(method, steps):
    scene, losses = ball_scene(), []
    small = {"levels": 4, "log2_table_size": 10, "finest_resolution": 32} if method == "ngp" else SMALL["network"]
    plan = plan_of(scene, method=method, steps=steps, batch_samples=4000, network=small)
    fit = build_fit(plan, field_of(plan), build_objective(plan, scene))
    fit.log_every, fit.on_log = 10, lambda point: losses.append(point.loss)
    fit.run()
    assert losses[-1] < 0.75 * losses[0]


def test_a_short_training_is_recognisable_and_its_model_comes_back(tmp_path):
    from finer_nerf.model import NerfModel

    scene = ball_scene()
    model, _, _ = train(scene, steps=150)
    judged = list(judge_views(model, scene.test, background="white"))
    assert mean_figures(judged, background="white")["psnr"] > 22
    model.save(str(tmp_path / "model.safetensors"))
    loaded = NerfModel.load(str(tmp_path / "model.safetensors"))
    again = list(judge_views(loaded, scene.test, background="white"))
    assert [view.psnr for view in again] == pytest.approx([view.psnr for view in judged], abs=1e-9)
    assert loaded.train_poses == pytest.approx(model.train_poses)
    black = list(judge_views(loaded, scene.test, background="black"))
    assert black[0].truth[0, 0].tolist() == [0.0, 0.0, 0.0]


def test_the_published_preset_averages_its_weights_once_a_pass():
    scene = ball_scene(train=4)
    settings = {"preset": "paper", "steps": 5, "batch_rays": 64, "grid_resolution": 16}
    plan = plan_of(scene, **settings)
    assert (plan.settings.ema_decay, plan.settings.ema_every) == (0.95, 4)
    field = field_of(plan)
    fit = build_fit(plan, field, build_objective(plan, scene))
    passes, average = [], fit.optimizers[-1]
    step = average.step

    def recorded(*given):
        step(*given)
        passes.append({name: value.detach().clone() for name, value in field.named_parameters()})

    average.step = recorded
    fit.run()
    decay = 2 / 11  # of the second update, after the fifth step; the first one, after the first, begins it
    for name, value in field.named_parameters():
        torch.testing.assert_close(value, passes[0][name].lerp(passes[4][name], 1 - decay))
    assert any(not torch.equal(value, passes[4][name]) for name, value in field.named_parameters())


def test_paper_preset_takes_25_views_and_200_lines():
    given = NerfConfig(preset="paper", device="cpu")
    settings = with_reading(given, views=100, height=800)
    assert (settings.train_every, settings.downscale) == (4, 4)
    settings = with_reading(given, views=25, height=100)
    assert (settings.train_every, settings.downscale) == (1, 1)
    settings = plan_fit(settings, ball_scene(train=4)).settings
    assert (settings.steps, settings.batch_rays) == (37_500, 4096)


@pytest.mark.parametrize("given", [{}, {"train_every": 1}, {"train_every": 10}])
def test_paper_preset_averages_once_a_pass_over_the_views_that_are_trained_on(tmp_path, given):
    config = NerfConfig(preset="paper", device="cpu", **given)
    scene, settings = open_scene(str(write_ball(tmp_path / "ball", size=8, train=51)), config)
    assert (
        plan_fit(settings, scene).settings.ema_every
        == len(scene.train)
        == len(range(0, 51, given.get("train_every", 2)))
    )


def test_an_empty_field_is_noticed():
    scene = ball_scene()
    plan = plan_of(scene, steps=400)
    field = field_of(plan)
    with torch.no_grad():
        field.parts["density"].head.weight[0] = 0
        field.parts["density"].head.bias[0] = -40
    objective = build_objective(plan, scene)
    with pytest.raises(EmptySceneError, match="empty"):
        build_fit(plan, field, objective).run()


def test_a_target_is_asked_without_keeping_what_was_rendered(monkeypatch):
    scene, shown, most = ball_scene(test=6), list[weakref.ref](), 0

    def watched(*args, **how):
        nonlocal most
        for view in judge_views(*args, **how):
            shown.append(weakref.ref(view))
            most = max(most, sum(each() is not None for each in shown))
            yield view
            del view

    monkeypatch.setattr(build, "judge_views", watched)
    plan = plan_of(scene, steps=2, target_psnr=9.0)
    field, objective = field_of(plan), build_objective(plan, scene)
    point = LogEntry(step=1, steps=2, loss=1e-6, learning_rate=0.0, seconds=0.0, rollbacks=0)
    assert build.target_test(plan, field, scene, objective)(point)
    assert len(shown) == 6 and most <= 2


def test_another_attempt_draws_other_weights_and_rays():
    scene = ball_scene()
    plan = plan_of(scene, steps=4)
    first, second = field_of(plan), field_of(plan, attempt=1)
    assert not torch.equal(first.parts["density"].head.weight, second.parts["density"].head.weight)
    generators = [build_objective(plan, scene, attempt=i)._generator(3, purpose=0) for i in (0, 1)]
    assert not torch.equal(*(torch.rand(5, generator=generator) for generator in generators))


def test_a_plan_comes_back_from_its_config(tmp_path):
    plan = plan_of(ball_scene(), steps=3, method="wire")
    assert FitPlan.from_config(plan.to_dict(), source=tmp_path) == plan
    assert dataclasses.asdict(plan.settings)["batch_rays"] is not None
