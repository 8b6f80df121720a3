"""Compare methods on images: one run folder each, and one table in three formats."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from finer_core.app import benchmark as benchmark_table
from finer_core.app.run_folder import Mode, RunFolder
from finer_core.app.sharing import BenchmarkFit, rows_of_fits
from finer_core.distributed.sharing import Sharing
from finer_core.errors import DivergenceError, InputError
from finer_image.app.experiment import PreparedRun, fit_prepared, prepare_resumed_run, prepare_run
from finer_image.benchmarking import COLUMNS, row_of
from finer_image.config import ImageConfig
from finer_image.io.notes import printable
from finer_image.io.reader import FORMATS, TGA, ZARR
from finer_image.io.source import file_error
from finer_image.io.windows.zarr_metadata import is_zarr
from finer_image.published import SOURCE, published_mean_psnr

HEADINGS = ("image", "method", "size", "PSNR (dB)", "SSIM", "seconds", "published mean (16 images)")
MEAN_COLUMNS = ("method", "images", "psnr", "ssim", "seconds", "published_mean_psnr")
SUFFIXES = tuple(suffix for known in (*FORMATS, TGA, ZARR) for suffix in known.suffixes)


@dataclass(frozen=True, kw_only=True)
class BenchmarkPlan:
    """Hold what is compared and how.

    Attributes:
        images: Files.
        settings: One per method.
        out: Folder of the tables and of a run folder for each fit.
        given: Settings that the user named; a run that is gone on with must have them.
        resume: Keep what is finished, go on with what is not.
        overwrite: Replace what is there.
        quiet: No progress.
        sharing: Who computes.
    """

    images: Sequence[Path]
    settings: Sequence[ImageConfig]
    out: Path
    given: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False
    sharing: Sharing = field(default_factory=Sharing)

    def run_folder(self, image: Path, method: str) -> Path:
        """Return where a fit goes: a folder of its own, named by the image without its suffix where that is enough."""
        return self.out / f"{self._labels[image]}-{method}"

    @cached_property
    def _labels(self) -> Mapping[Path, str]:
        """Name every image so that no two fits share a folder, also where letters of either case are the same."""
        labels = {image: image.stem for image in self.images}
        methods = [settings.method for settings in self.settings] or [""]

        def folders_of(label: str) -> list[str]:
            return [f"{label}-{method}".casefold() for method in methods]

        while True:
            count = Counter(folder for label in labels.values() for folder in folders_of(label))
            shared = [
                image
                for image, label in labels.items()
                if label != image.name and any(count[folder] > 1 for folder in folders_of(label))
            ]
            if not shared:
                return labels
            labels |= {image: image.name for image in shared}


def images_in(folder: str, *, limit: int | None) -> list[Path]:
    """Return the image files of a folder by name, or the one file named.

    Raises:
        InputError: If there is none.
    """
    path = Path(folder)
    try:
        if path.is_file() or is_zarr(path):
            return [path]
        if not path.is_dir():
            raise file_error(path, "no such folder; check the spelling")
        listed = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != ".")
        found = [file for file in listed if file.is_file() or is_zarr(file)][:limit]
    except OSError as error:
        raise file_error(path, f"cannot be listed ({error.strerror or error}); check the path") from None
    if not found:
        raise file_error(path, f"holds no images; give a folder with files of {' '.join(SUFFIXES)}")
    return found


@benchmark_table.alone_in_folder
def run_benchmark(plan: BenchmarkPlan) -> list[dict[str, Any]]:
    """Fit every method to every image; return the table's rows.

    A fit that fails is a row with its error: one bad file does not lose the others. The table is written after each.

    Raises:
        InputError: If the folder holds an earlier benchmark and neither `resume` nor `overwrite` is set.
    """
    benchmark_table.refuse_earlier_benchmark(plan.out, resume=plan.resume, overwrite=plan.overwrite)
    fits = [
        BenchmarkFit(image, printable(image.name), settings, plan.run_folder(image, settings.method))
        for image in plan.images
        for settings in plan.settings
    ]
    rows: list[dict[str, Any]] = []
    for rows in rows_of_fits(_row_of_fit, plan, fits):
        benchmark_table.write_tables(
            plan.out, rows, columns=COLUMNS, markdown=markdown_table(rows), source=SOURCE, means=means_of(rows)
        )
    return rows


def _row_of_fit(plan: BenchmarkPlan, fit: BenchmarkFit) -> dict[str, Any]:
    return _row_of(plan, fit.signal, fit.settings)


def _row_of(plan: BenchmarkPlan, image: Path, settings: ImageConfig) -> dict[str, Any]:
    """Fit one method to one image; return the row."""
    try:
        prepared = _prepared(plan, image, settings)
    except InputError as error:
        return _row(image, settings.method, error)
    if prepared.resume and prepared.run.metrics.is_file():
        return _row(image, settings.method, prepared.run.read_metrics(), fitted=prepared)
    if not plan.quiet:
        print(f"{printable(image.name)}, {settings.method}: {printable(prepared.run.path)}", file=sys.stderr)
    try:
        figures = fit_prepared(prepared, quiet=plan.quiet, tensorboard=False)
    except (InputError, DivergenceError) as error:
        return _row(image, settings.method, error, fitted=prepared)
    return _row(image, settings.method, figures, fitted=prepared)


def _prepared(plan: BenchmarkPlan, image: Path, settings: ImageConfig) -> PreparedRun:
    out = plan.run_folder(image, settings.method)
    if plan.resume and RunFolder(out).config.is_file():
        return prepare_resumed_run(out, signal=str(image), given={**plan.given, "method": settings.method})
    mode: Mode = "resume" if plan.resume else "overwrite" if plan.overwrite else "new"
    return prepare_run(out, settings=settings, signal=str(image), mode=mode)


def _row(
    image: Path, method: str, result: Mapping[str, Any] | Exception, *, fitted: PreparedRun | None = None
) -> dict[str, Any]:
    size = f"{fitted.image.height}x{fitted.image.width}" if fitted else None
    return row_of(printable(image.name), method, result, size=size)


def means_of(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return each method's means over the images that have the figure, beside the published mean."""
    means = []
    for method in dict.fromkeys(row["method"] for row in rows):
        fitted = [row for row in rows if row["method"] == method and not row.get("error")]
        mean: dict[str, Any] = {"method": method, "images": len(fitted)}
        for name in ("psnr", "ssim", "seconds"):
            values = [row[name] for row in fitted if row[name] is not None]
            mean[name] = sum(values) / len(values) if values else None
        means.append(mean | {"published_mean_psnr": published_mean_psnr(method)})
    return means


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows and the methods' means as Markdown tables, with the source of the published figures."""
    fits = benchmark_table.markdown_lines(rows, columns=COLUMNS, headings=HEADINGS, shown=_shown)
    head = ("method", "images", "mean PSNR (dB)", "mean SSIM", "mean seconds", HEADINGS[-1])
    means = benchmark_table.markdown_lines(means_of(rows), columns=MEAN_COLUMNS, headings=head, shown=_shown)
    return "\n".join([*fits, "", *means, "", f"Published figures: {SOURCE}.", ""])


def _shown(name: str, value: float) -> str:
    if name == "ssim":
        return f"{value:.4f}"
    return f"{value:.1f}" if name == "seconds" else f"{value:.2f}"


def json_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows and the means as one JSON object."""
    return benchmark_table.json_table(rows, source=SOURCE, means=means_of(rows))
