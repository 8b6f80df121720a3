"""A killed or interrupted training, resumed, ends in the same bits as an uninterrupted one, restarts included."""

import json
import os
import signal
from pathlib import Path

import pytest

from finer_nerf.app.cli import main
from tests.nerf.small_scenes import write_ball
from tests.runs import start, wait_for_lines

SMALL = ["--hidden-features", "16", "--hidden-layers", "1", "--max-samples", "32", "--grid-resolution", "16"]
ARGUMENTS = [
    *[*SMALL, "--device", "cpu", "--batch-samples", "2000", "--batch-rays", "128", "--orbit-frames", "0"],
    *["--steps", "300", "--log-every", "5", "--checkpoint-seconds", "0"],
]


@pytest.fixture(scope="module", params=["fast", "paper"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an uninterrupted run, its scene beside it."""
    folder = tmp_path_factory.mktemp(f"resume-{request.param}")
    scene = write_ball(folder / "ball", size=16, train=6, test=2)
    arguments = ["train", str(scene), "--preset", request.param, *ARGUMENTS]
    assert main([*arguments, "--out", str(folder / "whole")]) == 0
    (folder / "arguments.json").write_text(json.dumps(arguments))
    return folder / "whole"


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


def test_killed_twice_then_interrupted_then_resumed(whole, tmp_path):
    out = tmp_path / "run"
    killed = 0
    for count in (1, 25):
        process = start("finer_nerf", command(whole, out))
        wait_for_lines(out / "metrics.jsonl", count, process)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed == 2, "the training was too short to be killed twice"
    process = start("finer_nerf", command(whole, out))
    wait_for_lines(out / "metrics.jsonl", 35, process)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert main(command(whole, out)) == 0
    assert_equal(whole, out)


def test_a_collapsed_training_starts_over_and_resumes_to_the_same_bits(tmp_path, monkeypatch, capfd):
    """The first attempt is made to look empty; what counts is that the second differs and that its kill is harmless."""
    from finer_nerf.training import objective

    scene = write_ball(tmp_path / "ball", size=16, train=6, test=2)
    arguments = ["train", str(scene), *ARGUMENTS, "--steps", "120"]
    plain = objective.PhotometricObjective._remember

    def collapse_at_first(self, seen, step):
        plain(self, seen, step)
        if self.attempt == 0 and step == 30:
            raise objective.EmptySceneError(step=step, opacity=0.0)

    monkeypatch.setattr(objective.PhotometricObjective, "_remember", collapse_at_first)
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    assert "starting over" in capfd.readouterr().err
    assert json.loads((tmp_path / "whole" / "metrics.json").read_text())["restarts"] == 1
    steps = [json.loads(line)["step"] for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(5, 125, 5))

    class Killed(Exception):
        pass

    def killed_in_the_second(self, seen, step):
        collapse_at_first(self, seen, step)
        if self.attempt == 1 and step == 77:
            raise Killed

    monkeypatch.setattr(objective.PhotometricObjective, "_remember", killed_in_the_second)
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 1
    monkeypatch.setattr(objective.PhotometricObjective, "_remember", collapse_at_first)
    assert main([*arguments, "--out", str(tmp_path / "run"), "--resume"]) == 0
    assert_equal(tmp_path / "whole", tmp_path / "run")


def test_a_changed_scene_or_setting_cannot_be_resumed(whole, capsys):
    arguments = json.loads((whole.parent / "arguments.json").read_text())
    assert main([*arguments, "--out", str(whole), "--resume", "--steps", "301"]) == 2
    assert "--steps 301" in capsys.readouterr().err
    picture = Path(arguments[1]) / "test" / "t_0.png"
    before = picture.read_bytes()
    picture.write_bytes((Path(arguments[1]) / "test" / "t_1.png").read_bytes())
    try:
        assert main([*arguments, "--out", str(whole), "--resume"]) == 2
        assert "not the scene" in capsys.readouterr().err
    finally:
        picture.write_bytes(before)
