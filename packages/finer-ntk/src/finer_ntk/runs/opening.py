"""What every run has in common: its config, resuming, and the figures that all of them write."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from finer_core.errors import InputError
from finer_core.files import write_json
from finer_core.fit_command import refuse_changes
from finer_core.model_file import save_model
from finer_core.resources import peak_memory_mb
from finer_core.run_folder import Mode, RunFolder, environment_versions, open_run_folder
from finer_core.run_settings import as_plain
from finer_core.training import JsonlLogger, MetricLogger, TensorBoardLogger
from finer_ntk.settings import SHOWN_EIGENVALUES, SubjectSettings
from finer_ntk.subject.networks import Subject

Settings = TypeVar("Settings", bound=SubjectSettings)


def open_run(
    out: Path, subject: Subject, settings: SubjectSettings, *, command: str, signal: str | None, mode: Mode
) -> tuple[RunFolder, dict[str, Any]]:
    """Make the run folder with its config and the network, or check that an earlier run in it is the same.

    Raises:
        InputError: If the folder cannot be used, or the input changed since.
    """
    run = open_run_folder(out, mode=mode)
    digest = subject.points.sha256()
    if mode == "resume" and run.config.is_file():
        config = run.read_config()
        if config.get("input_sha256") != digest:
            raise InputError(f"{subject.points.what}: not the points this run was started with; take another --out")
        return run, config
    config = {
        "command": f"finer-ntk {command}",
        "signal": signal,
        "input_sha256": digest,
        "points": subject.points.what,
        "subject": subject.what,
        "settings": as_plain(settings),
        "network": subject.network.config.to_dict(),
        "versions": environment_versions("finer-core", "finer-ntk", "torch", "numpy", "scipy"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(run.config, config)
    save_model(subject.network, run.model, task="ntk", task_data={"points": subject.points.what})
    return run, config


def resumed_settings(out: Path, kind: type[Settings], given: Mapping[str, Any]) -> tuple[Settings, str | None]:
    """Return the settings and the input of the run in a folder.

    Raises:
        InputError: If there is none of this kind, or an argument contradicts it.
    """
    run = RunFolder(out)
    config = run.read_config()
    try:
        values: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in config["settings"].items()
        }
        settings = kind(**values)
        signal = config["signal"]
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{run.config}: not the config of this command ({error})") from error
    refuse_changes(settings, config["network"], given, out)
    return settings, signal


def common_figures(subject: Subject, settings: SubjectSettings, *, seconds: float, steps: int) -> dict[str, Any]:
    """Return what metrics.json always has; peak memory is measured now."""
    return {
        "method": subject.network.config.method,
        "preset": settings.preset,
        "steps": steps,
        "seconds": round(seconds, 3),
        "parameters": sum(p.numel() for p in subject.network.parameters()),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "device": str(subject.coords.device),
        "seed": settings.seed,
        "points": len(subject.coords),
        "rule": settings.rule,
        "precision": settings.precision,
    }


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
