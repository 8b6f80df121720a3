"""Compare methods on scenes, from Python: a row a fit."""

import os
from collections.abc import Mapping
from typing import Any

from finer_core.benchmark import Methods, Result, compare
from finer_core.config import config_with
from finer_core.progress import ProgressOption
from finer_nerf.config import NerfConfig
from finer_nerf.evaluation import evaluate
from finer_nerf.inputs import judged_views, open_scene
from finer_nerf.model_data import TASK
from finer_nerf.published import published_psnr
from finer_nerf.training.fit import fit

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
    progress: ProgressOption = False,
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Fit every method to every scene and evaluate it; `finer-nerf benchmark` does the same with a folder.

    A fit that fails is a row with its "error". Ctrl-C ends the benchmark with the rows of the fits that are finished.

    Args:
        scenes: What `fit` takes, by name; each has test or validation views to be judged by.
        methods: Names of methods; or a mapping from a name for the rows to a method, a module of your own (a copy is
            trained each time), or settings of `fit` such as {"method": "siren", "activation": f}.
        config: Settings of every fit; None for the default ones.
        lpips: As `evaluate` takes it.
        progress: False, True for a bar on stderr, or a function of (fits done, fits, {}).
        **overrides: Arguments of `fit`, such as steps=2000.

    Returns:
        A row a fit, for `pandas.DataFrame`: scene, method, psnr (dB), ssim, lpips, background that they are on, views
        judged by, size ("HxW"), seconds of training, parameters, and published_psnr, the figure published for a scene
        of that name; None where there is none.

    Raises:
        InputError: For an unknown method, or one that fits no scenes, before the first fit.

    Example:
        >>> from finer_nerf import benchmark, builtin_scene
        >>> small = {"steps": 2, "network": {"hidden_features": 8}, "max_samples": 8, "grid_resolution": 8}
        >>> rows = benchmark({"workbench": builtin_scene(size=8)}, ["finer", "siren"], **small)
        >>> [(row["scene"], row["method"], row["size"]) for row in rows]
        [('workbench', 'finer', '8x8'), ('workbench', 'siren', '8x8')]
    """

    def metrics_of(scene: Any, settings: dict[str, Any]) -> Mapping[str, Any] | None:
        given = {**overrides, **settings}
        model, history = fit(scene, config, **given)
        if history.interrupted:
            return None
        names = {name: value for name, value in given.items() if name in NerfConfig.__dataclass_fields__}
        whole = config_with(NerfConfig, config, {**names, "network": {}})
        is_path = isinstance(scene, str | os.PathLike)
        views = judged_views(open_scene(os.fspath(scene), whole).scene if is_path else scene)
        return {
            **evaluate(model, views, lpips=lpips),
            "size": f"{views.height}x{views.width}",
            "seconds": round(history[-1].seconds, 3),
            "parameters": sum(parameter.numel() for parameter in model.field.parameters()),
        }

    return compare(scenes, methods, metrics_of, row_of=row_of, task=TASK, progress=progress)


def row_of(scene: str, method: str, result: Result, *, published_as: str | None = None) -> dict[str, Any]:
    """Return the row of a fit.

    Args:
        scene: Name of the scene.
        method: Name of the method.
        result: Figures, or the error that ended the fit.
        published_as: Name to look the published figure up by; None for the scene's.
    """
    row: dict[str, Any] = {**dict.fromkeys(COLUMNS), "scene": scene, "method": method}
    row["published_psnr"] = published_psnr(scene=published_as or scene, method=method)
    if isinstance(result, Exception):
        return row | {"error": str(result)}
    return row | {column: result[column] for column in COLUMNS[2:-1] if column in result}
