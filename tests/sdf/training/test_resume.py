"""A killed or interrupted fit, resumed, ends in the same bits as an uninterrupted one."""

import json
import os
import signal
from pathlib import Path

import pytest

from finer_sdf.app.cli import main
from tests.runs import start, wait_for_lines
from tests.sdf.shape_files import SMALL, write_ellipsoid

ARGUMENTS = [
    *SMALL,
    *("--steps", "400", "--batch-points", "256", "--hidden-features", "32"),
    *("--log-every", "5", "--checkpoint-seconds", "0"),
]


@pytest.fixture(scope="module", params=["fast", "paper"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an uninterrupted run, its shape beside it."""
    folder = tmp_path_factory.mktemp(f"resume-{request.param}")
    shape = write_ellipsoid(folder / "egg.ply")
    given = list(ARGUMENTS)
    if request.param == "paper":  # which computes no exact distances
        at = given.index("--samples")
        del given[at : at + 2]
    precision = {"fast": "bf16", "paper": "fp32"}[request.param]  # whatever this processor's default is
    arguments = ["fit", str(shape), "--preset", request.param, "--precision", precision, *given]
    assert main([*arguments, "--out", str(folder / "whole")]) == 0
    (folder / "arguments.json").write_text(json.dumps(arguments))
    return folder / "whole"


def command(whole: Path, out: Path) -> list[str]:
    arguments = json.loads((whole.parent / "arguments.json").read_text())
    return [*arguments, "--out", str(out), "--resume"]


def assert_equal(whole: Path, out: Path) -> None:
    for name in ("model.safetensors", "mesh.ply"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    ours, theirs = (json.loads((path / "metrics.json").read_text()) for path in (out, whole))
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert differing <= {"seconds", "peak_memory_mb"}


def test_killed_twice_then_interrupted_then_resumed(whole, tmp_path):
    out = tmp_path / "run"
    killed = 0
    for count in (1, 30):
        process = start("finer_sdf", command(whole, out))
        wait_for_lines(out / "metrics.jsonl", count, process)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed == 2, "the fit was too short to be killed in the middle"
    process = start("finer_sdf", command(whole, out))
    wait_for_lines(out / "metrics.jsonl", 45, process)
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "interrupted; saved at step" in errors
    assert not (out / "metrics.json").exists()
    assert main(command(whole, out)) == 0
    assert_equal(whole, out)


def test_another_shape_is_not_resumed_into(whole, tmp_path, capsys):
    other = write_ellipsoid(tmp_path / "other.obj")
    assert main(["fit", str(other), "--out", str(whole), "--resume"]) == 2
    assert "not the shape" in capsys.readouterr().err
    assert main(["fit", "--out", str(whole), "--resume", "--learning-rate", "0.5"]) == 2
    assert "--learning-rate" in capsys.readouterr().err
