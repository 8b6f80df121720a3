"""`finer-sdf benchmark`: what is taken from a folder, what is refused, and what a resumed one keeps."""

import json
from pathlib import Path

import pytest
import trimesh

import finer_sdf
from finer_sdf.app.cli import main
from tests.refusals import assert_refused
from tests.sdf.shape_files import write_cloud, write_ellipsoid

QUICK = [
    *("--steps", "4", "--resolution", "24", "--samples", "5000", "--eval-samples", "2000", "--batch-points", "256"),
    *("--device", "cpu", "--quiet"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "shapes"
    path.mkdir()
    write_ellipsoid(path / "egg.ply")
    (path / "._egg.ply").write_text("what macOS leaves beside a file")
    (path / "a.obj").mkdir()
    return path


def rows_of(folder: Path, out: Path, capsys, *more: str) -> list[dict]:
    code = main(["benchmark", str(folder), "--out", str(out), "--json", *QUICK, *more])
    said = capsys.readouterr()
    rows: list[dict] = json.loads(said.out)["rows"]
    none = f"finer-sdf benchmark: {out}: none of the fits ({len(rows)}) succeeded; the table has their errors\n"
    assert (code, said.err) == ((2, none) if all("error" in row for row in rows) else (0, ""))
    return rows


@pytest.mark.usefixtures("no_report")
def test_a_resumed_benchmark_shows_no_figures_of_other_settings_or_inputs(folder, tmp_path, capsys):
    out = tmp_path / "out"
    (first,) = rows_of(folder, out, capsys, "--methods", "finer")
    (kept,) = rows_of(folder, out, capsys, "--methods", "finer", "finer", "--resume")
    assert kept == first
    config = out / "egg-finer" / "config.json"
    elsewhere = {**json.loads(config.read_text()), "device": "cuda:7", "kernels": {"finer": "of another machine"}}
    config.write_text(json.dumps(elsewhere))  # nothing is computed, so it can be shown here
    assert rows_of(folder, out, capsys, "--methods", "finer", "--resume") == [first]
    (changed,) = rows_of(folder, out, capsys, "--methods", "finer", "--resume", "--seed", "3")
    assert "--seed 3 differs" in changed["error"] and changed["seconds"] is None
    trimesh.creation.box().export(folder / "egg.ply")
    (replaced,) = rows_of(folder, out, capsys, "--methods", "finer", "--resume")
    assert "not the shape this run was started with" in replaced["error"]


@pytest.mark.usefixtures("no_report")
def test_a_resumed_benchmark_of_a_cloud_keeps_its_figures(tmp_path, capsys):
    folder, out = tmp_path / "clouds", tmp_path / "out"
    folder.mkdir()
    write_cloud(folder / "ball.xyz")
    (first,) = rows_of(folder, out, capsys, "--methods", "siren")
    assert first["rms_to_reference"] is None and first["rms_from_reference"] > 0
    assert rows_of(folder, out, capsys, "--methods", "siren", "--resume") == [first]


@pytest.mark.usefixtures("no_report")
def test_seeds_are_fits_of_their_own_and_may_be_added_later(folder, tmp_path, capsys):
    out, more = tmp_path / "out", ("--methods", "siren")
    (alone,) = rows_of(folder, out, capsys, *more, "--seed", "2")
    assert alone["seed"] == 2
    kept, added = rows_of(folder, out, capsys, *more, "--resume", "--seeds", "2", "5")
    assert kept == alone and added["seed"] == 5 and added["chamfer_l2_sum"] != kept["chamfer_l2_sum"]
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["egg-siren", "egg-siren-seed-5"]
    table = json.loads((out / "benchmark.json").read_text())
    names = ("chamfer_l2_sum", "chamfer_l2_sum_excess", "rms_to_reference", "rms_from_reference", "seconds")
    for row in (*table["over_seeds"], *table["means"]):
        for name in names:
            assert row[name] == pytest.approx((kept[name] + added[name]) / 2)
            assert row[f"{name}_spread"] == pytest.approx(abs(kept[name] - added[name]) / 2**0.5)
    quick = {"steps": 4, "resolution": 24, "samples": 5000, "eval_samples": 2000, "batch_points": 256, "device": "cpu"}
    rows = finer_sdf.benchmark({"egg.ply": folder / "egg.ply"}, "siren", seeds=(2, 5), **quick)
    assert [{**row, "seconds": None} for row in rows] == [{**row, "seconds": None} for row in (kept, added)]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--methods", "finer", "ngp"], "no values for task 'sdf'"),
        (["--resume", "--overwrite"], "exclude each other"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_wrong_input_is_refused_before_the_first_fit(folder, tmp_path, capsys, arguments, word):
    out = tmp_path / "out"
    assert_refused(main, ["benchmark", str(folder), "--out", str(out), *QUICK, *arguments], capsys, word)
    assert not out.exists()
