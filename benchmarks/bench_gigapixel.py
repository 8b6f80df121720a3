"""Fit, judge and render an image far larger than --memory: seconds, and the peak memory of each process.

    python benchmarks/bench_gigapixel.py [--side 16384] [--steps 300] [--hidden-features 64] [--memory 2GB]
        [--format npy|tif] [--folder DIR] [--json]

A picture of side x side x 3 bytes is made band by band in a temporary folder (with --folder in that one, where it and
the results stay), then each command runs as a process of its own:

1. `finer-image fit`: trains, then judges and writes the reconstruction in one pass, and writes the report;
2. `finer-image evaluate`;
3. `finer-image render --out render.tif`.

Printed: seconds of each command, of the training alone, and the largest resident memory of each process, which counts
touched pages of mapped files too. Exit code 1 if one took more than --memory. The disk needs 4 times the picture.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from finer_core.c_library import allow_building
from finer_core.resources import parse_memory
from finer_image.io.image import Image
from finer_image.io.strip_writer import write_bands

_WAVES = 48


def picture_bands(side: int) -> Iterator[np.ndarray]:
    """Yield bands of a picture with detail at all scales: products of waves, whose amplitude falls as 1/frequency."""
    random = np.random.default_rng(0)
    frequency = np.exp(random.uniform(np.log(2), np.log(side / 6), (2, _WAVES)))
    phase = random.uniform(0, 2 * np.pi, (2, _WAVES))
    amplitude = random.standard_normal((3, _WAVES)) / frequency.min(axis=0) ** 0.5
    amplitude *= 50 / np.linalg.norm(amplitude, axis=1, keepdims=True) * 2
    place = np.linspace(0, 2 * np.pi, side)[:, None]
    rows, columns = (np.sin(place * f + p).astype(np.float32) for f, p in zip(frequency, phase, strict=True))
    for top in range(0, side, 256):
        band = [(rows[top : top + 256] * weight.astype(np.float32)) @ columns.T for weight in amplitude]
        yield np.clip(np.stack(band, axis=-1) + 128, 0, 255).astype(np.uint8)


def timed(command: list[str]) -> tuple[float, float, str]:
    """Run `finer-image` with arguments; return seconds, peak memory in megabytes (10^6 bytes), and its stdout."""
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, "-m", "finer_image", *command], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"finer-image {' '.join(command)} ended with {process.returncode}")
        output.seek(0)
        unit = 1 if sys.platform == "darwin" else 1024
        return time.perf_counter() - started, usage.ru_maxrss * unit / 1e6, output.read()


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Make the picture, run the three commands, and return the figures."""
    source, run = folder / f"large.{arguments.format}", folder / "run"
    started = time.perf_counter()
    kind = Image.from_pixels(np.zeros((1, 1, 3), dtype=np.uint8))
    write_bands(source, picture_bands(arguments.side), kind=kind, height=arguments.side, width=arguments.side)
    figures = {"make_seconds": time.perf_counter() - started, "file_mb": source.stat().st_size / 1e6}
    network = ["--hidden-features", str(arguments.hidden_features), "--hidden-layers", str(arguments.hidden_layers)]
    memory, model = ["--memory", arguments.memory], str(run / "model.safetensors")
    fit = ["fit", str(source), "--out", str(run), "--steps", str(arguments.steps), *network, *memory, "--json"]
    seconds, peak, text = timed([*fit, "--overwrite"] if run.exists() else fit)
    metrics = json.loads(text)
    figures |= {"psnr": metrics["psnr"], "ssim": metrics["ssim"], "train_seconds": metrics["seconds"]}
    figures |= {"fit_seconds": seconds, "fit_mb": peak, "fit_mb_in_metrics": metrics["peak_memory_mb"]}
    seconds, peak, text = timed(["evaluate", model, str(source), *memory, "--json"])
    assert json.loads(text)["psnr"] == metrics["psnr"], "judging again gives another figure"
    figures |= {"evaluate_seconds": seconds, "evaluate_mb": peak}
    seconds, peak, _ = timed(["render", model, "--out", str(folder / "render.tif"), *memory, "--overwrite"])
    return figures | {"render_seconds": seconds, "render_mb": peak}


def main() -> None:
    """Print the figures and compare the peaks with the budget."""
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=16384)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--hidden-features", type=int, default=64)
    parser.add_argument("--hidden-layers", type=int, default=2)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--format", default="npy", choices=("npy", "tif"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.folder:
        arguments.folder.mkdir(parents=True, exist_ok=True)
        figures = measure(arguments.folder, arguments)
    else:
        with tempfile.TemporaryDirectory() as folder:
            figures = measure(Path(folder), arguments)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:<18}{value:10.3f}" if name in ("psnr", "ssim") else f"{name:<18}{value:10.1f}")
    if max(figures[f"{command}_mb"] for command in ("fit", "evaluate", "render")) * 1e6 > parse_memory(
        arguments.memory
    ):
        raise SystemExit(f"more than --memory {arguments.memory}")


if __name__ == "__main__":
    main()
