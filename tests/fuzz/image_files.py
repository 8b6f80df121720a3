"""Pictures of every format, folders of Zarr, and models of images."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from finer_core.errors import InputError
from finer_image.app.cli import main
from finer_image.io.opening import open_image
from finer_image.model import ImageModel
from tests.image.format_samples import FILES
from tests.image.image_files import exr_file, noise, tiff_bytes
from tests.image.large_files import large_file

from .model_files import MODEL, run_sample, saved_model_sample
from .sample import Sample, files_of

PIXEL_BYTES, WORKING_BYTES = 20_000_000, 60_000_000
TINY = ("--steps", "4", "--hidden-features", "8", "--hidden-layers", "1", "--batch-pixels", "64", "--quiet")


def _read(name: str):
    def read(folder: Path) -> None:
        limits = {"cache_bytes": WORKING_BYTES, "working_bytes": WORKING_BYTES}
        with contextlib.suppress(InputError):  # pieces of a file that does not fit, where the format has any
            open_image(folder / name, memory_bytes=100, **limits).read(slice(0, 1))
        image = open_image(folder / name, memory_bytes=PIXEL_BYTES, **limits)
        image.read(slice(0, min(4, image.height)))

    return read


def samples(folder: Path) -> dict[str, Sample]:
    """Return the samples of finer-image; `folder` is for making them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: make() for name, make in FILES.items()}
    files["nodata.tif"] = tiff_bytes(noise(20, 28, dtype="float32"), extratags=[(42113, "s", 0, "-9999", True)])
    files["tiles.tif"] = tiff_bytes(noise(40, 48, 3), tile=(16, 16), compression="zlib", planarconfig="contig")
    planes = {name: noise(20, 28, dtype="float16", seed=ord(name)) for name in "RGB"}
    files["a.exr"] = exr_file(folder / "a.exr", planes).read_bytes()
    np.save(folder / "a.npy", noise(20, 28, 3))
    files["a.npy"] = (folder / "a.npy").read_bytes()
    found = {
        name: Sample(
            files={name: content},
            read=_read(name),
            command=("finer-image", "fit", f"{{input}}/{name}", "--out", "{out}", *TINY),
        )
        for name, content in files.items()
    }
    (folder / "a.png").write_bytes(files["a.png"])
    run = run_sample(main, ["fit", str(folder / "a.png"), *TINY], folder / "run")
    render = ("finer-image", "render", "{input}/" + MODEL, "--out", "{out}.png", "--size", "6x6", "--quiet")
    found["model"] = saved_model_sample(folder / "run" / MODEL, lambda path: ImageModel.load(str(path)), render)
    found["run"] = run
    for kind in ("zarr2", "zarr3"):
        (folder / kind).mkdir(exist_ok=True)
        try:
            store = large_file(folder / kind, kind, noise(100, 90, 3, dtype="uint16"))
        except pytest.skip.Exception:  # without the library, or without that version of the format
            continue
        name = f"{kind}.zarr"
        content = {f"{name}/{path}": data for path, data in files_of(store).items()}
        metadata = [path for path in content if path.endswith((".zarray", "zarr.json", ".zattrs"))]
        found[name] = Sample(
            files=content,
            read=_read(name),
            hit=[*metadata * max(1, len(content) // len(metadata)), *content],
            command=("finer-image", "fit", f"{{input}}/{name}", "--out", "{out}", *TINY),
        )
    return found
