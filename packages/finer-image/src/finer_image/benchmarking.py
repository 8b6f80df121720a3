"""Compare methods on images, from Python: a row a fit."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from finer_core.benchmark import Methods, Result, compare
from finer_core.config import config_with
from finer_core.distributed.sharing import Sharing
from finer_core.progress import ProgressOption
from finer_core.resources import parse_memory
from finer_image.config import ImageConfig
from finer_image.evaluation import evaluate
from finer_image.inputs import as_image
from finer_image.model_data import TASK
from finer_image.published import published_mean_psnr
from finer_image.training.fit import fit
from finer_image.training.plan import check_settings

COLUMNS = ("image", "method", "size", "psnr", "ssim", "seconds", "published_mean_psnr")


def benchmark(
    images: Mapping[str, Any],
    methods: Methods,
    config: ImageConfig | None = None,
    *,
    seeds: Sequence[int] | None = None,
    workers: int = 0,
    scheduler: str | None = None,
    threads: int | None = None,
    progress: ProgressOption = False,
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Fit every method to every image and judge it; `finer-image benchmark` does the same with a folder.

    A fit that fails is a row with its "error". Ctrl-C ends the benchmark with the rows of the fits that are finished.

    On workers a fit has the bits that it has here with as many threads. Images are sent with their fits; paths are
    opened by the workers. A script needs the usual `if __name__ == "__main__":`.

    Args:
        images: What `fit` takes, by name.
        methods: Names of methods; or a mapping from a name for the rows to a method, a module of your own (a copy is
            trained each time), or settings of `fit` such as {"method": "siren", "activation": f}.
        config: Settings of every fit; None for the default ones.
        seeds: Fits every method with each, such as range(3); a module of your own begins each time with the weights
            that it has. None for the seed of its settings.
        workers: Processes of this machine that share the fits, by Dask; 0 to run them here, one after the other.
        scheduler: Address of a Dask scheduler, such as "tcp://10.0.0.1:8786", whose workers share them.
        threads: Of every fit, wherever it runs, because its last bits depend on them; None for PyTorch's number, and
            for one on workers.
        progress: False, True for a bar on stderr, or a function of (fits done, fits, {}).
        **overrides: Arguments of `fit`, such as steps=2000.

    Returns:
        A row a fit, for `pandas.DataFrame`: image, method, seed, size ("HxW"), psnr (dB), ssim, seconds of training,
        and published_mean_psnr of the paper's own images, None where there is none.

    Raises:
        InputError: For an unknown method, one that fits no images, or a setting that no fit of a method can have,
            before the first fit. With workers also where Dask is not installed (`pip install "finer-image[dask]"`) or
            nobody answers at the address, and for what cannot be sent to them: a module or a function that cannot be
            pickled, callbacks=, checkpoint=.
        CollectiveError: If the scheduler is gone, or a fit's workers die again and again.

    Example:
        >>> import numpy as np
        >>> from finer_image import benchmark
        >>> rows = benchmark({"eye": np.eye(16)}, ["finer", "siren"], steps=5, network={"hidden_features": 16})
        >>> [(row["image"], row["method"], row["size"]) for row in rows]
        [('eye', 'finer', '16x16'), ('eye', 'siren', '16x16')]
    """
    return compare(
        images,
        methods,
        partial(_metrics_of, config=config),
        row_of=row_of,
        task=TASK,
        config=config_with(ImageConfig, config, {}),
        check=check_settings,
        overrides=overrides,
        seeds=seeds,
        sharing=Sharing(workers=workers, scheduler=scheduler, threads=threads, extra="finer-image[dask]"),
        progress=progress,
    )


def _metrics_of(image: Any, settings: dict[str, Any], *, config: ImageConfig | None) -> Mapping[str, Any] | None:
    given = {"memory": settings["memory"]} if "memory" in settings else {}
    memory = config_with(ImageConfig, config, given).memory
    raster = as_image(image, memory=parse_memory(memory))
    model, history = fit(raster, config, **settings)
    if history.interrupted:
        return None
    size = f"{model.height}x{model.width}"
    return {**evaluate(model, raster, memory=memory), "size": size, "seconds": round(history[-1].seconds, 3)}


def row_of(image: str, method: str, result: Result) -> dict[str, Any]:
    """Return the row of a fit."""
    row: dict[str, Any] = {**dict.fromkeys(COLUMNS), "image": image, "method": method}
    row["published_mean_psnr"] = published_mean_psnr(method)
    if isinstance(result, Exception):
        return row | {"error": str(result)}
    return row | {name: result.get(name) for name in ("size", "psnr", "ssim", "seconds")}
