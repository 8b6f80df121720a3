"""Compare methods on scenes: one run folder each, and one table in three formats."""

from typing import Any

from finer_core.app.benchmark import Benchmark
from finer_core.app.benchmark_table import BenchmarkTable
from finer_core.app.sharing import BenchmarkFit
from finer_core.benchmark import Result
from finer_nerf.app.experiment import EXPERIMENT
from finer_nerf.benchmarking import COLUMNS, row_of
from finer_nerf.config import NerfConfig, scene_name
from finer_nerf.model_data import TASK
from finer_nerf.published import SOURCE
from finer_nerf.training.plan import check_settings

_HEADINGS = (
    *("scene", "method", "PSNR (dB)", "SSIM", "LPIPS", "background", "views", "size", "seconds", "parameters"),
    "published",
)


def _row(fit: BenchmarkFit, result: Result) -> dict[str, Any]:
    return row_of(fit.label, fit.settings.method, result, published_as=scene_name(fit.signal))


def _shown(name: str, value: float) -> str:
    if name == "seconds":
        return f"{value:.0f}"
    return f"{value:.4f}" if name in ("ssim", "lpips") else f"{value:.2f}"


BENCHMARK = Benchmark(
    application="finer-nerf",
    task=TASK,
    config=NerfConfig,
    experiment=EXPERIMENT,
    row_of=_row,
    kept={
        **dict.fromkeys(("psnr", "ssim", "lpips"), float | None),
        **{"background": str | None, "views": int, "size": str, "parameters": int},
    },
    check=check_settings,
    table=BenchmarkTable(
        headings=dict(zip(COLUMNS, _HEADINGS, strict=True)),
        figures=("psnr", "ssim", "lpips", "seconds"),
        source=SOURCE,
        shown=_shown,
    ),
)
