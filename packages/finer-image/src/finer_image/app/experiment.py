"""One `finer-image fit`, from the input file to the finished run folder."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from finer_core.app.run_folder import Mode, RunFolder, open_run_folder
from finer_core.app.saved_run import config_content, finished, resumed
from finer_core.app.shared_fit import help_fit, help_timing, refuse_another_input, shared_measurement
from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.team import Team
from finer_core.io.files import printable, write_json
from finer_core.resources import memory_figures, parse_memory
from finer_core.training import Fit
from finer_core.training.budget import seconds_per_step
from finer_image.app.folder_fit import assembly, fit_image
from finer_image.app.report import write_report
from finer_image.config import BUILT_IN, ImageConfig
from finer_image.inputs import is_built_in, open_signal
from finer_image.io.image import Image
from finer_image.io.input_digest import sha256_of_input
from finer_image.io.lazy_image import DiskImage
from finer_image.io.raster import Raster
from finer_image.training.plan import FitPlan, digest_of, plan_of
from finer_image.training.timed_plan import plan_timed_fit

_COMMAND = "finer-image fit"


def read_signal(signal: str | None, *, memory: int) -> tuple[Raster, str]:
    """Open the input image; return it and the SHA-256 of its file (of its content for the built-in one).

    Raises:
        InputError: See `open_signal`.
    """
    image = open_signal(signal, memory=memory)
    if isinstance(image, Image) and is_built_in(signal):
        return image, digest_of(image)
    assert signal is not None
    return image, sha256_of_input(signal)


def _digest_of(name: str, plan: FitPlan) -> str:
    if is_built_in(name):
        return read_signal(name, memory=parse_memory(plan.settings.memory))[1]
    return sha256_of_input(name)


def start_run(
    out: Path,
    *,
    settings: ImageConfig,
    signal: str | None,
    mode: Mode,
    quiet: bool,
    tensorboard: bool,
    team: Team | None = None,
) -> dict[str, Any]:
    """Check everything, make the run folder, fit, and fill it; return the figures.

    With a team of several processes, its first calls this and the others `help_run`.

    Raises:
        InputError: Before anything was written, for any wrong input.
    """
    team = team or Team()
    image, sha256 = read_signal(signal, memory=parse_memory(settings.memory))

    def shared_time(trial: FitPlan, within: float) -> float:
        told = config_of(trial, signal=signal or BUILT_IN, image=image, input_sha256=sha256)
        team.tell({**told, "is_timed": True})
        return shared_measurement(team, assembly(trial, image, team), partial(seconds_per_step, within=within))

    plan = plan_timed_fit(settings, image, shared_time=None if team.ranks.is_alone else shared_time)
    run = open_run_folder(out, mode=mode)
    config = config_of(plan, signal=signal or BUILT_IN, image=image, input_sha256=sha256)
    write_json(run.config, config)
    team.tell(config)
    return _fit_and_fill(run, plan, image, config, resume=False, quiet=quiet, tensorboard=tensorboard, team=team)


def resume_run(
    out: Path,
    *,
    signal: str | None,
    given: Mapping[str, Any],
    quiet: bool,
    tensorboard: bool,
    team: Team | None = None,
) -> dict[str, Any]:
    """Go on with a run to the result that it would have had without interruption; return the figures.

    With a team of several processes, its first calls this and the others `help_run`.

    Raises:
        InputError: If the input changed since, or an argument contradicts the run's settings.
    """
    saved = resumed(
        out,
        command=_COMMAND,
        plan_of=plan_of,
        read=lambda name, plan: read_signal(name, memory=parse_memory(plan.settings.memory)),
        kind="image",
        signal=signal,
        given=given,
    )
    run, config, plan, image = saved.run, saved.config, saved.plan, saved.data
    team = team or Team()
    team.tell({**config, "signal": saved.signal})
    return _fit_and_fill(run, plan, image, config, resume=True, quiet=quiet, tensorboard=tensorboard, team=team)


def finished_run(out: Path, *, signal: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a run that is complete, without computing anything.

    Raises:
        InputError: If the input changed since, or an argument contradicts the run's settings.
    """
    about: dict[str, Any] = {"command": _COMMAND, "plan_of": plan_of, "kind": "image"}
    return finished(out, digest_of=_digest_of, signal=signal, given=given, **about)


def help_run(team: Team) -> None:
    """Do this process's part of the run that the team's first process starts or resumes.

    Raises:
        ToldByFirst: For whatever the first process reports.
    """
    config, image = team.listen(), None

    def assemble(gradient_sum: GradientReducer) -> AbstractContextManager[tuple[nn.Module, Fit]]:
        nonlocal image
        plan, name = plan_of(config, source=Path("config.json")), config["signal"]
        if image is None:
            image, sha256 = read_signal(name, memory=parse_memory(plan.settings.memory))
            refuse_another_input(sha256, config["input_sha256"], name=name, kind="image")
        return assembly(plan, image, team)(gradient_sum)

    while "is_timed" in config:
        help_timing(team, assemble)
        config = team.listen()
    help_fit(team, assemble)


def _fit_and_fill(
    run: RunFolder,
    plan: FitPlan,
    image: Raster,
    config: Mapping[str, Any],
    *,
    resume: bool,
    quiet: bool,
    tensorboard: bool,
    team: Team,
) -> dict[str, Any]:
    habits: dict[str, Any] = {"quiet": quiet, "tensorboard": tensorboard, "team": team}
    with team.interruptible() as should_stop:
        reconstruction, figures = fit_image(plan, image, run, resume=resume, should_stop=should_stop, **habits)
    figures = {**figures, **memory_figures(plan.device)}
    write_report(run, target=image, reconstruction=reconstruction, metrics=figures, config=config)
    figures |= memory_figures(plan.device)  # of the report too, which cannot tell it of itself
    run.write_metrics(figures)  # last: it says that the run is complete
    if not quiet:
        print(f"report: {printable(run.report)}", file=sys.stderr)
    return run.read_metrics()


def config_of(plan: FitPlan, *, signal: str, image: Raster, input_sha256: str) -> dict[str, Any]:
    """Return the content of `config.json`."""
    return config_content(
        plan,
        command=_COMMAND,
        signal=signal,
        input_sha256=input_sha256,
        networks=[plan.network],
        image={name: value for name, value in image.to_metadata().items() if name != "icc_profile"},
        image_on_disk=isinstance(image, DiskImage),
        notes=list(image.notes),
    )
