"""Compare methods on images: one run folder each, and one table in three formats."""

from collections.abc import Mapping
from typing import Any

from finer_core.app.benchmark import Benchmark, BenchmarkInput, files_in
from finer_core.app.benchmark_table import BenchmarkTable
from finer_core.app.run_folder import RunFolder
from finer_core.app.sharing import BenchmarkFit
from finer_core.benchmark import Result
from finer_core.io.files import printable
from finer_core.schema import check_entries
from finer_image.app.experiment import EXPERIMENT
from finer_image.benchmarking import COLUMNS, row_of
from finer_image.config import ImageConfig
from finer_image.io.reader import FORMATS, TGA, ZARR
from finer_image.io.windows.zarr_metadata import is_zarr
from finer_image.model_data import TASK
from finer_image.published import SOURCE
from finer_image.training.plan import check_settings

_HEADINGS = ("image", "method", "size", "PSNR (dB)", "SSIM", "seconds", "published mean (16 images)")
_SUFFIXES = tuple(suffix for known in (*FORMATS, TGA, ZARR) for suffix in known.suffixes)


def images_in(folder: str, *, limit: int | None) -> list[BenchmarkInput]:
    """Return the images of a folder, or the one that is named itself; see `files_in`."""
    return files_in(
        folder,
        suffixes=_SUFFIXES,
        what="images",
        limit=limit,
        is_input=lambda path: path.is_file() or is_zarr(path),
    )


def _row(fit: BenchmarkFit, result: Result) -> dict[str, Any]:
    if not isinstance(result, Exception):
        run = RunFolder(fit.out)
        config = run.read_config()
        check_entries(config, {"image": Mapping[str, Any]}, what=f"{run.config}")
        image = config["image"]
        check_entries(image, {"height": int, "width": int}, what=f"{run.config}: image")
        result = {**result, "size": f"{image['height']}x{image['width']}"}
    return row_of(printable(fit.signal.name), fit.settings.method, result)


def _shown(name: str, value: float) -> str:
    if name == "ssim":
        return f"{value:.4f}"
    return f"{value:.1f}" if name == "seconds" else f"{value:.2f}"


BENCHMARK = Benchmark(
    application="finer-image",
    task=TASK,
    config=ImageConfig,
    experiment=EXPERIMENT,
    row_of=_row,
    kept={"psnr": float | None, "ssim": float | None},
    check=check_settings,
    table=BenchmarkTable(
        headings=dict(zip(COLUMNS, _HEADINGS, strict=True)),
        figures=("psnr", "ssim", "seconds"),
        source=SOURCE,
        shown=_shown,
        of_method=("published_mean_psnr",),
    ),
)
