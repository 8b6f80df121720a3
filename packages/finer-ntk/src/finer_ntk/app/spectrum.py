"""One `finer-ntk spectrum`: eigenpairs of a network's kernel or of a kernel file, and what they say about learning."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.app.run_folder import Mode, RunFolder
from finer_core.errors import InputError
from finer_core.io.report import Report
from finer_core.resources import check_room, parse_memory
from finer_ntk import plots as figures
from finer_ntk.analysis import NtkSpectrum, analyze, analyze_kernel
from finer_ntk.app.arrays import mapped_array, write_arrays
from finer_ntk.app.runs import (
    common_figures,
    end_report,
    keep_figure,
    log_points,
    open_run,
    shown_eigenvalues,
    shown_figures,
    tell,
    working_memory,
)
from finer_ntk.config import LARGEST_DENSE, SpectrumSettings
from finer_ntk.inputs.networks import Subject, load_subject
from finer_ntk.kernel import as_derivative
from finer_ntk.spectrum.eigen import bytes_of_all_eigenpairs
from finer_ntk.spectrum.prediction import (
    DEFAULT_STEPS,
    MOST_OUTPUTS,
    TrainingPrediction,
    fit_channels,
    has_channels_for,
    predict_training,
    why_unpredicted,
)

_LARGEST = 1e150
"""Values of a kernel file up to which its figures can be computed."""


def run_spectrum(
    out: Path, *, settings: SpectrumSettings, model: str | None, mode: Mode, quiet: bool, tensorboard: bool
) -> dict[str, Any]:
    """Compute, write, report; return the figures.

    Raises:
        InputError: Before anything was written, for any wrong input.
    """
    subject = load_subject(settings, model=model)
    count = len(subject.coords)
    if settings.top is not None and settings.top > count:
        raise InputError(f"--top {settings.top}: the kernel of {count} points has {count} eigenvalues")
    memory = working_memory(settings.memory)
    target = subject.points.target
    steps, note = _steps(settings, subject)
    if not steps and settings.learning_rate is not None:
        why = note or "there is no target signal to train on"
        raise InputError(f"--learning-rate {settings.learning_rate!r} does nothing: {why}; leave it out")
    if target is not None and (steps or has_channels_for(target, subject.network.out_features)):
        target = fit_channels(target, subject.network.out_features)
    tell(subject.points, quiet=quiet)
    if note and not quiet:
        print(note, file=sys.stderr)
    run, config = open_run(
        out,
        subject,
        settings,
        command="spectrum",
        signal=model,
        files=[] if model is None else [model],
        points=subject.points.what,
        mode=mode,
    )
    started = time.monotonic()
    derivative = as_derivative(settings.derivative)
    found = analyze(
        subject.network,
        subject.coords,
        target,
        top=settings.top,
        derivative=derivative,
        memory=memory,
        seed=settings.seed,
        progress=not quiet,
    )
    shares = found.target_energy if len(found.target_energy) else None
    training = None
    if steps:
        assert target is not None
        training = predict_training(
            subject.network,
            subject.coords,
            target,
            steps=steps,
            learning_rate=settings.learning_rate,
            derivative=derivative,
        )
        losses = zip(training.predicted, training.measured, strict=True)
        points = [{"predicted_loss": float(one), "loss": float(two)} for one, two in losses]
    else:
        points = [{"eigenvalue": float(value)} for value in found.eigenvalues]
    log_points(run, points, tensorboard=tensorboard)
    metrics = {
        **common_figures(subject, settings, points=count, seconds=time.monotonic() - started, steps=steps),
        **_figures_of(found),
        "target_energy_of_top": None if shares is None else float(shares.sum()),
        "target_alignment": found.alignment,
        "learning_rate": training.learning_rate if training else None,
        "prediction_deviation": training.deviation if training else None,
        "note": note,
    }
    _write_and_report(
        run,
        config,
        metrics,
        found,
        shares,
        training,
        shape=subject.points.shape,
        what=subject.what,
        points=subject.points.coords.numpy(),
    )
    run.write_metrics(metrics)
    return run.read_metrics()


def run_kernel_file(out: Path, *, settings: SpectrumSettings, kernel_file: str, mode: Mode) -> dict[str, Any]:
    """Do the same for a kernel that is in a .npy file already.

    Raises:
        InputError: If it is not a square, symmetric and finite kernel.
    """
    kernel, memory = mapped_array(kernel_file), parse_memory(settings.memory)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.dtype.kind != "f":
        raise InputError(
            f"{kernel_file}: eigenvalues need a square kernel of floats, got {kernel.dtype} {kernel.shape}"
        )
    if len(kernel) > 4 * LARGEST_DENSE:
        raise InputError(
            f"{kernel_file}: all eigenvalues of {len(kernel)} points take too long; compute the top ones of its model"
        )
    if settings.top is not None and settings.top > len(kernel):
        raise InputError(f"--top {settings.top}: the kernel of {len(kernel)} points has {len(kernel)} eigenvalues")
    what = f"computing all eigenvalues of {len(kernel)} points"
    advice = "compute the top ones of its model"
    check_room(bytes_of_all_eigenpairs(len(kernel)), memory, what=f"{kernel_file}: {what}", advice=advice)
    largest = max((float(np.abs(row).max()) for row in kernel), default=0.0)
    if largest > _LARGEST:
        raise InputError(f"{kernel_file}: values of up to {largest:g}, whose squares are no numbers; scale it down")
    started = time.monotonic()
    try:
        found = analyze_kernel(np.asarray(kernel), top=settings.top)
    except InputError as error:
        raise InputError(f"{kernel_file}: {error}") from error
    run, config = open_run(
        out,
        None,
        settings,
        command="spectrum",
        signal=kernel_file,
        files=[kernel_file],
        points=f"kernel of {len(kernel)} points",
        mode=mode,
    )
    seconds = time.monotonic() - started
    metrics = {
        **common_figures(None, settings, points=len(kernel), seconds=seconds, steps=0),
        **_figures_of(found),
    }
    _write_and_report(run, config, metrics, found, None, None, shape=None, what=kernel_file, points=None)
    run.write_metrics(metrics)
    return run.read_metrics()


def _steps(settings: SpectrumSettings, subject: Subject) -> tuple[int, str | None]:
    """Return the steps of training to predict, 0 for none, and why there are none although there is a target."""
    target = subject.points.target
    if target is None:
        if settings.steps is not None:
            raise InputError(
                f"--steps {settings.steps}: no target signal to train on; give --image, or points with one"
            )
        return 0, None
    outputs = len(target) * subject.network.out_features
    if settings.steps is not None:
        if outputs > MOST_OUTPUTS:
            raise InputError(
                f"--steps {settings.steps}: the prediction is for at most {MOST_OUTPUTS} outputs, got {outputs}"
            )
        return settings.steps, None
    reason = why_unpredicted(target, subject.network.out_features)
    return (0, reason) if reason else (DEFAULT_STEPS, None)


def _figures_of(found: NtkSpectrum) -> dict[str, Any]:
    large = found.eigenvalues > 1e-6 * found.eigenvalues[0]  # the residual of rounding noise says nothing
    return {
        "effective_rank": found.effective_rank,
        "top_eigenvalues": shown_eigenvalues(found.eigenvalues),
        "diagonal_energy": found.diagonal_energy,
        "eigenpairs": len(found.eigenvalues),
        "largest_residual": float(found.residuals[large].max()),
        "estimated": found.estimated,
    }


def _write_and_report(
    run: RunFolder,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    found: NtkSpectrum,
    shares: np.ndarray | None,
    training: TrainingPrediction | None,
    *,
    shape: tuple[int, ...] | None,
    what: str,
    points: np.ndarray | None,
) -> None:
    arrays = {"eigenvalues": found.eigenvalues, "eigenvectors": found.eigenvectors, "residuals": found.residuals}
    drawn = {
        "eigenvalues": figures.draw_eigenvalues({what: found.eigenvalues}),
        "eigenvectors": figures.draw_eigenvectors(found.eigenvectors, shape),
    }
    if points is not None:
        arrays["points"] = points
    if shares is not None:
        arrays["target_energy"] = shares
        drawn["target_energy"] = figures.draw_energies({"target": shares})
    if training is not None:
        arrays["predicted_loss"], arrays["loss"] = training.predicted, training.measured
        drawn["training"] = figures.draw_training(training.predicted, training.measured)
    write_arrays(run.path / "spectrum", arrays)
    page = Report(
        f"Spectrum: {what}",
        note=f"finer-ntk {config['versions']['finer-ntk']}, {config['started']}, {config['points']}",
    )
    page.table(shown_figures(metrics))
    if found.estimated:
        page.paragraph(
            "Effective rank and diagonal energy are estimates: exact for the pairs found, random probes for the rest."
        )
    page.figures([(name.replace("_", " "), keep_figure(run, name, figure)) for name, figure in drawn.items()])
    end_report(page, run, config, {**config["settings"], "network": config["network"]})
