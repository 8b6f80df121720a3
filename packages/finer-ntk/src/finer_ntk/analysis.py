"""What a network's kernel says about learning: `analyze` one network, `sweep` over many."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finer_core.casts import as_array
from finer_core.errors import InputError
from finer_core.io.text import counted
from finer_core.networks import Network
from finer_core.networks.base import parameter_count
from finer_core.networks.build import build_network
from finer_core.networks.config import NetworkConfig
from finer_core.progress import ProgressOption, reporting
from finer_core.resources import parse_memory
from finer_core.schema import check, check_within, plain
from finer_core.seeds import mean_and_spread, whole_seeds
from finer_core.shapes import Real
from finer_ntk.config import DEFAULT_TOP, LARGEST_DENSE
from finer_ntk.kernel import Derivative, NtkOperator, as_coords, as_row_function, empirical_ntk, ntk_operator
from finer_ntk.spectrum import (
    alignment,
    all_eigenpairs,
    band_energy,
    diagonal_energy,
    effective_rank,
    estimate_spectrum,
    target_alignment,
    target_energy,
    top_eigenpairs,
)
from finer_ntk.spectrum.eigen import bytes_of_all_eigenpairs, check_room_for_all
from finer_ntk.spectrum.prediction import as_signal


@dataclass(frozen=True, kw_only=True)
class NtkSpectrum:
    """Hold what `analyze` found in a kernel.

    Attributes:
        eigenvalues: (k,), falling.
        eigenvectors: (n, k), orthonormal columns.
        residuals: (k,), |K v - lambda v| / lambda.
        effective_rank: Exponential of the entropy of the eigenvalues' shares; from 1 to n.
        diagonal_energy: The diagonal's share of sum K_ij^2; from 1/n to 1.
        target_energy: (k,), each eigenvector's share of the target's energy; (0,) without a target.
        alignment: Of the kernel with the target; None without a target, or where the kernel was never formed.
        estimated: Whether effective rank and diagonal energy are estimates.

    Example:
        >>> import numpy as np
        >>> from finer_ntk.analysis import analyze_kernel
        >>> found = analyze_kernel(np.diag([3.0, 1.0]))
        >>> found.eigenvalues.tolist(), found.diagonal_energy, found.estimated
        ([3.0, 1.0], 1.0, False)
    """

    eigenvalues: np.ndarray
    eigenvectors: np.ndarray
    residuals: np.ndarray
    effective_rank: float
    diagonal_energy: float
    target_energy: np.ndarray
    alignment: float | None
    estimated: bool

    def __repr__(self) -> str:
        about = "about " if self.estimated else ""
        size = f"{counted(len(self.eigenvalues), 'eigenvalue')} of {len(self.eigenvectors)}"
        return f"{type(self).__name__}: {size}, effective rank {about}{self.effective_rank:.4g}"


def analyze(
    model: nn.Module,
    x: Tensor | np.ndarray,
    target: Tensor | np.ndarray | None = None,
    *,
    top: int | None = None,
    derivative: Derivative = "published",
    memory: str | int = "4GB",
    seed: int = 0,
    progress: ProgressOption = False,
) -> NtkSpectrum:
    """Decompose the kernel of a network, summed over output channels.

    Formula: K = sum lambda_i v_i v_i^T; the residual of training decays along v_i at a rate proportional to lambda_i
    (Jacot et al., NeurIPS 2018). Effective rank after Roy and Vetterli (EUSIPCO 2007).

    Args:
        model: A module; output row i depends on coordinate row i only.
        x: (n, in_features), a tensor or an array, in the model's coordinates; brought to its parameters' type.
        target: A signal at the points, (n,) or (n, c), in any unit.
        top: Only the largest eigenpairs, from products and without forming the kernel; None for all, where there are
            up to 4096 points and memory has room for all, else for 64.
        derivative: "published" or "exact": which derivative FINER's factor gets.
        memory: What the computation may take.
        seed: Of the first vector and the probes of what is never formed.
        progress: False, True for a bar on stderr, or a function of (products taken, products expected, {}).

    Returns:
        The spectrum.

    Raises:
        InputError: If there are no `top` eigenpairs, memory does not suffice, or the target is zero everywhere.
        ValueError: If an argument is none of the choices, or does not fit the model.

    Example:
        >>> import torch
        >>> from finer_core import build_network, published_config
        >>> from finer_ntk import analyze, line_grid
        >>> config = published_config(method="finer", task="ntk", in_features=1, out_features=1, hidden_features=16)
        >>> network = build_network(config, generator=torch.Generator().manual_seed(0))
        >>> points = line_grid(32)
        >>> found = analyze(network, points.coords, points.target)
        >>> found.eigenvalues.shape, 1 <= found.effective_rank <= 32, round(float(found.target_energy.sum()), 6)
        ((32,), True, 1.0)
    """
    coords = as_coords(x, as_row_function(model))
    count = len(coords)
    check(plain(top), int | None, name="top")
    check_within(seed, "[0, inf)", what="seed", is_whole=True)
    if top is not None and not 1 <= top <= count:
        raise InputError(f"top {top}: the kernel of {count} points has {count} eigenvalues")
    signal = None if target is None else as_signal(target, count)
    all_fit = count <= LARGEST_DENSE and bytes_of_all_eigenpairs(count) <= parse_memory(memory)
    if top == count or (top is None and (all_fit or count <= DEFAULT_TOP)):
        check_room_for_all(count, memory)
        kernel = empirical_ntk(model, coords, derivative=derivative, memory=memory, progress=progress)
        return analyze_kernel(as_array(kernel), signal)
    wanted = top or DEFAULT_TOP
    operator = ntk_operator(model, coords, derivative=derivative, memory=memory)
    with reporting("eigenpairs", unit="product", progress=progress) as tell:
        return _analyze_operator(
            operator, signal, top=wanted, seed=seed, on_product=lambda done: tell(min(done, 3 * wanted), 3 * wanted)
        )


def analyze_kernel(
    kernel: Real[np.ndarray, "n n"], target: Real[np.ndarray, "n ..."] | None = None, *, top: int | None = None
) -> NtkSpectrum:
    """Decompose a kernel that is there as a matrix.

    Args:
        kernel: (n, n), summed over channels.
        target: A signal at the points, (n,) or (n, c).
        top: Keep the largest eigenpairs only; the measures are of all.

    Raises:
        InputError: If the kernel is not square, symmetric, finite or positive, or the target is zero everywhere.
    """
    pairs = all_eigenpairs(kernel)
    vectors = pairs.vectors[:, :top]
    return NtkSpectrum(
        eigenvalues=pairs.values[:top],
        eigenvectors=vectors,
        residuals=pairs.residuals[:top],
        effective_rank=effective_rank(pairs.values),
        diagonal_energy=diagonal_energy(kernel),
        target_energy=np.zeros(0) if target is None else target_energy(vectors, target),
        alignment=None if target is None else target_alignment(kernel, target),
        estimated=False,
    )


def _analyze_operator(
    operator: NtkOperator, target: np.ndarray | None, *, top: int, seed: int, on_product: Callable[[int], None]
) -> NtkSpectrum:
    pairs = top_eigenpairs(operator, count=top, seed=seed, on_product=on_product)
    estimates = estimate_spectrum(operator, pairs, seed=seed)
    return NtkSpectrum(
        eigenvalues=pairs.values,
        eigenvectors=pairs.vectors,
        residuals=pairs.residuals,
        effective_rank=estimates.effective_rank,
        diagonal_energy=estimates.diagonal_energy,
        target_energy=np.zeros(0) if target is None else target_energy(pairs.vectors, target),
        alignment=None,
        estimated=True,
    )


def sweep(
    networks: Mapping[str, NetworkConfig | nn.Module],
    x: Tensor | np.ndarray,
    *,
    seeds: Sequence[int] = (0,),
    target: Tensor | np.ndarray | None = None,
    derivative: Derivative = "published",
    memory: str | int = "4GB",
    progress: ProgressOption = False,
) -> list[dict[str, Any]]:
    """Compare the kernels of many networks on the same points.

    Formula: `effective_rank`, `diagonal_energy`, `band_energy` (of points in order along a line), `target_alignment`
    and `alignment` as in `finer_ntk.spectrum`; a row holds their means over the seeds.

    Args:
        networks: By name: a config, of which a network is drawn for every seed, or a module, taken as it is.
        x: (n, in_features), a tensor or an array, at most 4096 points; brought to the parameters' type.
        seeds: Of the networks that are drawn.
        target: A signal at the points, (n,) or (n, c), in any unit.
        derivative: "published" or "exact": which derivative FINER's factor gets.
        memory: What one kernel may take.
        progress: False, True for a bar on stderr, or a function of (networks done, networks in all, {}).

    Returns:
        A row a name, for `pandas.DataFrame`: name, method, parameters, the measures, and `alignment_with_first` of the
        first seed's kernels; of modules only, a training's checkpoints say, `alignment_with_previous` too.

    Raises:
        InputError: If there are too many points, no network by name or no seed, or memory does not suffice.
        ValueError: If an argument is none of the choices, or does not fit a network.

    Example:
        >>> from finer_core import published_config
        >>> from finer_ntk import line_grid, sweep
        >>> sizes = {"in_features": 1, "out_features": 1, "hidden_features": 16}
        >>> scales = {"low": 1.0, "high": 20.0}
        >>> configs = {
        ...     name: published_config(method="finer", task="ntk", first_bias_scale=k, **sizes)
        ...     for name, k in scales.items()
        ... }
        >>> low, high = sweep(configs, line_grid(64).coords, seeds=range(3))
        >>> low["name"], low["effective_rank"] < high["effective_rank"]
        ('low', True)
    """
    seeds = whole_seeds(seeds)
    if not isinstance(networks, Mapping) or not networks or not seeds:
        raise InputError(f"a sweep needs seeds, and networks by name, got {seeds} and {type(networks).__name__}")
    check_room_for_all(len(x), memory)
    signal = None if target is None else as_signal(target, len(x))
    sequence = not any(isinstance(source, NetworkConfig) for source in networks.values())
    rows: list[dict[str, Any]] = []
    kernels: list[np.ndarray] = []
    with reporting("sweep", unit="kernel", progress=progress) as tell:
        for number, (name, source) in enumerate(networks.items(), start=1):
            row, kernel, _ = measure(name, _drawn(source, seeds), x, signal, derivative=derivative, memory=memory)
            kernels = [kernels[0] if kernels else kernel, kernels[-1] if kernels else kernel, kernel]
            rows.append({**row, **alignments(kernels, sequence=sequence)})
            tell(number, len(networks))
    return rows


def _drawn(source: NetworkConfig | nn.Module, seeds: Sequence[int]) -> list[nn.Module]:
    if isinstance(source, nn.Module):
        return [source]
    return [build_network(source, device="cpu", generator=torch.Generator().manual_seed(seed)) for seed in seeds]


def measure(
    name: str,
    networks: Sequence[nn.Module],
    x: Tensor | np.ndarray,
    target: np.ndarray | None,
    *,
    derivative: Derivative,
    memory: str | int,
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Return one row of a sweep, and the kernel (n, n) and eigenvalues (n,) of its first network."""
    measured, shown = [], []
    for network in networks:
        function = as_row_function(network)
        coords = as_coords(x, function)
        kernel = as_array(empirical_ntk(network, coords, derivative=derivative, memory=memory))
        values = all_eigenpairs(kernel).values
        ordered = coords.shape[1] == 1 and bool((coords.diff(dim=0) > 0).all())
        measured.append(
            {
                "effective_rank": effective_rank(values),
                "diagonal_energy": diagonal_energy(kernel),
                "band_energy": band_energy(kernel, half_width=max(1, len(kernel) // 64)) if ordered else None,
                "mean_diagonal": float(np.diagonal(kernel).mean()),
                "largest_eigenvalue_share": float(values[0] / values[values > 0].sum()),
                "target_alignment": None if target is None else target_alignment(kernel, target),
            }
        )
        shown.append((kernel, values))
    first = networks[0]
    known = {key: [value for one in measured if (value := one[key]) is not None] for key in measured[0]}
    means = {key: mean_and_spread(values)[0] for key, values in known.items()}
    row = {
        "name": name,
        "method": first.config.method if isinstance(first, Network) else type(first).__name__,
        "parameters": parameter_count(first),
        **means,
        "effective_rank_of_seeds": [one["effective_rank"] for one in measured],
        "diagonal_energy_of_seeds": [one["diagonal_energy"] for one in measured],
        "network": first.config.to_dict() if isinstance(first, Network) else None,
    }
    return row, *shown[0]


def alignments(kernels: Sequence[np.ndarray], *, sequence: bool) -> dict[str, float]:
    """Return the last kernel's alignment with the first and, in a sequence of models, with the one before."""
    before = {"first": kernels[0], **({"previous": kernels[max(0, len(kernels) - 2)]} if sequence else {})}
    return {f"alignment_with_{name}": alignment(kernel, kernels[-1]) for name, kernel in before.items()}
