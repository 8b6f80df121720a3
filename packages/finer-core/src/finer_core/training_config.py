"""The settings that every fitting command shares."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finer_core.config import check_fields, setting
from finer_core.errors import InputError
from finer_core.resources import parse_memory


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Hold the shared settings; applications inherit and add their own. None means "decided later"."""

    method: str = setting(
        "finer", "network and activation; fills every hyper-parameter with published values, or the preset's own"
    )
    preset: str = setting("fast", "paper: the published algorithm; fast: ours", choices=("fast", "paper"))
    steps: int | None = setting(None, "updates in all")
    seed: int = setting(0, "seed of initialization and sampling")
    device: str = setting("auto", "where to compute", choices=("auto", "cpu", "cuda", "mps"))
    precision: str | None = setting(
        None,
        "bf16 multiplies matrices in bfloat16 in the backward pass and in Muon only; the phase stays in float32",
        choices=("fp32", "bf16"),
    )
    memory: str | int = setting("4GB", "memory to stay within", metavar="SIZE")
    checkpoint_seconds: float = setting(30.0, "least time between two checkpoints")

    def __post_init__(self) -> None:
        check_fields(self)
        check_at_least(self, 1, "steps")
        check_at_least(self, 0, "checkpoint_seconds")
        parse_memory(self.memory)
        if self.seed < 0 or self.seed >= 2**63:
            raise InputError(f"--seed must be between 0 and 2^63 - 1, got {self.seed}")


OPTIMIZERS = ("adam", "muon", "soap")
"""What a fit can be updated by; see `finer_core.training.build_optimizers`."""
SCHEDULES = ("linear", "cosine", "cosine-squared", "exponential")
"""Learning-rate schedules by name; see `finer_core.training.schedule_of`."""
SOAP_RATE = 5e-4
"""SOAP's rate where none is given: found on images (docs/studies/equal_time.md), hardly tried on others."""


def matrix_rate(optimizer: str | None, *, muon: float) -> float:
    """Return the rate of the matrices where none is given."""
    return SOAP_RATE if optimizer == "soap" else muon


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(RunConfig):
    """Hold the settings that every fit shares; None is filled by the preset."""

    seconds: float | None = setting(
        None, "length of the training: the time that it may take, by the speed of its first steps"
    )
    learning_rate: float | None = setting(None, "initial rate of Adam")
    matrix_learning_rate: float | None = setting(None, "initial rate of Muon or SOAP")
    optimizer: str | None = setting(
        None, "Adam on everything, or beside it Muon on hidden or SOAP on all matrices", choices=OPTIMIZERS
    )
    schedule: str | None = setting(
        None,
        "learning-rate schedule: warm-up, then straight, by a cosine or its square to 0; or a geometric path to 1/10",
        choices=SCHEDULES,
    )
    max_grad_norm: float | None = setting(None, "clip the gradient's norm")
    ema_decay: float | None = setting(None, "decay of the weights' running average, which is what is saved; 0 for none")
    guard: bool | None = setting(None, "go back and lower the rates when the fit diverges")
    compile: bool | None = setting(
        None, "compile activations, on a GPU the loss; by default on a CPU with a C compiler, elsewhere it takes 20 s"
    )
    log_every: int | None = setting(None, "steps between log lines; the divergence guard acts there")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least(self, 1, "log_every")
        check_positive(self, "seconds", "learning_rate", "matrix_learning_rate", "max_grad_norm")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise InputError(f"--ema-decay must be at least 0 and below 1, got {self.ema_decay!r}")
        betas = getattr(self, "betas", None)
        if betas is not None and not all(0 <= beta < 1 for beta in betas):
            raise InputError(f"betas must be at least 0 and below 1, got {list(betas)}")


LENGTHS = ("steps", "passes", "seconds")
"""Settings that say how long a fit is, the one first that a run's config.json resolves the others to."""
RESOLVED = ("steps", "log_every", "learning_rate", "optimizer", "precision")
"""Settings that may be None and that every plan has decided."""


def filled(settings: object, values: Mapping[str, Any], *, compiles: bool) -> dict[str, Any]:
    """Return the fields of settings with what a preset has in the place of None.

    Args:
        settings: As given.
        values: The preset's; its `matrix_learning_rate` is Muon's.
        compiles: Whether activations are compiled where nothing says so.

    Raises:
        InputError: As `settle_matrix_rate`.
    """
    given = {name: value for name, value in vars(settings).items() if value is not None}
    merged = {**dict.fromkeys(vars(settings)), **values, **given}
    if "matrix_learning_rate" not in given:
        merged["matrix_learning_rate"] = matrix_rate(merged["optimizer"], muon=values["matrix_learning_rate"])
    settle_matrix_rate(merged, given=given.get("matrix_learning_rate"))
    return merged | {"compile": given.get("compile", compiles)}


def settle_matrix_rate(merged: dict[str, Any], *, given: float | None) -> None:
    """Take the rate of the matrices out of settings by whose optimizer nothing uses it.

    Raises:
        InputError: If a rate was given that would do nothing.
    """
    if merged["optimizer"] != "adam":
        return
    if given is not None:
        raise InputError(
            f"--matrix-learning-rate {given!r} is Muon's or SOAP's, and this fit's optimizer is adam; leave it out, "
            "or give --optimizer muon or soap"
        )
    merged["matrix_learning_rate"] = None


def refuse_two_lengths(settings: object) -> None:
    """Raise InputError if the length of a fit is given in two ways, which may contradict each other."""
    names = [name for name in LENGTHS if getattr(settings, name, None) is not None]
    if len(names) > 1:
        raise InputError(f"--{names[0]} and --{names[1]} both say how long the fit is; give one of them")


def of_other_presets(settings: Any, preset: str) -> list[str]:
    """Return the names of settings that a preset does not use."""
    return [field.name for field in dataclasses.fields(settings) if field.metadata.get("preset") not in (None, preset)]


def refuse_other_presets(settings: Any) -> None:
    """Raise InputError for a setting that was given and that the preset does not use."""
    for name in of_other_presets(settings, settings.preset):
        if (value := getattr(settings, name)) is not None:
            own = next(field.metadata["preset"] for field in dataclasses.fields(settings) if field.name == name)
            raise InputError(
                f"--{name.replace('_', '-')} {value!r} is of preset {own}, and does nothing in preset "
                f"{settings.preset}; leave it out, or give --preset {own}"
            )


def check_at_least(settings: object, lowest: float, *names: str) -> None:
    """Raise InputError for a given setting below `lowest`."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value >= lowest:
            raise InputError(f"--{name.replace('_', '-')} must be at least {lowest:g}, got {value!r}")


def check_positive(settings: object, *names: str) -> None:
    """Raise InputError for a given setting that is not a positive finite number."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"--{name.replace('_', '-')} must be a positive number, got {value!r}")
