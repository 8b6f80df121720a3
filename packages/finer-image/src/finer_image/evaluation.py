"""Judge a fitted image against the original: PSNR and SSIM, in bands of rows so that memory stays bounded."""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.metrics import psnr_of_mse
from finer_core.progress import ProgressOption, reporting
from finer_core.resources import parse_memory
from finer_core.shapes import Bool, Float
from finer_image.inputs import as_image
from finer_image.io.image import unit_from_pixels
from finer_image.io.raster import Raster
from finer_image.model import ImageModel
from finer_image.rendering import Crop, unit_bands

logger = logging.getLogger(__name__)

_OTHER_VALUES = 20.0
"""Factor between two ranges from which on the values are not the same: an 8-bit image counts as 0 to 255 whatever it
holds, and conversions between types are by 255 and more."""
_RADIUS = 5
"""SSIM's Gaussian window (sigma 1.5, cut at 3.5 sigma) reaches this many pixels."""
_BAND_NUMBERS = 1 << 20
"""Values (pixels times channels) in a band."""


def evaluate(
    model: ImageModel, image: Any, *, memory: str | int = "4GB", progress: ProgressOption = False
) -> dict[str, float | None]:
    """Compare a fitted image with the original.

    Formulas, on values scaled to [0, 1] by the fitted image's value range: PSNR = -10 log10 mean (p - t)^2 with p
    clipped to [0, 1], because an image has a range; `psnr_unclipped` without clipping, as FINER's code reports it; SSIM
    with the Gaussian window of sigma 1.5 (Wang et al., 2004), mean over channels. Pixels without data count nowhere,
    nor do windows that hold one. Values are compared as they stand: an image of another type with a range 20 times
    another, [0, 1] for 0 to 255 say, is none of the fitted one's, and a note of the logger "finer_image" says so.

    Args:
        model: The fitted image.
        image: The original, of the same size and channels: an array (H, W) or (H, W, C), an `Image`, a picture of
            Pillow's or a path.
        memory: What the work may take; a file that does not fit is read in parts.
        progress: False, True for a bar on stderr, or a function of (rows done, rows, {}).

    Returns:
        psnr, psnr_unclipped (dB), ssim; ssim is None where no 11x11 window fits.

    Raises:
        InputError: If size or channels differ, or the image cannot be used.

    Example:
        >>> import numpy as np
        >>> from finer_image import evaluate, fit
        >>> model, _ = fit(np.eye(16), steps=5, network={"hidden_features": 16})
        >>> sorted(evaluate(model, np.eye(16)))
        ['psnr', 'psnr_unclipped', 'ssim']
    """
    if not isinstance(model, ImageModel):
        raise InputError(f"model must be an ImageModel, got {type(model).__name__}; take one of fit, or of its load")
    truth = as_image(image, memory=parse_memory(memory), copies=1)
    judge = Judge(model, truth)  # refuses another size first
    _note_other_values(model, truth)
    with reporting("evaluate", unit="row", progress=progress) as tell:
        for pred in fitted_bands(model):
            judge.add(pred)
            tell(judge.rows, truth.height)
    return judge.figures()


def check_same_size(model: ImageModel, image: Raster) -> None:
    """Raise InputError unless an image has the size and channels of the fitted one."""
    channels = model.channels
    if image.shape != (model.height, model.width, channels):
        raise InputError(
            f"the model is of a {model.height}x{model.width} image with {channels} channels, "
            f"the signal has {image.height}x{image.width} with {image.channels}"
        )


def _note_other_values(model: ImageModel, image: Raster) -> None:
    """Warn of an image whose values are of another size than the fitted one's: they are compared as they stand."""
    low, high = (float(value) for value in model.image["value_range"])
    first, last = image.value_range
    share = (last - first) / (high - low)
    if image.dtype != model.dtype and not 1 / _OTHER_VALUES <= share <= _OTHER_VALUES:
        logger.warning(
            "the image holds %s of %.6g to %.6g, the fitted one %s of %.6g to %.6g; they are compared as they stand: "
            "scale the image if it is the same",
            *(image.dtype, first, last),
            *(model.dtype, low, high),
        )


def fitted_bands(model: ImageModel) -> Iterator[np.ndarray]:
    """Return what a model predicts at the fitted image's size, (rows, W, C) in [0, 1], not clipped, from the top."""
    whole = Crop(0, model.height, 0, model.width)
    step = max(16, _BAND_NUMBERS // (model.width * model.channels))
    return unit_bands(model, height=model.height, width=model.width, window=whole, step=step)


class Judge:
    """Collect the figures of a prediction that comes in bands of rows, so that each row is predicted once.

    Args:
        model: The fitted image.
        image: The original, of the same size and channels; its rows are read when the prediction's come.
        with_ssim: Whether the SSIM is among the figures; it costs more than the rest of them.

    Raises:
        InputError: If size or channels differ.
    """

    def __init__(self, model: ImageModel, image: Raster, *, with_ssim: bool = True) -> None:
        check_same_size(model, image)
        self.rows = 0
        self._image = image
        low, high = model.image["value_range"]
        self._value_range = (float(low), float(high))
        self._has_window = with_ssim and min(image.height, image.width) > 2 * _RADIUS
        self._clipped = self._unclipped = self._similarity = 0.0
        self._compared = self._values = 0
        # The last rows of the prediction, clipped, of the original, and of where that has no data: the next band's
        # windows reach into them.
        empty = np.empty((0, *image.shape[1:]), dtype=np.float32)
        self._kept = (empty, empty, np.empty((0, image.width), dtype=bool))

    def add(self, pred: Float[np.ndarray, "rows width channels"]) -> Bool[np.ndarray, "rows width"] | None:
        """Take the next rows of the prediction, (rows, W, C) in [0, 1], not clipped.

        Returns:
            (rows, W) True where the original has no data; None where it has data everywhere.
        """
        start, self.rows = self.rows, self.rows + len(pred)
        pixels = self._image.read(slice(start, self.rows))
        missing = self._image.missing_in(pixels)
        truth = unit_from_pixels(pixels, value_range=self._value_range)
        bounded = np.clip(pred, 0, 1)
        if missing is not None:
            pred = pred.copy()
            truth[missing] = bounded[missing] = pred[missing] = 0
        self._values += truth.size - (0 if missing is None else int(missing.sum()) * truth.shape[2])
        self._unclipped += float(np.sum((pred.astype(np.float64) - truth) ** 2))
        self._clipped += float(np.sum((bounded.astype(np.float64) - truth) ** 2))
        if self._has_window:
            absent = np.zeros(truth.shape[:2], dtype=bool) if missing is None else missing
            present = [np.concatenate(pair) for pair in zip(self._kept, (bounded, truth, absent), strict=True)]
            if len(present[0]) > 2 * _RADIUS:
                values = _ssim_values(*present)
                self._similarity += float(values.sum(dtype=np.float64))
                self._compared += values.size
            # Copies, so that the whole bands are not kept alive.
            bounded, truth, absent = (rows[-2 * _RADIUS :].copy() for rows in present)
            self._kept = (bounded, truth, absent)
        return missing

    def figures(self) -> dict[str, float | None]:
        """Return psnr, psnr_unclipped (dB) and ssim of all rows; see `evaluate`."""
        assert self.rows == self._image.height, "the prediction is not complete"
        return {
            "psnr": psnr_of_mse(self._clipped / self._values),
            "psnr_unclipped": psnr_of_mse(self._unclipped / self._values),
            "ssim": self._similarity / self._compared if self._compared else None,
        }


def _ssim_values(
    pred: Float[np.ndarray, "rows width channels"],
    truth: Float[np.ndarray, "rows width channels"],
    missing: Bool[np.ndarray, "rows width"],
) -> np.ndarray:
    """Return the SSIM map of neighboring rows, without the border where windows stick out, and those without data."""
    from scipy.ndimage import maximum_filter
    from skimage.metrics import structural_similarity

    _, full = structural_similarity(
        truth,
        pred,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1,
        full=True,
    )
    inside = full[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]
    if not missing.any():
        return inside
    return inside[~maximum_filter(missing, size=2 * _RADIUS + 1)[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]]
