"""Published radiance-field tables, and `finer-nerf reproduce` at a size that takes a moment."""

import io
import json

import numpy as np
import pytest
from PIL import Image

import finer_nerf
from finer_core.methods import METHODS
from finer_nerf.app.cli import main
from finer_nerf.published import published_psnr
from finer_nerf.published_tables import TABLES
from finer_nerf.reproducing import _picture, find_inputs
from finer_nerf.scenes import reader
from tests.nerf.models import ball_model


def test_a_scaled_table_is_labeled_and_its_cells_are_kept(tmp_path, capsys):
    finer_nerf.write_scene(finer_nerf.builtin_scene(size=16), tmp_path / "lego_small")
    out = tmp_path / "out"
    command = [
        "reproduce",
        "finer-nerf",
        str(tmp_path / "lego_small"),
        "--preset",
        "fast",
        "--steps",
        "2",
        "--size",
        "8",
    ]
    command += ["--methods", "FINER", "--out", str(out), "--quiet", "--format", "json"]
    assert main(command) == 0
    rows = {row["input"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["lego"]["published"] == 30.04
    assert rows["lego"]["verdict"] == "not comparable (scaled: 2 of 37500 steps, size 8 of 200; preset fast)"
    assert rows["ship"]["verdict"] == "not run"
    (path,) = (out / "records").glob("*.json")
    record = json.loads(path.read_text())
    assert record["facts"] == {"height": 8, "width": 8, "train_views": 36, "test_views": 8}
    before = path.read_bytes()
    assert main(command) == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", TABLES)
def test_every_row_can_be_run(name):
    for row in TABLES[name].rows:
        if row.method is not None:
            METHODS[row.method].for_task("nerf")
            finer_nerf.NerfConfig(method=row.method, preset="paper", **{**TABLES[name].settings, **row.settings})


def test_scenes_are_known_by_whole_words(tmp_path):
    for name in ("panoramic", "nerf_synthetic_mic"):
        finer_nerf.write_scene(finer_nerf.builtin_scene(size=8), tmp_path / name)
    found = find_inputs(TABLES["finer-nerf"], [str(tmp_path / "panoramic"), str(tmp_path / "nerf_synthetic_mic")])
    assert [each.name for each in found] == ["panoramic", "mic"]


def test_a_cell_decodes_its_scene_once(tmp_path, monkeypatch):
    finer_nerf.write_scene(finer_nerf.builtin_scene(size=16), tmp_path / "lego")
    read, read_scene = [], reader.read_scene
    monkeypatch.setattr(reader, "read_scene", lambda path, **given: read.append(given) or read_scene(path, **given))
    small = {"steps": 1, "preset": "fast", "methods": ["FINER"], "size": 8, "limit": 1}
    found = finer_nerf.reproduce("finer-nerf", [tmp_path / "lego"], **small)
    assert found.records and [(given["downscale"], bool(given["memory"])) for given in read] == [(2, True)]


def test_the_picture_of_a_cell_is_on_the_background_of_its_figures():
    model = ball_model()
    model.background = "#102030"
    poses = model.frame.poses_to_input(model.train_poses[:1])
    views = finer_nerf.Views.of(np.zeros((1, 24, 24, 4)), poses=poses, cameras=model.camera)
    picture = np.asarray(Image.open(io.BytesIO(_picture(model, views))))
    assert picture[0, 0].tolist() == picture[0, picture.shape[1] // 2 - 8].tolist() == [16, 32, 48]


def test_the_picture_of_a_cell_shows_no_error_where_a_mask_leaves_pixels_out():
    model = ball_model()
    poses = model.frame.poses_to_input(model.train_poses[:1])
    masks = np.zeros((1, 24, 24), dtype=bool)
    masks[:, :, 12:] = True
    images = np.full((1, 24, 24, 3), 0.25)
    views = finer_nerf.Views.of(images, poses=poses, cameras=model.camera, masks=masks)
    error = np.asarray(Image.open(io.BytesIO(_picture(model, views))))[:, -24:]
    assert not error[:, :12].any() and error[:, 12:].any()


def test_values_that_are_known_elsewhere():
    assert published_psnr(scene="lego_200", method="finer") == 30.04
    assert published_psnr(scene="x/ship", method="wire") == 21.15
    assert published_psnr(scene="lego", method="gauss-finer") is None
    assert published_psnr(scene="panoramic_room", method="finer") is None  # and not the microphone
    for row in TABLES["finer-nerf"].rows:
        values = row.published["psnr"]
        if values:
            scenes = [value for name, value in values.items() if name != "mean"]
            assert values["mean"] == pytest.approx(sum(scenes) / 8, abs=0.006)
