"""What finer_sdf exports: pure, in the same bits as the command, in the input's units, open to code of one's own."""

import dataclasses
import io
import json
import signal

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image as Pillow
from torch import nn

from finer_core import Finer
from finer_core.errors import InputError
from finer_core.training import Callback
from finer_sdf import (
    Mesh,
    PointCloud,
    SdfConfig,
    SdfModel,
    benchmark,
    download,
    evaluate,
    fit,
    offset,
    read_shape,
    shell,
)
from finer_sdf.app.cli import main

RADIUS, CENTER = 3.0, np.array([10.0, 0.0, 0.0])
BALL = trimesh.creation.icosphere(radius=RADIUS, subdivisions=3).apply_translation(CENTER)
SIZES = {
    **{"hidden_features": 32, "hidden_layers": 1},
    **{"first_omega_0": 8.0, "hidden_omega_0": 8.0, "first_bias_scale": 1.0},
}
SMALL = {
    **{"steps": 12, "log_every": 4, "device": "cpu", "precision": "fp32", "samples": 2000, "batch_points": 256},
    **{"learning_rate": 1e-2, "network": SIZES},
}
OPTIONS = [
    *("--steps", "12", "--log-every", "4", "--device", "cpu", "--precision", "fp32", "--samples", "2000"),
    *("--batch-points", "256", "--learning-rate", "1e-2", "--hidden-features", "32", "--hidden-layers", "1"),
    *(
        "--first-omega-0",
        "8",
        "--hidden-omega-0",
        "8",
        "--first-bias-scale",
        "1",
        "--resolution",
        "16",
        "--eval-samples",
        "1000",
        "--quiet",
    ),
]


class Distance(nn.Module):
    """A network of a user's own that begins as the distance to a sphere, with something beside parameters."""

    def __init__(self, radius=0.3):
        super().__init__()
        self.radius = nn.Parameter(torch.tensor(radius))
        self.register_buffer("factor", torch.tensor(1.0))

    def forward(self, coords):
        rows, _ = coords.shape  # (n, 3) is all that it is asked to take
        return self.factor * coords.norm(dim=1).reshape(rows, 1) - self.radius


def sine(z):
    return torch.sin(8 * z)


def bits(model):
    return {name: value.clone() for name, value in model.network.state_dict().items()}


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
def begun():
    """Return a fit of a few steps, whose bits are compared."""
    return fit(BALL, **SMALL)


@pytest.fixture(scope="module")
def ball():
    """Return a model that is near the ball."""
    return fit(BALL, **{**SMALL, "steps": 150})[0]


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_the_command_does_the_same(preset, tmp_path):
    BALL.export(tmp_path / "ball.ply")
    run, more, given = tmp_path / "run", ["--preset", preset, "--steps", "60"], {**SMALL, "steps": 60, "preset": preset}
    options = [*OPTIONS, *more]
    if preset == "paper":  # which has points of the mesh in the place of exact distances
        options[options.index("--samples")] = "--cloud-points"
        given["cloud_points"] = given.pop("samples")
    assert main(["fit", str(tmp_path / "ball.ply"), "--out", str(run), *options]) == 0
    loaded = read_shape(tmp_path / "ball.ply")
    model, history = fit(loaded, **given)
    model.save(tmp_path / "saved.safetensors")
    assert (tmp_path / "saved.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for column in ("step", "loss", "learning_rate", "rollbacks"):
        assert history[column].tolist() == [line[column] for line in lines]
    figures = evaluate(model, loaded, resolution=16, samples=1000)
    metrics = json.loads((run / "metrics.json").read_text())
    assert json.loads(json.dumps(figures)) == {name: metrics[name] for name in figures}
    written = trimesh.load(run / "mesh.ply", process=False)
    np.testing.assert_allclose(model.mesh(resolution=16).vertices, written.vertices, rtol=1e-6)


@pytest.mark.parametrize("kind", ["path", "text", "loaded", "mesh", "pair", "lists", "tensors"])
def test_what_a_mesh_may_be(kind, tmp_path, begun):
    path = tmp_path / "ball.ply"
    BALL.export(path)
    vertices, faces = (np.array(each) for each in (BALL.vertices, BALL.faces))
    given = {
        "path": lambda: path,
        "text": lambda: str(path),
        "loaded": lambda: read_shape(path),
        "mesh": lambda: Mesh(vertices=vertices, faces=faces),
        "pair": lambda: (vertices, faces.astype(np.int32)),
        "lists": lambda: [vertices.tolist(), faces.tolist()],
        "tensors": lambda: (torch.from_numpy(vertices), torch.from_numpy(faces)),
    }[kind]()
    exact = kind not in ("path", "text", "loaded")  # a file may round
    model, _ = fit(given, SdfConfig(**{**SMALL, "seed": 1}), seed=0)  # keywords win
    if exact:
        assert_same_bits(bits(model), bits(begun[0]))
    points = BALL.vertices[:7]
    np.testing.assert_allclose(model(points), begun[0](points), atol=1e-3)
    assert model.shape["kind"] == "mesh" and model.shape["elements"] == len(faces)


def test_what_a_point_cloud_may_be(tmp_path):
    directions = np.random.default_rng(0).normal(size=(400, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    points = CENTER + RADIUS * directions
    pair, _ = fit((points, directions), **SMALL)
    cloud, _ = fit(PointCloud(points=points, normals=directions), **SMALL)
    longer, _ = fit((points, 2 * directions), **SMALL)
    assert_same_bits(bits(pair), bits(cloud))
    assert_same_bits(bits(pair), bits(longer))
    bare, _ = fit(points, **SMALL)
    assert "estimated them from the nearest points" in bare.shape["notes"][0]
    assert repr(bare).endswith("a point cloud of 400 points")
    figures = evaluate(BALL, (points, directions), samples=1000)
    assert figures["iou"] is None and figures["surface_distance"]["from_reference"]["max"] < 0.01


def test_a_model_answers_in_the_input_s_units(ball):
    points = CENTER + np.array([[0, 0, 0], [2.5, 0, 0], [0, 3.0, 0], [0, 0, -3.4]])
    expected = np.linalg.norm(points - CENTER, axis=1) - RADIUS
    distance = ball(points)
    assert isinstance(distance, np.ndarray) and distance.dtype == np.float64
    np.testing.assert_allclose(distance[1:], expected[1:], atol=0.15)
    assert distance[0] < -0.5  # rounded at the center, where the distance has a corner
    grid = ball(np.broadcast_to(points.astype(np.float32), (2, 4, 3)))
    assert grid.shape == (2, 4) and grid.dtype == np.float32
    np.testing.assert_allclose(grid[1], distance, atol=1e-5)
    directions = ball.normals(points[1:])
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-6)
    outward = (points[1:] - CENTER) / np.linalg.norm(points[1:] - CENTER, axis=1, keepdims=True)
    assert np.all(np.einsum("ij,ij->i", directions, outward) > 0.8)
    assert ball([10.0, 0.0, 0.0]).shape == () and ball(np.zeros((0, 3))).shape == (0,)


def test_tensors_keep_their_graph(ball):
    points = torch.tensor(np.array(BALL.vertices[:5]), requires_grad=True)
    distance = ball(points)
    np.testing.assert_allclose(distance.detach(), ball(BALL.vertices[:5]), atol=1e-6)
    (slope,) = torch.autograd.grad(distance.sum(), points, retain_graph=True)
    assert slope.shape == (5, 3) and slope.norm(dim=1).median() > 0.3  # per unit of the input, not of the box
    np.testing.assert_allclose(ball.normals(points).detach(), ball.normals(BALL.vertices[:5]), atol=1e-5)
    for value in (distance, ball.normals(points)):
        grads = torch.autograd.grad(value.sum(), list(ball.network.parameters()), allow_unused=True)
        assert any(grad is not None and bool(grad.any()) for grad in grads)
    coords = torch.from_numpy(ball.normalization.to_box(np.array(BALL.vertices[:6]))).float().reshape(2, 3, 3)
    boxed = ball.field(coords)
    assert boxed.shape == (2, 3, 1) and boxed.requires_grad
    np.testing.assert_allclose(boxed.detach().flatten() / ball.normalization.scale, ball(BALL.vertices[:6]), atol=1e-5)


def test_a_mesh_stands_where_the_shape_does(ball):
    mesh = ball.mesh(resolution=24)
    assert isinstance(mesh, trimesh.Trimesh) and mesh.is_watertight
    np.testing.assert_allclose(mesh.bounds, BALL.bounds, atol=0.2)
    assert mesh.volume == pytest.approx(BALL.volume, rel=0.1)
    told = []
    smaller = ball.mesh(resolution=24, level=-0.5, progress=lambda *each: told.append(each))
    assert told and told[-1][0] <= told[-1][1]
    np.testing.assert_allclose(np.ptp(smaller.vertices, axis=0), 5.0, atol=0.4)
    figures = evaluate(mesh, BALL, samples=2000)
    assert figures["hausdorff"] < 0.2 * 0.9 / 6 and figures["watertight"] and figures["iou"] > 0.9
    own = evaluate(ball, BALL, resolution=24, samples=2000)
    assert own["chamfer_l1"] == pytest.approx(figures["chamfer_l1"], rel=0.05)


def test_a_model_is_looked_at(ball, tmp_path):
    picture = ball.render(size=(40, 60))
    assert picture.shape == (40, 60, 3) and picture.dtype == np.uint8
    assert (picture[0, 0] == 255).all() and picture[20, 30].mean() < 250
    assert not np.array_equal(ball.render(size=(40, 60), kind="error", reference=BALL), picture)
    rows = []
    ball.render(size=(8, 8), progress=lambda *each: rows.append(each))
    assert rows[-1] == (8, 8, {})
    with Pillow.open(io.BytesIO(ball._repr_png_())) as small:
        assert small.size == (256, 256)
    ball.turntable(tmp_path / "ball.mp4", size=(16, 16), frames=2)
    assert (tmp_path / "ball.mp4").stat().st_size > 0


def test_a_model_is_saved_and_loaded(ball, tmp_path):
    ball.save(tmp_path / "ball.safetensors")
    loaded = SdfModel.load(tmp_path / "ball.safetensors")
    assert repr(loaded) == repr(ball) == "SdfModel: finer of 1217 parameters, a mesh of 1280 faces"
    assert loaded.normalization == ball.normalization and loaded.shape == ball.shape and not loaded.training
    assert np.array_equal(loaded(BALL.vertices), ball(BALL.vertices))
    assert loaded.config.method == "finer"


class Watcher(Callback):
    """Write down what it is told."""

    def __init__(self, stop_after=None):
        self.told, self.stop_after = [], stop_after

    def on_start(self, step, steps):
        self.told.append(("start", step, steps))

    def on_step(self, step, loss):
        self.told.append(("step", step))

    def on_log(self, entry):
        self.told.append(("log", entry.step))

    def on_end(self):
        self.told.append(("end",))

    def should_stop(self):
        return self.stop_after is not None and ("step", self.stop_after) in self.told


def test_callbacks_are_told_in_order_and_change_nothing(begun):
    watcher, told = Watcher(), []
    model, history = fit(BALL, **SMALL, callbacks=[watcher], progress=lambda *each: told.append(each))
    steps = [each for end in (4, 8, 12) for each in (*(("step", end + back) for back in (-3, -2, -1, 0)), ("log", end))]
    assert watcher.told == [("start", 0, 12), *steps, ("end",)]
    assert told == [(entry.step, 12, {"loss": entry.loss}) for entry in history]
    assert_same_bits(bits(model), bits(begun[0]))


def test_progress_is_shown_on_stderr(capsys):
    fit(BALL, **SMALL, progress=True)
    evaluate(BALL, BALL, samples=1000, progress=True)
    out, err = capsys.readouterr()
    assert out == "" and all(word in err for word in ("distances", "fit finer", "loss", "evaluate"))


class Press:
    """Press Ctrl-C at some steps."""

    def __init__(self, *steps):
        self.steps = steps

    def on_step(self, step, loss):
        if step in self.steps:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("python_handles_ctrl_c")
def test_ctrl_c_ends_a_fit_with_its_best_state():
    before = signal.getsignal(signal.SIGINT)
    network = Distance(radius=0.1)
    seen = []

    class Record(Callback):
        def on_log(self, entry):
            seen.append((entry.loss, {name: value.clone() for name, value in network.state_dict().items()}))

    model, history = fit(BALL, **{**SMALL, "network": network}, callbacks=[Record(), Press(10)])
    assert history.interrupted and history["step"].tolist() == [4, 8] and not model.training
    assert_same_bits(bits(model), min(seen, key=lambda each: each[0])[1])
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("own", ["", "network", "activation"])
def test_a_checkpoint_is_gone_on_from_to_the_same_bits(own, tmp_path):
    def code():
        return {"": {}, "network": {"network": Distance(0.2)}, "activation": {"activation": sine}}[own]

    whole, _ = fit(BALL, **{**SMALL, **code()})
    habits = {"checkpoint": tmp_path / "fit.safetensors", "checkpoint_seconds": 0.0}
    _, first = fit(BALL, **{**SMALL, **code()}, **habits, callbacks=[Watcher(stop_after=6)])
    model, rest = fit(BALL, **{**SMALL, **code()}, **habits, resume=True)
    assert first.interrupted and not rest.interrupted
    assert [*first["step"], *rest["step"]] == [4, 8, 12]
    assert_same_bits(bits(model), bits(whole))


def test_checkpoints_of_other_fits_are_refused(tmp_path):
    path = tmp_path / "fit.safetensors"
    fit(BALL, **SMALL, checkpoint=path)
    for words, given in {
        "already exists": {},
        "of another shape": {"resume": True, "shape": BALL.copy().apply_scale(2)},
        "steps 13 differs from the fit's, 12": {"resume": True, "steps": 13},
        "betas": {"resume": True, "betas": (0.5, 0.9)},
        "hidden_features 17 differs": {"resume": True, "network": {"hidden_features": 17}},
        "give the same network= or activation=": {"resume": True, "network": Distance()},
    }.items():
        with pytest.raises(InputError, match=words) as error:
            fit(given.pop("shape", BALL), **{**SMALL, **given}, checkpoint=path)
        assert len(str(error.value)) <= 300


def test_the_same_points_of_another_noise_are_another_shape(tmp_path):
    cloud = PointCloud(points=BALL.vertices, normals=BALL.vertex_normals)
    fit(cloud, **SMALL, checkpoint=tmp_path / "fit.safetensors")
    with pytest.raises(InputError, match="of another shape"):
        fit(dataclasses.replace(cloud, noise=0.1), **SMALL, checkpoint=tmp_path / "fit.safetensors", resume=True)


def test_a_network_of_ones_own_is_trained_meshed_evaluated_saved_and_loaded(tmp_path):
    network = Distance()
    model, history = fit(BALL, **{**SMALL, "network": network, "steps": 150})
    assert model.network is network and history["loss"][-1] < history["loss"][0]
    assert network.radius.item() == pytest.approx(0.45, abs=0.01) and network.factor.item() == 1.0
    mesh = model.mesh(resolution=20)
    assert mesh.volume == pytest.approx(BALL.volume, rel=0.1)
    assert evaluate(model, BALL, resolution=20, samples=1000)["hausdorff"] < 0.02
    np.testing.assert_allclose(model.normals(BALL.vertices), (BALL.vertices - CENTER) / RADIUS, atol=1e-3)
    assert repr(model) == "SdfModel: Distance of 1 parameters, a mesh of 1280 faces"
    assert model.render(size=(20, 20)).min() < 255
    path = tmp_path / "own.safetensors"
    model.save(path)
    loaded = SdfModel.load(path, network=Distance(radius=0.0))
    assert np.array_equal(loaded(BALL.vertices), model(BALL.vertices))
    with pytest.raises(InputError, match=r"Distance', network of its user's own.*give network="):
        SdfModel.load(path)
    assert main(["mesh", str(path), "--out", str(tmp_path / "out.ply")]) == 2


def test_a_network_of_ours_may_be_given_made_by_its_class(tmp_path):
    sizes = {"in_features": 3, "out_features": 1, "hidden_features": 16, "hidden_layers": 1}
    path = tmp_path / "made.safetensors"
    model, _ = fit(BALL, **{**SMALL, "network": Finer(**sizes)})
    model.save(path)
    assert np.array_equal(SdfModel.load(path, network=Finer(**sizes))(BALL.vertices), model(BALL.vertices))


def test_an_activation_of_ones_own_is_trained_saved_and_loaded(tmp_path):
    small = {**SMALL, "network": {"hidden_features": 16, "hidden_layers": 1}}
    model, _ = fit(BALL, **small, method="siren", activation=sine)
    path = tmp_path / "own.safetensors"
    model.save(path)
    loaded = SdfModel.load(path, activation=sine)
    assert np.array_equal(loaded(BALL.vertices), model(BALL.vertices))
    assert repr(loaded) == repr(model) and "siren with" in repr(model)
    with pytest.raises(InputError, match=r"activation of its user's own.*give activation="):
        SdfModel.load(path)


def test_a_time_may_be_given_and_a_target_ends_a_fit():
    network, seen = Distance(), []

    class Start(Callback):
        def on_start(self, step, steps):
            seen.append({name: value.clone() for name, value in network.state_dict().items()})

    fit(BALL, seconds=0.05, device="cpu", samples=2000, batch_points=64, network=network, callbacks=[Start()])
    assert_same_bits(seen[0], Distance().state_dict())  # it was timed by a copy
    given = {**SMALL, "network": Distance(0.4), "steps": 400, "target_rms": 0.01}
    _, history = fit(BALL, **given)
    assert history["step"][-1] < 400 and not history.interrupted


def test_betas_and_amsgrad_are_taken(begun):
    model, _ = fit(BALL, **SMALL, betas=(0.5, 0.9), amsgrad=True)
    assert any(not torch.equal(value, bits(begun[0])[name]) for name, value in bits(model).items())


def test_a_benchmark_has_the_figures_of_its_fits_and_of_those_that_fail(begun, tmp_path):
    told = []
    shapes = {"armadillo": BALL, "b": tmp_path / "none.ply"}
    given = {"config": SdfConfig(**SMALL, resolution=16), "eval_samples": 1000, "network": {"hidden_features": 16}}
    rows = benchmark(shapes, ["finer", "pemlp"], **given, progress=lambda *each: told.append(each))
    assert [(row["shape"], row["method"]) for row in rows] == [(a, m) for a in shapes for m in ("finer", "pemlp")]
    assert rows[0]["chamfer_l2_sum"] > 0 and rows[0]["published_chamfer_l2_sum"] == pytest.approx(4.04e-6)
    assert "no such file" in rows[3]["error"] and rows[3]["iou"] is None
    assert told == [(done, 4, {}) for done in range(1, 5)]
    with pytest.raises(InputError, match="did you mean 'siren'"):
        benchmark(shapes, ["finer", "sirene"])
    assert benchmark(shapes, ["finer"], **SMALL, callbacks=[Watcher(stop_after=6)]) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"shape": "nowhere.ply"}, "nowhere.ply: no such file"),
        ({"shape": 3}, "a int: is no surface; give a trimesh.Trimesh"),
        ({"shape": trimesh.Scene(BALL)}, "Scene: is no surface"),
        ({"shape": BALL.vertices.tolist()}, r"\(vertices, faces\), an array of points or a path"),
        ({"shape": trimesh.PointCloud(BALL.vertices)}, r"or a path; of its points give \.vertices"),
        ({"shape": np.zeros((5, 2))}, r"points must be a table of 3 columns, got shape \(5, 2\)"),
        ({"shape": (np.zeros((5, 3)), np.zeros((4, 3)))}, "5 points and 4 normals"),
        ({"shape": (np.eye(3), np.array([[0, 1, 7]]))}, "name vertices that do not exist"),
        ({"shape": (np.eye(3), np.zeros((0, 3), dtype=int))}, "has no faces"),
        ({"shape": np.full((9, 3), np.nan)}, "9 of 9 points are not finite"),
        ({"shape": (["a"] * 3, [[0, 1, 2]])}, "vertices must be a table"),
        (
            {"shape": (np.random.default_rng(0).random((10**6, 3)),) * 2, "memory": "500MB"},
            "1000000 points need",
        ),
        ({"step": 5}, "unknown setting 'step'; did you mean 'steps'"),
        ({"hidden_features": 8}, "unknown setting 'hidden_features'; a network's own are given as network="),
        ({"steps": "many"}, "setting 'steps' must be an integer"),
        ({"method": "fine"}, "unknown method 'fine'; did you mean 'finer'"),
        ({"resolution": 256}, "resolution 256 does nothing to a fit .* give it to model.mesh or evaluate, whose r"),
        ({"eval_samples": 1000}, "eval_samples 1000 does nothing .* whose samples it is"),
        ({"config": SdfConfig(resolution=64)}, "resolution 64 does nothing"),
        ({"config": {"steps": 5}}, r"config must be a SdfConfig, .*, got one of type dict"),
        ({"config": SdfConfig}, "got the class SdfConfig"),
        ({"batch_points": 1}, "--batch-points must be at least 2"),
        ({"network": nn.Linear(2, 1)}, "cannot take coordinates"),
        ({"network": nn.Linear(3, 2)}, r"not float32 \(61, 1\)"),
        ({"network": Distance(), "activation": sine}, "leave out activation="),
        ({"resume": True}, "needs checkpoint="),
    ],
)
def test_wrong_arguments_are_named_in_one_line(given, words):
    with pytest.raises(InputError, match=words) as error:
        fit(given.get("shape", BALL), **{**SMALL, **{k: v for k, v in given.items() if k != "shape"}})
    assert len(str(error.value)) <= 300 and len(str(error.value).splitlines()) == 1


def test_wrong_questions_are_refused(ball):
    cloud = (np.array(BALL.vertices), np.array(BALL.vertex_normals))
    for words, ask in {
        r"points must be \(..., 3\), got shape \(4, 2\)": lambda: ball(np.zeros((4, 2))),
        "points must be real numbers": lambda: ball(["a", "b", "c"]),
        "size 0x3 is not of 1 to": lambda: ball.render(size=(0, 3)),
        "2 whole numbers are wanted": lambda: ball.render(size=(2.5, 3)),
        "unknown kind of picture 'x'": lambda: ball.render(kind="x"),
        "needs a reference mesh": lambda: ball.render(kind="error"),
        "this is a point cloud": lambda: ball.render(kind="error", reference=cloud),
        "no level set of": lambda: ball.mesh(resolution=9, level=99.0),
        "grid's resolution must be an integer, got 9.0": lambda: ball.mesh(resolution=9.0),
        "grid's resolution must be an integer, got '9'": lambda: offset(ball, 0.1).mesh(resolution="9"),
        "level must be a number, got 'x'": lambda: ball.mesh(resolution=9, level="x"),
        "--simplify must be an integer, got 8.5": lambda: ball.mesh(resolution=9, simplify=8.5),
        "--min-component must be a number": lambda: ball.mesh(resolution=9, min_component="all"),
        "an offset must be a number, got 'x'": lambda: offset(ball, "x"),
        "thickness of a shell must be a number": lambda: shell(ball, None),
        "frames must be an integer": lambda: ball.turntable("x.mp4", frames=2.5),
        "largest that fits": lambda: ball.mesh(resolution=10**6),
        "only be the reference": lambda: evaluate(cloud, BALL),
        "must be at least 1000": lambda: evaluate(BALL, BALL, samples=10),
        "10000000000 samples needs about 3100000 MB": lambda: evaluate(BALL, BALL, samples=10**10),
        "--seed must be in": lambda: evaluate(BALL, BALL, samples=1000, seed=-1),
        "--seed must be an integer": lambda: evaluate(BALL, BALL, samples=1000, seed=1.5),
        "no shape 'teapot' to download": lambda: download("teapot"),
    }.items():
        with pytest.raises(InputError, match=words) as error:
            ask()
        assert len(str(error.value)) <= 300
