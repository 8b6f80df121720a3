"""The command line, from scene to film: what a new user does first."""

import dataclasses
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from finer_core import NetworkDict, load_model
from finer_nerf import write_scene
from finer_nerf.app.cli import main
from tests.nerf.small_scenes import ball_scene, write_ball
from tests.runs import FIGURES, assert_threads_hold

SMALL = [
    *["--hidden-features", "32", "--hidden-layers", "1", "--max-samples", "48", "--grid-resolution", "24"],
    *["--device", "cpu", "--batch-samples", "6000", "--quiet"],
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train on the ball once."""
    folder = tmp_path_factory.mktemp("cli")
    scene = write_ball(folder / "ball", size=20)
    arguments = ["train", str(scene), "--steps", "150", "--orbit-frames", "6", *SMALL, "--out", str(folder / "run")]
    assert main(arguments) == 0
    return folder / "run"


def test_views_without_an_error_have_an_infinite_psnr(tmp_path, capsys):
    scene = ball_scene(size=16, train=6, test=2)
    away = scene.test.poses @ np.diag([-1.0, 1.0, -1.0, 1.0])  # from the ball, of which these views show nothing
    test = dataclasses.replace(scene.test, images=torch.zeros_like(scene.test.images), poses=away)
    write_scene(dataclasses.replace(scene, test=test), tmp_path / "ball")
    small = [*SMALL, "--batch-rays", "64", "--orbit-frames", "0"]
    assert main(["train", str(tmp_path / "ball"), "--steps", "2", *small, "--out", str(tmp_path / "run")]) == 0
    assert capsys.readouterr().out.startswith("PSNR infinite on white")
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["psnr"] is None


def test_the_run_folder_is_complete(run):
    names = {path.name for path in run.iterdir()}
    assert names >= {"config.json", "metrics.jsonl", "metrics.json", "model.safetensors", "checkpoint", "report.html"}
    assert names >= {"views", "orbit.mp4"}
    figures = json.loads((run / "metrics.json").read_text())
    assert figures.keys() >= FIGURES | {"psnr", "ssim", "lpips", "background"}
    assert figures["psnr"] > 18 and figures["background"] == "white" and figures["restarts"] == 0
    assert len(figures["per_view"]) == 3
    assert figures["psnr"] == pytest.approx(np.mean([row["psnr"] for row in figures["per_view"].values()]))


def test_threads_hold_for_a_training_and_are_given_back(tmp_path, capsys):
    scene = write_ball(tmp_path / "ball", size=10)
    arguments = ["train", str(scene), "--steps", "2", "--orbit-frames", "0", *SMALL]
    assert_threads_hold(main, arguments, tmp_path / "run", capsys)


def test_the_side_by_side_picture_has_truth_left(run):
    picture = np.asarray(Image.open(run / "views" / "test_t_0.png"))
    truth = np.asarray(Image.open(run.parent / "ball" / "test" / "t_0.png")).astype(float)
    on_white = truth[..., :3] * truth[..., 3:] / 255 + 255 - truth[..., 3:]
    assert np.abs(picture[:, :20] - on_white).max() <= 1
    assert picture.shape == (20, 40, 3)


def test_the_report_is_one_page_with_the_film(run):
    page = (run / "report.html").read_text()
    assert "data:video/mp4;base64," in page and "on white" in page
    assert page.count("data:image/png;base64,") == 3 * 4
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "NaN" not in page


def test_evaluate_repeats_the_figures(run, capsys):
    arguments = ["evaluate", str(run / "model.safetensors"), str(run.parent / "ball"), "--json", "--quiet"]
    assert main([*arguments, "--device", "cpu", "--out", str(run.parent / "eval")]) == 0
    figures, trained = json.loads(capsys.readouterr().out), json.loads((run / "metrics.json").read_text())
    assert figures["psnr"] == pytest.approx(trained["psnr"], abs=1e-6)
    assert figures["per_view"].keys() == trained["per_view"].keys()
    assert (run.parent / "eval" / "test_t_1.png").is_file()
    assert main([*arguments, "--background", "black"]) == 0
    black = json.loads(capsys.readouterr().out)
    assert black["background"] == "black" and black["psnr"] != figures["psnr"]


def test_core_alone_loads_the_model(run):
    parts = load_model(run / "model.safetensors")
    assert isinstance(parts, NetworkDict) and set(parts) == {"density", "color"}


@pytest.mark.parametrize("kind", ["color", "depth", "normals"])
def test_render_pictures(run, tmp_path, kind):
    out = tmp_path / "a.png"
    arguments = ["render", str(run / "model.safetensors"), "--out", str(out), "--kind", kind, "--size", "24x30"]
    assert main([*arguments, "--quiet"]) == 0
    picture = np.asarray(Image.open(out))
    assert picture.shape == (24, 30, 3) and picture[0, 0].tolist() == [255, 255, 255]
    assert np.ptp(picture[8:16, 11:19]) > 10


def test_render_a_spiral_as_frames_and_a_film(run, tmp_path):
    model = str(run / "model.safetensors")
    assert main(["render", model, "--out", str(tmp_path / "f"), "--path", "spiral", "--frames", "2", "--quiet"]) == 0
    assert len(list((tmp_path / "f").iterdir())) == 2
    (tmp_path / "f" / "frame_0002.png").touch()  # of a longer film
    for name in ("notes.txt", "frame_0000_annotated.png", "frame_9.backup.png"):
        (tmp_path / "f" / name).touch()
    again = ["render", model, "--out", str(tmp_path / "f"), "--frames", "1", "--quiet"]
    assert main(again) == 2 and main([*again, "--overwrite"]) == 0
    kept = {"notes.txt", "frame_0000_annotated.png", "frame_9.backup.png"}
    assert {path.name for path in (tmp_path / "f").iterdir()} == {"frame_0000.png", *kept}
    assert main(["render", model, "--out", str(tmp_path / "o.mp4"), "--frames", "3", "--quiet"]) == 0
    assert (tmp_path / "o.mp4").stat().st_size > 500
    assert main(["render", model, "--out", str(tmp_path / "o.mp4"), "--frames", "3", "--quiet"]) == 2
    assert main(["render", model, "--out", str(tmp_path / "o.mp4"), "--frames", "3", "--quiet", "--overwrite"]) == 0


def test_mesh(run, tmp_path):
    arguments = ["mesh", str(run / "model.safetensors"), "--out", str(tmp_path / "m.glb"), "--resolution", "40"]
    assert main([*arguments, "--level", "5", "--quiet"]) == 0
    mesh = trimesh.load(tmp_path / "m.glb", force="mesh")
    assert 0.4 < np.linalg.norm(mesh.vertices, axis=1).mean() < 0.8  # the ball has radius 0.6


def test_benchmark_compares_methods_and_resumes(run, tmp_path, capsys):
    arguments = ["benchmark", str(run.parent / "ball"), "--methods", "finer", "pemlp", "--out", str(tmp_path / "b")]
    settings = ["--steps", "3", "--orbit-frames", "0", "--max-samples", "16", "--grid-resolution", "8", "--quiet"]
    assert main([*arguments, *settings, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["method"] for row in rows] == ["finer", "pemlp"] and all(row["psnr"] > 0 for row in rows)
    assert "ball" in (tmp_path / "b" / "benchmark.md").read_text()
    assert main([*arguments, *settings]) == 2
    before = (tmp_path / "b" / "ball-finer" / "model.safetensors").stat().st_mtime_ns
    assert main([*arguments, *settings, "--resume"]) == 0
    assert (tmp_path / "b" / "ball-finer" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(SystemExit):
        main(["benchmark"])
    assert main([*arguments, "--methods", "finer", "sirenn"]) == 2


def test_ngp_trains_and_comes_back(run, tmp_path):
    small = ["--levels", "4", "--log2-table-size", "10", "--finest-resolution", "32", "--steps", "60"]
    shared = ["--device", "cpu", "--batch-samples", "6000", "--quiet", "--max-samples", "48", "--grid-resolution", "24"]
    out = tmp_path / "ngp"
    arguments = ["train", str(run.parent / "ball"), "--method", "ngp", "--orbit-frames", "0", "--out", str(out)]
    assert main([*arguments, *small, *shared]) == 0
    assert json.loads((out / "metrics.json").read_text())["psnr"] > 15
    assert main(["evaluate", str(out / "model.safetensors"), str(run.parent / "ball"), "--quiet"]) == 0


def test_help_needs_no_torch():  # and is quick: tests/contracts/test_command_line.py
    code = "import sys; from finer_nerf.app.cli import build_parser; build_parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
