"""Choose among the candidates, and say how far the choice can be trusted.

A kernel at initialisation says which candidates suit a signal's frequencies, not how far training gets with them. So
the evidence of a new signal, one number a candidate, is compared with that of signals that were fitted with every
candidate: what lost little on those with like evidence is expected to lose little here.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from finer_ntk.advisor.candidates import CANDIDATES, PUBLISHED, Candidate
from finer_ntk.advisor.evidence import explained_db
from finer_ntk.advisor.patches import Patch, image_patches

_NAMES = [candidate.name for candidate in CANDIDATES]


@dataclass(frozen=True, kw_only=True)
class Experience:
    """Hold what fits of other signals showed.

    Attributes:
        explained: (signals, candidates), dB; see `evidence.explained_db`.
        losses: (signals, candidates), dB of PSNR below the signal's best candidate.
        width: Distance in evidence, dB, over which signals count as alike.
    """

    explained: np.ndarray
    losses: np.ndarray
    width: float


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Hold the choice and what it rests on.

    Attributes:
        choice: The candidate of the least expected loss.
        explained: What each candidate's kernel explains of the signal, dB, by name.
        expected_loss: dB below the best candidate that each is expected to end at, by name.
    """

    choice: Candidate
    explained: Mapping[str, float]
    expected_loss: Mapping[str, float]


def advise_on(
    patches: Sequence[Patch],
    *,
    task: str,
    experience: Experience | None = None,
    on_candidate: Callable[[int], None] = lambda done: None,
) -> Advice:
    """Return advice for a signal's patches.

    Args:
        patches: The signal.
        task: "image" or "sdf".
        experience: None takes the recorded one.
        on_candidate: Told how many candidates were looked at.
    """
    explained = explain(patches, task=task, on_candidate=on_candidate)
    losses = expected_losses(np.array([explained[name] for name in _NAMES]), experience or recorded_experience())
    # The published values win what is as good as equal: they are the ones with most experience behind them.
    order = [loss - 1e-9 * (candidate == PUBLISHED) for loss, candidate in zip(losses, CANDIDATES, strict=True)]
    return Advice(
        choice=CANDIDATES[int(np.argmin(order))],
        explained=explained,
        expected_loss=dict(zip(_NAMES, map(float, losses), strict=True)),
    )


def explain_image(pixels: np.ndarray) -> dict[str, float]:
    """Return what each candidate explains of an image (height, width, channels) in [0, 1], dB, by name."""
    return explain(image_patches(pixels), task="image")


def explain(
    patches: Sequence[Patch], *, task: str, on_candidate: Callable[[int], None] = lambda done: None
) -> dict[str, float]:
    """Return what each candidate's kernel explains of a signal, dB, by name."""
    explained = {}
    for number, candidate in enumerate(CANDIDATES, start=1):
        explained[candidate.name] = explained_db(candidate, list(patches), task=task)
        on_candidate(number)
    return explained


def expected_losses(explained: np.ndarray, experience: Experience) -> np.ndarray:
    """Return each candidate's expected loss: the mean over known signals, weighted by likeness of evidence.

    Formula: weights exp(-d^2 / (2 width^2)), d the root mean square difference of the explained dB after each
    signal's own mean is taken off (Nadaraya and Watson, 1964).

    Args:
        explained: (candidates,) of the new signal.
        experience: The known signals.
    """
    new, known = (values - values.mean(-1, keepdims=True) for values in (explained, experience.explained))
    distance = np.square(known - new).mean(1)
    weights = np.exp(-(distance - distance.min()) / (2 * experience.width**2))
    return weights @ experience.losses / weights.sum()


def record() -> dict[str, Any]:
    """Return what `benchmarks/bench_suggest.py` measured."""
    file = resources.files("finer_ntk.advisor").joinpath("record.json")
    return dict(json.loads(file.read_text(encoding="utf-8")))


def recorded_experience() -> Experience:
    """Return the recorded fits."""
    found = record()
    return Experience(
        explained=np.array([[image["explained"][name] for name in _NAMES] for image in found["signals"]]),
        losses=np.array([[image["losses"][name] for name in _NAMES] for image in found["signals"]]),
        width=found["width"],
    )


def trust_line(task: str) -> str:
    """Return one line that says how often the advice was right, and whether it beat the published values."""
    found = record()
    hit, published, constant = (found["judged"][who] for who in ("advice", "published", "constant"))
    better = hit["hit_rate"] > published["hit_rate"] and hit["mean_loss_db"] < published["mean_loss_db"]
    of_constant = hit["mean_loss_db"] < constant["mean_loss_db"] - 0.01
    than_published, than_constant = ("better" if yes else "NOT better" for yes in (better, of_constant))
    measured = (
        f"within {found['close_db']} dB of the best of the grid on {hit['hit_rate']:.0%} of {len(found['signals'])} "
        f"images, each judged without itself; the published values on {published['hit_rate']:.0%}; mean loss "
        f"{hit['mean_loss_db']:.2f} dB against {published['mean_loss_db']:.2f}: {than_published} than always taking "
        f"the published values, and {than_constant} than always taking {found['constant']} "
        f"({constant['hit_rate']:.0%}, {constant['mean_loss_db']:.2f} dB); {found['conditions']}"
    )
    return measured if task == "image" else f"not measured for shapes; for images: {measured}"
