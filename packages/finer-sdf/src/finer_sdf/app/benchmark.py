"""Compare methods on shapes: one run folder each, and one table in three formats."""

from collections.abc import Mapping
from typing import Any

from finer_core.app.benchmark import Benchmark
from finer_core.app.benchmark_table import BenchmarkTable
from finer_core.app.sharing import BenchmarkFit
from finer_core.benchmark import Result
from finer_sdf.app.experiment import EXPERIMENT
from finer_sdf.benchmarking import COLUMNS, row_of
from finer_sdf.config import SdfConfig
from finer_sdf.model_data import TASK
from finer_sdf.published import SOURCE
from finer_sdf.training.plan import check_settings

_HEADINGS = (
    *("shape", "method", "Chamfer L2 sum", "excess", "IoU", "RMS to", "RMS from", "seconds"),
    *("published Chamfer L2 sum", "published IoU"),
)


def _row(fit: BenchmarkFit, result: Result) -> dict[str, Any]:
    return row_of(fit.signal.name, fit.settings.method, result)


def _shown(name: str, value: float) -> str:
    if name == "seconds":
        return f"{value:.0f}"
    return f"{value:.4f}" if name.endswith("iou") else f"{value:.3e}"


BENCHMARK = Benchmark(
    application="finer-sdf",
    task=TASK,
    config=SdfConfig,
    experiment=EXPERIMENT,
    row_of=_row,
    kept={
        **dict.fromkeys(("chamfer_l2_sum", "chamfer_l2_sum_excess", "iou"), float | None),
        "surface_distance": Mapping[str, Mapping[str, float] | None] | None,  # there is none to points, only from them
    },
    table=BenchmarkTable(
        headings=dict(zip(COLUMNS, _HEADINGS, strict=True)),
        figures=COLUMNS[2:8],
        source=SOURCE,
        shown=_shown,
    ),
    check=check_settings,
)
