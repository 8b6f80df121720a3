"""`finer-image benchmark`: methods x images, resumed, with failures as rows."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import finer_image
from finer_core import load_model
from finer_core.app.benchmark import fits_of
from finer_image.app.benchmark import images_in
from finer_image.app.cli import main
from finer_image.config import ImageConfig
from tests import refusals
from tests.image.image_files import noise, png, saved

SIZES = {"hidden_features": 24, "hidden_layers": 1}
SMALL = ["--steps", "12", "--hidden-features", "24", "--hidden-layers", "1", "--optimizer", "adam", "--device", "cpu"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two images of one size, one of another, a broken one, and files that are no images."""
    path = tmp_path / "pictures"
    path.mkdir()
    for name, (height, width) in {"a": (20, 26), "b": (20, 26), "c": (17, 19)}.items():
        y, x = np.mgrid[0:height, 0:width]
        pixels = np.stack([120 + 90 * np.sin(x / (3 + len(name))), 128 + 60 * np.cos(y / 3), (x * y) % 255], axis=-1)
        Pillow.fromarray(pixels.astype(np.uint8)).save(path / f"{name}.png")
    (path / "e.png").write_text("no image")
    (path / "notes.txt").write_text("not looked at")
    (path / ".hidden.png").write_text("not looked at")
    return path


def benchmark(folder: Path, out: Path, capsys, *more: str) -> dict:
    code = main(["benchmark", str(folder), "--out", str(out), "--quiet", "--json", *SMALL, *more])
    captured = capsys.readouterr()
    table = json.loads(captured.out)
    count = len(table["rows"])
    none = f"finer-image benchmark: {out}: none of the fits ({count}) succeeded; the table has their errors\n"
    assert (code, captured.err) == ((2, none) if all("error" in row for row in table["rows"]) else (0, ""))
    return table


def weights(run: Path) -> list[torch.Tensor]:
    return list(load_model(run / "model.safetensors").state_dict().values())


def test_the_table_in_three_formats(folder, tmp_path, capsys):
    out = tmp_path / "out"
    table = benchmark(folder, out, capsys, "--methods", "finer", "gauss-finer")
    assert table == json.loads((out / "benchmark.json").read_text())
    rows = table["rows"]
    names = ("a.png", "b.png", "c.png", "e.png")
    assert [(row["image"], row["method"]) for row in rows] == [
        (name, method) for name in names for method in ("finer", "gauss-finer")
    ]
    for row in rows[:6]:
        metrics = json.loads((out / f"{row['image'][0]}-{row['method']}" / "metrics.json").read_text())
        assert {name: row[name] for name in ("psnr", "ssim", "seconds")} == {
            name: metrics[name] for name in ("psnr", "ssim", "seconds")
        }
        assert "error" not in row
    assert "e.png: is not an image" in rows[6]["error"]
    assert {row["method"]: row["published_mean_psnr"] for row in rows} == {"finer": 40.76, "gauss-finer": None}
    assert "FINER's 16 images" in table["published_source"]
    means = {mean["method"]: mean for mean in table["means"]}
    assert means["finer"]["images"] == 3
    assert means["finer"]["psnr"] == pytest.approx(np.mean([row["psnr"] for row in rows[:6:2]]))
    with (out / "benchmark.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["psnr"] for line in lines] == [str(row["psnr"]) if row["psnr"] else "" for row in rows]
    page = (out / "benchmark.md").read_text()
    assert "| c.png | finer | 17x19 |" in page
    assert "| e.png | finer | failed: " in page
    assert "published mean (16 images)" in page
    assert f"| finer | 3 | {means['finer']['psnr']:.2f} |" in page
    assert (out / "a-finer" / "report.html").is_file()


def test_resume_keeps_what_is_finished_and_does_the_rest(folder, tmp_path, capsys):
    more = ("--methods", "finer")
    whole = benchmark(folder, tmp_path / "whole", capsys, *more)["rows"]
    out = shutil.copytree(tmp_path / "whole", tmp_path / "out")
    kept = (out / "a-finer" / "metrics.json").read_bytes()
    (out / "b-finer" / "metrics.json").unlink()  # what a kill during the report leaves
    shutil.rmtree(out / "c-finer")  # and one before the fit
    resumed = benchmark(folder, out, capsys, *more, "--resume")["rows"]
    assert (out / "a-finer" / "metrics.json").read_bytes() == kept
    for name in "abc":
        first, second = weights(tmp_path / "whole" / f"{name}-finer"), weights(out / f"{name}-finer")
        assert all(torch.equal(x, y) for x, y in zip(first, second, strict=True))
    assert [row["psnr"] for row in resumed] == [row["psnr"] for row in whole]
    changed = benchmark(folder, out, capsys, *more, "--resume", "--steps", "13")["rows"]
    assert all("--steps 13 differs" in row["error"] for row in changed[:3])
    assert "e.png: is not an image" in changed[3]["error"], "none is left, which is an exit code of its own"


def test_seeds_are_fits_of_their_own_and_may_be_added_later(folder, tmp_path, capsys):
    out, more = tmp_path / "out", ("--methods", "siren", "--limit", "2")
    alone = benchmark(folder, out, capsys, *more)["rows"]
    kept = (out / "a-siren" / "metrics.json").read_bytes()
    table = benchmark(folder, out, capsys, *more, "--resume", "--seeds", "0", "1")
    rows = table["rows"]
    assert [(row["image"], row["seed"]) for row in rows] == [(f"{n}.png", seed) for n in "ab" for seed in (0, 1)]
    assert rows[::2] == alone and (out / "a-siren" / "metrics.json").read_bytes() == kept
    metrics = json.loads((out / "a-siren-seed-1" / "metrics.json").read_text())
    assert (metrics["psnr"], metrics["seed"]) == (rows[1]["psnr"], 1) and rows[1]["psnr"] != rows[0]["psnr"]
    values = np.array([row["psnr"] for row in rows]).reshape(2, 2)
    for row, own in zip(table["over_seeds"], values, strict=True):
        assert (row["psnr"], row["psnr_spread"]) == pytest.approx((own.mean(), own.std(ddof=1)))
        assert (row["method"], row["size"], row["seeds"]) == ("siren", "20x26", 2)
    (mean,) = table["means"]
    assert (mean["images"], mean["psnr"]) == (2, pytest.approx(values.mean()))
    assert mean["psnr_spread"] == pytest.approx(values.mean(axis=0).std(ddof=1))
    assert "in parentheses the spread, the sample standard deviation over seeds" in (out / "benchmark.md").read_text()
    from_python = finer_image.benchmark(
        {"a": folder / "a.png"}, "siren", seeds=(0, 1), steps=12, optimizer="adam", device="cpu", network=SIZES
    )
    assert [(row["seed"], row["psnr"]) for row in from_python] == [(row["seed"], row["psnr"]) for row in rows[:2]]


def test_a_run_that_lost_an_entry_loses_no_other(folder, tmp_path, capsys):
    out, more = tmp_path / "out", ("--methods", "siren", "--limit", "3")
    _, _, whole = benchmark(folder, out, capsys, *more)["rows"]
    for name, file, entry in (("a", "config.json", "image"), ("b", "metrics.json", "psnr")):
        path = out / f"{name}-siren" / file
        content = json.loads(path.read_text())
        del content[entry]
        path.write_text(json.dumps(content))
    first, second, third = benchmark(folder, out, capsys, *more, "--resume")["rows"]
    assert "has no 'image'" in first["error"] and third == whole
    assert second["psnr"] is None and second["ssim"] is not None


@pytest.mark.parametrize(("entry", "value"), [("psnr", "40"), ("ssim", [1]), ("seconds", None), ("seed", "0")])
def test_a_run_whose_figures_were_changed_loses_no_other(folder, tmp_path, capsys, entry, value):
    out, more = tmp_path / "out", ("--methods", "siren", "--limit", "2")
    _, whole = benchmark(folder, out, capsys, *more)["rows"]
    path = out / "a-siren" / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), entry: value}))
    first, second = benchmark(folder, out, capsys, *more, "--resume")["rows"]
    assert f"metrics.json: {entry} must be " in first["error"] and second == whole


def test_an_earlier_benchmark_is_not_replaced_unasked(folder, tmp_path, capsys):
    out, more = tmp_path / "out", ("--methods", "siren", "--limit", "1")
    benchmark(folder, out, capsys, *more)
    refusals.assert_refused(main, ["benchmark", str(folder), "--out", str(out), *SMALL, *more], capsys, "--overwrite")
    again = benchmark(folder, out, capsys, *more, "--overwrite")
    assert len(again["rows"]) == 1


def test_a_single_file_and_equal_stems(folder, tmp_path, capsys):
    (folder / "a.bmp").write_bytes((folder / "a.png").read_bytes())
    fits = fits_of(images_in(str(folder), limit=3), [ImageConfig()], out=tmp_path)
    assert [fit.out.name for fit in fits] == ["a.bmp-finer", "a.png-finer", "b-finer"]
    table = benchmark(folder / "b.png", tmp_path / "out", capsys, "--methods", "siren", "siren")
    assert [row["image"] for row in table["rows"]] == ["b.png"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["nowhere"], "no such folder"),
        (["empty"], "holds no images"),
        (["pictures", "--methods", "sirene"], "did you mean 'siren'"),
        (["pictures", "--methods", "ngp"], "no values for task 'image'"),
        (["pictures", "--limit", "0"], "--limit"),
        (["pictures", "--resume", "--overwrite"], "exclude each other"),
        (["pictures", "--steps", "0"], "--steps"),
        (["pictures", "--seed", "0", "--seeds", "1"], "give one of them"),
        (["pictures", "--methods", "finer", "gauss", "--first-omega-0", "3"], "method 'gauss' has no option"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(folder, tmp_path, monkeypatch, capsys, arguments, word):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    refusals.assert_refused(main, ["benchmark", *arguments, "--out", "out"], capsys, word)
    assert not (tmp_path / "out").exists()


def test_names_that_are_no_text(tmp_path, monkeypatch, capsys):
    (tmp_path / "in").mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    try:
        saved(tmp_path / "in" / name, png(noise(12, 12, 3), depth=8, color_type=2))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    monkeypatch.chdir(tmp_path)
    arguments = ["--methods", "finer", "--out", "out", *SMALL]
    assert main(["benchmark", str(tmp_path / "in"), *arguments]) == 0
    table = capsys.readouterr().out
    table.encode()
    assert "caf\\udce9.png" in table and "caf\\udce9.png" in (tmp_path / "out" / "benchmark.md").read_text()
    assert json.loads((tmp_path / "out" / "caf%E9-finer" / "metrics.json").read_text())["psnr"] > 0
    assert main(["fit", str(tmp_path / "in" / name), *SMALL, "--quiet"]) == 0
    assert (tmp_path / "runs" / "image" / "caf%E9-finer" / "report.html").is_file()
