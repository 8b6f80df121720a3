"""Radial power spectra of images."""

import numpy as np

from finer_core.shapes import Float, Real


def radial_spectrum(
    values: Real[np.ndarray, "height width"],
) -> tuple[Float[np.ndarray, " rings"], Float[np.ndarray, " rings"]]:
    """Return the power of an image by spatial frequency.

    Formula: mean of |FFT(w (v - mean v))|^2 over rings of frequency, w a Hann window that keeps the borders out of it.

    Args:
        values: (height, width) float.

    Returns:
        Frequencies (n,) in cycles per pixel, up to 0.5, and power (n,), both without the mean's ring; empty for an
        image with a side below 8.
    """
    height, width = values.shape
    if min(height, width) < 8:
        return np.empty(0), np.empty(0)
    part = values.astype(np.float64)
    window = np.hanning(height)[:, None] * np.hanning(width)[None, :]
    # The whole plane: in the half that real values need, the waves along one axis stand twice as often as all others.
    power = np.abs(np.fft.fft2((part - part.mean()) * window)) ** 2 / window.sum() ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    rings = min(height, width) // 2
    ring = np.minimum((radius * 2 * rings).round().astype(int), rings + 1)  # the last collects the corners
    total = np.bincount(ring.ravel(), weights=power.ravel(), minlength=rings + 2)
    count = np.bincount(ring.ravel(), minlength=rings + 2)
    inner = slice(1, rings + 1)
    return np.arange(1, rings + 1) / (2 * rings), total[inner] / np.maximum(count[inner], 1)
