"""What finer_nerf exports: pure, in the bits of the command and the units of the scene, open to an own activation."""

import dataclasses
import io
import json
import signal
import sys

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from torch import nn

import finer_image
from finer_core.errors import DivergenceError, InputError
from finer_core.training import Callback, Fit
from finer_nerf import (
    Camera,
    NerfConfig,
    NerfModel,
    benchmark,
    builtin_scene,
    evaluate,
    fit,
    read_scene,
    write_scene,
)
from finer_nerf.app.cli import main
from finer_nerf.evaluation import judge_views
from finer_nerf.training import objective
from finer_nerf.training.build import build_fit, build_objective
from finer_nerf.training.plan import plan_fit

from .models import BALL, ball_model
from .small_scenes import ball_scene, write_ball

SMALL = {
    **{"steps": 12, "log_every": 4, "device": "cpu", "max_samples": 16, "grid_resolution": 8, "batch_samples": 600},
    **{"batch_rays": 64, "network": {"hidden_features": 8, "hidden_layers": 1}},
}
OPTIONS = [
    *("--steps", "12", "--log-every", "4", "--device", "cpu", "--max-samples", "16", "--grid-resolution", "8"),
    *("--batch-samples", "600", "--batch-rays", "64", "--hidden-features", "8", "--hidden-layers", "1"),
    *("--orbit-frames", "0", "--quiet"),
]


def mirrored(pose):
    return np.asarray(pose) @ np.diag([-1.0, 1.0, 1.0, 1.0])


def first_mirrored(poses):
    return np.concatenate([mirrored(poses[0])[None], np.asarray(poses[1:])])


class Waves(nn.Module):
    """A field of a user's own: densities and colors at once."""

    def __init__(self, seed=0, width=12):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first, self.last = nn.Linear(3, width), nn.Linear(width, 2)
            self.shade = nn.Linear(4, 3)

    def density_of(self, points):
        out = self.last(torch.sin(5 * self.first(points)))
        return nn.functional.softplus(out[:, 0] + 2), out[:, 1:]

    def forward(self, points, directions):
        sigmas, features = self.density_of(points)
        return sigmas, torch.sigmoid(self.shade(torch.cat([features, directions], dim=1)))


class Apart(Waves):
    """The same, with densities and colors apart, as the renderer wants them."""

    def density_and_features(self, points):
        return self.density_of(points)

    def color(self, directions, features):
        return torch.sigmoid(self.shade(torch.cat([features, directions], dim=1)))


class Negative(Waves):
    """No field: densities are negative."""

    def forward(self, points, directions):
        sigmas, colors = super().forward(points, directions)
        return -sigmas, colors


def square_wave(z):
    return torch.tanh(2 * torch.sin(10 * z))


def bits(model):
    return {name: value.clone() for name, value in model.field.state_dict().items()}


def assert_same_bits(a, b):
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def read_only(tmp_path, monkeypatch):
    """Stand in a folder that takes no file and must stay empty, whoever runs the tests."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(0o555)
    monkeypatch.chdir(folder)
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write the ball as files."""
    return write_ball(tmp_path_factory.mktemp("api") / "ball", size=12, train=4, test=2)


@pytest.fixture(scope="module")
def scene(folder):
    return read_scene(folder)


@pytest.fixture(scope="module")
def fitted(scene):
    return fit(scene, **SMALL)


@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_the_command_does_the_same(preset, tmp_path, folder):
    arguments = ["train", str(folder), "--preset", preset, *OPTIONS]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 0
    model, history = fit(folder, **SMALL, preset=preset)
    model.save(tmp_path / "saved.safetensors")
    assert (tmp_path / "saved.safetensors").read_bytes() == (tmp_path / "run" / "model.safetensors").read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for column in ("step", "loss", "psnr", "learning_rate", "rollbacks", "samples_per_ray", "rays"):
        assert history[column].tolist() == [line[column] for line in lines]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    figures = evaluate(model, read_scene(folder).test, background="white")
    assert figures == {name: metrics[name] for name in figures}


def test_a_path_is_read_as_the_settings_say_and_a_scene_is_taken_as_it_is(folder):
    settings = {**SMALL, "steps": 2}
    model, _ = fit(folder, **settings, downscale=2, train_every=2)
    again, _ = fit(read_scene(folder, downscale=np.int64(2), train_every=2), **settings)
    assert_same_bits(bits(model), bits(again))
    assert (model.camera.height, len(model.train_poses)) == (6, 2)


class Watcher(Callback):
    """Write down what it is told."""

    def __init__(self, stop_after=None):
        self.told, self.stop_after = [], stop_after

    def on_start(self, step, steps):
        self.told.append(("start", step, steps))

    def on_step(self, step, loss):
        assert loss.ndim == 0
        self.told.append(("step", step))

    def on_log(self, entry):
        self.told.append(("log", entry.step))

    def on_end(self):
        self.told.append(("end",))

    def should_stop(self):
        return self.stop_after is not None and ("step", self.stop_after) in self.told


def test_callbacks_are_told_in_order_and_change_nothing(scene, fitted):
    watcher, told = Watcher(), []
    model, history = fit(scene, **SMALL, callbacks=[watcher], progress=lambda *each: told.append(each))
    steps = [each for end in (4, 8, 12) for each in (*(("step", end + back) for back in (-3, -2, -1, 0)), ("log", end))]
    assert watcher.told == [("start", 0, 12), *steps, ("end",)]
    assert told == [(entry.step, 12, {"loss": entry.loss, **entry.metrics}) for entry in history]
    assert_same_bits(bits(model), bits(fitted[0]))
    with pytest.raises(TypeError, match=r"callback 3 has none of the methods on_start"):
        fit(scene, **SMALL, callbacks=[3])


def test_progress_is_shown_on_stderr(scene, capsys):
    model, _ = fit(scene, **{**SMALL, "steps": 2}, progress=True)
    evaluate(model, scene.test, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "train finer" in err and "PSNR" in err and "2/2 views" in err


class Press:
    """Press Ctrl-C at some steps."""

    def __init__(self, *steps):
        self.steps = steps

    def on_step(self, step, loss):
        if step in self.steps:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_ctrl_c_ends_a_fit_with_its_best_state_and_a_second_one_at_once(scene):
    model, history = fit(scene, **SMALL, callbacks=[Press(10)])
    assert history.interrupted and history["step"].tolist() == [4, 8] and isinstance(model, NerfModel)
    losses, states = history["loss"], []
    for stop in (4, 8):
        states.append(fit(scene, **SMALL, callbacks=[Watcher(stop_after=stop)])[0])
    best = states[int(np.argmin(losses))]
    assert_same_bits(bits(model), bits(best))
    assert torch.equal(model.grid.occupied, best.grid.occupied)
    with pytest.raises(KeyboardInterrupt):
        fit(scene, **SMALL, callbacks=[Press(6), Press(6)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("own", ["", "network", "activation"])
def test_a_checkpoint_is_gone_on_from_to_the_same_bits(own, scene, tmp_path):
    def settings():
        return {**SMALL, **{"": {}, "network": {"network": Waves()}, "activation": {"activation": square_wave}}[own]}

    whole, _ = fit(scene, **settings())
    habits = {"checkpoint": tmp_path / "fit.safetensors", "checkpoint_seconds": 0.0}
    _, first = fit(scene, **settings(), **habits, callbacks=[Watcher(stop_after=6)])
    model, rest = fit(scene, **settings(), **habits, resume=True)
    assert first.interrupted and not rest.interrupted
    assert [*first["step"], *rest["step"]] == [4, 8, 12]
    assert_same_bits(bits(model), bits(whole))
    assert torch.equal(model.grid.occupied, whole.grid.occupied)
    with pytest.raises(InputError, match="give the same network= or activation="):
        fit(scene, **SMALL, activation=torch.sin, **habits, resume=True)


def test_a_fit_of_a_path_goes_on_with_the_settings_it_was_read_by(folder, tmp_path):
    habits = {"preset": "paper", "downscale": 2, "checkpoint": tmp_path / "fit.safetensors", "checkpoint_seconds": 0.0}
    whole, _ = fit(folder, **{**SMALL, "preset": "paper", "downscale": 2})
    fit(folder, **SMALL, **habits, callbacks=[Watcher(stop_after=6)])
    model, _ = fit(folder, checkpoint=habits["checkpoint"], resume=True)
    assert_same_bits(bits(model), bits(whole))


def test_checkpoints_of_other_fits_are_refused(scene, tmp_path):
    path = tmp_path / "fit.safetensors"
    fit(scene, **{**SMALL, "steps": 2}, checkpoint=path)
    turned = dataclasses.replace(scene, train=dataclasses.replace(scene.train, images=scene.train.images.flip(1)))
    for words, given in {
        "already exists": {},
        "of another scene": {"resume": True, "scene": turned},
        "steps 13 differs from the fit's, 2": {"resume": True, "steps": 13},
        "hidden_features 17 differs": {"resume": True, "network": {"hidden_features": 17}},
    }.items():
        with pytest.raises(InputError, match=words):
            fit(given.pop("scene", scene), **{**SMALL, "steps": 2, **given}, checkpoint=path)
    with pytest.raises(InputError, match="needs checkpoint="):
        fit(scene, **SMALL, resume=True)
    image = tmp_path / "image.safetensors"
    finer_image.fit(np.eye(8), steps=2, network={"hidden_features": 8}, device="cpu", checkpoint=image)
    with pytest.raises(InputError, match=r"image.safetensors: not a checkpoint of finer_nerf\.fit"):
        fit(scene, **SMALL, checkpoint=image, resume=True)


@pytest.mark.parametrize("name", ["color_layers", "geometry_features"])
def test_sizes_of_our_networks_beside_a_module_are_refused(scene, name):
    with pytest.raises(InputError, match=f"{name} 2 is of our networks, and .*Waves has its own layers; leave it out"):
        fit(scene, **{**SMALL, "network": Waves(), name: 2})


def test_a_collapsed_fit_starts_over_as_the_command_does(scene, folder, tmp_path, monkeypatch, capsys):
    plain = objective.PhotometricObjective._remember

    def collapse(self, seen, step):
        plain(self, seen, step)
        if self.attempt < self.collapses and step == 5:
            raise objective.EmptySceneError(step=step, opacity=0.0)

    monkeypatch.setattr(objective.PhotometricObjective, "_remember", collapse)
    monkeypatch.setattr(objective.PhotometricObjective, "collapses", 1, raising=False)
    watcher, path = Watcher(), tmp_path / "fit.safetensors"
    model, history = fit(scene, **SMALL, checkpoint=path, checkpoint_seconds=0.0, callbacks=[watcher], progress=True)
    assert "starting over" in capsys.readouterr().err
    assert history["step"].tolist() == [4, 8, 12] and watcher.told.count(("start", 0, 12)) == 2
    assert main(["train", str(folder), *OPTIONS, "--out", str(tmp_path / "run")]) == 0
    assert_same_bits(bits(NerfModel.load(tmp_path / "run" / "model.safetensors")), bits(model))
    again, _ = fit(scene, **SMALL, checkpoint=path, resume=True)  # it is of the second attempt, and done
    assert_same_bits(bits(again), bits(model))
    monkeypatch.setattr(objective.PhotometricObjective, "collapses", 9)
    with pytest.raises(DivergenceError, match="and so did 3 restarts"):
        fit(scene, **SMALL)
    with pytest.raises(DivergenceError, match="other weights to begin with"):  # nobody else can draw them
        fit(scene, **{**SMALL, "network": Waves()})


@pytest.mark.parametrize(
    ("method", "make"),
    [("siren", lambda: square_wave), ("wire", lambda: square_wave), ("pemlp", lambda: nn.PReLU(init=0.1))],
    ids=["function", "complex", "module"],
)
def test_an_activation_of_ones_own_is_trained_judged_saved_and_loaded(method, make, scene, tmp_path):
    activation = make()
    model, history = fit(scene, **SMALL, method=method, activation=activation)
    assert len(history) == 3
    copies = [layer.activation for part in model.field.parts.values() for layer in part.layers]
    assert len({id(each) for each in copies}) == 4 and activation not in copies
    path = tmp_path / "own.safetensors"
    model.save(path)
    loaded = NerfModel.load(path, activation=make())
    assert_same_bits(bits(loaded), bits(model))
    assert evaluate(loaded, scene.test) == evaluate(model, scene.test)
    assert repr(loaded) == repr(model) and f"{method} with " in repr(model)
    with pytest.raises(InputError, match=r"activation of its user's own.*give activation="):
        NerfModel.load(path)
    assert main(["mesh", str(path), "--out", str(tmp_path / "m.ply")]) == 2


def test_a_field_of_ones_own_is_trained_judged_saved_and_loaded(scene, tmp_path):
    fitted, path = [], tmp_path / "own.safetensors"
    for kind in (Waves, Apart):
        field = kind()
        model, history = fit(scene, **{**SMALL, "network": field, "steps": 40, "learning_rate": 5e-3})
        assert model.field.network is field and history["loss"][-1] < history["loss"][0]
        assert repr(model).startswith(f"NerfModel: {kind.__name__} of 89 parameters, ball in 4 views")
        model.save(path)
        loaded = NerfModel.load(path, network=kind(seed=1))
        assert evaluate(loaded, scene.test) == evaluate(model, scene.test)
        fitted.append(model)
    for name, values in fitted[0].field.network.state_dict().items():
        # Rounding apart: gradients of densities and colors are added in another order.
        torch.testing.assert_close(values, fitted[1].field.network.state_dict()[name], rtol=1e-2, atol=1e-3)
    sigmas, _ = loaded(np.zeros((1, 3)), np.ones((1, 3)))
    assert sigmas.tolist() == pytest.approx([0.8 * field.density_of(torch.zeros(1, 3))[0].item()], rel=1e-5)
    loaded.video(tmp_path / "frames", loaded.orbit(1), kind="normals")
    with pytest.raises(InputError, match=r"Apart', network of its user's own.*give network="):
        NerfModel.load(path)
    with pytest.raises(InputError, match="tensors do not fit Linear"):
        NerfModel.load(path, network=nn.Linear(2, 3))
    assert main(["mesh", str(path), "--out", str(tmp_path / "m.ply")]) == 2


def test_a_run_folder_holds_no_field_of_ones_own(folder, tmp_path, capsys):
    arguments = ["train", str(folder), *OPTIONS, "--steps", "1", "--out", str(tmp_path / "run")]
    assert main(arguments) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["field"] = {"own": "mine.Waves", "hidden_features": 12, "row_bytes": 100}
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert main(["train", str(folder), "--resume", "--out", str(tmp_path / "run")]) == 2
    assert "config.json: the network is a module of its user's own, mine.Waves" in capsys.readouterr().err


def test_a_module_that_is_no_field_is_named(scene):
    plan = plan_fit(NerfConfig(**SMALL), scene)
    loop = build_fit(plan, nn.Linear(3, 4), build_objective(plan, scene))
    assert isinstance(loop, Fit)
    with pytest.raises(InputError, match="Linear is no radiance field: it needs density_and_features"):
        loop.run()


def test_a_saved_model_comes_back(fitted, scene, tmp_path):
    model, _ = fitted
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = NerfModel.load(path)
    assert_same_bits(bits(loaded), bits(model))
    assert repr(loaded) == repr(model) == "NerfModel: finer of 380 parameters, ball in 4 views, a box of 2.5 units"
    for name, values in model.render(scene.test.poses[0], scene.test.cameras[0]).items():
        np.testing.assert_array_equal(loaded.render(scene.test.poses[0], scene.test.cameras[0])[name], values)
    assert Image.open(io.BytesIO(loaded._repr_png_())).size == (12, 12)
    with pytest.raises(InputError, match="no such model file"):
        NerfModel.load(tmp_path / "nothing.safetensors")


def on_sphere(count, radius, seed=0):
    points = np.random.default_rng(seed).normal(size=(count, 3))
    return radius * points / np.linalg.norm(points, axis=1, keepdims=True)


def test_a_model_is_a_function_in_the_scenes_coordinates_and_units():
    """The ball has radius 0.5 in the box, 0.5 / 0.8 in the scene."""
    model = ball_model(scale=0.8)
    radius = BALL / 0.8
    inside, outside = on_sphere(50, 0.9 * radius), on_sphere(50, 1.1 * radius)
    towards = np.tile([0.0, 0.0, -3.0], (50, 1))
    sigmas, rgbs = model(inside, towards)
    assert sigmas.shape == (50,) and rgbs.shape == (50, 3) and sigmas.dtype == rgbs.dtype == np.float32
    box = model.frame.to_box(inside)
    per_box_unit = np.exp(np.minimum(200 * (BALL - np.linalg.norm(box, axis=1)), 12))
    np.testing.assert_allclose(sigmas, 0.8 * per_box_unit, rtol=1e-3)
    np.testing.assert_allclose(rgbs, (box + 1) / 2, atol=1e-6)
    assert np.all(model(outside, towards)[0] < 1e-3)
    far = model(1e3 * outside, towards)[0]
    assert np.array_equal(far, np.zeros(50, np.float32))  # outside the box
    points = torch.tensor(inside, requires_grad=True)
    values, colors = model(points, torch.tensor(towards))
    np.testing.assert_allclose(values.detach(), sigmas, rtol=1e-3)
    colors.sum().backward()  # colors follow the position in the box, 0.8 units a unit of the scene, halved
    np.testing.assert_allclose(points.grad, np.full((50, 3), 0.4), rtol=1e-6)


def test_a_benchmark_has_the_figures_of_its_fits_and_of_those_that_fail(scene, folder, fitted, tmp_path):
    told, scenes = [], {"lego": scene, "path": folder, "none": tmp_path / "none"}
    given = {"config": NerfConfig(**SMALL), "progress": lambda *each: told.append(each), "background": "black"}
    rows = benchmark(scenes, ["finer", "siren"], **given)
    assert [(row["scene"], row["method"]) for row in rows] == [(a, m) for a in scenes for m in ("finer", "siren")]
    model, _ = fit(scene, **SMALL, background="black")
    figures = evaluate(model, scene.test, background="black")
    for row in rows[0], rows[2]:
        assert {name: row[name] for name in ("psnr", "ssim", "background", "views")} == {
            name: figures[name] for name in ("psnr", "ssim", "background", "views")
        }
        assert (row["size"], row["parameters"]) == ("12x12", 380) and row["seconds"] > 0
    assert [row["published_psnr"] for row in rows[:3]] == [30.04, 29.60, None]
    assert "no such file" in rows[5]["error"] and rows[5]["psnr"] is None
    assert told == [(done, 6, {}) for done in range(1, 7)]
    with pytest.raises(InputError, match="did you mean 'siren'"):
        benchmark(scenes, ["finer", "sirene"])
    assert benchmark(scenes, ["finer"], **SMALL, callbacks=[Watcher(stop_after=6)]) == []


def test_a_direction_is_turned_into_the_box(fitted):
    model, _ = fitted
    points, towards = on_sphere(20, 0.3), on_sphere(20, 7.0, seed=1)
    turned = torch.from_numpy(towards[:, [1, 2, 0]] / 7.0).float()
    with torch.no_grad():
        _, colors = model.field(torch.from_numpy(model.frame.to_box(points)).float(), turned)
    np.testing.assert_allclose(model(points, towards)[1], colors, atol=1e-6)


def test_a_view_is_in_units_of_the_scene():
    model = ball_model(scale=0.8)
    pose = model.frame.poses_to_input(model.train_poses)[0]
    out = model.render(pose, model.camera)
    size = (model.camera.height, model.camera.width)
    assert {name: values.shape for name, values in out.items()} == {
        "rgb": (*size, 3),
        "depth": size,
        "accumulation": size,
    }
    eye = np.linalg.norm(pose[:3, 3])
    # The mean depth lies a step and the ball's softness behind its surface: 0.035 in the box, as for its views.
    assert out["depth"][11:13, 11:13].mean() == pytest.approx(eye - BALL / 0.8, abs=0.035 / 0.8)
    assert np.isnan(out["depth"][0, 0]) and out["accumulation"][0, 0] == 0 and out["accumulation"][12, 12] > 0.99
    assert out["rgb"][0, 0].tolist() == [1, 1, 1]
    assert model.render(pose, model.camera, background="black")["rgb"][0, 0].tolist() == [0, 0, 0]
    assert np.array_equal(model.render(torch.from_numpy(pose), model.camera)["rgb"], out["rgb"])
    assert np.array_equal(model.render(pose.tolist(), model.camera)["rgb"], out["rgb"])


def test_a_mesh_stands_in_the_scene_and_its_level_is_a_density_of_the_scene():
    model = ball_model(scale=0.8)
    told = []
    mesh = model.mesh(resolution=48, level=0.8, progress=lambda done, total, _: told.append((done, total)))
    assert isinstance(mesh, trimesh.Trimesh) and mesh.visual.vertex_colors.shape == (len(mesh.vertices), 4)
    # sigma = 1 per box unit, 0.8 per unit of the scene, is where the logarithm is 0: the ball's surface.
    cell = 2 / 47 / 0.8
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices, axis=1), BALL / 0.8, atol=cell / 4)
    assert mesh.is_watertight and mesh.volume > 0 and told[-1] == (48**3, 48**3)
    with pytest.raises(InputError, match=r"largest density is .*e\+05, lower --level 1e\+06"):
        model.mesh(resolution=16, level=1e6)


def test_an_orbit_is_rendered_as_a_video(tmp_path):
    model = ball_model()
    poses = model.orbit(5)
    assert poses.shape == (5, 4, 4)
    distances = np.linalg.norm(poses[:, :3, 3], axis=1)
    trained = np.linalg.norm(model.train_poses[:, :3, 3], axis=1) / 0.8
    np.testing.assert_allclose(distances, np.median(trained), rtol=1e-5)
    ahead = -poses[:, :3, 2]  # z is backwards
    np.testing.assert_allclose(ahead, -poses[:, :3, 3] / distances[:, None], atol=1e-5)
    model.video(tmp_path / "frames", poses[:2], kind="depth")
    frames = sorted((tmp_path / "frames").iterdir())
    assert [frame.name for frame in frames] == ["frame_0000.png", "frame_0001.png"]
    small = Camera(width=8, height=6, fx=10.0, fy=10.0, cx=4.0, cy=3.0)
    model.video(tmp_path / "orbit.mp4", poses, camera=small)
    assert (tmp_path / "orbit.mp4").stat().st_size > 200
    for given, words in (
        ({"kind": "heat"}, "kind must be one of color, depth, normals"),
        ({"fps": 0}, r"fps must be in \[0\.01, 1000\], got 0"),
        ({"fps": 0.001}, r"fps must be in \[0\.01, 1000\], got 0\.001"),
        ({"fps": 1001}, r"fps must be in \[0\.01, 1000\], got 1001"),
        ({"poses": np.zeros((2, 3, 4))}, "matrix of 4x4 numbers"),
        ({"path": tmp_path / "orbit.avi"}, "a film is .mp4"),
    ):
        with pytest.raises(InputError, match=words):
            model.video(**{"path": tmp_path / "o.mp4", "poses": poses, **given})


def test_views_of_one_name_have_figures_each(fitted, scene):
    model, _ = fitted
    twice = scene.test.take([0, 1, 0, 1])
    twice = dataclasses.replace(twice, names=("a", "a", "a (2)", "a"))
    figures = evaluate(model, twice)
    first, second = evaluate(model, scene.test)["per_view"].values()
    assert figures["per_view"] == {"a": first, "a (2)": second, "a (2) (2)": first, "a (3)": second}
    assert figures["views"] == 4


def test_figures_are_of_the_views(fitted, scene):
    model, _ = fitted
    figures = evaluate(model, scene.test, background="black")
    assert list(figures) == ["psnr", "ssim", "lpips", "background", "views", "per_view"]
    assert (figures["background"], figures["views"], figures["lpips"]) == ("black", 2, None)
    assert list(figures["per_view"]) == list(scene.test.names)
    assert figures["psnr"] == pytest.approx(np.mean([row["psnr"] for row in figures["per_view"].values()]))
    out = model.render(scene.test.poses[0], scene.test.cameras[0], background="black")["rgb"]
    image = scene.test.images[0].numpy() / 255
    error = np.mean((out - image[..., :3] * image[..., 3:]) ** 2)
    assert figures["per_view"][scene.test.names[0]]["psnr"] == pytest.approx(-10 * np.log10(error), abs=1e-4)


def test_the_learned_distance_of_tiny_pictures_is_none(fitted, scene):
    def distance(picture, truth):
        raise RuntimeError("Output size is too small")

    assert scene.test.height < 16
    (first, *_) = judge_views(fitted[0], scene.test, background="white", lpips=distance)
    assert first.lpips is None and first.psnr > 0


def test_a_missing_learned_distance_is_told(fitted, scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(InputError, match=r'pip install "finer-nerf\[lpips\]"'):
        evaluate(fitted[0], scene.test, lpips=True)


def test_a_fit_ends_at_its_target(scene):
    _, history = fit(scene, **SMALL, target_psnr=1.0)
    assert history["step"].tolist() == [4] and not history.interrupted


def test_a_time_is_kept(scene):
    settings = {name: value for name, value in SMALL.items() if name not in ("steps", "log_every")}
    _, history = fit(scene, **settings, grid_every=2, seconds=0.05)
    assert 6 <= history["step"][-1] < 2000  # the steps that are timed, and not the default of 2000


def test_scenes_are_written_and_read_again(tmp_path):
    made = builtin_scene(10)
    write_scene(made, tmp_path / "made")
    read = read_scene(tmp_path / "made", train_every=9)
    assert torch.equal(read.train.images, made.train.images[::9]) and len(read.test) == 8
    np.testing.assert_allclose(read.test.poses, made.test.poses, atol=1e-9)
    with pytest.raises(InputError, match="already holds something; give overwrite=True"):
        write_scene(made, tmp_path / "made")
    write_scene(made, tmp_path / "made", overwrite=True)
    lens = dataclasses.replace(made.train.cameras[0], cx=2.0)
    off = dataclasses.replace(made, train=dataclasses.replace(made.train, cameras=(lens,) * 36))
    with pytest.raises(InputError, match="one lens without distortion"):
        write_scene(off, tmp_path / "off")
    assert not (tmp_path / "off").exists()


def views_with(**given):
    return {"scene": dataclasses.replace(ball_scene(), train=dataclasses.replace(ball_scene().train, **given))}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"scene": "nowhere"}, "nowhere: no such file"),
        (
            {"scene": None},
            r"a scene is a path, what read_scene returns, or a Scene of Views\.of\(\.\.\.\), got 'NoneType'",
        ),
        ({"method": "sirene"}, "did you mean 'siren'"),
        ({"stepz": 3}, "did you mean 'steps'"),
        ({"steps": "many"}, "'steps' must be an integer"),
        ({"seconds": 3.0}, "both say how long"),
        ({"downscale": 2}, "downscale says how a scene is read"),
        ({"orbit_frames": 48}, r"orbit_frames 48 does nothing .* report; leave it out; model.orbit\(frames\) has"),
        ({"config": NerfConfig(orbit_frames=0)}, "orbit_frames 0 does nothing"),
        ({"test_every": 8}, "test_every says how a scene is read"),
        ({"network": {"hiden": 3}}, "has no option 'hiden'"),
        ({"network": 3}, "hyper-parameters or a torch module, got one of type int"),
        ({"network": nn.Linear(3, 4)}, r"Linear: it must return sigmas \(n,\) and rgbs \(n, 3\) \(.*positional"),
        ({"network": nn.Bilinear(3, 3, 4)}, r"Bilinear: it must return sigmas \(n,\) and rgbs \(n, 3\)"),
        ({"network": Negative()}, "Negative: densities must not be negative"),
        ({"network": Waves().double()}, r"float64; fits compute in float32.*\.float\(\)"),
        ({"network": Waves(), "activation": torch.tanh}, "leave out activation="),
        ({"activation": nn.Threshold}, "Threshold needs arguments: .*give a module"),
        ({"activation": lambda z: z[:, :1]}, "must keep the shape"),
        ({"memory": "1MB"}, "leaves no room"),
        (views_with(images=ball_scene().train.images.float()), r"tensor \(n, height, width, 3 or 4\) of uint8, got"),
        (views_with(images=ball_scene().train.images.numpy()), r"tensor \(n, height, width, 3 or 4\) of uint8, got"),
        (views_with(poses=ball_scene().train.poses[:, :3]), "matrix of 4x4 numbers"),
        (views_with(poses=2 * ball_scene().train.poses), "must be a rotation"),
        (views_with(poses=first_mirrored(ball_scene().train.poses)), "pose 0 is a reflection"),
        (views_with(cameras=ball_scene().train.cameras[:2]), "names, and 2 cameras"),
        ({"config": {"steps": 5}}, r"config must be a NerfConfig, .*, got one of type dict"),
        (views_with(masks=torch.zeros(12, 24, 24, dtype=torch.bool)), "the mask of view 0 leaves no pixel"),
        (views_with(masks=torch.ones(3)), "masks must be a tensor of bool"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(given, words, scene):
    with pytest.raises(InputError, match=words) as error:
        fit(given.get("scene", scene) if "scene" in given else scene, **{**SMALL, **without_scene(given)})
    assert len(str(error.value)) <= 300 and len(str(error.value).splitlines()) == 1


def test_the_cameras_of_a_left_handed_scene_are_reflections(scene):
    poses = np.stack([mirrored(pose) for pose in scene.train.poses])
    held, some = scene, None
    for split, views in (("train", scene.train), ("val", scene.val), ("test", scene.test)):
        if len(views):
            turned = np.stack([mirrored(pose) for pose in views.poses])
            held = dataclasses.replace(held, **{split: dataclasses.replace(views, poses=turned)})
            some = some or held
    with pytest.raises(InputError, match="its test or its train views are reflections"):
        fit(some, **{**SMALL, "steps": 1})
    model, _ = fit(held, **{**SMALL, "steps": 1})
    assert model.render(poses[0], scene.train.cameras[0])["rgb"].shape[2] == 3


def without_scene(given):
    return {name: value for name, value in given.items() if name != "scene"}


def test_wrong_views_are_named_in_one_line(fitted, scene):
    model, _ = fitted
    camera, pose = scene.test.cameras[0], scene.test.poses[0]
    wrong = [
        (lambda: evaluate(model, scene), "got 'Scene'; a scene has .train .val .test"),
        (lambda: evaluate(model, None), "got 'NoneType'"),
        (lambda: evaluate("a.safetensors", scene.test), "model must be a NerfModel, such as NerfModel.load returns"),
        (
            lambda: Camera(width="8", height=8, fx=8, fy=8, cx=4, cy=4),
            "each number of a camera must be a number, got '8'",
        ),
        (lambda: model.mesh(resolution="16"), "--resolution must be an integer"),
        (lambda: model.orbit(2.5), "frames must be an integer"),
        (lambda: evaluate(model, scene.test, background="red"), "must be one of white, black, got 'red'"),
        (lambda: model.render(pose, None), "camera must be a Camera, got None"),
        (lambda: model.render(pose[:3], camera), "matrix of 4x4 numbers"),
        (lambda: model.render(mirrored(pose), camera), r"pose 0 is a reflection \(determinant -1\)"),
        (lambda: model.video("o.mp4", [np.asarray(pose), mirrored(pose)], camera=camera), "pose 1 is a reflection"),
        (lambda: model.render(np.full((4, 4), np.nan), camera), "all of it finite"),
        (lambda: model.render(pose, camera, background=0), "must be one of white, black, got 0"),
        (lambda: model(np.zeros((3, 2)), np.zeros((3, 2))), r"must both be \(n, 3\)"),
        (lambda: model.mesh(resolution=3), "resolution must be between 8 and 4096"),
        (lambda: model.mesh(level=-1.0), "must be a positive density, got -1.0"),
        (lambda: model.orbit(0), "frames must be at least 1"),
        (lambda: builtin_scene(3), "size must be an integer between 8 and 2048"),
        (lambda: read_scene("x", train_every=0), "train_every must be an integer of at least 1"),
    ]
    for call, words in wrong:
        with pytest.raises(InputError, match=words) as error:
            call()
        assert len(str(error.value)) <= 300 and len(str(error.value).splitlines()) == 1
