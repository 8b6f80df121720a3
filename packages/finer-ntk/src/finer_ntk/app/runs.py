"""What every run has in common: its config, resuming, and the figures that all of them write."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from finer_core.app.fit_command import refuse_changes
from finer_core.app.run_folder import Mode, RunFolder, open_run_folder
from finer_core.app.saved_run import kernels_of, read_run, tell_of_other_kernels
from finer_core.errors import InputError
from finer_core.io.figures import figure_bytes, save_figure
from finer_core.io.files import write_json
from finer_core.io.model_file import save_model
from finer_core.networks.config import NetworkConfig
from finer_core.resources import PROCESS_BYTES, environment_versions, memory_figures, parse_memory
from finer_core.schema import build
from finer_core.training import JsonlLogger, MetricLogger, TensorBoardLogger
from finer_core.training_config import as_plain
from finer_ntk.config import SHOWN_EIGENVALUES, SubjectSettings, SweepSettings
from finer_ntk.inputs.networks import Subject
from finer_ntk.inputs.points import Points

Settings = TypeVar("Settings", bound=SubjectSettings)


def working_memory(limit: str) -> str:
    """Return the bytes that a limit leaves for the computation, beside the process itself.

    Raises:
        InputError: If it leaves none.
    """
    room = parse_memory(limit) - PROCESS_BYTES
    if room <= 0:
        raise InputError(f"--memory {limit}: the process by itself takes {PROCESS_BYTES / 1e6:.0f} MB; raise --memory")
    return f"{room}B"


def open_run(
    out: Path, subject: Subject, settings: SubjectSettings, *, command: str, signal: str | None, mode: Mode
) -> tuple[RunFolder, dict[str, Any]]:
    """Make the run folder with its config and the network, or check that an earlier run in it is the same.

    Raises:
        InputError: If the folder cannot be used, or the input changed since.
    """
    run = open_run_folder(out, mode=mode)
    digest = subject.points.sha256()
    kernels = kernels_of([subject.network.config], device=subject.coords.device.type, compiled=None)
    if mode == "resume" and run.config.is_file():
        config = read_run(run, command=f"finer-ntk {command}")
        if config["input_sha256"] != digest:
            raise InputError(f"{subject.points.what}: not the points this run was started with; take another --out")
        tell_of_other_kernels(config, kernels, out=out)
        return run, {**config, "network": subject.network.config.to_dict()}
    config = {
        "command": f"finer-ntk {command}",
        "signal": signal,
        "input_sha256": digest,
        "points": subject.points.what,
        "subject": subject.what,
        "settings": as_plain(settings),
        "network": subject.network.config.to_dict(),
        "kernels": kernels,
        "versions": environment_versions("finer-core", "finer-ntk", "torch", "numpy", "scipy"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(run.config, config)
    save_model(subject.network, run.model, task="ntk", task_data={"points": subject.points.what})
    return run, config


def resumed_settings(
    out: Path, kind: type[Settings], given: Mapping[str, Any], *, command: str
) -> tuple[Settings, str | None]:
    """Return the settings and the input of the run in a folder.

    Raises:
        InputError: If there is none of this command, or an argument contradicts it.
    """
    run = RunFolder(out)
    config = read_run(run, command=f"finer-ntk {command}")
    settings = build(kind, config["settings"], what=f"{run.config}: settings")
    network = NetworkConfig.from_dict(config["network"]).to_dict() if config.get("network") else {"options": {}}
    refuse_changes(settings, network, given, out)
    return settings, config["signal"]


def resumed_sweep(out: Path, given: Mapping[str, Any]) -> SweepSettings:
    """Return the settings of the sweep in a folder.

    Raises:
        InputError: If there is none, or an argument contradicts it.
    """
    run = RunFolder(out)
    config = read_run(run, command="finer-ntk sweep")
    settings = build(SweepSettings, config["settings"], what=f"{run.config}: settings")
    before = dict(settings.network)
    asked = {**given, "network": {name: list(values) for name, values in (given.get("network") or {}).items()}}
    refuse_changes(settings, {"options": before}, asked, out)
    return settings


def common_figures(subject: Subject, settings: SubjectSettings, *, seconds: float, steps: int) -> dict[str, Any]:
    """Return what metrics.json always has; peak memory is measured now."""
    return {
        "method": subject.network.config.method,
        "preset": settings.preset,
        "steps": steps,
        "seconds": round(seconds, 3),
        "parameters": sum(p.numel() for p in subject.network.parameters()),
        **memory_figures(str(subject.coords.device)),
        "device": str(subject.coords.device),
        "seed": settings.seed,
        "points": len(subject.coords),
        "notes": list(subject.points.notes),
        "derivative": settings.derivative,
        "precision": settings.precision,
    }


def tell(*points: Points | None, quiet: bool) -> None:
    """Say on stderr what was left out, or taken for something, when points were read."""
    for part in filter(None, points):
        for note in () if quiet else part.notes:
            print(f"{part.what}: {note}", file=sys.stderr)


def log_points(run: RunFolder, points: Sequence[Mapping[str, float]], *, tensorboard: bool) -> None:
    """Write a series as lines of metrics.jsonl, and as TensorBoard scalars on request; the step is the place in it."""
    loggers: list[MetricLogger] = [JsonlLogger(run.metrics_log)]
    if tensorboard:
        loggers.append(TensorBoardLogger(run.tensorboard))
    for logger in loggers:
        for step, figures in enumerate(points):
            logger.log(step, figures)
        logger.close()


def shown_eigenvalues(values: np.ndarray) -> list[float]:
    """Return the eigenvalues that metrics.json shows."""
    return [float(value) for value in values[:SHOWN_EIGENVALUES]]


def keep_figure(run: RunFolder, name: str, figure: Any) -> bytes:
    """Write a figure into the run folder, as PNG and as SVG; return it as PNG, for the report."""
    for suffix in (".png", ".svg"):
        save_figure(figure, run.path / f"{name}{suffix}")
    return figure_bytes(figure)
