"""How well a kernel explains a signal before training: the error at points left out of kernel regression."""

import numpy as np

from finer_core.config import build_network, published_config
from finer_ntk.advisor.candidates import Candidate
from finer_ntk.advisor.patches import Patch
from finer_ntk.kernel.empirical import empirical_ntk

NOISE = 1e-2
"""Ridge over the kernel's mean diagonal: what training in finite time does not resolve. Chosen on three images."""
WIDTH = 128
"""Of the networks whose kernels are taken; a kernel's shape hardly depends on it."""


def explained_db(candidate: Candidate, patches: list[Patch], *, task: str, seed: int = 0) -> float:
    """Return the peak signal-to-noise ratio at left-out points, in dB, for a signal range of 2.

    Regression with the network's kernel at initialisation is what its linearised training ends in (Jacot et al., 2018);
    leaving each point out in turn asks whether the kernel's frequencies are the signal's. With A = (K + noise I)^-1 the
    left-out error is [A y]_i / A_ii (Rasmussen and Williams, Gaussian Processes, equation 5.12).

    Args:
        candidate: The network.
        patches: The signal.
        task: Whose published values fill what the candidate leaves open.
        seed: Of the network.
    """
    errors = [np.mean(np.square(left_out_errors(*_spectrum(candidate, patch, task, seed)))) for patch in patches]
    return float(-10 * np.log10(np.mean(errors) / 4))


def left_out_errors(values: np.ndarray, vectors: np.ndarray, target: np.ndarray, noise: float = NOISE) -> np.ndarray:
    """Return the error at every point when the others predict it.

    Args:
        values: (n,) eigenvalues of the kernel, divided by the mean of its diagonal.
        vectors: (n, n) eigenvectors in columns.
        target: (n, channels).
        noise: Ridge.
    """
    inverse = 1 / (np.clip(values, 0, None) + noise)
    weights = vectors @ (inverse[:, None] * (vectors.T @ target))
    return weights / (np.square(vectors) @ inverse)[:, None]


def patch_kernel(candidate: Candidate, patch: Patch, *, task: str, seed: int) -> np.ndarray:
    """Return a fresh network's kernel on a patch, divided by the mean of its diagonal."""
    import torch

    config = published_config(
        method=candidate.method,
        task=task,
        in_features=patch.coords.shape[1],
        out_features=1,
        **{**candidate.options, "hidden_features": WIDTH},
    )
    network = build_network(config, generator=torch.Generator().manual_seed(seed))
    kernel = np.asarray(empirical_ntk(network, None, patch.coords.float()), dtype=np.float64)
    return kernel / np.diagonal(kernel).mean()


def _spectrum(candidate: Candidate, patch: Patch, task: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(patch_kernel(candidate, patch, task=task, seed=seed))
    return values, vectors, patch.target
