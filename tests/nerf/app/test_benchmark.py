"""`finer-nerf benchmark`: what is refused, and what a resumed one keeps."""

import json
import shutil
from pathlib import Path

import pytest

import finer_nerf
from finer_nerf.app.cli import main
from tests.nerf.small_scenes import write_ball
from tests.refusals import assert_refused

QUICK = [
    *("--steps", "2", "--orbit-frames", "0", "--max-samples", "16", "--grid-resolution", "8", "--device", "cpu"),
    "--quiet",
]


def rows_of(scenes: list[Path], out: Path, capsys, *more: str) -> list[dict]:
    code = main(["benchmark", *map(str, scenes), "--out", str(out), "--json", *QUICK, *more])
    said = capsys.readouterr()
    rows: list[dict] = json.loads(said.out)["rows"]
    none = f"finer-nerf benchmark: {out}: none of the fits ({len(rows)}) succeeded; the table has their errors\n"
    assert (code, said.err) == ((2, none) if all("error" in row for row in rows) else (0, ""))
    return rows


def test_a_resumed_benchmark_shows_no_figures_of_other_settings_or_inputs(tmp_path, capsys):
    ball, out = write_ball(tmp_path / "ball", size=10), tmp_path / "out"
    (first,) = rows_of([ball], out, capsys, "--methods", "finer")
    (kept,) = rows_of([ball], out, capsys, "--methods", "finer", "finer", "--resume")
    assert kept == first
    (changed,) = rows_of([ball], out, capsys, "--methods", "finer", "--resume", "--seed", "3")
    assert "--seed 3 differs" in changed["error"] and changed["seconds"] is None
    shutil.rmtree(ball)
    write_ball(ball, size=12)
    (replaced,) = rows_of([ball], out, capsys, "--methods", "finer", "--resume")
    assert "not the scene this run was started with" in replaced["error"]


def test_seeds_are_trainings_of_their_own_and_may_be_added_later(tmp_path, capsys):
    ball, out, more = write_ball(tmp_path / "ball", size=10), tmp_path / "out", ("--methods", "finer")
    (alone,) = rows_of([ball], out, capsys, *more)
    kept, added = rows_of([ball], out, capsys, *more, "--resume", "--seeds", "0", "1")
    assert kept == alone and (kept["seed"], added["seed"]) == (0, 1) and kept["psnr"] != added["psnr"]
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["ball-finer", "ball-finer-seed-1"]
    table = json.loads((out / "benchmark.json").read_text())
    for row in (*table["over_seeds"], *table["means"]):
        assert (row["ssim"], row["ssim_spread"]) == (None, None), "views of 10 pixels have none"
        for name in ("psnr", "seconds"):
            assert row[name] == pytest.approx((kept[name] + added[name]) / 2)
            assert row[f"{name}_spread"] == pytest.approx(abs(kept[name] - added[name]) / 2**0.5)
    quick = {"steps": 2, "max_samples": 16, "grid_resolution": 8, "device": "cpu"}
    rows = finer_nerf.benchmark({"ball": ball}, "finer", seeds=(0, 1), **quick)
    assert [{**row, "seconds": None} for row in rows] == [{**row, "seconds": None} for row in (kept, added)]


def test_resume_and_overwrite_exclude_each_other(tmp_path, capsys):
    arguments = ["benchmark", str(tmp_path), "--out", str(tmp_path / "out"), "--resume", "--overwrite"]
    assert_refused(main, arguments, capsys, "exclude each other")
