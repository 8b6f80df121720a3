"""Settings that no fit can have are refused by every benchmark at once, before anything runs: not in every row."""

import importlib
import json

import numpy as np
import pytest
import trimesh
from PIL import Image

import finer_image
import finer_nerf
import finer_sdf
from finer_core import InputError
from finer_image.app.cli import main as image_main
from finer_nerf.app.cli import main as nerf_main
from finer_sdf.app.cli import main as sdf_main
from tests.refusals import assert_refused

VERBS = {
    "image": (finer_image, lambda: np.eye(8)),
    "sdf": (finer_sdf, lambda: trimesh.creation.box()),
    "nerf": (finer_nerf, lambda: finer_nerf.builtin_scene(size=8)),
}
EVERYWHERE = [
    ({"network": {"hidden_features": -8}}, "hidden_features must be an integer of at least 1, got -8"),
    ({"network": {"hidden_layers": 10**9}}, "hidden_layers must be at most 1000"),
    ({"network": {"scales": 2}}, "method 'siren' has no option 'scales'"),
    ({"steps": 5, "seconds": 2.0}, "--steps and --seconds both say how long the fit is"),
    ({"optimizer": "adam", "matrix_learning_rate": 0.1}, "--matrix-learning-rate 0.1 is Muon's or SOAP's"),
]
OWN = [
    ("image", {"steps": 5, "passes": 2.0}, "--steps and --passes both say how long the fit is"),
    ("image", {"sampling": "importance", "batch_pixels": 0}, "--sampling importance needs a batch of some"),
    ("sdf", {"resolution": 100_000}, "resolution 100000 needs about .* more than"),
    ("sdf", {"preset": "paper", "batch_points": 11}, "--batch-points must be even"),
    ("sdf", {"cloud_points": 2000}, "--cloud-points 2000 is of preset paper"),
    ("nerf", {"ema_every": 4}, "--ema-every 4 is of an average of the weights"),
]


@pytest.mark.parametrize(("task", "given", "words"), [*((task, *each) for task in VERBS for each in EVERYWHERE), *OWN])
def test_from_python(task, given, words, monkeypatch):
    package, signal = VERBS[task]
    monkeypatch.setattr(f"finer_{task}.benchmarking.fit", lambda *_, **__: pytest.fail("fitted"))
    with pytest.raises(InputError, match=words):
        package.benchmark({"a": signal()}, ["siren"], **given)


def test_a_batch_that_an_image_decides_on_is_not_judged_before(monkeypatch):
    monkeypatch.setattr("finer_image.benchmarking.fit", lambda *_, **__: (_ for _ in ()).throw(InputError("fitted")))
    (row,) = finer_image.benchmark({"a": np.eye(8)}, ["siren"], sampling="importance")
    assert row["error"] == "fitted"


@pytest.mark.parametrize("task", list(VERBS))
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--hidden-features", "-8"], "hidden_features must be an integer of at least 1, got -8"),
        (["--steps", "5", "--seconds", "2"], "--steps and --seconds both say how long the fit is"),
        (["--optimizer", "adam", "--matrix-learning-rate", "0.1"], "is Muon's or SOAP's"),
    ],
)
def test_by_the_command(task, arguments, words, tmp_path, capsys):
    place = tmp_path / "inputs"
    place.mkdir()
    if task == "image":
        Image.new("L", (4, 4)).save(place / "a.png")
    elif task == "sdf":
        trimesh.creation.box().export(place / "a.ply")
    else:
        (place / "transforms.json").write_text(json.dumps({"frames": []}))
    main = {"image": image_main, "sdf": sdf_main, "nerf": nerf_main}[task]
    out = tmp_path / "out"
    assert_refused(main, ["benchmark", str(place), "--methods", "siren", "--out", str(out), *arguments], capsys, words)
    assert not out.exists()


@pytest.mark.parametrize("application", [finer_image, finer_nerf, finer_sdf], ids=lambda each: each.__name__)
def test_no_two_columns_of_a_table_have_one_heading(application):
    table = importlib.import_module(f"{application.__name__}.app.benchmark").BENCHMARK.table
    assert len(set(table.headings.values())) == len(table.headings)
