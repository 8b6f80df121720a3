"""Compare methods on scenes, from Python: a row a fit."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from finer_core.benchmark import Methods, Result, compare
from finer_core.config import config_with
from finer_core.distributed.sharing import Sharing
from finer_core.networks.base import parameter_count
from finer_core.progress import ProgressOption
from finer_core.schema import check_flag
from finer_nerf.config import NerfConfig
from finer_nerf.evaluation import evaluate
from finer_nerf.inputs import judged_views, open_scene
from finer_nerf.model_data import TASK
from finer_nerf.published import published_psnr
from finer_nerf.training.fit import fit
from finer_nerf.training.plan import check_settings

COLUMNS = (
    "scene",
    "method",
    "psnr",
    "ssim",
    "lpips",
    "background",
    "views",
    "size",
    "seconds",
    "parameters",
    "published_psnr",
)


def benchmark(
    scenes: Mapping[str, Any],
    methods: Methods,
    config: NerfConfig | None = None,
    *,
    lpips: bool = False,
    seeds: Sequence[int] | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    threads: int | None = None,
    progress: ProgressOption = False,
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Fit every method to every scene and evaluate it; `finer-nerf benchmark` does the same with a folder.

    A fit that fails is a row with its "error". Ctrl-C ends the benchmark with the rows of the fits that are finished.

    On workers a fit has the bits that it has here with as many threads. Scenes are sent with their fits; paths are
    opened by the workers. A script needs the usual `if __name__ == "__main__":`.

    Args:
        scenes: What `fit` takes, by name; each has test or validation views to be judged by.
        methods: Names of methods; or a mapping from a name for the rows to a method, a module of your own (a copy is
            trained each time), or settings of `fit` such as {"method": "siren", "activation": f}.
        config: Settings of every fit; None for the default ones.
        lpips: As `evaluate` takes it.
        seeds: Fits every method with each, such as range(3); a module of your own begins each time with the weights
            that it has. None for the seed of its settings.
        workers: Processes of this machine that share the fits, by Dask; 0 to run them here, one after the other.
        scheduler: Address of a Dask scheduler, such as "tcp://10.0.0.1:8786", whose workers share them.
        threads: Of every fit, wherever it runs, because its last bits depend on them; None for PyTorch's number, and
            for one on workers.
        progress: False, True for a bar on stderr, or a function of (fits done, fits, {}).
        **overrides: Arguments of `fit`, such as steps=2000.

    Returns:
        A row a fit, for `pandas.DataFrame`: scene, method, seed, psnr (dB), ssim, lpips, background that they are on,
        views judged by, size ("HxW"), seconds of training, parameters, and published_psnr, the figure published for a
        scene of that name; None where there is none.

    Raises:
        InputError: For an unknown method, one that fits no scenes, or a setting that no fit of a method can have,
            before the first fit. With workers also where Dask is not installed (`pip install "finer-nerf[dask]"`) or
            nobody answers at the address, and for what cannot be sent to them: a module or a function that cannot be
            pickled, callbacks=, checkpoint=.
        CollectiveError: If the scheduler is gone, or a fit's workers die again and again.

    Example:
        >>> from finer_nerf import benchmark, builtin_scene
        >>> small = {"steps": 2, "network": {"hidden_features": 8}, "max_samples": 8, "grid_resolution": 8}
        >>> rows = benchmark({"workbench": builtin_scene(size=8)}, ["finer", "siren"], **small)
        >>> [(row["scene"], row["method"], row["size"]) for row in rows]
        [('workbench', 'finer', '8x8'), ('workbench', 'siren', '8x8')]
    """
    check_flag(lpips, what="lpips")
    return compare(
        scenes,
        methods,
        partial(_metrics_of, config=config, lpips=lpips),
        row_of=row_of,
        task=TASK,
        config=config_with(NerfConfig, config, {}),
        check=check_settings,
        overrides=overrides,
        seeds=seeds,
        sharing=Sharing(workers=workers, scheduler=scheduler, threads=threads, extra="finer-nerf[dask]"),
        progress=progress,
    )


def _metrics_of(
    scene: Any, settings: dict[str, Any], *, config: NerfConfig | None, lpips: bool
) -> Mapping[str, Any] | None:
    model, history = fit(scene, config, **settings)
    if history.interrupted:
        return None
    names = {name: value for name, value in settings.items() if name in NerfConfig.__dataclass_fields__}
    whole = config_with(NerfConfig, config, {**names, "network": {}})
    is_path = isinstance(scene, str | os.PathLike)
    views = judged_views(open_scene(os.fspath(scene), whole)[0] if is_path else scene)
    return {
        **evaluate(model, views, lpips=lpips),
        "size": f"{views.height}x{views.width}",
        "seconds": round(history[-1].seconds, 3),
        "parameters": parameter_count(model.field),
    }


def row_of(scene: str, method: str, result: Result, *, published_as: str | None = None) -> dict[str, Any]:
    """Return the row of a fit."""
    row: dict[str, Any] = {**dict.fromkeys(COLUMNS), "scene": scene, "method": method}
    row["published_psnr"] = published_psnr(scene=published_as or scene, method=method)
    if isinstance(result, Exception):
        return row | {"error": str(result)}
    return row | {column: result[column] for column in COLUMNS[2:-1] if column in result}
