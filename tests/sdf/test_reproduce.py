"""Published tables of surfaces, and `finer-sdf reproduce` at a size that takes a moment."""

import json

import pytest
import trimesh

import finer_sdf
from finer_core.methods import METHODS
from finer_sdf.app.cli import main
from finer_sdf.published import published_figures
from finer_sdf.published_tables import TABLES

from .. import refusals


@pytest.mark.slow
def test_a_scaled_table_is_labeled_and_its_cells_are_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("finer_sdf.presets.FAST_SAMPLES", 20_000)
    trimesh.creation.icosphere(subdivisions=2).export(tmp_path / "armadillo_ball.ply")
    out = tmp_path / "out"
    command = ["reproduce", "sasnet-sdf", str(tmp_path / "armadillo_ball.ply"), "--preset", "fast", "--steps", "10"]
    command += ["--size", "16", "--methods", "FINER", "--out", str(out), "--quiet", "--format", "json"]
    assert main(command) == 0
    rows = {(row["input"], row["metric"]): row for row in json.loads(capsys.readouterr().out)["rows"]}
    row = rows["armadillo", "chamfer_l2_sum"]
    assert row["published"] == pytest.approx(4.040e-6)
    assert row["verdict"].startswith(
        "not comparable (scaled: 10 of 200000 steps, size 16 of 512; preset fast; other data"
    )
    (path,) = (out / "records").glob("*.json")
    before = path.read_bytes()
    assert main(command) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", TABLES)
def test_every_row_can_be_run(name):
    for row in TABLES[name].rows:
        if row.method is not None:
            METHODS[row.method].for_task("sdf")
            finer_sdf.SdfConfig(method=row.method, preset="paper", **{**TABLES[name].settings, **row.settings})


def test_values_that_are_known_elsewhere():
    figures = published_figures(shape="dragon_100k.ply", method="wire")
    assert (figures.chamfer_l2_sum, figures.iou) == (pytest.approx(2.172e-6), 0.9747)
    assert published_figures(shape="bunny", method="wire") is None
    assert published_figures(shape="snapdragon", method="wire") is None
    for row in TABLES["sasnet-sdf"].rows:
        for values in row.published.values():
            shapes = [value for name, value in values.items() if name != "mean"]
            assert values["mean"] == pytest.approx(sum(shapes) / 4, rel=2e-3)


@pytest.mark.parametrize(("size", "words"), [(1, "at least 2 points per axis"), (100_000, "needs about")])
def test_a_size_that_no_mesh_has_is_told_before_the_fit_and_is_no_result(size, words, tmp_path, monkeypatch):
    trimesh.creation.icosphere(subdivisions=2).export(tmp_path / "armadillo.ply")
    fits = []
    monkeypatch.setattr("finer_sdf.training.fit.fit", lambda *given, **settings: fits.append(given))
    found = finer_sdf.reproduce("sasnet-sdf", [tmp_path / "armadillo.ply"], methods=["FINER"], size=size)
    assert not fits and not found.records and found.failed == 1 and words in found.notes[0]


def test_a_folder_without_the_table_s_shapes_is_refused(tmp_path, capsys):
    arguments = ["reproduce", "sasnet-sdf", str(tmp_path), "--out", str(tmp_path / "out")]
    refusals.assert_refused(main, arguments, capsys, "holds none of the shapes")
