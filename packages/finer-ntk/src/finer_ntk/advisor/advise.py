"""Choose among the candidates, and say how far the choice can be trusted."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from finer_ntk.advisor.candidates import CANDIDATES, DEFAULT, Candidate
from finer_ntk.advisor.evidence import explained_db
from finer_ntk.advisor.patches import Patch, image_patches


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Hold the choice and what it rests on.

    Attributes:
        choice: The candidate with the highest expected PSNR.
        explained: What each candidate's kernel explains of the signal, dB, by name.
        expected: The same plus what fits of other images gained over it, dB, by name: an order, not a promise.
    """

    choice: Candidate
    explained: Mapping[str, float]
    expected: Mapping[str, float]


def advise(pixels: np.ndarray, *, offsets: Mapping[str, float] | None = None) -> Advice:
    """Return advice for an image (height, width, channels) in [0, 1]; see `advise_on`."""
    return advise_on(image_patches(pixels), task="image", offsets=offsets)


def advise_on(
    patches: Sequence[Patch],
    *,
    task: str,
    offsets: Mapping[str, float] | None = None,
    on_candidate: Callable[[int], None] = lambda done: None,
) -> Advice:
    """Return advice for a signal's patches.

    Args:
        patches: The signal.
        task: "image" or "sdf".
        offsets: dB that fits reach above what the kernel explains, by candidate; None takes the recorded ones.
        on_candidate: Told how many candidates were looked at.
    """
    known = recorded_offsets() if offsets is None else offsets
    explained = {}
    for number, candidate in enumerate(CANDIDATES, start=1):
        explained[candidate.name] = explained_db(candidate, list(patches), task=task)
        on_candidate(number)
    middle = float(np.mean(list(known.values()))) if known else 0.0
    expected = {name: value + known.get(name, middle) for name, value in explained.items()}
    # The default wins what is as good as equal: it is the one with most experience behind it.
    best = max(CANDIDATES, key=lambda candidate: expected[candidate.name] + 1e-9 * (candidate == DEFAULT))
    return Advice(choice=best, explained=explained, expected=expected)


def record() -> dict[str, Any]:
    """Return what `benchmarks/bench_suggest.py` measured; empty if it never ran."""
    file = resources.files("finer_ntk.advisor").joinpath("record.json")
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def recorded_offsets() -> dict[str, float]:
    """Return each candidate's recorded offset."""
    return dict(record().get("offsets", {}))


def trust_line(task: str) -> str:
    """Return one line that says how often the advice was right, and whether it beat the defaults."""
    if task != "image":
        return "hit rate: not measured for shapes, only for images"
    found = record()
    if not found:
        return "hit rate: not measured"
    hit, default = found["hit_rate"], found["default_hit_rate"]
    loss, default_loss = found["mean_loss_db"], found["default_mean_loss_db"]
    better = hit > default or (hit == default and loss < default_loss)
    verdict = "better than" if better else "NOT better than"
    return (
        f"within {found['close_db']} dB of the best of the grid on {hit:.0%} of {found['images']} images not used for "
        f"calibration, the defaults on {default:.0%}; mean loss {loss:.2f} dB against {default_loss:.2f}: "
        f"{verdict} always taking the defaults ({found['conditions']})"
    )
