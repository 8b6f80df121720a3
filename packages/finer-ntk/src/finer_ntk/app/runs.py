"""What every run has in common: its config, resuming, and the figures that all of them write."""

import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from finer_core.app.fit_command import refuse_changes
from finer_core.app.run_folder import Mode, RunFolder, open_run_folder
from finer_core.app.saved_run import kernels_of, read_run, sharing_now, tell_of_other_circumstances
from finer_core.errors import InputError, shortened
from finer_core.io.figures import figure_bytes, save_figure
from finer_core.io.files import sha256_of_file, write_json
from finer_core.io.model_file import save_model
from finer_core.io.report import Report
from finer_core.networks.base import parameter_count
from finer_core.networks.config import NetworkConfig
from finer_core.resources import PROCESS_BYTES, environment_versions, memory_figures, parse_memory
from finer_core.schema import build, check_entries
from finer_core.training import JsonlLogger, MetricLogger, TensorBoardLogger
from finer_ntk.config import SHOWN_EIGENVALUES, SubjectSettings, SweepSettings
from finer_ntk.inputs.networks import Subject
from finer_ntk.inputs.points import Points

Settings = TypeVar("Settings", bound=SubjectSettings)


def working_memory(limit: str | int) -> str:
    """Return the bytes that a limit leaves for the computation, beside the process itself.

    Raises:
        InputError: If it leaves none.
    """
    room = parse_memory(limit) - PROCESS_BYTES
    if room <= 0:
        raise InputError(f"--memory {limit}: the process by itself takes {PROCESS_BYTES / 1e6:.0f} MB; raise --memory")
    return f"{room}B"


def open_run(
    out: Path,
    subject: Subject | None,
    settings: SubjectSettings,
    *,
    command: str,
    signal: str | None,
    files: Sequence[str],
    points: str,
    mode: Mode,
) -> tuple[RunFolder, dict[str, Any]]:
    """Make the run folder with its config and the network, or check that an earlier run in it is the same.

    Args:
        out: The folder.
        subject: The network and its points; None where a kernel's file is all there is.
        settings: What was asked.
        command: Name of the command.
        signal: The file that `--config` of this run names as its input.
        files: All that the run reads beside its points: models, a kernel, a second set of points.
        points: One line on the points, for people.
        mode: How the folder is opened.

    Raises:
        InputError: If the folder cannot be used, or the input changed since.
    """
    digests = [[file, sha256_of_file(file)] for file in files]  # --overwrite may remove what is read
    digest = digests[0][1] if subject is None else subject.points.sha256()
    run = open_run_folder(out, mode=mode)
    network = None if subject is None else subject.network.config
    device = "cpu" if subject is None else subject.coords.device.type
    kernels = kernels_of([] if network is None else [network], device=device, compiled=None)
    described = None if network is None else network.to_dict()
    if mode == "resume" and run.config.is_file():
        config = _read_config(run, command=command)
        if digests != config["files"]:
            changed = next((file for file, found in digests if [file, found] not in config["files"]), out)
            raise InputError(f"{changed}: not what this run was started with; take another --out")
        if config["input_sha256"] != digest:
            raise InputError(f"{points}: not the points this run was started with; take another --out")
        tell_of_other_circumstances(config, kernels, device=device, out=out)
        return run, {**config, "network": described}
    config = {
        "command": f"finer-ntk {command}",
        "signal": signal,
        "input_sha256": digest,
        "files": digests,
        "points": points,
        "subject": signal if subject is None else subject.what,
        "settings": dataclasses.asdict(settings),
        "network": described,
        "kernels": kernels,
        **sharing_now(),
        "versions": environment_versions("finer-core", "finer-ntk", "torch", "numpy", "scipy"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    write_json(run.config, config)
    if subject is not None:
        save_model(subject.network, run.model, task="ntk", task_data={"points": points})
    return run, config


def resumed_settings(
    out: Path, kind: type[Settings], given: Mapping[str, Any], *, command: str
) -> tuple[Settings, dict[str, Any]]:
    """Return the settings of the run in a folder, and its config.

    Raises:
        InputError: If there is none of this command, or an argument contradicts it.
    """
    run = RunFolder(out)
    config = _read_config(run, command=command)
    settings = build(kind, config["settings"], what=f"{run.config}: settings")
    if isinstance(settings, SweepSettings):
        network = {"options": as_lists(settings.network)}
        given = {**given, "network": as_lists(given.get("network") or {})}
    else:
        network = NetworkConfig.from_dict(config["network"]).to_dict() if config.get("network") else {"options": {}}
    refuse_changes(settings, network, given, out)
    return settings, config


def _read_config(run: RunFolder, *, command: str) -> dict[str, Any]:
    config = read_run(run, command=f"finer-ntk {command}")
    check_entries(config, {"files": Sequence[tuple[str, str]]}, what=str(run.config))
    return config


def as_lists(network: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return a sweep's network options, each as the list of values that is tried."""
    return {name: list(value) if isinstance(value, list | tuple) else [value] for name, value in network.items()}


def common_figures(
    subject: Subject | None, settings: SubjectSettings, *, points: int, seconds: float, steps: int
) -> dict[str, Any]:
    """Return what metrics.json always has; peak memory is measured now."""
    device = "cpu" if subject is None else str(subject.coords.device)
    common = {
        "method": None if subject is None else subject.network.config.method,
        "preset": settings.preset,
        "steps": steps,
        "seconds": round(seconds, 3),
        "parameters": None if subject is None else parameter_count(subject.network),
        **memory_figures(device),
        "device": device,
        "seed": settings.seed,
        "points": points,
    }
    if subject is None:
        return common
    notes = list(subject.points.notes)
    return {**common, "notes": notes, "derivative": settings.derivative, "precision": settings.precision}


def shown_figures(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures as a table of the report shows them."""
    return {name: "-" if value is None else value for name, value in metrics.items()}


def end_report(page: Report, run: RunFolder, config: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Add what ends every report, and write it."""
    page.heading("Settings")
    page.table(settings)
    page.table(config["versions"], folded="versions")
    page.write(run.report)


def tell(*points: Points | None, quiet: bool) -> None:
    """Say on stderr what was left out, or taken for something, when points were read."""
    for part in filter(None, points):
        for note in () if quiet else part.notes:
            print(shortened(f"{part.what}: {note}"), file=sys.stderr)


def log_points(run: RunFolder, points: Sequence[Mapping[str, float]], *, tensorboard: bool) -> None:
    """Write a series as lines of metrics.jsonl, and as TensorBoard scalars on request; the step is the place in it."""
    loggers: list[MetricLogger] = [JsonlLogger(run.metrics_log, keep_until=-1)]  # a resumed run writes all again
    if tensorboard:
        loggers.append(TensorBoardLogger(run.tensorboard, keep_until=-1))
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
