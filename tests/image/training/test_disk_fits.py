"""Fitting images that stay on disk: the same values, figures and pixels as in memory, and exact resumption."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from finer_core import NetworkConfig, build_network
from finer_core.app.run_folder import Habits, open_run_folder
from finer_core.training import Interrupted
from finer_image import evaluation
from finer_image import memory as budget
from finer_image.app.cli import main
from finer_image.app.folder_fit import fit_image
from finer_image.config import ImageConfig
from finer_image.evaluation import evaluate
from finer_image.io import strip_writer, zarr_writer
from finer_image.io import strips as bands
from finer_image.io.image import Image
from finer_image.io.lazy_image import DiskImage
from finer_image.io.opening import open_in_parts
from finer_image.io.reader import read_image
from finer_image.model import ImageModel
from finer_image.reconstruction import judge_and_write
from finer_image.rendering import render
from finer_image.training.objective import ImageObjective, PixelTarget
from finer_image.training.plan import FitPlan, chunk_pixels, plan_fit
from finer_image.training.streamed_target import DiskTarget
from finer_image.training.tiles import TiledPixels, tiled_pixels_of
from tests.image.image_files import noise, png, saved, tiff_bytes
from tests.image.large_files import WRITERS, large_file
from tests.refusals import assert_refused

SMALL = ["--steps", "90", "--hidden-features", "16", "--hidden-layers", "1", "--batch-pixels", "700", "--quiet"]
FAST = [
    *("--learning-rate", "5e-3", "--matrix-learning-rate", "1e-2"),
    *("--first-omega-0", "30", "--first-bias-scale", "0.707"),  # the preset's own suit wide networks
]


def picture(height: int, width: int, dtype: str = "uint8") -> np.ndarray:
    """Make a colorful picture that is neither flat nor noise."""
    y, x = np.mgrid[0:height, 0:width] / 20
    unit = np.stack([np.sin(x), np.cos(y + x / 3), np.sin(x / 2 - y)], axis=-1) / 2 + 0.5
    return (unit * 3 - 1).astype(dtype) if dtype == "float32" else (unit * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no memory for whole images, and make bands and tiles small, so that small images come in many."""
    monkeypatch.setattr(budget, "room_for_pixels", lambda memory, copies: 1000)
    monkeypatch.setattr(bands, "_BAND_BYTES", 1)
    monkeypatch.setattr(strip_writer, "_TILE", 64)
    monkeypatch.setattr(zarr_writer, "_CHUNK", 64)
    monkeypatch.setattr(evaluation, "_BAND_NUMBERS", 1)


def network(channels: int = 3) -> torch.nn.Module:
    config = NetworkConfig(method="finer", in_features=2, out_features=channels, hidden_features=16, hidden_layers=1)
    return build_network(config, generator=torch.Generator().manual_seed(0))


# Sampling


SAMPLERS = {
    "even": {"height": 64, "width": 128, "batch_pixels": 128, "tile": (8, 16), "tiles_a_round": 16},
    "uneven": {"height": 61, "width": 83, "batch_pixels": 150, "tile": (4, 32), "tiles_a_round": 10},
    "one row": {"height": 1, "width": 3000, "batch_pixels": 64, "tile": (1, 32), "tiles_a_round": 16},
    "few tiles": {"height": 40, "width": 30, "batch_pixels": 16, "tile": (32, 16), "tiles_a_round": 64},
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_pixel_is_as_likely_as_any_other(name):
    sampler = TiledPixels(**SAMPLERS[name], seed=3, steps_a_round=8)
    pixels, steps = sampler.height * sampler.width, 1000
    counts = torch.zeros(pixels)
    for step in range(steps):
        counts += torch.bincount(sampler.batch(step), minlength=pixels)
    mean = counts.mean()
    assert mean > 7
    # A pixel's count is a sum of independent counts of single rounds, each at most 8: rarely 6 deviations away.
    assert (counts - mean).abs().max() < 7 * (8 * mean) ** 0.5
    blocks = torch.stack([part.mean() for part in counts.tensor_split(10)])
    assert (blocks - mean).abs().max() < 0.1 * mean, "some part of the image is drawn more often"


@pytest.mark.parametrize("name", SAMPLERS)
def test_batches_come_from_the_tiles_of_their_round(name):
    sampler = TiledPixels(**SAMPLERS[name], seed=1, steps_a_round=64)
    tall, wide = sampler.tile
    seen = set()
    for step in (0, 1, 63, 64, 200):
        batch, tiles = sampler.batch(step), sampler.tiles(step // 64)
        assert len(batch) >= 1 and batch.min() >= 0 and batch.max() < sampler.height * sampler.width
        assert len(batch.unique()) == len(batch)
        row, column = batch // sampler.width, batch % sampler.width
        tile = row // tall * sampler.tiles_across + column // wide
        assert torch.equal(tile, tile.sort().values), "a batch is ordered by tile"
        assert set(tile.tolist()) <= set(tiles.tolist())
        seen |= set(tile.tolist())
    assert len(seen) > 1
    sizes = [len(sampler.batch(step)) for step in range(300)]
    asked = min(sampler.batch_pixels, sampler.height * sampler.width)
    assert asked / 2 <= np.mean(sizes) <= 2 * asked


def test_tiles_are_drawn_once_a_pass_and_pixels_once_a_round():
    sampler = TiledPixels(**SAMPLERS["even"], seed=0, steps_a_round=64)
    tiles = torch.cat([sampler.tiles(number) for number in range(4)])  # 64 tiles, 16 a round
    assert torch.equal(tiles.sort().values, torch.arange(64))
    pixels = torch.cat([sampler.batch(step) for step in range(16)])  # 16 tiles of 128 pixels, 128 a step
    assert len(pixels.unique()) == len(pixels) == 16 * 128
    assert torch.equal(torch.cat([sampler.batch(step) for step in range(16, 32)]).sort().values, pixels.sort().values)


def test_a_batch_depends_on_seed_and_step_alone():
    def make(seed: int) -> TiledPixels:
        return TiledPixels(**SAMPLERS["uneven"], seed=seed, steps_a_round=64)

    used = make(1)
    for step in (500, 3, 90, 64):
        used.batch(step)
    assert torch.equal(used.batch(23), make(1).batch(23))
    assert not torch.equal(make(1).batch(23), make(2).batch(23))
    assert not torch.equal(make(1).batch(0), make(1).batch(64))


def test_tiles_follow_the_layout_of_the_file(tmp_path):
    def tiles(kind: str) -> TiledPixels:
        return tiled_pixels_of(open_in_parts(large_file(tmp_path, kind, noise(300, 400, 3))), seed=0, batch_pixels=512)

    assert tiles("npy").tile == (1, 128)
    assert tiles("npy-fortran").tile == (128, 1)
    assert tiles("tiff-tiles").tile == (16, 8)
    assert tiles("tiff-strips").tile == (4, 32)
    assert tiles("npy").steps_a_round == 16


def test_tiles_are_as_many_as_can_be_read_and_held(tmp_path):
    path = saved(tmp_path / "x.tif", tiff_bytes(noise(1024, 1024, 3), photometric="rgb", tile=(512, 512)))
    few = tiled_pixels_of(open_in_parts(path), batch_pixels=8192, seed=0)
    assert few.steps_a_round == 255  # 325 tiles of blocks of 786 kB, a megabyte a step
    assert few.tile == (128, 64)  # of 8192 pixels, which 255 steps of 8192 / 325 pixels take
    wide = tmp_path / "wide.npy"
    np.save(wide, np.zeros((300, 300, 500), dtype=np.float32))
    many = tiled_pixels_of(open_in_parts(wide), batch_pixels=8192, seed=0)
    assert many.tile == (1, 16) and many.steps_a_round == 256  # 1000 tiles of pixels of 2 kB in 32 MB


# Values


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
@pytest.mark.parametrize("kind", ["npy", "tiff", "tiff-tiles", "tiff-strips", "zarr2", "zarr3"])
def test_batches_hold_the_values_of_the_image(tmp_path, kind, dtype):
    pixels = noise(300, 400, 3, dtype=dtype)
    disk = open_in_parts(large_file(tmp_path, kind, pixels))
    whole = PixelTarget(pixels, value_range=disk.value_range, target_range=(-1, 1))
    tile = tiled_pixels_of(disk, batch_pixels=512, seed=2).tile
    sampler = TiledPixels(
        height=300, width=400, batch_pixels=512, seed=2, tile=tile, tiles_a_round=20, steps_a_round=64
    )
    target = DiskTarget(disk, sampler=sampler, target_range=(-1, 1))
    for step in (0, 1, 63, 64, 65, 300, 64, 10):  # on, and back as after a rollback
        index = target.batch(step)
        for ours, theirs in zip(target.at(index), whole.at(index), strict=True):
            assert torch.equal(ours, theirs)
    for run in (slice(0, 50), slice(390, 1300), slice(799, 801), slice(119_000, 120_000)):
        for ours, theirs in zip(target.at(run), whole.at(run), strict=True):
            assert torch.equal(ours, theirs)
    with pytest.raises(ValueError, match="current round"):
        target.at(torch.arange(120_000))


def test_the_full_batch_gives_the_same_gradients(tmp_path):
    pixels = picture(60, 50)
    disk = open_in_parts(large_file(tmp_path, "tiff-strips", pixels))
    targets = (
        DiskTarget(disk, sampler=None, target_range=(-1, 1)),
        PixelTarget(pixels, value_range=(0, 255), target_range=(-1, 1)),
    )
    networks = network(), network()
    losses = [
        ImageObjective(target, sampler=None, chunk_pixels=128).backward(net, 0)
        for target, net in zip(targets, networks, strict=True)
    ]
    assert torch.equal(*losses)
    for ours, theirs in zip(*(net.parameters() for net in networks), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


# Judging and writing


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize(
    ("kind", "suffix"), [("npy", ".tif"), ("tiff", ".npy"), ("tiff-tiles", ".tif"), ("zarr3", ".zarr")]
)
def test_figures_and_reconstruction_equal_those_in_memory(tmp_path, kind, suffix, dtype, no_room):
    pixels = picture(150, 198, dtype)
    disk, whole = open_in_parts(large_file(tmp_path, kind, pixels)), Image.from_pixels(pixels)
    model = ImageModel.of(network(), disk, target_range=(-1.0, 1.0))
    figures = evaluate(model, whole)
    assert evaluate(model, disk) == figures
    out = tmp_path / f"out{suffix}"
    rows = []
    written, same = judge_and_write(model, disk, out, on_rows=rows.append)
    assert same == figures
    assert rows[-1] == 150 and len(rows) == 10
    assert np.array_equal(written.read(slice(None)), render(model, height=model.height, width=model.width).pixels)
    assert (written.mode, written.dtype) == (disk.mode, disk.dtype)
    assert {path.name for path in tmp_path.iterdir()} == {f"large.{WRITERS[kind][0]}", f"out{suffix}"}


def test_a_reader_that_fails_leaves_no_half_written_file(tmp_path):
    path = large_file(tmp_path, "npy", picture(300, 390))
    disk = open_in_parts(path)
    model = ImageModel.of(network(), disk, target_range=(-1.0, 1.0))
    path.write_bytes(path.read_bytes()[:200_000])
    for suffix in (".tif", ".npy"):
        with pytest.raises(ValueError, match="ends at byte"):
            judge_and_write(model, disk, tmp_path / f"out{suffix}")
    assert [file.name for file in tmp_path.iterdir()] == ["large.npy"]


# The commands


@pytest.mark.parametrize("kind", ["npy", "tiff-tiles", "zarr3"])
def test_a_run_of_an_image_on_disk(tmp_path, capsys, kind, no_room):
    pixels = picture(150, 200)
    path, out = large_file(tmp_path, kind, pixels), tmp_path / "run"
    assert main(["fit", str(path), "--out", str(out), *SMALL, *FAST, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["psnr"] > 12 and metrics["peak_memory_mb"] > 0  # a flat gray gives 9.0
    config = json.loads((out / "config.json").read_text())
    assert config["image_on_disk"] is True and config["image"]["height"] == 150
    assert len(config["input_sha256"]) == 64
    model_file = str(out / "model.safetensors")
    model = ImageModel.load(model_file)
    assert np.array_equal(
        read_image(out / "reconstruction.tif").pixels, render(model, height=model.height, width=model.width).pixels
    )
    assert (out / "report.html").stat().st_size < 3_000_000
    assert main(["evaluate", model_file, str(path), "--json", "--quiet"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == {name: metrics[name] for name in figures}
    assert figures == pytest.approx(evaluate(model, Image.from_pixels(pixels)))


def test_rendering_in_parts_gives_the_pixels_of_rendering_whole(tmp_path, capsys, monkeypatch):
    path, out = large_file(tmp_path, "npy", picture(120, 90)), tmp_path / "run"
    assert main(["fit", str(path), "--out", str(out), *SMALL]) == 0
    render_command = ["render", str(out / "model.safetensors"), "--scale", "3", "--crop", "7:320,20:270", "--quiet"]
    assert main([*render_command, "--out", str(tmp_path / "whole.npy")]) == 0
    monkeypatch.setattr(budget, "room_for_pixels", lambda memory, copies: 1000)
    whole = np.load(tmp_path / "whole.npy")
    assert whole.shape == (313, 250, 3)
    for name in ("parts.tif", "parts.npy"):
        assert main([*render_command, "--out", str(tmp_path / name)]) == 0
        assert np.array_equal(read_image(tmp_path / name).pixels, whole)
    assert_refused(
        main, [*render_command, "--out", str(tmp_path / "parts.png")], capsys, "parts.png", ".tif", "--memory"
    )
    assert_refused(main, [*render_command, "--out", str(tmp_path / "x.docx")], capsys, "x.docx")
    assert_refused(main, [*render_command, "--out", str(tmp_path / "parts.npy")], capsys, "--overwrite")


def test_zarr_is_written_and_replaced(tmp_path, capsys, monkeypatch):
    pytest.importorskip("zarr", reason="the extra finer-image[zarr] is not installed")
    path, out = large_file(tmp_path, "zarr3", picture(60, 90)), tmp_path / "run"
    assert main(["fit", str(path), "--out", str(out), *SMALL]) == 0
    assert read_image(out / "reconstruction.png").width == 90, "a small array is held in memory"
    command = ["render", str(out / "model.safetensors"), "--quiet", "--out", str(tmp_path / "out.zarr")]
    assert main([*command, "--scale", "2"]) == 0
    monkeypatch.setattr(budget, "room_for_pixels", lambda memory, copies: 1000)
    assert main([*command, "--overwrite"]) == 0
    assert np.array_equal(
        open_in_parts(tmp_path / "out.zarr").read(slice(None)), read_image(out / "reconstruction.png").pixels
    )
    (tmp_path / "dear.zarr").mkdir()
    (tmp_path / "dear.zarr" / "photo").write_text("x")
    assert_refused(main, [*command[:-1], str(tmp_path / "dear.zarr"), "--overwrite"], capsys, "is a folder")
    assert (tmp_path / "dear.zarr" / "photo").read_text() == "x"
    assert not [file for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_missing_zarr_is_told_before_the_work(tmp_path, capsys, monkeypatch):
    import sys

    path, out = large_file(tmp_path, "npy", picture(20, 30)), tmp_path / "run"
    assert main(["fit", str(path), "--out", str(out), *SMALL]) == 0
    monkeypatch.setitem(sys.modules, "zarr", None)
    command = ["render", str(out / "model.safetensors"), "--out", str(tmp_path / "out.zarr")]
    assert_refused(main, command, capsys, "pip install 'finer-image[zarr]'")
    monkeypatch.setattr(budget, "room_for_pixels", lambda memory, copies: 1000)
    assert_refused(main, command, capsys, "pip install 'finer-image[zarr]'")


def test_files_that_cannot_be_fitted(tmp_path, capsys, no_room):
    out = str(tmp_path / "run")
    image = saved(tmp_path / "large.png", png(noise(40, 50, 3), depth=8, color_type=2))
    assert_refused(main, ["fit", str(image), "--out", out, *SMALL], capsys, "large.png", "--memory", ".npy, TIFF")
    cut = large_file(tmp_path, "tiff-tiles", noise(100, 120, 3))
    cut.write_bytes(cut.read_bytes()[:9000])
    assert_refused(main, ["fit", str(cut), "--out", out, *SMALL], capsys, "large.tif", "truncated")
    whole = large_file(tmp_path, "npy", noise(100, 120, 3))
    assert_refused(
        main, ["fit", str(whole), "--out", out, *SMALL, "--memory", "500MB"], capsys, "--memory leaves no room"
    )
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module", params=["npy", "tiff-tiles", "zarr3"])
def uninterrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return an image on disk, and the run folder of its fit without an interruption."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    path = large_file(folder, request.param, picture(150, 200))
    image = open_in_parts(path)
    fit_image(ninety_steps(image), image, open_run_folder(folder / "whole", mode="new"), habits=Habits(quiet=True))
    return path, folder / "whole"


def ninety_steps(image: DiskImage) -> FitPlan:
    network = {"hidden_features": 16, "hidden_layers": 1}
    return plan_fit(ImageConfig(steps=90, batch_pixels=700, log_every=5, network=network), image)


@pytest.mark.parametrize("stop_at", [5, 70])
def test_an_interrupted_fit_resumes_to_the_same_bits(uninterrupted, tmp_path, stop_at):
    path, whole = uninterrupted
    image = open_in_parts(path)
    plan = ninety_steps(image)
    run = open_run_folder(tmp_path / "run", mode="new")
    asked = iter(range(1000))
    with pytest.raises(Interrupted):
        fit_image(plan, image, run, habits=Habits(quiet=True), should_stop=lambda: next(asked) >= stop_at)
    fit_image(plan, open_in_parts(path), run, habits=Habits(resume=True, quiet=True))
    for name in ("model.safetensors", "reconstruction.tif"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()


def test_resuming_a_run_by_command(tmp_path, capsys, no_room):
    path, out = large_file(tmp_path, "npy", picture(150, 200)), tmp_path / "run"
    assert main(["fit", str(path), "--out", str(out), *SMALL]) == 0
    before = (out / "reconstruction.tif").read_bytes()
    assert main(["fit", str(path), "--out", str(out), "--resume", "--quiet"]) == 0
    assert (out / "reconstruction.tif").read_bytes() == before
    np.save(path, noise(150, 200, 3))
    assert_refused(main, ["fit", str(path), "--out", str(out), "--resume", "--quiet"], capsys, "not the image")


# Memory


def test_an_image_on_disk_takes_no_memory_for_its_pixels(tmp_path):
    config = NetworkConfig(method="finer", in_features=2, out_features=3)
    path = tmp_path / "huge.npy"
    with path.open("wb") as handle:  # a hole of 30 GB; nothing is written or read of it
        np.lib.format.write_array_header_1_0(
            handle, {"shape": (100_000, 100_000, 3), "fortran_order": False, "descr": "|u1"}
        )
        handle.truncate(handle.tell() + 30_000_000_000)
    image = open_in_parts(path)
    assert image.nbytes == 30_000_000_000
    assert chunk_pixels(config, memory=2 * 10**9, image=image, device="cpu") == 1024
    target = DiskTarget(image, sampler=tiled_pixels_of(image, batch_pixels=8192, seed=0), target_range=(-1, 1))
    coords, values = target.at(target.batch(1000))
    assert torch.equal(values, torch.full_like(values, -1.0)) and coords.min() < -0.9 and coords.max() > 0.9


def test_room_for_pixels():
    assert budget.room_for_pixels(2 * 10**9, copies=2) == 771_000_000
    assert budget.room_for_pixels(2 * 10**9, copies=1) == 1_542_000_000
    assert budget.room_for_pixels(10**6, copies=2) == 0
