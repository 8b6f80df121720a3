"""The `finer-sdf` command line: whole runs on small shapes, their files, and their figures."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from finer_core.methods import method_names
from finer_sdf.app.cli import SHAPES_TO_DOWNLOAD, main
from finer_sdf.geometry.download import SOURCES
from tests.runs import FIGURES, assert_threads_hold
from tests.sdf.shape_files import SMALL, ellipsoid, write_cloud, write_ellipsoid


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run on an ellipsoid, with the file beside it."""
    folder = tmp_path_factory.mktemp("cli")
    shape = write_ellipsoid(folder / "egg.obj")
    assert main(["fit", str(shape), "--out", str(folder / "run"), *SMALL]) == 0
    return folder / "run"


def test_names_agree_between_the_light_and_the_heavy_modules():
    assert set(SHAPES_TO_DOWNLOAD) == set(SOURCES)


def test_a_run_folder_has_everything(run):
    files = {path.name for path in run.iterdir()}
    assert files == {
        *("config.json", "metrics.jsonl", "metrics.json", "model.safetensors", "checkpoint", "report.html", "mesh.ply"),
        *("shaded.png", "normals.png", "error.png"),
    } | {name for name in files if name.endswith(".png")}
    config = json.loads((run / "config.json").read_text())
    assert len(config["input_sha256"]) == 64
    assert {"finer-core", "finer-sdf", "torch"} <= set(config["versions"])
    assert config["network"]["options"]["first_bias_scale"] == 1.0  # as given
    assert config["shape"]["kind"] == "mesh"


def test_figures_have_the_names_of_the_contract(run):
    figures = json.loads((run / "metrics.json").read_text())
    own = {"chamfer_l2_sum", "chamfer_l1", "iou", "f_score", "normal_consistency", "watertight"}
    assert FIGURES | own <= set(figures)
    assert figures["watertight"] is True
    assert figures["iou"] > 0.97
    assert figures["normal_consistency"] > 0.97


def test_the_mesh_has_the_inputs_place_and_size(run):
    mesh = trimesh.load(run / "mesh.ply", process=False)
    np.testing.assert_allclose(mesh.bounds, ellipsoid().bounds, atol=0.1)
    assert mesh.volume == pytest.approx(ellipsoid().volume(), rel=0.03)


@pytest.mark.usefixtures("no_report")
def test_json_is_the_figures_and_nothing_else(tmp_path, capsys):
    shape = write_cloud(tmp_path / "ball.xyz")
    out = tmp_path / "run"
    short = [*SMALL, "--steps", "40", "--resolution", "24"]
    assert main(["fit", str(shape), "--out", str(out), *short, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "metrics.json").read_text())
    assert printed["iou"] is None, "a point cloud has no inside to compare"
    assert printed["chamfer_l2_sum"] is not None


@pytest.mark.usefixtures("no_report")
def test_threads_hold_for_a_fit_and_are_given_back(tmp_path, capsys):
    shape = write_ellipsoid(tmp_path / "egg.obj")
    assert_threads_hold(main, ["fit", str(shape), *SMALL, "--steps", "4"], tmp_path / "run", capsys)


@pytest.mark.usefixtures("no_report")
def test_a_cloud_without_normals_says_what_was_estimated(tmp_path, capsys):
    shape = write_cloud(tmp_path / "bare.xyz", normals=False)
    arguments = [*(argument for argument in SMALL if argument != "--quiet"), "--steps", "150"]
    assert main(["fit", str(shape), "--out", str(tmp_path / "run"), *arguments]) == 0
    assert "estimated" in capsys.readouterr().err
    mesh = trimesh.load(tmp_path / "run" / "mesh.ply", process=False)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 8, rel=0.1)


@pytest.mark.parametrize("method", method_names("sdf"))
@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_every_method_fits_by_both_presets(method, preset, tmp_path):
    from finer_core.training.own_code import network_of
    from finer_sdf.config import SdfConfig
    from finer_sdf.training.build import build_fit, build_sampler
    from finer_sdf.training.plan import chunk_points, plan_fit

    size = {"hidden_features": 16} if "bacon" in method else {"hidden_features": 16, "hidden_layers": 1}
    own = {"samples": 2000} if preset == "fast" else {"cloud_points": 1000}
    settings = SdfConfig(method=method, preset=preset, steps=30, batch_points=128, **own, network=size)
    plan = plan_fit(settings, ellipsoid())
    boxed = plan.frame.shape_to_box(ellipsoid())
    network = network_of(plan)
    fit = build_fit(plan, network, build_sampler(plan, boxed), chunk=chunk_points(plan, ellipsoid()))
    losses: list[float] = []
    fit.on_log = lambda point: losses.append(point.loss)
    fit.run()
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < losses[0]


def test_mesh_evaluate_and_render_use_the_model_alone(run, tmp_path, capsys):
    model = str(run / "model.safetensors")
    assert main(["mesh", model, "--resolution", "48", "--out", str(tmp_path / "m.stl"), "--quiet"]) == 0
    assert trimesh.load(tmp_path / "m.stl").is_watertight

    shape = str(run.parent / "egg.obj")
    capsys.readouterr()
    common = ["--samples", "3000", "--json", "--quiet"]
    assert main(["evaluate", model, shape, "--resolution", "48", *common]) == 0
    of_model = json.loads(capsys.readouterr().out)
    assert main(["evaluate", str(tmp_path / "m.stl"), shape, *common]) == 0
    of_mesh = json.loads(capsys.readouterr().out)
    assert of_mesh["iou"] == pytest.approx(of_model["iou"], abs=1e-3)
    assert main(["evaluate", shape, shape, *common]) == 0
    of_itself = json.loads(capsys.readouterr().out)
    assert of_itself["iou"] == 1.0
    assert of_itself["surface_distance"]["to_reference"]["max"] < 1e-9

    assert main(["render", model, "--size", "48x64", "--out", str(tmp_path / "view.png"), "--quiet"]) == 0
    from PIL import Image

    with Image.open(tmp_path / "view.png") as picture:
        assert picture.size == (64, 48)
        assert np.asarray(picture.convert("L")).std() > 5


def test_existing_files_are_kept(run, tmp_path, capsys):
    model = str(run / "model.safetensors")
    out = tmp_path / "mesh.ply"
    out.write_text("mine")
    assert main(["mesh", model, "--resolution", "32", "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_reference_weights_are_imported(tmp_path, capsys):
    from tests.core import golden

    source = golden.FOLDER / "checkpoints" / "ref_state_dict_finer_sdf_trained.pth"
    out = tmp_path / "model.safetensors"
    assert main(["import", str(source), "--method", "finer", "--out", str(out)]) == 0
    assert "2x64" in capsys.readouterr().out.replace(" ", "")
    mesh = tmp_path / "mesh.ply"
    assert main(["mesh", str(out), "--resolution", "64", "--out", str(mesh), "--quiet"]) == 0
    expected = golden.load("metrics/alignment_and_export")["export.bounds_without_grid_offset"]
    np.testing.assert_allclose(trimesh.load(mesh).bounds, expected, atol=2e-3)


@pytest.mark.usefixtures("no_report")
def test_benchmark_writes_the_table_in_three_formats(run, tmp_path, capsys):
    folder = tmp_path / "shapes"
    folder.mkdir()
    write_ellipsoid(folder / "armadillo_like.ply")
    (folder / "broken.ply").write_bytes(b"ply\nnot really")
    arguments = ["benchmark", str(folder), "--methods", "finer", "siren", "--out", str(tmp_path / "out"), "--json"]
    quick = ["--steps", "20", "--resolution", "24", "--samples", "5000", "--eval-samples", "2000", "--quiet"]
    quick += ["--batch-points", "256"]
    assert main([*arguments, *quick]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["method"] for row in rows] == ["finer", "siren"] * 2
    assert rows[0]["published_chamfer_l2_sum"] == pytest.approx(4.040e-6)
    assert rows[0]["seconds"] > 0
    assert "broken.ply" in rows[2]["error"]
    assert len((tmp_path / "out" / "benchmark.csv").read_text().splitlines()) == 5
    assert "| broken.ply | finer | failed" in (tmp_path / "out" / "benchmark.md").read_text()
    assert main([*arguments, *quick]) == 2
    assert main([*arguments, *quick, "--resume"]) == 0
    again = json.loads(capsys.readouterr().out)["rows"]
    assert again[0]["seconds"] == rows[0]["seconds"], "a finished fit is kept"
