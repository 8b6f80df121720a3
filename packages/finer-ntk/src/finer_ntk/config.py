"""What the commands can be asked, as data; needs no PyTorch, so that `--help` stays fast."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finer_core.config import setting
from finer_core.errors import InputError
from finer_core.training_config import RunConfig, check_at_least, check_positive

LARGEST_DENSE = 4096
"""Points up to which all eigenvalues are computed from the matrix; that takes seconds, and beyond it minutes."""
DEFAULT_TOP = 64
"""Eigenpairs that are computed of more points, unless another number is asked for."""
SHOWN_EIGENVALUES = 16
"""Eigenvalues in metrics.json."""


@dataclass(frozen=True, kw_only=True)
class SubjectSettings(RunConfig):
    """Say which network is looked at, and on which points."""

    preset: str = setting(
        "fast",
        "paper: networks as the published notebook draws them; fast: as finer-core does",
        choices=("fast", "paper"),
    )
    precision: str | None = setting("fp32", "of the network and its derivatives", choices=("fp32", "fp64"))
    task: str = setting(
        "ntk", "whose published values a method takes", choices=("ntk", "image", "sdf", "nerf"), metavar="TASK"
    )
    part: str | None = setting(None, "which network of a model of several", metavar="NAME")
    grid: str | None = setting(
        None, "points as a grid, e.g. 1024 (on [0, 1)) or 64x64 (on [-1, 1]; default: 1024, 64x64, 16x16x16)"
    )
    points: str | None = setting(None, "points from a file: .npy, .npz, .csv, .txt, .xyz", metavar="FILE")
    image: str | None = setting(None, "points at an image's pixels, which are the target signal too", metavar="FILE")
    max_points: int = setting(LARGEST_DENSE, "take every n-th pixel of an image so that there are no more points")
    derivative: str = setting(
        "published",
        "derivative of FINER's factor: published holds it constant, exact differentiates it",
        choices=("published", "exact"),
    )
    network: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "max_points")
        given = [name for name in ("grid", "points", "image") if getattr(self, name) is not None]
        if len(given) > 1:
            raise InputError(f"--{given[0]} and --{given[1]} both say which points; give one")


@dataclass(frozen=True, kw_only=True)
class KernelSettings(SubjectSettings):
    """Say how the kernel is computed and what of it is written."""

    output: str = setting(
        "trace",
        "trace sums over channels, per_channel keeps them apart, full pairs them",
        choices=("trace", "per_channel", "full"),
    )
    against: str | None = setting(
        None, "second set of points, from a file; makes the kernel rectangular", metavar="FILE"
    )
    backend: str = setting(
        "torch", "neural-tangents needs the extra of that name", choices=("torch", "neural-tangents"), metavar="ENGINE"
    )
    infinite: bool = setting(False, "the kernel of infinite width instead, by neural-tangents, where it is known")
    batch_size: int | None = setting(None, "points a block (default: what --memory allows)")
    top: int | None = setting(None, "only the largest eigenvalues (default: all, up to 4096 points)")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "batch_size", "top")
        if self.top is not None and self.against is not None:
            raise InputError(f"--top {self.top}: the kernel is not square with --against, so it has no eigenvalues")
        if self.infinite and self.backend == "torch":
            raise InputError("--infinite takes --backend neural-tangents")


@dataclass(frozen=True, kw_only=True)
class SpectrumSettings(SubjectSettings):
    """Say which eigenpairs are wanted and which training is predicted."""

    top: int | None = setting(None, "only the largest eigenpairs, without forming the kernel (above 4096 points: 64)")
    steps: int | None = setting(None, "gradient descent steps to predict and to take (default: 100 where cheap)")
    learning_rate: float | None = setting(None, "of that descent (default: 0.1 of the largest stable one)")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "top")
        check_positive(self, "learning_rate")


@dataclass(frozen=True, kw_only=True)
class SweepSettings(SubjectSettings):
    """Say which kernels are compared. `methods` and the lists in `network` span the product."""

    seeds: int = setting(1, "networks drawn for every setting, from --seed on; figures are their means")
    methods: tuple[str, ...] = ("finer",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "seeds")
