"""Judge a fitted image against the original: PSNR and SSIM, in bands of rows so that memory stays bounded."""

from collections.abc import Callable, Iterator

import numpy as np

from finer_core.errors import InputError
from finer_core.metrics import psnr_of_mse
from finer_image.model import ImageModel, first_parameter, pixel_axes, unit_rows
from finer_image.pixels import Image, unit_from_pixels
from finer_image.render import CHUNK_PIXELS

_RADIUS = 5
"""SSIM's Gaussian window (sigma 1.5, cut at 3.5 sigma) reaches this many pixels."""
_BAND_NUMBERS = 1 << 20
"""Values (pixels times channels) in a band."""


def evaluate(
    model: ImageModel, image: Image, *, on_rows: Callable[[int], None] = lambda rows: None
) -> dict[str, float | None]:
    """Compare a fitted image with the original.

    Formulas, on values scaled to [0, 1] by the fitted image's value range: PSNR = -10 log10 mean (p - t)^2 with p
    clipped to [0, 1], because an image has a range; `psnr_unclipped` without clipping, as FINER's code reports it; SSIM
    with the Gaussian window of sigma 1.5 (Wang et al., 2004), mean over channels.

    Args:
        model: The fitted image.
        image: The original, of the same size and channels.
        on_rows: Called with the number of rows done.

    Returns:
        psnr, psnr_unclipped (dB), ssim; ssim is None for an image smaller than its 11x11 window.

    Raises:
        InputError: If size or channels differ.
    """
    channels = model.network.config.out_features
    if (image.height, image.width, image.channels) != (model.height, model.width, channels):
        raise InputError(
            f"the model is of a {model.height}x{model.width} image with {channels} channels, "
            f"the signal has {image.height}x{image.width} with {image.channels}"
        )
    low, high = model.image["value_range"]
    has_window = min(image.height, image.width) > 2 * _RADIUS
    clipped = unclipped = similarity = 0.0
    compared = 0
    for (first, last), (start, stop), pred in _bands(model):
        truth = unit_from_pixels(image.pixels[start:stop], value_range=(low, high))
        inner = slice(first - start, last - start)
        bounded = np.clip(pred, 0, 1)
        unclipped += float(np.sum((pred[inner].astype(np.float64) - truth[inner]) ** 2))
        clipped += float(np.sum((bounded[inner].astype(np.float64) - truth[inner]) ** 2))
        if has_window:
            values = _ssim_values(bounded, truth, rows=(first, last), offset=start, height=image.height)
            similarity += float(values.sum(dtype=np.float64))
            compared += values.size
        on_rows(last)
    count = image.height * image.width * channels
    return {
        "psnr": psnr_of_mse(clipped / count),
        "psnr_unclipped": psnr_of_mse(unclipped / count),
        "ssim": similarity / compared if compared else None,
    }


def _bands(model: ImageModel) -> Iterator[tuple[tuple[int, int], tuple[int, int], np.ndarray]]:
    """Yield (rows to judge, rows present, prediction of the rows present): neighbours overlap by SSIM's window."""
    rows, columns = pixel_axes(model.height, model.width, like=first_parameter(model.network))
    step = max(16, _BAND_NUMBERS // (model.width * model.network.config.out_features))
    for first in range(0, model.height, step):
        last = min(first + step, model.height)
        start, stop = max(0, first - _RADIUS), min(model.height, last + _RADIUS)
        block = unit_rows(model, rows[start:stop], columns, chunk_pixels=CHUNK_PIXELS)
        yield (first, last), (start, stop), block.numpy()


def _ssim_values(pred: np.ndarray, truth: np.ndarray, *, rows: tuple[int, int], offset: int, height: int) -> np.ndarray:
    """Return the SSIM map of the judged rows whose window lies inside the image."""
    from skimage.metrics import structural_similarity

    first, last = max(rows[0], _RADIUS), min(rows[1], height - _RADIUS)
    if first >= last:
        return np.empty(0)
    # A band at the border may be lower than the window; its rows then have no window inside the image anyway.
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
    return full[first - offset : last - offset, _RADIUS:-_RADIUS]
