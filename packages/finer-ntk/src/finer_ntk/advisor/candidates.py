"""What the advisor chooses between."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Name a method with its options; what is not in `options` keeps the published image values."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return method and options on one line."""
        return " ".join([self.method, *(f"{key}={value}" for key, value in self.options.items())])

    @property
    def arguments(self) -> str:
        """Return the command-line options that choose it."""
        options = [f"--{key.replace('_', '-')} {str(value).lower()}" for key, value in self.options.items()]
        return " ".join([f"--method {self.method}", *options])


PUBLISHED = Candidate(method="finer", options={"first_omega_0": 30.0, "first_bias_scale": None})

CANDIDATES: tuple[Candidate, ...] = (
    *(
        Candidate(method="finer", options={"first_omega_0": omega, "first_bias_scale": k})
        for omega in (10.0, 30.0, 60.0)
        for k in (None, 3.0, 10.0)
    ),
    *(Candidate(method="siren", options={"first_omega_0": omega}) for omega in (30.0, 60.0)),
    Candidate(method="gauss"),
    Candidate(method="pemlp"),
    Candidate(method="gauss-finer"),
    Candidate(method="wire-finer"),
)
