"""Compare methods on images, from Python: a row a fit."""

from collections.abc import Mapping
from typing import Any

from finer_core.benchmark import Methods, Result, compare
from finer_core.progress import ProgressOption
from finer_image.config import ImageConfig
from finer_image.evaluation import evaluate
from finer_image.model_data import TASK
from finer_image.published import published_mean_psnr
from finer_image.training.fit import fit

COLUMNS = ("image", "method", "size", "psnr", "ssim", "seconds", "together", "published_mean_psnr")


def benchmark(
    images: Mapping[str, Any],
    methods: Methods,
    config: ImageConfig | None = None,
    *,
    progress: ProgressOption = False,
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Fit every method to every image and judge it; `finer-image benchmark` does the same with a folder.

    A fit that fails is a row with its "error". Ctrl-C ends the benchmark with the rows of the fits that are finished.

    Args:
        images: What `fit` takes, by name.
        methods: Names of methods; or a mapping from a name for the rows to a method, a module of your own (a copy is
            trained each time), or settings of `fit` such as {"method": "siren", "activation": f}.
        config: Settings of every fit; None for the default ones.
        progress: False, True for a bar on stderr, or a function of (fits done, fits, {}).
        **overrides: Arguments of `fit`, such as steps=2000.

    Returns:
        A row a fit, for `pandas.DataFrame`: image, method, size ("HxW"), psnr (dB), ssim, seconds of training, together
        (images fitted at once: 1), and published_mean_psnr of the paper's own images, None where there is none.

    Raises:
        InputError: For an unknown method, or one that fits no images, before the first fit.

    Example:
        >>> import numpy as np
        >>> from finer_image import benchmark
        >>> rows = benchmark({"eye": np.eye(16)}, ["finer", "siren"], steps=5, network={"hidden_features": 16})
        >>> [(row["image"], row["method"], row["size"]) for row in rows]
        [('eye', 'finer', '16x16'), ('eye', 'siren', '16x16')]
    """

    def metrics_of(image: Any, settings: dict[str, Any]) -> Mapping[str, Any] | None:
        model, history = fit(image, config, **{**overrides, **settings})
        if history.interrupted:
            return None
        size = f"{model.height}x{model.width}"
        return {**evaluate(model, image), "size": size, "seconds": round(history[-1].seconds, 3)}

    def row(name: str, method: str, result: Result) -> dict[str, Any]:
        return row_of(name, method, result, size=None if isinstance(result, Exception) else result["size"])

    return compare(images, methods, metrics_of, row_of=row, task=TASK, progress=progress)


def row_of(image: str, method: str, result: Mapping[str, Any] | Exception, *, size: str | None) -> dict[str, Any]:
    """Return the row of a fit.

    Args:
        image: Name of the image.
        method: Name of the method.
        result: Figures, or the error that ended the fit.
        size: "HxW", or None where it is not known.
    """
    row: dict[str, Any] = {**dict.fromkeys(COLUMNS), "image": image, "method": method, "size": size}
    row["published_mean_psnr"] = published_mean_psnr(method)
    if isinstance(result, Exception):
        return row | {"error": str(result)}
    figures = {name: result[name] for name in ("psnr", "ssim", "seconds", "together") if name in result}
    return row | {"together": 1} | figures
