"""What goes in comes out: type, size, channels, range; generated images everywhere, real ones where they are."""

import json
from pathlib import Path

import numpy as np
import pytest

from finer_image.app.cli import main
from finer_image.io.reader import read_image
from finer_image.io.writer import write_image

SMALL = ["--steps", "120", "--hidden-features", "32", "--hidden-layers", "1", "--quiet"]


def gradient(height: int, width: int, channels: int) -> np.ndarray:
    """Return a smooth image in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [0.5 + 0.5 * np.sin(0.3 * (c + 1) * x / 3 + 0.2 * y) for c in range(channels)]
    return np.stack(planes, axis=-1)


KINDS = {
    "gray8.png": (gradient(9, 14, 1) * 255).astype(np.uint8),
    "gray_alpha8.png": (gradient(9, 14, 2) * 255).astype(np.uint8),
    "rgb8.png": (gradient(9, 14, 3) * 255).astype(np.uint8),
    "rgba8.png": (gradient(9, 14, 4) * 255).astype(np.uint8),
    "gray16.png": (300 + gradient(9, 14, 1) * 800).astype(np.uint16),
    "rgba16.png": (gradient(9, 14, 4) * 65535).astype(np.uint16),
    "float.tif": (gradient(9, 14, 3) * 7 - 2).astype(np.float32),
    "seven_channels.tif": gradient(9, 14, 7).astype(np.float32),
    "half.exr": (gradient(9, 14, 3) * 4).astype(np.float16),
    "column.png": (gradient(30, 1, 3) * 255).astype(np.uint8),
    "row.png": (gradient(1, 30, 3) * 255).astype(np.uint8),
    "pixel.png": np.full((1, 1, 3), 77, dtype=np.uint8),
    "constant.npy": np.full((5, 6), 3.5),
}


def fitted(source: Path, out: Path, *more: str) -> tuple[dict, Path]:
    assert main(["fit", str(source), "--out", str(out), *SMALL, *more]) == 0
    (reconstruction,) = out.glob("reconstruction.*")
    return json.loads((out / "metrics.json").read_text()), reconstruction


@pytest.mark.parametrize("name", KINDS)
def test_type_size_and_range_survive(name, tmp_path):
    source = tmp_path / name
    write_image(source, KINDS[name])
    before = read_image(source)
    metrics, reconstruction = fitted(source, tmp_path / "run")
    after = read_image(reconstruction)
    assert (after.pixels.shape, after.dtype, after.mode) == (before.pixels.shape, before.dtype, before.mode)
    low, high = before.value_range
    assert after.pixels.min() >= low
    assert after.pixels.max() <= high
    assert metrics["psnr"] is None or metrics["psnr"] > 12
    assert (metrics["ssim"] is None) == (min(before.height, before.width) < 11)


def test_a_model_file_renders_alone(tmp_path):
    source = tmp_path / "deep.png"
    write_image(source, KINDS["gray16.png"])
    fitted(source, tmp_path / "run")
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((tmp_path / "run" / "model.safetensors").read_bytes())
    assert main(["render", str(alone), "--scale", "3", "--out", str(tmp_path / "big.png")]) == 0
    big = read_image(tmp_path / "big.png")
    assert big.pixels.shape == (27, 42, 1)
    assert big.dtype == np.uint16


@pytest.mark.parametrize(
    ("name", "suffix", "dtype", "mode"),
    [
        ("jacksboro_dem_u16.png", ".png", np.uint16, "L"),
        ("logo.png", ".png", np.uint8, "RGBA"),
        ("albert.exr", ".exr", np.float32, "RGBA"),
        ("pngsuite_basn6a16.png", ".png", np.uint16, "RGBA"),
        ("camera.png", ".png", np.uint8, "L"),
    ],
)
def test_real_images(shared_data, tmp_path, name, suffix, dtype, mode):
    source = shared_data / "images" / "misc" / name
    metrics, reconstruction = fitted(source, tmp_path / "run", "--batch-pixels", "4096")
    after = read_image(reconstruction)
    assert reconstruction.suffix == suffix
    assert after.pixels.shape[:2] == read_image(source).pixels.shape[:2]
    assert after.dtype == dtype
    assert after.mode == mode
    assert metrics["psnr"] > 8
