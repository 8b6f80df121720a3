"""Files of points, pictures, kernels and models that finer-ntk reads, and a run to go on with."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from finer_ntk.app.cli import main
from finer_ntk.config import SpectrumSettings
from finer_ntk.inputs.files import file_points, image_points
from finer_ntk.inputs.networks import load_subject

from .model_files import MODEL, model_sample, run_sample
from .sample import Sample, ran

MEMORY = 700_000_000
SMALL = ("--max-points", "40", "--memory", "700MB", "--quiet")  # a file without its size has a grid of 4096 points
NETWORK = ("--method", "finer", "--hidden-features", "8", "--hidden-layers", "1", "--quiet")


def _points() -> dict[str, bytes]:
    points = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    one, several = io.BytesIO(), io.BytesIO()
    np.save(one, points)
    np.savez_compressed(several, points=points, target=points[:, 0])
    rows = [[f"{value:.5f}" for value in row] for row in points]
    return {
        "a.npy": one.getvalue(),
        "a.npz": several.getvalue(),
        "a.csv": "".join(",".join(row) + "\n" for row in rows).encode(),
        "a.txt": ("# x y\n" + "".join("  ".join(row) + "\n" for row in rows)).encode(),
        "a.xyz": "".join(" ".join([*row, "0.1", "0", "0", "1"]) + "\n" for row in rows).encode(),
    }


def _pictures() -> dict[str, bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    found = {}
    for name, mode in (("a.png", "RGB"), ("deep.png", "I;16"), ("a.jpg", "RGB"), ("a.tif", "L"), ("float.tif", "F")):
        file = io.BytesIO()
        values = Image.fromarray(pixels[..., 0].astype(np.uint16) * 200) if mode == "I;16" else Image.fromarray(pixels)
        (values if mode == "I;16" else values.convert(mode)).save(
            file, {"png": "PNG", "jpg": "JPEG", "tif": "TIFF"}[name[-3:]]
        )
        found[name] = file.getvalue()
    return found


def samples(folder: Path) -> dict[str, Sample]:
    """Return the samples of finer-ntk; `folder` is for making them."""
    found = {}
    for name, content in _points().items():
        kernel = ("finer-ntk", "kernel", "--points", f"{{input}}/{name}", "--out", "{out}", *NETWORK)
        read = lambda inside, name=name: file_points(str(inside / name), memory=MEMORY)  # noqa: E731
        found[f"points-{name}"] = Sample(files={name: content}, read=read, command=kernel)
    for name, content in _pictures().items():
        spectrum = ("finer-ntk", "spectrum", "--image", f"{{input}}/{name}", "--out", "{out}", "--steps", "2", *NETWORK)
        read = lambda inside, name=name: image_points(str(inside / name), limit=100, memory=MEMORY)  # noqa: E731
        found[f"image-{name}"] = Sample(files={name: content}, read=read, command=spectrum)
    kernel_file = io.BytesIO()
    square = np.random.default_rng(0).normal(size=(12, 12))
    np.save(kernel_file, square @ square.T)
    found["kernel"] = Sample(
        files={"k.npy": kernel_file.getvalue()},
        writes=True,
        costly=True,
        read=lambda inside: ran(main, ["spectrum", str(inside / "k.npy"), "--out", str(inside / "out"), "--quiet"]),
        command=("finer-ntk", "spectrum", "{input}/k.npy", "--out", "{out}", "--quiet"),
    )
    found["model"] = model_sample(
        method="finer",
        task="image",
        in_features=2,
        out_features=3,
        task_data=lambda network: {"height": 8, "width": 9},
        read=lambda path: load_subject(SpectrumSettings(), model=str(path)),
        folder=folder / "model",
        command=("finer-ntk", "kernel", "{input}/" + MODEL, "--out", "{out}", *SMALL),
    )
    for command in ("kernel", "spectrum"):
        found[f"run-{command}"] = run_sample(main, [command, "--grid", "12", *NETWORK], folder / command)
    return found
