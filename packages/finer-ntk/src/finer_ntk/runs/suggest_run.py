"""One `finer-ntk suggest`: the advice, its evidence drawn, and how far it can be trusted."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from finer_core.config import build_network, published_config
from finer_core.files import sha256_of_file, write_json
from finer_core.progress import Progress
from finer_core.report import Report
from finer_core.resources import memory_figures
from finer_core.run_folder import Mode, RunFolder, environment_versions, open_run_folder
from finer_ntk import figures
from finer_ntk.advisor.advise import Advice, advise_on, record, trust_line
from finer_ntk.advisor.candidates import CANDIDATES, PUBLISHED, Candidate
from finer_ntk.advisor.evidence import patch_kernel
from finer_ntk.advisor.signals import Signal, read_signal
from finer_ntk.runs.files import write_arrays
from finer_ntk.runs.opening import shown_eigenvalues
from finer_ntk.spectrum import Eigenpairs, all_eigenpairs, diagonal_energy, effective_rank, target_energy


def run_suggest(out: Path, *, signal: str, seed: int, mode: Mode, quiet: bool) -> dict[str, Any]:
    """Advise, write, report; return the figures.

    Raises:
        InputError: Before anything was written, for any wrong input.
    """
    found = read_signal(signal, seed=seed)
    run = open_run_folder(out, mode=mode)
    config = {
        "command": "finer-ntk suggest",
        "signal": signal,
        "input_sha256": sha256_of_file(signal),
        "settings": {"seed": seed},
        "versions": environment_versions("finer-core", "finer-ntk", "torch", "numpy", "scipy"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(run.config, config)
    started = time.monotonic()
    progress = Progress("suggest", total=len(CANDIDATES), unit="candidate", quiet=quiet)
    advice = advise_on(found.patches, task=found.task, on_candidate=lambda done: progress.update(done))
    progress.close()
    evidence = {name: _look(candidate, found, seed) for name, candidate in _compared(advice).items()}
    kernel, pairs, _ = evidence["choice"]
    metrics = {
        "method": advice.choice.method,
        "preset": "fast",
        "steps": 0,
        "seconds": round(time.monotonic() - started, 3),
        "parameters": _parameters(advice.choice, found),
        **memory_figures("cpu"),
        "device": "cpu",
        "seed": seed,
        "effective_rank": effective_rank(pairs.values),
        "top_eigenvalues": shown_eigenvalues(pairs.values),
        "diagonal_energy": diagonal_energy(kernel),
        "task": found.task,
        "choice": {"method": advice.choice.method, "options": dict(advice.choice.options)},
        "arguments": advice.choice.arguments,
        "published": PUBLISHED.arguments,
        "explained_db": dict(advice.explained),
        "expected_loss_db": dict(advice.expected_loss),
        "trust": trust_line(found.task),
        "record": {name: value for name, value in record().items() if name != "signals"},
    }
    _report(run, config, metrics, advice, found, evidence)
    run.write_metrics(metrics)
    return run.read_metrics()


Evidence = dict[str, tuple[np.ndarray, Eigenpairs, np.ndarray]]
"""By name: a kernel on the first patch, its eigenpairs, and the signal's energy on them."""


def _compared(advice: Advice) -> dict[str, Candidate]:
    worst = max(CANDIDATES, key=lambda candidate: advice.expected_loss[candidate.name])
    return {"choice": advice.choice, "published": PUBLISHED, "worst": worst}


def _look(candidate: Candidate, signal: Signal, seed: int) -> tuple[np.ndarray, Eigenpairs, np.ndarray]:
    patch = signal.patches[0]
    kernel = patch_kernel(candidate, patch, task=signal.task, seed=seed)
    pairs = all_eigenpairs(kernel)
    return kernel, pairs, target_energy(pairs.vectors, patch.target)


def _parameters(candidate: Candidate, signal: Signal) -> int:
    patch = signal.patches[0]
    config = published_config(
        method=candidate.method,
        task=signal.task,
        in_features=patch.coords.shape[1],
        out_features=patch.target.shape[1],
        **candidate.options,
    )
    network = build_network(config, device=torch.device("meta"))
    return sum(p.numel() for p in network.parameters())


def _report(
    run: RunFolder, config: dict[str, Any], metrics: dict[str, Any], advice: Advice, signal: Signal, evidence: Evidence
) -> None:
    names = _compared(advice)
    labels = {key: f"{key}: {candidate.name}" for key, candidate in names.items()}
    drawn = {
        "candidates": figures.draw_candidates(advice.expected_loss, advice.explained),
        "energy": figures.draw_energies({labels[key]: shares for key, (_, _, shares) in evidence.items()}),
        "eigenvalues": figures.draw_eigenvalues({labels[key]: pairs.values for key, (_, pairs, _) in evidence.items()}),
    }
    if signal.pixels is not None:
        drawn["spectrum"] = figures.draw_power(*radial_power(signal.pixels))
    arrays = {f"eigenvalues_{key}": pairs.values for key, (_, pairs, _) in evidence.items()}
    arrays |= {f"target_energy_{key}": shares for key, (_, _, shares) in evidence.items()}
    write_arrays(run.path / "suggest", arrays)
    page = Report(
        f"{config['signal']}: {metrics['arguments']}",
        note=f"finer-ntk {config['versions']['finer-ntk']}, {config['started']}",
    )
    page.paragraph(f"Suggested: {metrics['arguments']}. Trust: {metrics['trust']}.")
    captions = {
        "candidates": "what each kernel explains of left-out points; what fits of like signals lost with it",
        "energy": "share of the signal on the first eigenvectors of the kernel, on one patch",
        "eigenvalues": "eigenvalues of the kernel, on one patch",
        "spectrum": "the image's radial power spectrum",
    }
    shown = []
    for name, figure in drawn.items():
        figures.save_figure(figure, run.path / name)
        shown.append((captions[name], figures.figure_bytes(figure)))
    page.figures(shown)
    page.heading("Figures")
    page.table({name: "-" if value is None else value for name, value in metrics.items() if name != "record"})
    page.table(config["versions"], folded="versions")
    page.write(run.report)


def radial_power(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an image's mean power by frequency (cycles a pixel), a window keeping the borders out."""
    grey = pixels.mean(2)
    window = np.outer(np.hanning(grey.shape[0]), np.hanning(grey.shape[1]))
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
    rows, columns = (np.fft.fftfreq(side) for side in grey.shape)
    frequency = np.hypot(rows[:, None], columns[None, :])
    edges = np.linspace(0, 0.5, min(grey.shape) // 2 + 1)
    which = np.digitize(frequency.ravel(), edges) - 1
    inside = which < len(edges) - 1
    total = np.bincount(which[inside], power.ravel()[inside], minlength=len(edges) - 1)
    count = np.bincount(which[inside], minlength=len(edges) - 1)
    return (edges[:-1] + edges[1:]) / 2, total / np.maximum(count, 1)
