"""Pixels without data are left out of the fit and of the figures, and have none in what is written."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from finer_core.errors import InputError
from finer_core.training.own_code import network_of
from finer_image.app.cli import main
from finer_image.config import ImageConfig
from finer_image.evaluation import Judge
from finer_image.io.image import Image
from finer_image.io.lazy_image import DiskImage
from finer_image.io.nodata import keep_apart, missing_pixels, nodata_of_attributes, nodata_of_text
from finer_image.io.opening import open_image, open_in_parts
from finer_image.io.reader import read_image
from finer_image.io.writer import write_image
from finer_image.model import ImageModel
from finer_image.training.build import build_fit, passes_of
from finer_image.training.objective import ImageObjective, PixelTarget
from finer_image.training.plan import plan_fit
from finer_image.training.stratified import PixelsWithData, StratifiedPixels, enlarged_batch
from finer_image.training.streamed_target import DiskTarget
from finer_image.training.tiles import tiled_pixels_of
from tests.image.image_files import noise, saved, tiff_bytes

LEAST = np.finfo(np.float32).min
SMALL = ["--steps", "3", "--hidden-features", "8", "--hidden-layers", "1", "--batch-pixels", "64"]


def heights(*, nodata: float = LEAST, dtype: str = "float32") -> np.ndarray:
    """Make a map of 200 to 900 with a corner and a spot without data, 8 x 10 + 1 of its 30 x 40 pixels."""
    rows, columns = np.mgrid[:30, :40]
    pixels = (200 + 700 * (rows + columns) / 68).astype(dtype)
    pixels[:8, :10] = pixels[20, 30] = nodata
    return pixels


def hole() -> np.ndarray:
    return heights(nodata=0) == 0


def geotiff(path: Path, pixels: np.ndarray, text: str, **options: object) -> Path:
    """Write a TIFF that names this value."""
    return saved(path, tiff_bytes(pixels, extratags=[(42113, "s", 0, text, True)], **options))


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (LEAST, "float32", "-3.4028234663852886e+38"),
        (LEAST, "float32", "-3.40282346638529e+38"),  # too few digits: beyond float32
        (LEAST, "float32", "-3.40282e+38"),  # likewise: within it
        (-np.finfo("float64").max, "float64", "-1.79769e+308"),
        (-9999, "float32", "-9999"),
        (-9999, "float64", "-9999.0"),
        (-32768, "int16", "-32768"),
        (0, "uint8", " 0 "),
        (65535, "uint16", "65535"),
        (2**64 - 1, "uint64", str(2**64 - 1)),
        (np.nan, "float32", "nan"),
        (-np.inf, "float32", "-inf"),
        (np.nan, "float16", "-9999"),  # undeclared NaN counts too
    ],
)
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (16, 16)}], ids=["plain", "tiles"])
def test_the_value_that_a_geotiff_names(tmp_path, value, dtype, text, options):
    pixels = heights(dtype=dtype, nodata=0)
    if dtype == "uint8":
        pixels = np.clip(pixels, 1, None)
    pixels[hole()] = value
    path = geotiff(tmp_path / "dem.tif", pixels, text, **options)
    image = read_image(path)
    disk = open_image(path, memory_bytes=1, cache_bytes=10**6)
    assert isinstance(disk, DiskImage) and disk.to_metadata() == image.to_metadata() and disk.notes == image.notes
    with_data = pixels[~hole()]
    assert image.missing == 81 and np.array_equal(image.missing_in(image.pixels), hole())
    assert np.array_equal(disk.missing_in(disk.read(slice(None))), hole())
    assert image.value_range == ((0, 255) if dtype == "uint8" else (with_data.min(), with_data.max()))
    assert "81 of its 1,200 pixels hold no data" in image.notes[0]


def test_a_value_that_no_pixel_can_have_is_not_used(tmp_path):
    image = read_image(geotiff(tmp_path / "a.tif", noise(9, 9), "-9999"))
    assert image.missing == 0 and image.notes == ()
    image = read_image(geotiff(tmp_path / "b.tif", noise(9, 9), "none"))
    assert image.missing == 0 and "'none' as the value without data" in image.notes[0]


def test_the_color_that_a_geotiff_names(tmp_path):
    colors = noise(6, 8, 3) | 1
    colors[2:4, 5] = 0

    def read(values: str):
        words = f'<GDALMetadata><Item name="NODATA_VALUES">{values}</Item></GDALMetadata>'
        tags = [(42112, "s", 0, words, True)]
        return read_image(saved(tmp_path / "a.tif", tiff_bytes(colors, photometric="rgb", extratags=tags)))

    assert read("0 0 0").missing == 2
    other = read("0 0 7")
    assert other.missing == 0 and "names 0, 7 as the values without data (NODATA_VALUES)" in other.notes[0]


def test_a_color_is_not_missing_for_having_no_red():
    pixels = np.array([[[0, 0, 0, 9], [0, 5, 0, 9]]], dtype=np.uint8)
    assert missing_pixels(pixels, nodata=0, mode="RGBA").tolist() == [[True, False]]
    assert missing_pixels(pixels, nodata=0, mode="CHANNELS").tolist() == [[True, True]]
    assert missing_pixels(pixels, nodata=7, mode="RGBA") is None


def test_an_image_without_any_data_is_refused(tmp_path):
    for path in (geotiff(tmp_path / "a.tif", np.full((5, 5), -9999.0), "-9999"), tmp_path / "b.npy"):
        np.save(tmp_path / "b.npy", np.full((5, 5), np.nan))
        with pytest.raises(InputError, match="holds no pixel with data"):
            read_image(path)
        with pytest.raises(InputError, match="holds no pixel with data"):
            open_image(path, memory_bytes=1, cache_bytes=10**6)


@pytest.mark.parametrize(
    ("attributes", "fill_value", "expected"),
    [
        ({"_FillValue": -9999}, 0, [-9999]),
        ({"missing_value": 7}, 0, [7]),
        ({"nodata": -32768}, 0, [-32768]),
        ({"_FillValue": "AAAAAICHw8A="}, 0, [-9999]),  # the bytes of a double, as xarray writes them
        ({"_FillValue": "AAAAAAAA+H8="}, 0, []),  # NaN
        ({"_FillValue": "NaN", "missing_value": -9999}, 0, [-9999]),
        ({"_FillValue": "word"}, 0, []),
        ({"_FillValue": [1]}, 0, [1]),  # CF writers store a list of one
        ({"_FillValue": [1, True, {}], "missing_value": [2, 1]}, 0, [1, 2]),
        ({}, 0, []),
        ({"_ARRAY_DIMENSIONS": ["y", "x"]}, -1, [-1]),
        ({"_ARRAY_DIMENSIONS": ["y", "x"], "_FillValue": 3}, 0, [3]),
    ],
)
def test_the_values_that_an_array_of_zarr_names(attributes, fill_value, expected):
    assert nodata_of_attributes(attributes, np.dtype("float32"), fill_value=fill_value) == expected


def test_zarr_and_tiff_keep_the_value(tmp_path):
    pytest.importorskip("zarr", reason="the extra finer-image[zarr] is not installed")
    for dtype, value in (("float32", -9999.0), ("int16", -32768), ("float32", np.nan)):
        image = Image.from_pixels(heights(nodata=value, dtype=dtype), nodata=None if np.isnan(value) else value)
        for suffix in (".tif", ".zarr"):
            again = read_image(write_image(tmp_path / f"{dtype}{value}{suffix}", image))
            assert again.missing == 81 and again.nodata == image.nodata and again.notes == image.notes
            assert np.array_equal(again.pixels, image.pixels, equal_nan=True)


# The fit


def test_the_full_batch_is_the_pixels_with_data(tmp_path):
    pixels = heights(nodata=np.nan)
    image = Image.from_pixels(pixels)
    np.save(tmp_path / "a.npy", pixels)
    options = {"value_range": image.value_range, "target_range": (-1.0, 1.0)}
    target = PixelTarget(image.pixels, **options, missing=image.missing_in(image.pixels))
    disk = DiskTarget(open_in_parts(tmp_path / "a.npy"), sampler=None, target_range=(-1.0, 1.0))
    expected = torch.from_numpy((pixels[~hole()] - image.value_range[0]) / np.ptp(image.value_range) * 2 - 1)
    numbers = np.flatnonzero(~hole())
    for each in (target, disk):
        objective = ImageObjective(each, sampler=None, chunk_pixels=7)
        pieces, count = objective.pieces(0)
        served = [objective.target.at(piece) for piece in pieces]
        coords, values = (torch.cat(parts) for parts in zip(*served, strict=True))
        assert count == len(values) == 1200 - 81
        torch.testing.assert_close(values[:, 0], expected.to(values.dtype))
        torch.testing.assert_close(coords[:, 0], torch.linspace(-1, 1, 30)[numbers // 40])
        torch.testing.assert_close(coords[:, 1], torch.linspace(-1, 1, 40)[numbers % 40])


def test_batches_draw_every_pixel_with_data_once_a_pass():
    missing = hole()
    batch = enlarged_batch(64, pixels=1200, missing=int(missing.sum()))
    inner = StratifiedPixels(height=30, width=40, batch_pixels=batch, seed=3)
    sampler = PixelsWithData(inner, missing)
    drawn = torch.cat([sampler.batch(step) for step in range(inner.steps_per_pass)])
    assert sorted(drawn.tolist()) == np.flatnonzero(~missing).tolist()


def test_no_batch_is_empty(tmp_path):
    """One pixel with data of 1200: most batches have none by themselves."""
    pixels = np.full((30, 40), np.nan, dtype=np.float32)
    pixels[17, 23] = 5
    sampler = PixelsWithData(StratifiedPixels(height=30, width=40, batch_pixels=20, seed=0), np.isnan(pixels))
    np.save(tmp_path / "a.npy", pixels)
    image = open_in_parts(tmp_path / "a.npy")
    disk = DiskTarget(image, sampler=tiled_pixels_of(image, batch_pixels=20, seed=0), target_range=(0.0, 1.0))
    for step in range(40):
        assert sampler.batch(step).tolist() == [17 * 40 + 23]
        assert set(disk.batch(step).tolist()) == {17 * 40 + 23}
        coords, values = disk.at(disk.batch(step))
        assert torch.isfinite(values).all() and coords.shape == (len(values), 2)


def test_batches_of_an_image_on_disk_have_data(tmp_path):
    pixels = np.kron(heights(nodata=-9999), np.ones((8, 8), dtype=np.float32))
    image = open_in_parts(geotiff(tmp_path / "a.tif", pixels, "-9999", compression="zlib", tile=(32, 32)))
    assert image.missing == 81 * 64
    target = DiskTarget(image, sampler=tiled_pixels_of(image, batch_pixels=500, seed=0), target_range=(0.0, 1.0))
    low, high = image.value_range
    for step in (0, 1, 40):
        batch = target.batch(step)
        _, values = target.at(batch)
        there = pixels.ravel()[batch.numpy()]
        assert len(batch) > 300 and (there != -9999).all()
        np.testing.assert_allclose(values[:, 0].numpy(), (there - low) / (high - low), atol=1e-6)


@pytest.mark.parametrize("batch_pixels", [64, 300, 500, None], ids=str)
@pytest.mark.parametrize("kind", ["in memory", "on disk"])
def test_passes_are_of_the_pixels_with_data(tmp_path, kind, batch_pixels):
    pixels = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    pixels[:56] = np.nan
    np.save(tmp_path / "a.npy", pixels)
    image = open_in_parts(tmp_path / "a.npy") if kind == "on disk" else Image.from_pixels(pixels)
    settings = ImageConfig(passes=8.0, batch_pixels=batch_pixels, network={"hidden_features": 8})
    plan = plan_fit(settings, image)
    objective = build_fit(plan, network_of(plan), image).objective
    steps = plan.settings.steps
    served = sum(len(objective.target.at(piece)[0]) for step in range(steps) for piece in objective.pieces(step)[0])
    # Tiles on disk are drawn at random, those with data among them.
    assert served / (8 * 64) == pytest.approx(8, rel=0.25 if kind == "on disk" else 0)
    assert passes_of(plan, image, steps=steps) == 8
    if batch_pixels == 64:
        assert steps == 64


# The figures


class Told:
    """Stand for a model whose prediction is given."""

    def __init__(self, image: Image) -> None:
        self.height, self.width, self.image = image.height, image.width, image.to_metadata()
        self.channels = image.channels


@pytest.mark.parametrize("rows", [7, 30])
def test_figures_are_those_of_the_pixels_with_data(rows):
    """Whatever is predicted where there is no data, and whatever stands there, the figures are the same."""
    found = []
    for nodata, guess in ((LEAST, 5.0), (np.nan, -3.0)):
        image = Image.from_pixels(heights(nodata=nodata), nodata=None if np.isnan(nodata) else nodata)
        clean = heights(nodata=200)
        unit = ((clean - image.value_range[0]) / np.ptp(image.value_range)).astype(np.float32) + 0.25
        unit[hole()] = guess
        judge = Judge(Told(image), image)
        for top in range(0, 30, rows):
            judge.add(unit[top : top + rows, :, None])
        found.append(judge.figures())
    assert found[0] == found[1]
    assert found[0]["psnr_unclipped"] == pytest.approx(-10 * np.log10(0.25**2), abs=1e-3)
    assert 0 < found[0]["ssim"] < 1


def test_no_window_without_missing_pixels_gives_no_ssim():
    pixels = heights(nodata=5)
    pixels[::5, ::5] = np.nan
    image = Image.from_pixels(pixels)
    judge = Judge(Told(image), image)
    judge.add(np.zeros((30, 40, 1), dtype=np.float32))
    assert judge.figures()["ssim"] is None and np.isfinite(judge.figures()["psnr"])


# The commands


@pytest.mark.parametrize("memory", ["4GB", "on disk"])
def test_a_fit_of_a_map(tmp_path, memory, monkeypatch, capsys):
    if memory == "on disk":
        monkeypatch.setattr("finer_image.memory.PROCESS_BYTES", 4 * 10**9 - 9_000_000)
        monkeypatch.setattr("finer_image.training.plan.PROCESS_BYTES", 0)
        monkeypatch.setattr("finer_image.memory.room_for_pixels", lambda *_, **__: 100)
    path = geotiff(tmp_path / "dem.tif", heights(), str(LEAST))
    assert main(["fit", str(path), "--out", str(tmp_path / "run"), *SMALL]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "no data" in line]
    assert len(said) == 1 and said[0].startswith(f"note: {path}: 81 of its 1,200 pixels hold no data")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["image"]["missing"] == 81 and config["image_on_disk"] == (memory == "on disk")
    assert "81 of its 1,200 pixels" in config["notes"][0] in (tmp_path / "run" / "report.html").read_text()
    written = read_image(tmp_path / "run" / "reconstruction.tif")
    assert np.array_equal(written.missing_in(written.pixels), hole()) and written.nodata == LEAST
    assert 200 <= written.value_range[0] < written.value_range[1] <= 900

    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    model = str(tmp_path / "run" / "model.safetensors")
    assert main(["evaluate", model, str(path), "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["psnr"] == pytest.approx(metrics["psnr"]) and err == ""
    assert main(["render", model, "--out", str(tmp_path / "r.tif")]) == 0
    assert "has no data in 81 of its pixels" in capsys.readouterr().err
    assert tifffile.imread(tmp_path / "r.tif").min() >= 200


def test_the_other_ways_to_fit(tmp_path, capsys):
    path = tmp_path / "holes.npy"
    np.save(path, heights(nodata=np.nan))
    assert (
        main(["fit", str(path), "--out", str(tmp_path / "a"), *SMALL, "--preset", "paper", "--batch-pixels", "0"]) == 0
    )
    assert main(["fit", str(path), "--out", str(tmp_path / "b"), *SMALL, "--sampling", "importance"]) == 2
    assert "--sampling stratified" in capsys.readouterr().err
    np.save(tmp_path / "whole.npy", heights(nodata=300))
    arguments = ["benchmark", str(tmp_path), "--methods", "finer", "--out", str(tmp_path / "c")]
    assert main([*arguments, *SMALL, "--quiet"]) == 0
    rows = json.loads((tmp_path / "c" / "benchmark.json").read_text())["rows"]
    assert [row["image"] for row in rows] == ["holes.npy", "whole.npy"] and all(row["psnr"] for row in rows)


def test_predictions_never_have_the_value_by_chance(tmp_path):
    pixels = np.clip(heights(nodata=1, dtype="uint8"), 1, 3)
    pixels[hole()] = 0
    path = geotiff(tmp_path / "a.tif", pixels, "0")
    assert main(["fit", str(path), "--out", str(tmp_path / "run"), *SMALL, "--quiet"]) == 0
    written = read_image(tmp_path / "run" / "reconstruction.tif")
    assert np.array_equal(written.missing_in(written.pixels), hole())
    model = ImageModel.load(str(tmp_path / "run" / "model.safetensors"))
    assert (model.pixels_of(np.zeros((5, 5, 1), dtype=np.float32)) == 1).all()
    values = np.array([[[0.0], [2.0]]])
    keep_apart(values, nodata=0.0, mode="L")
    assert 0 < values[0, 0, 0] < 1e-300 and values[0, 1, 0] == 2


@pytest.mark.parametrize(
    ("mode", "moved"),
    [("CHANNELS", [1, 50, 90, 1, 7]), ("RGBA", [1, 1, 1, 200]), ("LA", [1, 0])],
)
def test_what_is_moved_from_the_value_is_no_other_channel(mode, moved):
    values = np.array([[moved]], dtype=np.uint8)
    values[values == 1] = 0
    keep_apart(values, nodata=0, mode=mode)
    assert values.ravel().tolist() == moved


def test_text_of_values():
    assert nodata_of_text("-9999.", np.dtype("int16")) == -9999
    assert nodata_of_text("1.5", np.dtype("int16")) is None
    with pytest.raises(ValueError, match="x"):
        nodata_of_text("x", np.dtype("float32"))
