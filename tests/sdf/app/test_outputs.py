"""Where files go: places that cannot be written to are refused by their own names; two shapes never share a folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from finer_core import build_network
from finer_core.errors import exit_code_and_line
from finer_core.io.files import check_output_path, output_path
from finer_core.io.model_file import save_model
from finer_core.networks.build import published_config
from finer_sdf.app.cli import main
from finer_sdf.evaluation import surface_metrics
from finer_sdf.model import SdfModel
from finer_sdf.model_data import TASK
from finer_sdf.normalization import Normalization
from tests.refusals import assert_refused
from tests.sdf.shape_files import write_ellipsoid

UNWRITABLE = "/proc" if os.path.isdir("/proc/self") else "/dev/null"


@pytest.fixture
def model(tmp_path) -> Path:
    config = published_config(method="siren", task=TASK, in_features=3, out_features=1, hidden_features=4)
    network = build_network(config)
    data = SdfModel(
        network=network, normalization=Normalization(scale=1.0, offset=(0.0, 0.0, 0.0)), shape={}
    ).task_data()
    save_model(network, tmp_path / "model.safetensors", task=TASK, task_data=data)
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize(
    ("command", "suffix"),
    [
        (["mesh", "--resolution", "8"], ".ply"),
        (["mesh", "--resolution", "8"], ".stl"),
        (["render", "--size", "8x8"], ".png"),
        (["render", "--size", "8x8", "--frames", "1"], ".mp4"),
    ],
)
def test_a_file_that_cannot_be_written_is_named(command, suffix, model, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for place in (f"{UNWRITABLE}/out{suffix}", f"{tmp_path}/file/out{suffix}", f"{tmp_path}/{'x' * 300}{suffix}"):
        arguments = [command[0], str(model), *command[1:], "--out", place, "--quiet"]
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        end = place[-30:]  # a longer name loses its middle in the line
        assert end in line and len(line) <= 320 and "finer-partial" not in line and "Error" not in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model.safetensors"]


def test_other_outputs_that_cannot_be_written(model, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for place in (f"{UNWRITABLE}/m.safetensors", f"{tmp_path}/file/m.safetensors"):
        assert_refused(main, ["import", "absent.pth", "--method", "finer", "--out", place], capsys, place)
    shape = str(write_ellipsoid(tmp_path / "egg.ply"))
    for command in (["fit", shape], ["benchmark", shape], ["download", "armadillo"]):
        assert_refused(main, [*command, "--out", f"{tmp_path}/file/run", "--quiet"], capsys, f"{tmp_path}/file")


def test_what_cannot_be_written_in_the_end_is_named(tmp_path):
    def fill_the_disk() -> None:
        with output_path(tmp_path / "a.ply"):
            raise OSError(28, "No space left on device", "/somewhere/.finer-partial-1")

    with pytest.raises(OSError, match="No space left on device") as caught:
        fill_the_disk()
    assert exit_code_and_line(caught.value)[0] == 1 and caught.value.filename == str(tmp_path / "a.ply")
    check_output_path(tmp_path / "a.ply")
    assert list(tmp_path.iterdir()) == []


def test_what_a_reader_left_out_is_among_the_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        surface_metrics, "compare_surfaces", lambda *_, **__: {"iou": 1.0, "notes": ["a note on figures"]}
    )
    shape = write_ellipsoid(tmp_path / "egg.ply")
    shape.write_bytes(shape.read_bytes() + b"tail")
    arguments = ["evaluate", str(shape), str(shape), "--json"]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    notes = ["a note on figures", *["egg.ply: left out 4 bytes after its last row"] * 2]
    assert json.loads(printed.out)["notes"] == notes
    assert printed.err.count("egg.ply: left out 4 bytes") == 2
    assert main([*arguments, "--quiet"]) == 0
    assert "left out" not in capsys.readouterr().err


def test_commands_load_no_library_of_films_or_of_other_formats():
    code = (
        "import sys\nsys.modules.update(imageio_ffmpeg=None, trimesh=None)\n"  # as where they are not installed
        "import finer_sdf.app.benchmark, finer_sdf.app.commands, finer_sdf.app.experiment, finer_sdf.app.pictures"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
