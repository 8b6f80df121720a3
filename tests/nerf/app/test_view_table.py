"""Held-out views: which failed, which are shown, the table of all; and a view as numbers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from finer_nerf import NerfModel, builtin_scene, fit
from finer_nerf.app.cli import main
from finer_nerf.app.view_table import ShownViews, failed_views, view_table, worst_first
from finer_nerf.scenes.builtin import builtin_depth
from tests.nerf.small_scenes import write_ball


def rows_of(*psnr: float) -> dict:
    return {f"v{i}": {"psnr": value, "ssim": None, "lpips": None} for i, value in enumerate(psnr)}


def test_views_much_worse_than_most_have_failed():
    assert failed_views(rows_of(30, 29, 31, 20, 30, 12)) == ["v5", "v3"]
    assert failed_views(rows_of(30, 29, 31, 27.5, 30)) == []  # not by three decibels
    assert failed_views(rows_of(20, 24, 28, 32, 36)) == []  # they are spread as far as that
    assert failed_views(rows_of(10)) == failed_views({}) == []


@pytest.mark.parametrize("count", [1, 5, 6, 7, 20, 200])
def test_a_few_views_are_shown_the_worst_first(count):
    psnr = np.random.default_rng(0).permutation(count).astype(float)
    shown = ShownViews(views=count, most=6)
    for value in psnr:
        shown.add(SimpleNamespace(psnr=value))
        assert len(shown.even) + len(shown.worst) <= 6
    found = [view.psnr for view in shown.views]
    assert found == sorted(found) and found[: min(count, 3)] == sorted(psnr)[: min(count, 3)]
    assert len(found) == (count if count <= 6 else pytest.approx(6, abs=1))


def test_the_table_is_sorted_marked_and_escaped():
    rows = {**rows_of(30.0, 20.0), "<b>": {"psnr": 25.0, "ssim": 0.5, "lpips": None}}
    page = view_table(rows, failed=["v1"])
    assert worst_first(rows) == ["v1", "<b>", "v0"]
    assert page.index("v1") < page.index("&lt;b&gt;") < page.index("v0") and "<b>" not in page
    assert "SSIM" in page and "LPIPS" not in page and "20.00" in page and "0.5000" in page
    assert page.count("failed") == 1 and page.index("failed") < page.index("&lt;b&gt;")


def test_a_run_says_which_views_failed(tmp_path):
    folder = write_ball(tmp_path / "ball", size=12, train=4, test=9)
    options = ["--steps", "2", "--max-samples", "8", "--grid-resolution", "8", "--hidden-features", "8", "--quiet"]
    assert main(["train", str(folder), *options, "--orbit-frames", "0", "--out", str(tmp_path / "run")]) == 0
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert figures["failed_views"] == failed_views(figures["per_view"])
    page = (tmp_path / "run" / "report.html").read_text()
    places = [page.index(f"<th>{name}</th>") for name in worst_first(figures["per_view"])]
    assert places == sorted(places) and len(places) == 9


def test_maps_of_a_view_are_in_the_scenes_units_and_axes(tmp_path, capsys):
    scene = builtin_scene(size=24)
    sizes = {"hidden_features": 32}
    model, _ = fit(
        scene, steps=150, batch_samples=6000, max_samples=64, grid_resolution=32, network=sizes, device="cpu"
    )
    model.save(tmp_path / "m.safetensors")
    path = tmp_path / "path.json"
    path.write_text(json.dumps({"frames": [{"transform_matrix": scene.train.poses[0].tolist()}]}))
    out = tmp_path / "view.npz"
    arguments = ["render", str(tmp_path / "m.safetensors"), "--path", str(path), "--quiet", "--out", str(out)]
    assert main(arguments) == 0 and "normals, 24x24" in capsys.readouterr().out
    maps = np.load(out)
    np.testing.assert_allclose(maps["camera_to_world"], scene.train.poses[0], atol=1e-5)
    true = builtin_depth(scene.train.poses[0], scene.train.cameras[0])
    both = np.isfinite(maps["depth"]) & np.isfinite(true)
    assert both.mean() > 0.1 and np.median(np.abs(maps["depth"] - true)[both]) < 0.3
    assert maps["color"].shape == (24, 24, 3) and maps["opacity"].max() <= 1
    lengths = np.linalg.norm(maps["normals"], axis=-1)
    assert np.nanmin(lengths) > 0.99 and np.array_equal(np.isfinite(lengths), np.isfinite(maps["depth"]))
    rendered = NerfModel.load(tmp_path / "m.safetensors").render(maps["camera_to_world"], model.camera)
    np.testing.assert_allclose(rendered["rgb"], maps["color"], atol=1e-3)
    assert main(arguments) == 2 and "--overwrite" in capsys.readouterr().err
