"""What is unusual about a scene reaches the user of every command: on stderr, in the figures and in the report."""

import errno
import json
import os

import numpy as np
import pytest
from PIL import Image

from finer_core.errors import InputError
from finer_core.training import checkpoint
from finer_nerf import NerfModel, builtin_scene, write_scene
from finer_nerf.app.cli import main
from tests.nerf.small_scenes import write_ball, write_transforms
from tests.refusals import assert_refused

TINY = [
    *["--steps", "2", "--hidden-features", "16", "--batch-rays", "64", "--max-samples", "16"],
    *["--grid-resolution", "8", "--orbit-frames", "2", "--device", "cpu"],
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train two steps on a scene with a fisheye lens, a mask, lists of views and a name of 250 letters."""
    folder = tmp_path_factory.mktemp("odd")
    long = f"{'d' * 120}/{'e' * 120}"
    scene = write_transforms(
        folder / "scene",
        size=(16, 16),
        camera_model="OPENCV_FISHEYE",
        k1=0.01,
        mask_path="mask.png",
        test_filenames=["images/1.png", f"{long}/deep.png"],
        rolling_shutter=[0, 1, 0, 0],
        each=lambda i: {"file_path": f"{long}/deep.png"} if i == 2 else {},
    )
    (scene / long).mkdir(parents=True)
    (scene / "images" / "2.png").rename(scene / long / "deep.png")
    mask = np.full((16, 16), 255, np.uint8)
    mask[:4] = 0
    Image.fromarray(mask).save(scene / "mask.png")
    assert main(["train", str(scene), "--out", str(folder / "run"), *TINY, "--quiet"]) == 0
    return folder / "run"


def test_notes_are_in_figures_config_and_report(run):
    notes = json.loads((run / "metrics.json").read_text())["notes"]
    assert any("mask" in note for note in notes) and "rolling_shutter is left aside" in notes
    assert json.loads((run / "config.json").read_text())["scene"]["notes"] == notes
    assert "rolling_shutter is left aside" in (run / "report.html").read_text()


def test_a_long_name_has_its_pictures(run):
    assert len(list((run / "views").iterdir())) == 4
    assert any(path.name.endswith("deep_depth.png") for path in (run / "views").iterdir())


def test_evaluate_says_the_notes_unless_quiet(run, capsys):
    command = ["evaluate", str(run / "model.safetensors"), str(run.parent / "scene"), "--device", "cpu", "--json"]
    capsys.readouterr()
    assert main(command) == 0
    captured = capsys.readouterr()
    assert "rolling_shutter is left aside" in captured.err
    assert "rolling_shutter is left aside" in json.loads(captured.out)["notes"]
    assert main([*command, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_evaluate_of_another_scene_says_so_and_replaces_the_views_of_the_first(run, tmp_path, capsys):
    model, out = str(run / "model.safetensors"), tmp_path / "views"
    other = tmp_path / "other"
    write_scene(builtin_scene(size=8), other)
    (out / "notes").mkdir(parents=True)
    (out / "mine.png").touch()
    words = "no view of it was trained on: it may be another scene than the model's own, 'scene'"
    for scene, said in ((run.parent / "scene", False), (other, True)):
        command = ["evaluate", model, str(scene), "--device", "cpu", "--out", str(out), "--overwrite", "--json"]
        assert main(command) == 0
        captured = capsys.readouterr()
        assert (words in json.loads(captured.out)["notes"]) == (words in captured.err) == said
        names = {path.name for path in out.glob("*_depth.png")}
        assert len(names) == len(json.loads(captured.out)["per_view"])
    assert (out / "mine.png").is_file() and (out / "notes").is_dir()


def test_a_resumed_run_says_the_same(run, capsys):
    (run / "metrics.json").unlink()
    assert main(["train", "--resume", "--out", str(run), "--quiet"]) == 0
    assert "rolling_shutter is left aside" in json.loads((run / "metrics.json").read_text())["notes"]


def test_the_place_of_a_scene_of_another_size_is_said(tmp_path, capsys):
    folder = write_ball(tmp_path / "ball")
    for path in folder.glob("*.json"):
        data = json.loads(path.read_text())
        for frame in data["frames"]:
            for row in frame["transform_matrix"][:3]:
                row[3] *= 5
        path.write_text(json.dumps(data))
    assert main(["train", str(folder), "--out", str(tmp_path / "run"), *TINY]) == 0
    assert "--scene-scale" in capsys.readouterr().err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "--scene-scale" in config["notes"][0] and config["notes"][0] in config["scene"]["notes"]


def test_the_paper_preset_reads_reduced_pictures_at_once(tmp_path, monkeypatch):
    asked = []

    def read(*_, **how):
        asked.append((how["downscale"], how["every"]))
        raise InputError("enough")

    monkeypatch.setattr("finer_nerf.scenes.reader.read_scene", read)
    scene = write_transforms(tmp_path / "scene", count=58, size=(400, 8))
    assert main(["train", str(scene), "--out", str(tmp_path / "run"), "--preset", "paper"]) == 2
    assert asked == [(2, 2)]  # 50 views to train on, and 25 published; 400 lines, and 200 published


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_memory_is_refused_by_every_command_that_reads_pictures(run, tmp_path, capsys, command):
    scene = write_transforms(tmp_path / "scene", size=(3000, 3000), count=2)
    more = {"train": [str(scene)], "evaluate": [str(run / "model.safetensors"), str(scene)]}[command]
    arguments = [command, *more, "--memory", "600MB", "--out", str(tmp_path / "out")]
    assert_refused(main, arguments, capsys, "2 pictures", "--memory", "600 MB")
    assert not (tmp_path / "out").exists()


def test_a_picture_that_has_no_room_is_not_begun(run, tmp_path, capsys):
    command = ["render", str(run / "model.safetensors"), "--out", str(tmp_path / "a.png"), "--size", "99999x99999"]
    assert_refused(main, command, capsys, "99999x99999", "--size")


def test_a_path_of_cameras_is_checked_as_a_scene_is(run, tmp_path, capsys):
    path = tmp_path / "path.json"
    for matrix, words in ((np.diag([1, 2, 3, 1.0]).tolist(), "lengths"), ("x" * 5000, "transform_matrix")):
        path.write_text(json.dumps({"frames": [{"transform_matrix": matrix}]}))
        command = ["render", str(run / "model.safetensors"), "--out", str(tmp_path / "a.png"), "--path", str(path)]
        assert_refused(main, command, capsys, "path.json", "frame 0", words)


def test_what_a_path_says_besides_its_poses_is_told(run, tmp_path, capsys):
    frames = json.loads((run.parent / "scene" / "transforms.json").read_text())["frames"]
    path = tmp_path / "path.json"
    path.write_text(json.dumps({"from_na": True, "fl_x": 80.0, "w": 20, "h": 10, "frames": frames}))
    command = ["render", str(run / "model.safetensors"), "--out", str(tmp_path / "a.png"), "--path", str(path)]
    assert main(command) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "from_na" in line]
    assert line == "from_na: two axes of every camera reversed, to x right, y up, z backwards"
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (20, 10)
    path.write_text(json.dumps({"frames": [frames[0] | {"w": 20, "h": 10, "fl_x": 9}, frames[1] | {"fl_x": 9}]}))
    assert_refused(main, [*command[:3], str(tmp_path / "film.mp4"), *command[4:]], capsys, "2 sizes", "--size")


def test_pictures_of_an_odd_size_are_rendered_at_that_size(run, tmp_path, capsys):
    """They are compared with those of the scene, whose cameras the path names; only a film needs even sides."""
    model = NerfModel.load(run / "model.safetensors")
    model.camera = model.camera.resized(height=17, width=23)
    model.save(tmp_path / "m.safetensors")
    frames = json.loads((run.parent / "scene" / "transforms.json").read_text())["frames"][:2]
    path = tmp_path / "path.json"
    path.write_text(json.dumps({"frames": frames}))
    for out, files in (("a.png", "a.png"), ("frames", "frames/*.png")):
        command = ["render", str(tmp_path / "m.safetensors"), "--out", str(tmp_path / out), "--path", str(path)]
        assert main(command) == 0 and "17x23" in capsys.readouterr().out
        assert {np.asarray(Image.open(file)).shape for file in tmp_path.glob(files)} == {(17, 23, 3)}
    model.video(tmp_path / "film", model.orbit(1))
    assert np.asarray(Image.open(tmp_path / "film" / "frame_0000.png")).shape == (17, 23, 3)
    model.video(tmp_path / "film.mp4", model.orbit(1))


def test_judged_views_that_are_trained_on_are_said(run, tmp_path, capsys):
    """Copied lists of test views, frames listed twice, and other views held out than in training: too good a figure."""
    folder = write_ball(tmp_path / "ball", train=4, test=2)
    (folder / "transforms_test.json").write_text((folder / "transforms_train.json").read_text())
    assert main(["train", str(folder), "--out", str(tmp_path / "run"), *TINY]) == 0
    words = "4 of 4 judged views are from where training views are: their figures say little of new views"
    assert f"ball: {words}" in capsys.readouterr().err
    assert words in json.loads((tmp_path / "run" / "metrics.json").read_text())["notes"]
    model, other = str(tmp_path / "run" / "model.safetensors"), write_ball(tmp_path / "other", train=4, test=2)
    for scene, said in ((folder, words), (other, "")):
        assert main(["evaluate", model, str(scene), "--json", "--device", "cpu"]) == 0
        captured = capsys.readouterr()
        assert [note for note in json.loads(captured.out)["notes"] if "judged views" in note] == [said] * bool(said)
        assert said in captured.err
    assert main(["evaluate", model, str(folder), "--split", "train", "--json", "--device", "cpu"]) == 0
    assert words not in capsys.readouterr().out  # asked for


LONG = "y" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        *(["scene", "--size", "8", "--out", LONG], ["evaluate", "m.safetensors", "s", "--out", LONG]),
        *(["render", "m.safetensors", "--out", LONG + end] for end in ("", ".png", ".mp4", ".npz")),
    ],
    ids=lambda arguments: arguments[0] + arguments[-1][300:],
)
def test_names_that_no_file_can_have_are_refused_before_a_model_is_read(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert_refused(main, arguments, capsys, "cannot be written", "name too long")


def test_a_folder_that_may_not_be_written_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    (tmp_path / "there").mkdir()

    def denied(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path))

    monkeypatch.setattr("finer_core.io.files.tempfile.mkstemp", denied)
    monkeypatch.setattr("finer_nerf.app.commands.builtin_scene", lambda **_: pytest.fail("work was done"))
    for name in ("new", "there"):
        out = str(tmp_path / name)
        assert_refused(main, ["scene", "--size", "8", "--out", out], capsys, out, "cannot be written")


def test_a_resumed_training_reads_its_checkpoint_once_for_its_attempt_and_once_for_its_state(tmp_path, monkeypatch):
    arguments = ["train", str(write_ball(tmp_path / "ball", size=8)), "--out", str(tmp_path / "run"), *TINY, "--quiet"]
    assert main(arguments) == 0
    (tmp_path / "run" / "metrics.json").unlink()
    read: list[str] = []
    tensors = checkpoint.read_tensors
    monkeypatch.setattr(checkpoint, "read_tensors", lambda name, **how: (read.append(name), tensors(name, **how))[1])
    assert main(["train", "--out", str(tmp_path / "run"), "--resume", "--quiet"]) == 0
    assert len(read) == 2
