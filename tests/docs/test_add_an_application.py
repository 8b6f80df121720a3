"""The program of the guide: fitted, killed, gone on with to the same bits, and refusing in one line."""

import json
import os
import sys
import time
import wave
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest

from finer_core.app.cli import run_command
from finer_core.training import read_jsonl
from tests.prepared import PreparedProcess

from .test_code_blocks import BLOCK, ROOT

PAGE = (ROOT / "docs/add_an_application.md").read_text("utf-8")
PROGRAM = "\n\n".join(match["code"] for match in BLOCK.finditer(PAGE.partition("## From Python")[0]))
SMALL = [
    *("--steps", "800", "--log-every", "20", "--batch", "4000", "--checkpoint-seconds", "0"),
    *("--hidden-features", "32", "--hidden-layers", "1"),
]
ENVIRONMENT = {**os.environ, "FINER_KERNELS": "off"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "audio.py").write_text(PROGRAM)
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "not compressed"))
        file.writeframes((8000 * np.sin(0.2 * np.arange(1000))).astype("<i2").tobytes())
    return tmp_path


def start(folder, *arguments):
    return PreparedProcess(["audio.py", *arguments, "--quiet"], folder=folder, environment=ENVIRONMENT)


def run(folder, *arguments):
    process = start(folder, *arguments)
    output, errors = process.communicate()
    return process.returncode, output, errors


@pytest.fixture
def refused(folder, monkeypatch, capsys):
    """Return a function that runs the program in this process, and returns its one line of refusal."""
    monkeypatch.chdir(folder)
    spec = spec_from_file_location("audio", "audio.py")
    audio = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "audio", audio)  # as a class of settings looks for its module
    spec.loader.exec_module(audio)

    def refusal(*arguments):
        try:
            code = run_command(audio.build_parser, [*arguments, "--quiet"])
        except SystemExit as end:  # from the parser
            code = end.code
        printed = capsys.readouterr()
        assert code == 2 and printed.out == "" and printed.err.count("\n") == 1
        return printed.err

    return refusal


def wait_for(path, process):
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)


def test_it_is_short():
    assert len([line for line in PROGRAM.splitlines() if line.strip()]) <= 150


def test_a_killed_run_goes_on_to_the_same_bits(folder, refused):
    code, output, errors = run(folder, "tone.wav", "--out", "whole", *SMALL)
    assert code == 0 and "SNR" in output and errors == ""
    names = {path.name for path in (folder / "whole").iterdir()}
    assert {"config.json", "metrics.json", "metrics.jsonl", "model.safetensors", "report.html"} <= names
    killed = folder / "killed"
    process = start(folder, "tone.wav", *SMALL, "--out", "killed")
    try:
        wait_for(killed / "checkpoint.safetensors", process)
    finally:
        process.kill()
        process.communicate()
    assert not (killed / "metrics.json").exists()
    assert run(folder, "tone.wav", "--out", "killed", "--resume")[0] == 0
    for name in ("model.safetensors", "metrics.json"):
        assert (killed / name).read_bytes() == (folder / "whole" / name).read_bytes()
    logs = [
        [(line["step"], line["loss"]) for line in read_jsonl(path / "metrics.jsonl")]
        for path in (killed, folder / "whole")
    ]
    assert logs[0] == logs[1] and len(logs[0]) == 40
    assert json.loads((killed / "metrics.json").read_text())["snr"] > 20
    assert "already exists; use --resume" in refused("tone.wav", "--out", "killed", *SMALL)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.wav"], "none.wav: cannot be read as a WAV file"),
        (["audio.py"], "audio.py: cannot be read as a WAV file"),
        (["tone.wav", "--batch", "0"], "--batch must be at least 1, got 0"),
        (["tone.wav", "--method", "finner"], "did you mean 'finer'?"),
        (["tone.wav", "--stepps", "3"], "did you mean --steps?"),
    ],
)
def test_wrong_input_is_one_line(folder, arguments, words, refused):
    assert words in refused(*arguments)
