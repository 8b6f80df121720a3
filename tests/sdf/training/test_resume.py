"""A killed or interrupted fit, resumed, ends in the same bits as an uninterrupted one."""

import json
import signal
from pathlib import Path

import pytest

from finer_sdf.app.cli import main
from tests.kills import killed_once_logged, signalled_once_logged
from tests.runs import start, wait_for_lines
from tests.sdf.shape_files import SMALL, write_ellipsoid

ARGUMENTS = [
    *SMALL,
    *("--steps", "200", "--batch-points", "256", "--hidden-features", "32"),
    *("--log-every", "5", "--checkpoint-seconds", "0"),
]


def whole_run(preset: str, folder: Path, *more: str) -> Path:
    """Return an uninterrupted run, its shape beside it."""
    shape = write_ellipsoid(folder / "egg.ply")
    precision = {"fast": "bf16", "paper": "fp32"}[preset]  # whatever this processor's default is
    given = list(ARGUMENTS)
    if preset == "paper":  # which computes no exact distances
        at = given.index("--samples")
        del given[at : at + 2]
    arguments = ["fit", str(shape), "--preset", preset, "--precision", precision, *given, *more]
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
    for name in ("model.safetensors", "mesh.ply"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    ours, theirs = (json.loads((path / "metrics.json").read_text()) for path in (out, whole))
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing <= {"seconds", "peak_memory_mb"}


@pytest.mark.usefixtures("no_report")
def test_killed_then_interrupted_then_resumed(whole, tmp_path, capsys):
    out = tmp_path / "run"
    process = start("finer_sdf", command(whole, out))
    wait_for_lines(out / "metrics.jsonl", 10, process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the fit was too short to be killed in the middle"
    with signalled_once_logged(150, signal.SIGTERM):
        assert main(command(whole, out)) == 130
    assert "interrupted; saved at step 150" in capsys.readouterr().err
    assert not (out / "metrics.json").exists()
    assert main(command(whole, out)) == 0
    assert_equal(whole, out)


@pytest.mark.usefixtures("no_report")
def test_a_published_training_is_killed_thrice_then_resumed(tmp_path):
    """Once before it has a checkpoint, and twice as it goes on: from the beginning, and from a checkpoint."""
    whole, out = whole_run("paper", tmp_path, "--steps", "60"), tmp_path / "run"
    for step in (5, 10, 40):
        with killed_once_logged(step):
            main(command(whole, out))
    assert not (out / "metrics.json").exists()
    assert main(command(whole, out)) == 0
    assert_equal(whole, out)


def test_another_shape_is_not_resumed_into(whole, tmp_path, capsys):
    other = write_ellipsoid(tmp_path / "other.obj")
    assert main(["fit", str(other), "--out", str(whole), "--resume"]) == 2
    assert "not the shape" in capsys.readouterr().err
    assert main(["fit", "--out", str(whole), "--resume", "--learning-rate", "0.5"]) == 2
    assert "--learning-rate" in capsys.readouterr().err
