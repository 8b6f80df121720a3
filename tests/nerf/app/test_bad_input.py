"""Wrong input is refused in one line, before anything is written."""

import json

import numpy as np
import pytest
from PIL import Image

from finer_core.io.model_file import save_model
from finer_nerf.app.cli import main
from tests.nerf.small_scenes import write_ball
from tests.refusals import assert_refused


def train(folder, *more: str) -> list[str]:
    return ["train", str(folder), "--out", str(folder.parent / "run"), "--steps", "2", "--device", "cpu", *more]


def spoil(folder, change) -> None:
    """Change the training cameras of a written scene."""
    path = folder / "transforms_train.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def no_frames(data) -> None:
    data["frames"] = []


def singular(data) -> None:
    data["frames"][1]["transform_matrix"][0] = [0, 0, 0, 0]


def not_finite(data) -> None:
    data["frames"][1]["transform_matrix"][0][3] = float("nan")


def not_square(data) -> None:
    data["frames"][2]["transform_matrix"] = [[1, 2], [3, 4]]


def no_lens(data) -> None:
    del data["camera_angle_x"]


def all_missing(data) -> None:
    for frame in data["frames"]:
        frame["file_path"] += "_gone"


def bad_angle(data) -> None:
    data["camera_angle_x"] = -1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_frames, ("transforms_train.json", "no frames")),
        (singular, ("r_1", "singular")),
        (not_finite, ("r_1", "not finite")),
        (not_square, ("r_2", "(2, 2)")),
        (no_lens, ("camera_angle_x",)),
        (bad_angle, ("camera_angle_x", "-1")),
        (all_missing, ("all 12 pictures are missing", "r_0_gone")),
    ],
)
def test_bad_cameras(tmp_path, capsys, change, words):
    folder = write_ball(tmp_path / "ball")
    spoil(folder, change)
    assert_refused(main, train(folder), capsys, *words)
    assert not (tmp_path / "run").exists()


def test_mixed_sizes(tmp_path, capsys):
    folder = write_ball(tmp_path / "ball")
    Image.fromarray(np.zeros((10, 24, 4), np.uint8)).save(folder / "train" / "r_3.png")
    assert_refused(main, train(folder), capsys, "24x24", "10x24", "r_3")


def test_an_unreadable_picture(tmp_path, capsys):
    folder = write_ball(tmp_path / "ball")
    (folder / "train" / "r_3.png").write_bytes(b"not a picture")
    assert_refused(main, train(folder), capsys, "r_3.png")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--bound", "-1"], ("bound", "-1")),
        (["--bound", "nan"], ("bound", "nan")),
        (["--scene-scale", "0"], ("scene-scale", "0")),
        (["--method", "finner"], ("finner", "finer")),
        (["--method", "bacon"], ("bacon", "nerf")),
        (["--hidden-features", "0"], ("hidden_features", "0")),
        (["--memory", "600MB"], ("600MB",)),
        (["--downscale", "40"], ("40", "no pixel")),
        (["--ema-decay", "1"], ("ema-decay", "1")),
        (["--matrix-learning-rate", "1"], ("--matrix-learning-rate 1", "adam", "muon or soap")),
        (["--option", "first_omega_0=3", "--first-omega-0", "4"], ("first_omega_0=3", "--first-omega-0", "both")),
        (["--ema-every", "3"], ("--ema-every 3", "--ema-decay")),
        (["--backend", "tcnn"], ("tcnn", "method finer")),
        (["--renderer", "nerfacc"], ("nerfacc",)),
        (["--backend", "tcnn", "--method", "ngp"], ("tcnn",)),
        (["--resume", "--overwrite"], ("--resume", "--overwrite")),
        (["--stepz", "3"], ("--stepz", "--steps")),
    ],
)
def test_bad_options(tmp_path, capsys, options, words):
    folder = write_ball(tmp_path / "ball")
    try:
        assert_refused(main, train(folder, *options), capsys, *words)
    except SystemExit as stop:  # what the parser itself refuses
        assert stop.code == 2
        captured = capsys.readouterr().err
        assert len(captured.splitlines()) == 1 and all(word in captured for word in words)


@pytest.mark.parametrize(
    ("out", "options", "words"),
    [
        ("a.png", ["--frames", "3"], "--frames 3 does nothing to one view"),
        ("a.npz", ["--fps", "3"], "--fps 3.0 does nothing to one view"),
        ("a.npz", ["--kind", "depth"], "--kind 'depth' does nothing to an .npz"),
        ("a", ["--fps", "3"], "--fps 3.0 does nothing to a folder"),
        ("a.mp4", ["--frames", "3", "--path", "p.json"], "--frames 3 does nothing to a file of cameras"),
    ],
)
def test_options_of_another_kind_of_rendering(tmp_path, capsys, out, options, words):
    arguments = ["render", "x.safetensors", "--out", str(tmp_path / out), *options]
    assert_refused(main, arguments, capsys, words, "leave it out")


def test_a_path_of_more_frames_than_memory_holds_is_refused_before_it_is_made(tmp_path, capsys):
    arguments = ["render", "x.safetensors", "--out", str(tmp_path / "a.mp4"), "--frames", "1000000000"]
    assert_refused(main, arguments, capsys, "a path of 1000000000 frames needs about", "give fewer --frames")


def test_no_scene(tmp_path, capsys):
    assert_refused(main, train(tmp_path / "absent"), capsys, "absent", "no such")
    (tmp_path / "empty").mkdir()
    assert_refused(main, train(tmp_path / "empty"), capsys, "transforms_train.json", "COLMAP")
    (tmp_path / "empty" / "transforms.json").write_text("{")
    assert_refused(main, train(tmp_path / "empty"), capsys, "transforms.json", "JSON")


def test_commands_on_a_model_of_another_task(tmp_path, capsys):
    from finer_core import build_network
    from finer_core.networks.build import published_config

    path = tmp_path / "image.safetensors"
    config = published_config(method="siren", task="image", in_features=2, out_features=3, hidden_features=16)
    save_model(build_network(config), path, task="image", task_data={})
    for command in (
        ["evaluate", str(path), "workbench"],
        ["render", str(path), "--out", str(tmp_path / "a.mp4")],
        ["mesh", str(path), "--out", str(tmp_path / "a.ply")],
        ["view", str(path)],
    ):
        assert_refused(main, command, capsys, "image.safetensors", "'image'")


def test_bad_outputs(tmp_path, capsys):
    gone = str(tmp_path / "gone" / "film.mp4")
    assert_refused(main, ["render", "m.safetensors", "--out", gone], capsys, "gone", "does not exist")
    assert_refused(main, ["render", "m.safetensors", "--out", str(tmp_path / "film.avi")], capsys, "film.avi")
    assert_refused(main, ["render", "m.safetensors", "--out", str(tmp_path / "a.mp4"), "--size", "9"], capsys, "'9'")
    assert_refused(main, ["mesh", "m.safetensors", "--out", str(tmp_path / "a.png")], capsys, "a.png", ".ply")
    up = ["mesh", "m.safetensors", "--out", str(tmp_path / "new.ply"), "--up=-y"]
    assert_refused(main, up, capsys, "--up '-y' does nothing", ".ply")
    assert_refused(main, ["mesh", "m.safetensors", "--out", str(tmp_path / "gone" / "a.ply")], capsys, "gone")
    (tmp_path / "a.ply").write_text("mine")
    assert_refused(main, ["mesh", "m.safetensors", "--out", str(tmp_path / "a.ply")], capsys, "already exists")
    assert_refused(main, ["evaluate", str(tmp_path / "no.safetensors"), "workbench"], capsys, "no.safetensors")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    assert_refused(main, ["scene", "--out", str(tmp_path / "full")], capsys, "full", "already exists")
    assert_refused(main, ["scene", "--out", str(tmp_path / "s"), "--size", "1"], capsys, "--size")
