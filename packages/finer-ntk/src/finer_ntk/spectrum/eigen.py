"""Eigenvalues and eigenvectors of a kernel: all of them from the matrix, or the top ones from its products alone."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from finer_core.errors import InputError
from finer_core.resources import check_room, parse_memory
from finer_core.shapes import Float, Real
from finer_ntk.config import LARGEST_DENSE
from finer_ntk.kernel.operator import NtkOperator

_NOT_FINITE = "the kernel holds NaN or infinity, so it has no eigenvalues; large weights need double precision"
_COPIES = 6
"""Matrices in double precision that all eigenpairs take at once: two of the kernel, and what LAPACK works on."""
_ROUNDING = 0.01
"""Share of the largest value by which mirror images may differ: what types of few digits leave."""
_TOLERANCE = 1e-7
"""Relative accuracy asked of ARPACK."""
_PROBES, _STEPS = 16, 32
"""Random vectors, and Lanczos steps from each, of the estimates for a kernel that is never formed."""


@dataclass(frozen=True, kw_only=True)
class Eigenpairs:
    """Hold eigenvalues, falling, and their eigenvectors.

    Attributes:
        values: (k,).
        vectors: (n, k), orthonormal columns.
        residuals: (k,): |K v - lambda v| / lambda.

    Example:
        >>> import numpy as np
        >>> from finer_ntk.spectrum import all_eigenpairs
        >>> all_eigenpairs(np.diag([1.0, 3.0, 2.0])).values.tolist()
        [3.0, 2.0, 1.0]
    """

    values: Float[np.ndarray, " k"]
    vectors: Float[np.ndarray, "n k"]
    residuals: Float[np.ndarray, " k"]


def bytes_of_all_eigenpairs(points: int) -> int:
    """Return what `all_eigenpairs` takes of memory for a kernel of so many points."""
    return 8 * _COPIES * points**2


def check_room_for_all(points: int, memory: str | int, *, process: int = 0) -> None:
    """Raise InputError if memory has no room for all eigenpairs of so many points, which take long beyond 4096 too."""
    if points > LARGEST_DENSE:
        raise InputError(
            f"all eigenvalues are computed of at most {LARGEST_DENSE} points, got {points}; take fewer (--grid, "
            "--max-points)"
        )
    needed, what = bytes_of_all_eigenpairs(points), f"computing all eigenvalues of {points} points"
    check_room(needed, parse_memory(memory), what=what, advice="take fewer points (--grid)", process=process)


def all_eigenpairs(kernel: Real[np.ndarray, "n n"]) -> Eigenpairs:
    """Return every eigenpair of a kernel, in double precision; what rounding left unequal is made symmetric first.

    Args:
        kernel: (n, n).

    Returns:
        Values (n,) and vectors (n, n).

    Raises:
        InputError: If it is not square, not finite, not of real numbers, or not symmetric.

    Example:
        >>> import numpy as np
        >>> from finer_ntk.spectrum import all_eigenpairs
        >>> all_eigenpairs(np.diag([1.0, 3.0, 2.0])).values.tolist()
        [3.0, 2.0, 1.0]
    """
    kernel = np.asarray(kernel)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1]:
        raise InputError(
            f"eigenvalues need a square kernel, got shape {kernel.shape}; leave out the second set of points"
        )
    if kernel.dtype.kind not in "fiub":
        raise InputError(f"the kernel must be of real numbers, got dtype {kernel.dtype}")
    given = np.asarray(kernel, dtype=np.float64)
    matrix = 0.5 * (given + given.T)
    if not np.isfinite(matrix).all():
        raise InputError(_NOT_FINITE)
    off, largest = (np.abs(each).max(initial=0) for each in (given - given.T, matrix))
    if off > _ROUNDING * largest:
        raise InputError(
            f"the kernel is not symmetric: values and their mirror images differ by up to {off:.3g}; eigenvalues are "
            "of one between a set of points and itself, by the published or the exact derivative"
        )
    del given
    values, vectors = torch.linalg.eigh(torch.from_numpy(matrix))
    falling, columns = values.numpy()[::-1].copy(), vectors.numpy()[:, ::-1].copy()
    return Eigenpairs(values=falling, vectors=columns, residuals=_residuals(matrix @ columns, falling, columns))


def top_eigenpairs(
    operator: NtkOperator,
    *,
    count: int,
    seed: int = 0,
    on_product: Callable[[int], None] = lambda done: None,
) -> Eigenpairs:
    """Return the largest eigenpairs from products alone, by ARPACK's restarted Lanczos iteration.

    Args:
        operator: The kernel.
        count: How many pairs, fewer than the points.
        seed: Of the first vector.
        on_product: Told how many products were taken.

    Raises:
        InputError: If `count` is not between 1 and the number of points less one, the kernel is zero everywhere or not
            finite, or the iteration does not converge.

    Example:
        >>> from finer_core import build_network, published_config
        >>> from finer_ntk import line_grid, ntk_operator
        >>> from finer_ntk.spectrum import top_eigenpairs
        >>> config = published_config(method="finer", task="ntk", in_features=1, out_features=1, hidden_features=16)
        >>> operator = ntk_operator(build_network(config), line_grid(32).coords)
        >>> top = top_eigenpairs(operator, count=3)
        >>> top.values.shape, top.vectors.shape
        ((3,), (32, 3))
    """
    from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh

    size = operator.shape[0]
    if not 1 <= count < size:
        raise InputError(
            f"--top {count}: the kernel of {size} points has fewer than {count + 1} eigenvalues to choose from"
        )
    taken = 0

    def times(vector: np.ndarray) -> np.ndarray:
        nonlocal taken
        taken += 1
        on_product(taken)
        product = operator.matvec(vector.reshape(-1))
        if not np.isfinite(product).all():  # ARPACK would call it zero everywhere
            raise InputError(_NOT_FINITE)
        return product

    start = np.random.default_rng(seed).standard_normal(size)
    linear = LinearOperator((size, size), matvec=times, dtype=np.float64)
    try:
        values, vectors = eigsh(linear, k=count, which="LM", v0=start, tol=_TOLERANCE)
    except ArpackNoConvergence as error:
        raise InputError(
            f"the top {count} eigenvalues did not converge after {taken} products; ask for fewer"
        ) from error
    except ArpackError as error:  # it finds that the first product is zero
        raise InputError(f"the kernel has no positive eigenvalue: it is zero everywhere ({error})") from error
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    return Eigenpairs(values=values, vectors=vectors, residuals=_residuals(operator.matvec(vectors), values, vectors))


@dataclass(frozen=True, kw_only=True)
class SpectralEstimates:
    """Hold what the top eigenpairs and random probes of the rest tell of a kernel that is never formed.

    Attributes:
        effective_rank: Exponential of the entropy of the normalized eigenvalues.
        diagonal_energy: sum K_ii^2 / sum K_ij^2.

    Example:
        >>> from finer_core import build_network, published_config
        >>> from finer_ntk import line_grid, ntk_operator
        >>> from finer_ntk.spectrum import estimate_spectrum, top_eigenpairs
        >>> config = published_config(method="finer", task="ntk", in_features=1, out_features=1, hidden_features=16)
        >>> operator = ntk_operator(build_network(config), line_grid(32).coords)
        >>> top = top_eigenpairs(operator, count=3)
        >>> 1 <= estimate_spectrum(operator, top).effective_rank <= 32
        True
    """

    effective_rank: float
    diagonal_energy: float


def estimate_spectrum(operator: NtkOperator, top: Eigenpairs, *, seed: int = 0) -> SpectralEstimates:
    """Estimate effective rank and diagonal energy from products alone.

    The trace is exact and so is the top pairs' part. Of the rest, sum K_ij^2 is the mean of |K z|^2 over random signs z
    (Hutchinson) made orthogonal to the top, and the entropy -sum p log p comes from stochastic Lanczos quadrature from
    the same vectors (Ubaru, Chen and Saad, SIAM J. Matrix Anal. 2017).

    Args:
        operator: The kernel.
        top: Its largest eigenpairs.
        seed: Of the probes.

    Returns:
        The estimates.

    Example:
        >>> from finer_core import build_network, published_config
        >>> from finer_ntk import line_grid, ntk_operator
        >>> from finer_ntk.spectrum import estimate_spectrum, top_eigenpairs
        >>> config = published_config(method="finer", task="ntk", in_features=1, out_features=1, hidden_features=16)
        >>> operator = ntk_operator(build_network(config), line_grid(32).coords)
        >>> top = top_eigenpairs(operator, count=3)
        >>> 1 <= estimate_spectrum(operator, top).effective_rank <= 32
        True
    """
    diagonal = operator.diagonal().double().cpu().numpy()
    trace = float(diagonal.sum())
    known = np.clip(top.values, 0, None)
    random = np.random.default_rng(seed)
    steps = min(_STEPS, operator.shape[0] - len(known))
    entropies, energies = [], []
    for _ in range(_PROBES):
        start = random.choice((-1.0, 1.0), size=operator.shape[0])
        start -= top.vectors @ (top.vectors.T @ start)
        nodes, weights, energy = _lanczos(operator, start, steps, apart_from=top.vectors)
        shares = weights * np.clip(nodes, 0, None)  # a probe's own normalization varies less than the exact trace's
        logs = np.log(np.where(nodes > 0, nodes, 1.0) / trace)
        entropies.append(-float((shares * logs).sum() / max(shares.sum(), np.finfo(float).tiny)))
        energies.append(energy)
    parts = known[known > 0] / trace
    rest = max(0.0, 1.0 - float(parts.sum()))
    entropy = -float((parts * np.log(parts)).sum()) + rest * float(np.mean(entropies))
    return SpectralEstimates(
        effective_rank=float(np.exp(entropy)),
        diagonal_energy=float(np.square(diagonal).sum() / (np.square(known).sum() + np.mean(energies))),
    )


def _lanczos(
    operator: NtkOperator, start: np.ndarray, steps: int, *, apart_from: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Return Ritz values, their quadrature weights, and |K start|^2; every vector is orthogonalized against all."""
    basis = np.zeros((steps, len(start)))
    basis[0] = start / np.linalg.norm(start)
    alphas, betas = np.zeros(steps), np.zeros(steps)
    first = 0.0
    count = steps
    for i in range(steps):
        moved = operator.matvec(basis[i])
        moved -= apart_from @ (apart_from.T @ moved)
        if i == 0:
            first = float(moved @ moved) * float(start @ start)
        alphas[i] = moved @ basis[i]
        for _ in range(2):
            moved -= basis[: i + 1].T @ (basis[: i + 1] @ moved)
        betas[i] = np.linalg.norm(moved)
        if betas[i] <= 1e-12 * np.abs(alphas).max() or i + 1 == steps:
            count = i + 1
            break
        basis[i + 1] = moved / betas[i]
    tridiagonal = np.diag(alphas[:count]) + np.diag(betas[: count - 1], 1) + np.diag(betas[: count - 1], -1)
    nodes, vectors = np.linalg.eigh(tridiagonal)
    return nodes, np.square(vectors[0]), first


def _residuals(
    moved: Float[np.ndarray, "n k"], values: Float[np.ndarray, " k"], vectors: Float[np.ndarray, "n k"]
) -> Float[np.ndarray, " k"]:
    return np.linalg.norm(moved - vectors * values, axis=0) / np.maximum(np.abs(values), np.finfo(np.float64).tiny)
