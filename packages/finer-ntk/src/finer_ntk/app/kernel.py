"""One `finer-ntk kernel`: the kernel in a file, its figures, heat maps and report."""

import dataclasses
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.app.run_folder import Mode, RunFolder
from finer_core.errors import InputError
from finer_core.io.figures import figure_bytes
from finer_core.io.report import Report
from finer_core.resources import parse_memory
from finer_ntk import plots as figures
from finer_ntk.analysis import NtkSpectrum, analyze, analyze_kernel
from finer_ntk.app.arrays import write_arrays
from finer_ntk.app.kernel_file import KERNEL, assemble
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
from finer_ntk.config import LARGEST_DENSE, KernelSettings
from finer_ntk.inputs.files import file_points
from finer_ntk.inputs.networks import Subject, load_subject
from finer_ntk.inputs.points import Points
from finer_ntk.kernel import as_derivative
from finer_ntk.kernel.cost_model import as_output
from finer_ntk.spectrum import diagonal_energy
from finer_ntk.spectrum.eigen import bytes_of_all_eigenpairs
from finer_ntk.spectrum.measures import traced

_DEFAULT_TOP = 16


def run_kernel(
    out: Path, *, settings: KernelSettings, model: str | None, mode: Mode, quiet: bool, tensorboard: bool
) -> dict[str, Any]:
    """Compute, write, report; return the figures.

    Raises:
        InputError: Before anything was written, for any wrong input.
    """
    subject = load_subject(settings, model=model)
    against = None if settings.against is None else file_points(settings.against, memory=parse_memory(settings.memory))
    _check(subject, settings, against)
    tell(subject.points, against, quiet=quiet)
    run, config = open_run(
        out,
        subject,
        settings,
        command="kernel",
        signal=model,
        files=[file for file in (model, settings.against) if file is not None],
        points=subject.points.what,
        mode=mode,
    )
    started = time.monotonic()
    if settings.backend == "torch":
        kernel, path, before = assemble(run, subject, settings, against=against, quiet=quiet)
    else:
        kernel, path = _by_neural_tangents(run, subject, settings, against)
        before = 0.0
    found, note = (None, "") if against is not None else _spectrum(subject, settings, kernel)
    if note and not quiet:
        print(note, file=sys.stderr)
    arrays = {"kernel": kernel, "points": subject.points.coords.numpy()}
    if found is not None:
        arrays["eigenvalues"] = found.eigenvalues
        log_points(run, [{"eigenvalue": float(value)} for value in found.eigenvalues], tensorboard=tensorboard)
    if against is not None:
        arrays["points_against"] = against.coords.numpy()
    write_arrays(run.path / "kernel", arrays)
    seconds = before + time.monotonic() - started
    metrics = {
        **common_figures(subject, settings, points=len(subject.coords), seconds=seconds, steps=0),
        "notes": [*subject.points.notes, *filter(None, [note])],
        "backend": settings.backend,
        "path": path,
        "output": settings.output,
        "kernel_shape": list(kernel.shape),
        "effective_rank": found.effective_rank if found else None,
        "top_eigenvalues": shown_eigenvalues(found.eigenvalues) if found else None,
        "diagonal_energy": found.diagonal_energy if found else None,
        "estimated": bool(found and found.estimated),
    }
    _report(run, subject, config, metrics, kernel, found.eigenvalues if found else None)
    shutil.rmtree(run.checkpoint.parent, ignore_errors=True)
    run.write_metrics(metrics)
    return run.read_metrics()


def _check(subject: Subject, settings: KernelSettings, against: Points | None) -> None:
    count = len(subject.coords)
    if settings.top is not None and settings.top > count:
        raise InputError(f"--top {settings.top}: the kernel of {count} points has {count} eigenvalues")
    if against is not None and against.in_features != subject.points.in_features:
        raise InputError(
            f"--against {settings.against}: points of {against.in_features} coordinates, "
            f"the others have {subject.points.in_features}"
        )


def _spectrum(subject: Subject, settings: KernelSettings, kernel: np.ndarray) -> tuple[NtkSpectrum | None, str]:
    """Return the spectrum of a square kernel, summed over channels, or why there is none.

    Of a large kernel it is from products alone.
    """
    fits = bytes_of_all_eigenpairs(len(kernel)) <= parse_memory(working_memory(settings.memory))
    if len(kernel) <= LARGEST_DENSE and (fits or settings.backend != "torch"):
        return analyze_kernel(traced(kernel), top=settings.top), ""
    if settings.infinite:  # products are of the network's own kernel
        return None, f"no spectrum: of the kernel of infinite width it is computed up to {LARGEST_DENSE} points"
    found = analyze(
        subject.network,
        subject.coords,
        top=min(settings.top or _DEFAULT_TOP, len(kernel) - 1),
        derivative=as_derivative(settings.derivative),
        memory=working_memory(settings.memory),
        seed=settings.seed,
    )
    if kernel.ndim == 2:
        found = dataclasses.replace(found, diagonal_energy=diagonal_energy(kernel))
    return found, ""


def _by_neural_tangents(
    run: RunFolder, subject: Subject, settings: KernelSettings, against: Points | None
) -> tuple[np.ndarray, str]:
    from finer_ntk.neural_tangents import infinite_ntk, neural_tangents_ntk

    x1 = subject.coords.cpu().numpy()
    x2 = None if against is None else against.coords.numpy().astype(x1.dtype)
    if settings.infinite:
        kernel = infinite_ntk(subject.network, x1, x2)
    else:
        kernel = neural_tangents_ntk(
            subject.network,
            x1,
            x2,
            output=as_output(settings.output),
            derivative=as_derivative(settings.derivative),
            batch_size=settings.batch_size,
        )
    np.save(run.path / KERNEL, kernel)
    return kernel, "infinite width" if settings.infinite else "neural-tangents"


def _report(
    run: RunFolder,
    subject: Subject,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    kernel: np.ndarray,
    values: np.ndarray | None,
) -> None:
    heat = figures.draw_kernels({subject.what: kernel}, normalize=False)
    page = Report(
        f"Neural tangent kernel: {subject.what}",
        note=f"finer-ntk {config['versions']['finer-ntk']}, {config['started']}, {subject.points.what}",
    )
    page.table(shown_figures(metrics))
    shown = [("kernel", keep_figure(run, "kernel", heat))]
    if values is not None and len(values) > 1:
        curve = figures.draw_eigenvalues({subject.what: values})
        shown.append(("eigenvalues", keep_figure(run, "eigenvalues", curve)))
        if subject.points.shape is not None and kernel.ndim == 2:
            reach = figures.draw_reach(kernel, subject.points.shape)
            shown.append(("K(center, x): how far learning at the center reaches", figure_bytes(reach)))
    page.figures(shown)
    end_report(page, run, config, {**config["settings"], "network": config["network"]})
