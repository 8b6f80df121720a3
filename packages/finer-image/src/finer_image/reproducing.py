"""Run published image tables again, and compare."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from finer_core.errors import InputError
from finer_core.io.figures import side_by_side
from finer_core.reproduction import Cell, Input, Outcome, Reproduction, Study, Table, files_of_inputs
from finer_core.reproduction import reproduce as run_study
from finer_image.config import BUILT_IN
from finer_image.published_reruns import TABLES

_MEMORY = 1 << 40
"""Images of published tables are small and are read whole."""
_CROP = 128
"""Side of what a picture shows of the reconstruction, in pixels."""


def reproduce(
    table: str, inputs: Sequence[str | os.PathLike[str]] = (), *, size: int | None = None, **options: Any
) -> Reproduction:
    """Run a published image table with its exact settings, or scaled, and compare; as `finer-image reproduce` does.

    Args:
        table: Its name; `finer-image reproduce --list` describes all.
        inputs: Files, or folders of files, named as the table's inputs ("00.png"); others are fitted too and compared
            with nothing. None for the built-in image.
        size: Side in pixels that images are reduced to, by the means of square blocks; the same holds.
        **options: As `finer_core.reproduction.reproduce` takes them: preset, limit, steps, passes, methods, seeds,
            out, workers, scheduler, threads, run, progress.

    Returns:
        The comparison: `rows` for `pandas.DataFrame`, `records`, and `render("md")`, "csv", "json", "tex" or "html".

    Raises:
        InputError: For an unknown table, row or input, or a setting that cannot be used, before the first fit.

    Example:
        >>> import finer_image
        >>> found = finer_image.reproduce("finerpp-notebook", methods=["finer"], steps=2, size=8)
        >>> row = next(row for row in found.rows if row["published"] is not None)
        >>> row["row"], row["published"], row["verdict"]
        ('FINER', 42.135, 'not run')
    """
    return run_study(STUDY, table, inputs, size=size, **options)


def find_inputs(table: Table, paths: Sequence[str]) -> list[Input]:
    """Return the images that are fitted: files, those of folders that the table names, or the built-in one.

    Raises:
        InputError: If a path is no image, or a folder has none that the table names.
    """
    files = files_of_inputs(table, paths, _named, what="images")
    return [_input(path.stem, str(path)) for path in files] or [_input(BUILT_IN, BUILT_IN)]


def _named(folder: Path, name: str) -> Path | None:
    return min((file for file in folder.iterdir() if file.stem == name and file.is_file()), default=None)


def _input(name: str, source: str) -> Input:
    return Input(name=name, source=source, sha256=_digest(_opened(source)))


def _opened(source: str) -> Any:
    from finer_image.inputs import open_signal
    from finer_image.io.image import Image

    image = open_signal(source, memory=_MEMORY)
    if not isinstance(image, Image):
        raise InputError(f"{source}: is too large for a table; give an image that fits the memory")
    return image


def _digest(image: Any) -> str:
    from finer_image.training.plan import digest_of

    return digest_of(image)


def compute_cell(cell: Cell) -> Outcome:
    """Fit a method to an image and judge it.

    Raises:
        InputError: If the image cannot be read, or reduced to the size.
        DivergenceError: If the fit diverged for good.
        KeyboardInterrupt: If it was interrupted.
    """
    from finer_image.evaluation import evaluate
    from finer_image.training.fit import fit

    whole = _opened(cell.input.source)
    image = whole if cell.size is None else reduced(whole, cell.size, source=cell.input.source)
    model, history = fit(image, **{**cell.settings, "method": cell.method, "seed": cell.seed})
    if history.interrupted:
        raise KeyboardInterrupt
    metrics = dict(evaluate(model, image))
    rendering = model.render()
    metrics["psnr_u8"] = _psnr_of_bytes(rendering, image)
    height, width, channels = image.shape
    return Outcome.of_fit(
        model,
        history,
        columns=("step", "loss", "psnr"),
        metrics=metrics,
        facts={"height": height, "width": width, "channels": channels},
        sha256=_digest(whole),
        picture=_picture(rendering, image),
    )


def reduced(image: Any, size: int, *, source: str) -> Any:
    """Return an image whose shorter side has so many pixels, each the mean of a square block, missing if one there is.

    Raises:
        InputError: If the sides are no multiples.
    """
    import numpy as np

    from finer_image.io.image import Image
    from finer_image.io.nodata import keep_apart, mark_missing

    height, width, channels = image.shape
    block, rest = divmod(min(height, width), size)
    if rest or block == 0 or height % block or width % block:
        raise InputError(f"--size {size}: {source} has {height}x{width} pixels, which are no multiples; give a divisor")
    blocks = image.pixels.reshape(height // block, block, width // block, block, channels).astype(np.float64)
    means = blocks.mean(axis=(1, 3))
    pixels = (np.rint(means) if image.dtype.kind in "iu" else means).astype(image.dtype)
    if image.missing:
        keep_apart(pixels, nodata=image.nodata, mode=image.mode)
        missing = image.missing_in(image.pixels).reshape(blocks.shape[:4]).any(axis=(1, 3))
        mark_missing(pixels, missing, nodata=image.nodata)
    return Image.from_pixels(pixels, mode=image.mode, nodata=image.nodata)


def _psnr_of_bytes(rendering: Any, image: Any) -> float | None:
    """Return the PSNR in dB of a rendering in the image's own 8 bits, where it has data; None for other types."""
    import numpy as np

    from finer_core.metrics import psnr_of_mse

    if image.dtype != np.uint8:
        return None
    error = rendering.reshape(image.shape).astype(np.float64) - image.pixels
    missing = image.missing_in(image.pixels)
    counted = error if missing is None else error[~missing]
    return psnr_of_mse(float(np.mean((counted / 255.0) ** 2)))


def _picture(rendering: Any, image: Any) -> bytes:
    """Return a PNG of the middle: the original, the reconstruction, and ten times the error, side by side.

    Where the original has no data, all three are black.
    """
    height, width, _ = image.shape
    rows, columns = (slice(max(0, (side - _CROP) // 2), (side + _CROP) // 2) for side in (height, width))
    pixels = image.pixels[rows, columns]
    truth, ours = image.to_unit(pixels), image.to_unit(rendering.reshape(image.shape)[rows, columns])
    missing = image.missing_in(pixels)
    if missing is not None:
        truth[missing] = ours[missing] = 0
    return side_by_side([truth, ours, abs(truth - ours) * 10])


STUDY = Study(
    application="finer-image",
    tables=TABLES,
    compute="finer_image.reproducing:compute_cell",
    find_inputs=find_inputs,
    lengths=("steps", "passes"),
    pictures=f"Left to right: the original, the reconstruction, ten times the error; the middle {_CROP} pixels.",
)
