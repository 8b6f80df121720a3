"""A killed or interrupted fit, resumed, ends in the same bits as an uninterrupted one, in either precision."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from finer_image.app.cli import main
from tests.runs import start, wait_for_lines

STEPS = 300
ARGUMENTS = [
    *("--steps", str(STEPS), "--log-every", "5", "--batch-pixels", "256"),
    *("--hidden-features", "32", "--hidden-layers", "1", "--checkpoint-seconds", "0", "--quiet"),
]


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder, named by the precision of its fits, with a picture and an uninterrupted run of it."""
    path = tmp_path_factory.mktemp("resume") / request.param
    path.mkdir()
    values = np.random.default_rng(0).integers(0, 256, (48, 40, 3), dtype=np.uint8)
    Pillow.fromarray(values).save(path / "picture.png")
    assert main(command(path, path / "whole")) == 0
    return path


def command(folder: Path, out: Path) -> list[str]:
    return ["fit", str(folder / "picture.png"), "--out", str(out), "--resume", "--precision", folder.name, *ARGUMENTS]


def assert_equal_to_the_whole(folder: Path, out: Path) -> None:
    assert (out / "model.safetensors").read_bytes() == (folder / "whole" / "model.safetensors").read_bytes()
    assert (out / "reconstruction.png").read_bytes() == (folder / "whole" / "reconstruction.png").read_bytes()
    ours, whole = (
        [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        for path in (out, folder / "whole")
    )
    keep = ("step", "loss", "psnr", "learning_rate", "rollbacks")
    assert [[line[key] for key in keep] for line in ours] == [[line[key] for key in keep] for line in whole]


def test_killed_again_and_again(folder, tmp_path):
    out = tmp_path / "run"
    killed = 0
    for count in (1, 9, 24, 40):
        process = start("finer_image", command(folder, out))
        wait_for_lines(out / "metrics.jsonl", count, process)
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 3, "the fit was too short to be killed in the middle"
    assert not (out / "metrics.json").exists()
    assert main(command(folder, out)) == 0
    assert_equal_to_the_whole(folder, out)
    leftovers = [path for path in out.rglob("*") if path.name.startswith(".")]
    assert not leftovers


def test_killed_before_anything_was_written(folder, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / ".finer-partial-x.json").write_text("{")  # as a writer of config.json leaves it
    assert main(command(folder, out)) == 0
    assert_equal_to_the_whole(folder, out)


def test_interrupted(folder, tmp_path):
    out = tmp_path / "run"
    number = {"fp32": signal.SIGINT, "bf16": signal.SIGTERM}[folder.name]
    process = start("finer_image", command(folder, out))
    wait_for_lines(out / "metrics.jsonl", 12, process)
    os.kill(process.pid, number)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    message = errors.splitlines()
    assert len(message) == 1
    assert "interrupted; saved at step" in message[0]
    assert (out / "checkpoint" / "state.safetensors").is_file()
    assert main(command(folder, out)) == 0
    assert_equal_to_the_whole(folder, out)


def test_other_threads_than_in_the_beginning_are_told_of(tmp_path, capsys):
    """Sums are split by them, so the bits may be others, as with other kernels."""
    Pillow.fromarray(np.zeros((12, 12), dtype=np.uint8)).save(tmp_path / "picture.png")
    arguments = ["fit", str(tmp_path / "picture.png"), "--out", str(tmp_path / "run"), "--resume", "--steps", "2"]
    arguments += ["--hidden-features", "8", "--hidden-layers", "1", "--quiet"]
    before = torch.get_num_threads()
    assert main(arguments) == main(arguments) == 0
    assert "bits may differ" not in capsys.readouterr().err
    try:
        torch.set_num_threads(before + 1)
        assert main(arguments) == 0
    finally:
        torch.set_num_threads(before)
    told = (
        f"begun with threads {before} where it is {before + 1} now; the result agrees to rounding, its bits may differ"
    )
    assert told in capsys.readouterr().err
