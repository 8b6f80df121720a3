"""Published image tables: their values, and `finer-image reproduce` at a size that takes a moment."""

import io
import json
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

import finer_image
from finer_core.errors import InputError
from finer_core.methods import METHODS
from finer_core.networks.config import option_names
from finer_image import write_image
from finer_image.app.cli import main
from finer_image.io.image import Image
from finer_image.published import published_mean_psnr
from finer_image.published_reruns import TABLES

from .. import refusals


@pytest.fixture
def folder(tmp_path):
    """A folder with a file of the name of the table's image 01, and one that no table names."""
    folder = tmp_path / "images"
    folder.mkdir()
    rows, columns = np.mgrid[0:16, 0:16]
    pixels = np.stack([rows * 15, columns * 15, rows * columns], axis=-1).astype(np.uint8)
    write_image(folder / "01.png", pixels)
    write_image(folder / "other.png", pixels[::-1].copy())
    return folder


SCALED = ["--steps", "3", "--size", "8", "--methods", "finer", "siren", "--quiet"]


def test_the_command_gives_a_labeled_table_and_keeps_its_cells(folder, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["reproduce", "finerpp-notebook", str(folder), "--out", str(out), *SCALED]
    assert main([*command, "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [(row["row"], row["input"], row["published"]) for row in content["rows"]] == [
        ("SIREN", "01", 40.064),
        ("FINER", "01", 42.135),
    ]
    assert content["scaled"] == ["scaled: 3 of 5000 steps, size 8 of 512"]
    for row in content["rows"]:
        assert row["verdict"].startswith(
            "not comparable (scaled: 3 of 5000 steps, size 8 of 512; other data: 01 is not"
        )
    records = {path.name: path.read_bytes() for path in (out / "records").iterdir()}
    assert len(records) == 4
    assert main(command) == 0
    assert "Not the published run (scaled: 3 of 5000 steps" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in (out / "records").iterdir()} == records
    assert {path.suffix for path in out.iterdir() if path.is_file()} == {".md", ".csv", ".json", ".tex", ".html"}


def test_python_gives_the_same_bits_as_the_command(folder, tmp_path):
    assert main(["reproduce", "finerpp-notebook", str(folder), "--out", str(tmp_path / "out"), *SCALED]) == 0
    settings = {"steps": 3, "size": 8, "methods": ["finer", "siren"]}
    found = finer_image.reproduce("finerpp-notebook", [folder / "01.png"], **settings)
    for path in (tmp_path / "out" / "records").glob("*.json"):
        content = json.loads(path.read_text())
        record = found.records[content["digest"]]
        assert dict(record.metrics) == content["metrics"]
        assert record.curve["loss"] == content["curve"]["loss"]


def test_a_record_is_the_fit_of_these_settings(folder):
    found = finer_image.reproduce("finerpp-notebook", [folder / "other.png"], methods=["finer"], steps=3, size=16)
    (record,) = found.records.values()
    model, history = finer_image.fit(folder / "other.png", method="finer", preset="paper", steps=3, seed=0)
    assert record.metrics["psnr"] == pytest.approx(finer_image.evaluate(model, folder / "other.png")["psnr"], abs=1e-3)
    assert record.curve["step"] == [entry.step for entry in history]
    assert record.parameters == 198_915


def test_size_takes_means_of_blocks(folder):
    from finer_image.inputs import open_signal
    from finer_image.reproducing import reduced

    image = open_signal(str(folder / "01.png"), memory=1 << 32)
    small = reduced(image, 4, source="01.png")
    assert small.shape == (4, 4, 3) and small.dtype == np.uint8
    assert small.pixels[0, 0].tolist() == [22, 22, 2]  # of 0, 15, 30, 45: 22.5 to even; of 0 .. 9: 2.25
    with pytest.raises(InputError, match="--size 5"):
        reduced(image, 5, source="01.png")
    pixels = np.full((8, 8, 3), 1000, dtype=np.uint16)
    pixels[0, 0] = pixels[4, 5] = 0
    for kind, missing in ((np.uint16, 0), (np.float32, np.nan)):
        holed = pixels.astype(kind)
        holed[pixels == 0] = missing
        small = reduced(Image.from_pixels(holed, nodata=None if missing else 0), 4, source="01.png")
        assert small.missing == 2 and small.missing_in(small.pixels)[[0, 2], [0, 2]].all()
        assert (small.pixels[small.missing_in(small.pixels) ^ True] == 1000).all()


@pytest.mark.parametrize("missing", [0, np.nan], ids=["8 bits", "floats"])
def test_pixels_without_data_count_in_no_figure_and_no_picture(tmp_path, missing):
    pixels = np.full((16, 16), 100, dtype=np.uint8 if missing == 0 else np.float32)
    pixels[4:, 4:] = 120
    pixels[:4] = missing
    image = Image.from_pixels(pixels, nodata=None if np.isnan(missing) else 0)
    path = write_image(tmp_path / "a.tif", image)
    found = finer_image.reproduce("finerpp-notebook", [path], methods=["finer"], steps=3)
    (record,) = found.records.values()
    model, _ = finer_image.fit(image, method="finer", preset="paper", steps=3, seed=0)
    error = (model.render()[4:].astype(float) - pixels[4:]) / 255
    expected = None if np.isnan(missing) else pytest.approx(-10 * np.log10(np.mean(error**2)))
    assert record.metrics["psnr_u8"] == expected
    (picture,) = found.pictures.values()
    panels = np.asarray(PIL.Image.open(io.BytesIO(picture)))[:4, :, 0]
    assert not panels[:, :16].any() and not panels[:, 20:36].any() and not panels[:, 40:].any()


def test_fast_keeps_what_a_row_is_about_and_drops_the_protocol(folder):
    found = finer_image.reproduce("finer-figure-6", [folder / "01.png"], preset="fast", steps=2, size=8)
    settings = {record.row: record.settings for record in found.records.values()}
    network = {"first_omega_0": 1.0, "hidden_omega_0": 1.0}
    assert settings["FINER, k 20"] == {
        "preset": "fast", "steps": 2, "network": {**network, "first_bias_scale": 20.0}
    }  # fmt: skip
    assert "preset fast" in found.scaled


def test_a_table_is_scaled_by_passes(folder):
    image = folder / "01.png"
    found = finer_image.reproduce("finerpp-notebook", [image], methods=["finer"], preset="fast", passes=3)
    (record,) = found.records.values()
    assert record.settings == {"preset": "fast", "passes": 3}
    assert found.scaled[:2] == ["scaled: 3 passes", "preset fast"]
    _, history = finer_image.fit(image, passes=3, seed=0)
    assert record.curve["loss"] == history["loss"].tolist()


@pytest.mark.parametrize("name", TABLES)
def test_every_row_can_be_run(name):
    for row in TABLES[name].rows:
        if row.method is None:
            continue
        METHODS[row.method].for_task("image")
        sizes = ("hidden_features", "hidden_layers")
        assert set(row.settings.get("network", {})) <= {*option_names(row.method), *sizes}
        finer_image.ImageConfig(method=row.method, preset="paper", **{**TABLES[name].settings, **row.settings})


def test_values_that_are_known_elsewhere():
    values = {row.label: row.published for row in TABLES["finer-image"].rows}
    assert values["FINER"] == {"psnr_unclipped": {"mean": 40.76}}
    assert [published_mean_psnr(name) for name in ("finer", "wire", "gauss-finer", "no")] == [40.76, 28.78, None, None]
    sweep = {row.settings["learning_rate"]: row.published for row in TABLES["wire-rates"].rows}
    best = max(sweep, key=lambda rate: sweep[rate]["psnr_unclipped"]["mean"])
    assert (best, sweep[best]["psnr_unclipped"]["mean"], len(sweep)) == (5e-3, 28.780, 18)


def test_the_list_is_quick_and_needs_no_torch():
    code = (
        "import sys; from finer_image.app.cli import main; main(['reproduce', '--list']); "
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stderr.strip().endswith("False")
    assert all(f"## {name}: " in result.stdout for name in TABLES)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "name a table; --list describes them: finer-image"),
        (["finer-imag"], "no table 'finer-imag'"),
        (["finer-image", "."], "holds none of the images"),
        (["finer-image", "--methods", "ngp"], "'ngp'"),
        (["finer-image", "--seeds", "-1"], "--seeds"),
        (["finer-image", "gone.png"], "gone.png"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, arguments, word):
    monkeypatch.chdir(tmp_path)
    refusals.assert_refused(main, ["reproduce", *arguments, "--out", "out"], capsys, word)
    assert not (tmp_path / "out").exists()


def test_runs_that_all_fail_are_no_success(folder, tmp_path, capsys):
    command = ["reproduce", "finerpp-notebook", str(folder), "--out", str(tmp_path / "out"), "--steps", "1", "--quiet"]
    assert main([*command, "--size", "7"]) == 2
    printed = capsys.readouterr()
    assert "none of the runs (" in printed.err and "no multiples" in printed.out
