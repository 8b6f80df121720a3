"""The report of an image fit: what was asked, what came out, how well, in one page."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from finer_core.app.run_folder import RunFolder
from finer_core.io.figures import figure_bytes
from finer_core.io.files import printable
from finer_core.io.report import Report
from finer_core.plots import log_figure
from finer_core.training import read_jsonl
from finer_image import plots
from finer_image.io.image import unit_from_pixels
from finer_image.io.raster import Raster
from finer_image.preview import png_bytes
from finer_image.spectrum import radial_spectrum

_LARGEST_SIDE = 1024
"""Images are shown at most this large."""


def write_report(
    run: RunFolder, *, target: Raster, reconstruction: Raster, metrics: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Write `report.html`."""
    page = Report(
        f"{printable(config['signal'])}: {metrics['method']}",
        note=f"finer-image {config['versions']['finer-image']}, {config['started']}, {metrics['device']}",
    )
    page.table({name: "-" if value is None else value for name, value in metrics.items()})
    for note in target.notes:
        page.paragraph(f"Note: the image {note}.")
    truth, pred = (_shown_unit(image, target) for image in (target, reconstruction))
    small = max(truth.shape[:2]) <= 512
    page.heading("Image")
    page.figures(
        [
            ("target", png_bytes(truth, mode=target.mode)),
            (f"reconstruction, {_db(metrics['psnr'])}", png_bytes(pred, mode=target.mode)),
        ],
        pixelated=small,
    )
    page.heading("Where and at which frequencies it differs")
    error = np.abs(pred - truth).mean(axis=2)
    spectra = {
        name: radial_spectrum(_unit_of(_center(image), _center(target), target).mean(axis=2))
        for name, image in (("target", target), ("reconstruction", reconstruction))
    }
    page.figures(
        [
            (
                "absolute error, share of the value range",
                figure_bytes(plots.error_map(error), kind="png"),
            ),
            ("radial power spectrum", figure_bytes(plots.spectra(spectra), kind="svg").decode()),
            ("training", figure_bytes(log_figure(read_jsonl(run.metrics_log), ["psnr"]), kind="svg").decode()),
        ]
    )
    page.heading("Settings")
    page.table({**config["settings"], "network": json.dumps(config["network"])})
    page.table({"input": f"SHA-256 {config['input_sha256']}", **config["versions"]}, folded="versions")
    page.write(run.report)


def _db(value: float) -> str:
    return f"PSNR {value:.2f} dB"


def _center(image: Raster) -> np.ndarray:
    """Return the central part that the spectrum looks at."""
    top, left = max(0, image.height - _LARGEST_SIDE) // 2, max(0, image.width - _LARGEST_SIDE) // 2
    return image.read(slice(top, top + _LARGEST_SIDE), slice(left, left + _LARGEST_SIDE))


def _shown_unit(image: Raster, target: Raster) -> np.ndarray:
    """Return a picture of at most 1024 pixels a side, in [0, 1], by taking every n-th pixel."""
    n = -(-max(image.height, image.width) // _LARGEST_SIDE)
    pixels, truth = (
        np.concatenate([each.read(slice(row, row + 1))[:, ::n] for row in range(0, image.height, n)])
        for each in (image, target)
    )
    return np.clip(_unit_of(pixels, truth, target), 0, 1)


def _unit_of(pixels: np.ndarray, truth: np.ndarray, target: Raster) -> np.ndarray:
    """Return pixels in [0, 1]; where the target, of which `truth` is the same window, has no data they are 0."""
    unit, missing = unit_from_pixels(pixels, value_range=target.value_range), target.missing_in(truth)
    if missing is not None:
        unit[missing] = 0
    return unit
