"""Compare methods on surfaces, from Python: a row a fit."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import Any

from finer_core.benchmark import Methods, Result, compare
from finer_core.config import config_with
from finer_core.distributed.sharing import Sharing
from finer_core.progress import ProgressOption
from finer_core.resources import parse_memory
from finer_sdf.config import SdfConfig
from finer_sdf.evaluation.surface_metrics import evaluate
from finer_sdf.inputs import as_shape
from finer_sdf.model_data import TASK
from finer_sdf.published import published_figures
from finer_sdf.training.fit import fit
from finer_sdf.training.plan import check_settings

COLUMNS = (
    "shape",
    "method",
    "chamfer_l2_sum",
    "chamfer_l2_sum_excess",
    "iou",
    "rms_to_reference",
    "rms_from_reference",
    "seconds",
    "published_chamfer_l2_sum",
    "published_iou",
)


def benchmark(
    shapes: Mapping[str, Any],
    methods: Methods,
    config: SdfConfig | None = None,
    *,
    seeds: Sequence[int] | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    threads: int | None = None,
    progress: ProgressOption = False,
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Fit every method to every shape and evaluate it; `finer-sdf benchmark` does the same with a folder.

    A fit that fails is a row with its "error". Ctrl-C ends the benchmark with the rows of the fits that are finished.

    On workers a fit has the bits that it has here with as many threads. Shapes are sent with their fits; paths are
    opened by the workers. A script needs the usual `if __name__ == "__main__":`.

    Args:
        shapes: What `fit` takes, by name.
        methods: Names of methods; or a mapping from a name for the rows to a method, a module of your own (a copy is
            trained each time), or settings of `fit` such as {"method": "siren", "activation": f}.
        config: Settings of every fit, its `resolution` and `eval_samples` those of `evaluate`; None for the default.
        seeds: Fits every method with each, such as range(3); a module of your own begins each time with the weights
            that it has. None for the seed of its settings.
        workers: Processes of this machine that share the fits, by Dask; 0 to run them here, one after the other.
        scheduler: Address of a Dask scheduler, such as "tcp://10.0.0.1:8786", whose workers share them.
        threads: Of every fit, wherever it runs, because its last bits depend on them; None for PyTorch's number, and
            for one on workers.
        progress: False, True for a bar on stderr, or a function of (fits done, fits, {}).
        **overrides: Arguments of `fit`, such as steps=2000.

    Returns:
        A row a fit, for `pandas.DataFrame`: shape, method, seed, chamfer_l2_sum, chamfer_l2_sum_excess, iou,
        rms_to_reference, rms_from_reference (in sides of the box), seconds of training, and the figures published for
        a shape of that name, published_chamfer_l2_sum and published_iou; None where there is none.

    Raises:
        InputError: For an unknown method, one that fits no surfaces, or a setting that no fit of a method can have,
            before the first fit. With workers also where Dask is not installed (`pip install "finer-sdf[dask]"`) or
            nobody answers at the address, and for what cannot be sent to them: a module or a function that cannot be
            pickled, callbacks=, checkpoint=.
        CollectiveError: If the scheduler is gone, or a fit's workers die again and again.

    Example:
        >>> import trimesh
        >>> from finer_sdf import benchmark
        >>> small = {"steps": 20, "samples": 2000, "batch_points": 256, "resolution": 16, "eval_samples": 1000}
        >>> rows = benchmark({"box": trimesh.creation.box()}, ["finer"], network={"hidden_features": 16}, **small)
        >>> [(row["shape"], row["method"]) for row in rows]
        [('box', 'finer')]
    """
    return compare(
        shapes,
        methods,
        partial(_metrics_of, config=config),
        row_of=row_of,
        task=TASK,
        config=config_with(SdfConfig, config, {}),
        check=check_settings,
        overrides=overrides,
        seeds=seeds,
        sharing=Sharing(workers=workers, scheduler=scheduler, threads=threads, extra="finer-sdf[dask]"),
        progress=progress,
    )


_OF_EVALUATE = ("resolution", "eval_samples", "seed", "memory")


def _metrics_of(shape: Any, settings: dict[str, Any], *, config: SdfConfig | None) -> Mapping[str, Any] | None:
    given = {name: settings[name] for name in _OF_EVALUATE if name in settings}
    whole = config_with(SdfConfig, config, given)
    loaded = as_shape(shape, memory=parse_memory(whole.memory))
    of_fit = dataclasses.replace(whole, resolution=SdfConfig.resolution, eval_samples=SdfConfig.eval_samples)
    model, history = fit(loaded, of_fit, **{name: value for name, value in settings.items() if name not in given})
    if history.interrupted:
        return None
    figures = evaluate(
        model,
        loaded,
        resolution=whole.resolution,
        samples=whole.eval_samples,
        seed=whole.seed,
        memory=whole.memory,
    )
    return {**figures, "seconds": round(history[-1].seconds, 3)}


def row_of(shape: str, method: str, result: Result) -> dict[str, Any]:
    """Return the row of a fit."""
    row: dict[str, Any] = {**dict.fromkeys(COLUMNS), "shape": shape, "method": method}
    published = published_figures(shape=PurePath(shape).stem, method=method)
    if published:
        row |= {"published_chamfer_l2_sum": published.chamfer_l2_sum, "published_iou": published.iou}
    if isinstance(result, Exception):
        return row | {"error": str(result)}
    row |= {name: result.get(name) for name in ("chamfer_l2_sum", "chamfer_l2_sum_excess", "iou", "seconds")}
    distances = result.get("surface_distance") or {}
    for way in ("to_reference", "from_reference"):
        row[f"rms_{way}"] = (distances.get(way) or {}).get("rms")
    return row
