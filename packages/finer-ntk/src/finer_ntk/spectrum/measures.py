"""Numbers that describe a kernel: how many directions it learns, how band-like it is, what it is aligned with.

All take NumPy arrays, or tensors; a kernel may be a memory-mapped file and is read in bands of rows.
"""

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from finer_core.casts import as_array, refuse_masked
from finer_core.errors import InputError
from finer_core.shapes import Float, Real

_BAND_BYTES = 64 * 2**20


def effective_rank(eigenvalues: Real[np.ndarray, " n"]) -> float:
    """Return the exponential of the entropy of the normalized eigenvalues (Roy and Vetterli, EUSIPCO 2007).

    Formula: exp(-sum p_i log p_i), p_i = lambda_i / sum lambda. From 1 (one direction) to n (all alike). Negative
    eigenvalues are rounding and count as 0.

    Args:
        eigenvalues: (n,), any order.

    Raises:
        InputError: If none is positive, or some are masked.

    Example:
        >>> import numpy as np
        >>> from finer_ntk.spectrum import effective_rank
        >>> round(effective_rank(np.array([1.0, 1.0, 1.0])), 6)
        3.0
    """
    refuse_masked(eigenvalues, what="eigenvalues")
    given = np.asarray(_plain(eigenvalues), dtype=np.float64)
    if given.ndim != 1:
        raise InputError(f"effective_rank takes eigenvalues (n,), got shape {given.shape}; see all_eigenpairs")
    most = given.max(initial=-np.inf)
    if not 0 < most < np.inf:
        raise InputError(f"the kernel has no positive eigenvalue (the largest of {len(given)} is {most:g})")
    shares = np.clip(given, 0, None) / most  # their sum may be too large a number
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def diagonal_energy(kernel: Real[np.ndarray, "n n"]) -> float:
    """Return the diagonal's share of the kernel's energy, sum K_ii^2 / sum K_ij^2: 1/n (constant) to 1 (diagonal).

    Args:
        kernel: (n, n).

    Example:
        >>> import numpy as np
        >>> from finer_ntk.spectrum import diagonal_energy
        >>> diagonal_energy(np.ones((4, 4)))
        0.25
    """
    kernel = _checked(kernel)
    diagonal = whole = 0.0
    for start, band in _bands(kernel):
        diagonal += float(np.square(np.diagonal(band, start), dtype=np.float64).sum())
        whole += float(np.square(band, dtype=np.float64).sum())
    return diagonal / _not_zero(whole)


def band_energy(kernel: Real[np.ndarray, "n n"], *, half_width: int) -> float:
    """Return the share of the kernel's energy with |i - j| <= half_width; for points in order along a line.

    Args:
        kernel: (n, n).
        half_width: Diagonals on either side that count.

    Example:
        >>> import numpy as np
        >>> from finer_ntk.spectrum import band_energy
        >>> band_energy(np.ones((4, 4)), half_width=1)
        0.625
    """
    kernel = _checked(kernel)
    total = inside = 0.0
    columns = np.arange(kernel.shape[1])
    for start, band in _bands(kernel):
        energy = np.square(band, dtype=np.float64)
        total += float(energy.sum())
        near = np.abs(columns - np.arange(start, start + len(band))[:, None]) <= half_width
        inside += float(energy[near].sum())
    return inside / _not_zero(total)


def _signal_of(target: Real[np.ndarray, "n ..."]) -> Float[np.ndarray, "n c"]:
    """Return a signal, in columns, whose squares double precision holds: it, or a power of two of it with its shares.

    Raises:
        InputError: If it is zero everywhere.
    """
    signal = target.reshape(len(target), -1).astype(np.float64)
    _, exponent = np.frexp(np.abs(signal).max(initial=0.0))
    signal = signal if abs(int(exponent)) <= _LARGEST_EXPONENT else np.ldexp(signal, -int(exponent))
    if not np.square(signal).sum() > 0:
        raise InputError("the target signal is zero everywhere, so it has no energy to share out")
    return signal


_LARGEST_EXPONENT = 400
"""Of two, of a signal's largest value: squares of it, and of what is far smaller, are numbers."""


def target_energy(eigenvectors: Float[np.ndarray, "n k"], target: Real[np.ndarray, "n ..."]) -> Float[np.ndarray, " k"]:
    """Return each eigenvector's share of a signal's energy, (v_i . y)^2 / |y|^2.

    Directions of large eigenvalues are learned first (Jacot et al., 2018), so energy that sits there is learned fast.

    Args:
        eigenvectors: (n, k), orthonormal columns.
        target: y, (n,) or (n, c); channels are added up.

    Raises:
        InputError: If the signal is zero everywhere.

    Example:
        >>> import numpy as np
        >>> from finer_ntk.spectrum import target_energy
        >>> target_energy(np.eye(2), np.array([1.0, 1.0])).tolist()
        [0.5, 0.5]
    """
    eigenvectors, target = _plain(eigenvectors), _plain(target)
    signal = _signal_of(target)
    return np.square(eigenvectors.T @ signal).sum(1) / np.square(signal).sum()


def alignment(one: Real[np.ndarray, "n n"], two: Real[np.ndarray, "n n"]) -> float:
    """Return <K1, K2> / (|K1| |K2|), Frobenius: 1 for kernels equal up to a factor (Cristianini et al., 2001).

    Args:
        one: K1, (n, n).
        two: K2, (n, n).

    Raises:
        ValueError: If their shapes differ.

    Example:
        >>> import numpy as np
        >>> from finer_ntk.spectrum import alignment
        >>> round(alignment(np.eye(3), 5 * np.eye(3)), 6)
        1.0
    """
    one, two = _checked(one), _checked(two)
    if one.shape != two.shape:
        raise ValueError(f"kernels of different shapes: {one.shape} and {two.shape}")
    inner = norm_one = norm_two = 0.0
    for start, band in _bands(one):
        left, right = band.astype(np.float64), two[start : start + len(band)].astype(np.float64)
        inner += float((left * right).sum())
        norm_one += float(np.square(left).sum())
        norm_two += float(np.square(right).sum())
    return inner / (_not_zero(norm_one) ** 0.5 * _not_zero(norm_two) ** 0.5)


def target_alignment(kernel: Real[np.ndarray, "n n"], target: Real[np.ndarray, "n ..."]) -> float:
    """Return the alignment of a kernel with y y^T, sum over channels: y^T K y / (|K| |y y^T|).

    Args:
        kernel: (n, n).
        target: y, (n,) or (n, c).

    Raises:
        InputError: If the kernel is not (n, n), either is zero everywhere, or the target has another number of values.

    Example:
        >>> import numpy as np
        >>> from finer_ntk.spectrum import target_alignment
        >>> round(target_alignment(np.ones((3, 3)), np.ones(3)), 6)
        1.0
    """
    kernel, target = _checked(kernel), _plain(target)
    if len(target) != len(kernel):
        raise InputError(f"the target has {len(target)} values, the kernel {len(kernel)} points; give one a point")
    signal = _signal_of(target)
    inner = norm = 0.0
    for start, band in _bands(kernel):
        rows = band.astype(np.float64)
        inner += float((signal[start : start + len(band)] * (rows @ signal)).sum())
        norm += float(np.square(rows).sum())
    return inner / (_not_zero(norm) ** 0.5 * float(np.linalg.norm(signal.T @ signal)))


def traced(kernel: Real[np.ndarray, "n m ..."]) -> Real[np.ndarray, "n m"]:
    """Return a kernel summed over output channels; (n, m), (n, m, c) or (n, m, c, c)."""
    if kernel.ndim == 4:
        return np.trace(kernel, axis1=2, axis2=3)
    return kernel.sum(-1) if kernel.ndim == 3 else np.asarray(kernel)


def _plain(values: Any) -> np.ndarray:
    """Return a tensor or lists as an array; an array, mapped or not, as it is."""
    return as_array(values) if isinstance(values, Tensor) else np.asanyarray(values)


def _checked(kernel: Any) -> np.ndarray:
    """Return a kernel (n, n) as an array; raise InputError for what is none."""
    found = _plain(kernel)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not len(found):
        raise InputError(f"a kernel of points is (n, n), got shape {found.shape}; sum over channels, and leave out x2")
    return found


def _not_zero(energy: float) -> float:
    if energy == 0:
        raise InputError("the kernel is zero everywhere, so it has no energy to share out")
    return energy


def _bands(kernel: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    rows = max(1, _BAND_BYTES // (8 * kernel.shape[1]))
    for start in range(0, len(kernel), rows):
        yield start, np.asarray(_again(kernel)[start : start + rows])


def _again(kernel: np.ndarray) -> np.ndarray:
    """Return a mapped file's array, mapped anew: what was read of the earlier one is memory as long as that is open."""
    base: object = kernel.base  # of a part of a mapped array it is the whole one
    if isinstance(kernel, np.memmap) and kernel.flags.c_contiguous and isinstance(base, mmap.mmap):
        return np.memmap(str(kernel.filename), kernel.dtype, "r", kernel.offset, kernel.shape)
    return kernel
