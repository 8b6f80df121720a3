"""A killed or interrupted training, resumed, ends in the same bits as an uninterrupted one, restarts included."""

import json
import signal
from pathlib import Path

import pytest

from finer_nerf.app.cli import main
from tests.kills import killed_once_logged, signalled_once_logged
from tests.nerf.small_scenes import write_ball
from tests.runs import start, wait_for_lines

SMALL = ["--hidden-features", "16", "--hidden-layers", "1", "--max-samples", "32", "--grid-resolution", "16"]
ARGUMENTS = [
    *[*SMALL, "--device", "cpu", "--batch-samples", "2000", "--batch-rays", "128", "--orbit-frames", "0"],
    *["--steps", "200", "--log-every", "5", "--checkpoint-seconds", "0"],
]


def whole_run(preset: str, folder: Path, *more: str) -> Path:
    """Return an uninterrupted run, its scene beside it."""
    scene = write_ball(folder / "ball", size=16, train=6, test=2)
    arguments = ["train", str(scene), "--preset", preset, *ARGUMENTS, *more]
    assert main([*arguments, "--out", str(folder / "whole")]) == 0
    (folder / "arguments.json").write_text(json.dumps(arguments))
    return folder / "whole"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_run("fast", tmp_path_factory.mktemp("resume-fast"))


def command(whole: Path, out: Path) -> list[str]:
    arguments = json.loads((whole.parent / "arguments.json").read_text())
    return [*arguments, "--out", str(out), "--resume"]


def assert_equal(whole: Path, out: Path) -> None:
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    for picture in sorted((whole / "views").iterdir()):
        assert (out / "views" / picture.name).read_bytes() == picture.read_bytes(), picture.name
    ours, theirs = (json.loads((path / "metrics.json").read_text()) for path in (out, whole))
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing <= {"seconds", "peak_memory_mb", "rays_per_second"}


def test_killed_then_interrupted_then_resumed(whole, tmp_path, capsys, python_handles_ctrl_c):
    out = tmp_path / "run"
    process = start("finer_nerf", command(whole, out))
    wait_for_lines(out / "metrics.jsonl", 10, process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the training was too short to be killed in the middle"
    with signalled_once_logged(150, signal.SIGINT):
        assert main(command(whole, out)) == 130
    assert "saved at step 150" in capsys.readouterr().err
    assert not (out / "metrics.json").exists()
    assert main(command(whole, out)) == 0
    assert_equal(whole, out)


def test_a_published_training_is_killed_thrice_then_resumed(tmp_path):
    """Once before it has a checkpoint, and twice as it goes on: from the beginning, and from a checkpoint."""
    whole, out = whole_run("paper", tmp_path, "--steps", "60"), tmp_path / "run"
    for step in (5, 10, 40):
        with killed_once_logged(step):
            main(command(whole, out))
    assert not (out / "metrics.json").exists()
    assert main(command(whole, out)) == 0
    assert_equal(whole, out)


def test_a_collapsed_training_starts_over_and_resumes_to_the_same_bits(tmp_path, monkeypatch, capfd):
    """The first attempt is made to look empty; what counts is that the second differs and that its kill is harmless."""
    from finer_nerf.training import objective

    scene = write_ball(tmp_path / "ball", size=16, train=6, test=2)
    arguments = ["train", str(scene), *ARGUMENTS, "--steps", "60"]
    plain = objective.PhotometricObjective._remember

    def collapse_at_first(self, seen, step):
        plain(self, seen, step)
        if self.attempt == 0 and step == 15:
            raise objective.EmptySceneError(step=step, opacity=0.0)

    monkeypatch.setattr(objective.PhotometricObjective, "_remember", collapse_at_first)
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    assert "starting over" in capfd.readouterr().err
    assert json.loads((tmp_path / "whole" / "metrics.json").read_text())["restarts"] == 1
    steps = [json.loads(line)["step"] for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(5, 65, 5))

    class Killed(Exception):
        pass

    def killed_in_the_second(self, seen, step):
        collapse_at_first(self, seen, step)
        if self.attempt == 1 and step == 37:
            raise Killed

    monkeypatch.setattr(objective.PhotometricObjective, "_remember", killed_in_the_second)
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 1
    monkeypatch.setattr(objective.PhotometricObjective, "_remember", collapse_at_first)
    assert main([*arguments, "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert_equal(tmp_path / "whole", tmp_path / "run")


def test_a_changed_scene_or_setting_cannot_be_resumed(whole, capsys):
    arguments = json.loads((whole.parent / "arguments.json").read_text())
    assert main([*arguments, "--out", str(whole), "--resume", "--steps", "201"]) == 2
    assert "--steps 201" in capsys.readouterr().err
    picture = Path(arguments[1]) / "test" / "t_0.png"
    before = picture.read_bytes()
    picture.write_bytes((Path(arguments[1]) / "test" / "t_1.png").read_bytes())
    try:
        assert main([*arguments, "--out", str(whole), "--resume"]) == 2
        assert "not the scene" in capsys.readouterr().err
    finally:
        picture.write_bytes(before)
