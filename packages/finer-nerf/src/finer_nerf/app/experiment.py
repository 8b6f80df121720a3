"""One `finer-nerf train`, from the scene to the finished run folder."""

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from finer_core.app.run_folder import Mode, RunFolder, open_run_folder
from finer_core.app.saved_run import config_content, finished, resumed
from finer_core.distributed.team import Team
from finer_core.errors import shortened
from finer_core.io.files import write_json
from finer_core.training.state import read_state
from finer_nerf.app.folder_fit import fill_run, fit_scene, help_scene
from finer_nerf.config import BUILT_IN, NerfConfig
from finer_nerf.inputs import input_digest, open_scene, read_as_resolved
from finer_nerf.scenes import Scene
from finer_nerf.training.build import attempt_of
from finer_nerf.training.plan import FitPlan, check_sharing, plan_fit

_COMMAND = "finer-nerf train"


def start_run(
    out: Path,
    *,
    settings: NerfConfig,
    signal: str | None,
    mode: Mode,
    quiet: bool,
    tensorboard: bool,
    team: Team | None = None,
) -> dict[str, Any]:
    """Check everything, make the run folder, train, judge, and fill it; return the figures.

    With a team of several processes, its first calls this and the others `help_run`.

    Raises:
        InputError: Before anything was written, for any wrong input.
    """
    team = team or Team()
    scene, settings = open_scene(signal, settings)
    plan = plan_fit(settings, scene, processes=team.ranks.size)
    run = open_run_folder(out, mode=mode)
    config = config_of(plan, scene, signal=signal or BUILT_IN)
    write_json(run.config, config)
    team.tell({**config, "attempt": 0})
    habits: dict[str, Any] = {"quiet": quiet, "tensorboard": tensorboard, "team": team}
    return _train_and_fill(run, plan, scene, config, resume=False, first=0, **habits)


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
        InputError: If the scene changed since, or an argument contradicts the run's settings.
    """
    team = team or Team()
    saved = resumed(
        out,
        command=_COMMAND,
        plan_of=FitPlan.from_config,
        read=_read,
        kind="scene",
        signal=signal,
        given=given,
        networks_of=lambda plan: plan.networks,
        check=partial(check_sharing, processes=team.ranks.size, resumed=True),
    )
    run, config, plan, scene = saved.run, saved.config, saved.plan, saved.data
    config["scene"] = config_of(plan, scene, signal=saved.signal)["scene"]  # the report shows it
    first = attempt_of(read_state(run.checkpoint) if run.checkpoint.is_file() else None, run.checkpoint)
    team.tell({**config, "signal": saved.signal, "attempt": first})
    habits: dict[str, Any] = {"quiet": quiet, "tensorboard": tensorboard, "team": team}
    return _train_and_fill(run, plan, scene, config, resume=True, first=first, **habits)


def finished_run(out: Path, *, signal: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a run that is complete, without computing anything.

    Raises:
        InputError: If the input changed since, or an argument contradicts the run's settings.
    """
    about: dict[str, Any] = {"command": _COMMAND, "plan_of": FitPlan.from_config, "kind": "scene"}
    return finished(out, digest_of=_digest_of, signal=signal, given=given, **about)


def help_run(team: Team) -> None:
    """Do this process's part of the run that the team's first process starts or resumes.

    Raises:
        ToldByFirst: For whatever the first process reports.
    """
    help_scene(team.listen(), team)


def _digest_of(name: str, plan: FitPlan) -> str:
    settings = plan.settings
    how = {"downscale": settings.downscale or 1, "every": settings.train_every or 1, "test_every": settings.test_every}
    return input_digest(name, **how)


def _read(name: str, plan: FitPlan) -> tuple[Scene, str]:
    scene = read_as_resolved(name, plan.settings)
    return scene, scene.digest


def config_of(plan: FitPlan, scene: Scene, *, signal: str) -> dict[str, Any]:
    """Return the content of `config.json`."""
    return config_content(
        plan,
        command=_COMMAND,
        signal=signal,
        input_sha256=scene.digest,
        networks=plan.networks,
        scene={
            "name": scene.name,
            "kind": scene.kind,
            "train_views": len(scene.train),
            "size": f"{scene.train.height}x{scene.train.width}",
            "skipped_frames": scene.skipped,
            "notes": [*scene.notes, *plan.notes],
        },
    )


def _train_and_fill(
    run: RunFolder,
    plan: FitPlan,
    scene: Scene,
    config: Mapping[str, Any],
    *,
    resume: bool,
    first: int,
    quiet: bool,
    tensorboard: bool,
    team: Team,
) -> dict[str, Any]:
    if not quiet:
        for note in [*scene.notes, *plan.notes]:
            print(shortened(f"{scene.name}: {note}"), file=sys.stderr)
    model, objective, last = fit_scene(
        run, plan, scene, resume=resume, quiet=quiet, tensorboard=tensorboard, first=first, team=team
    )
    rest: dict[str, Any] = {"last": last, "processes": team.ranks.size, "quiet": quiet}
    return fill_run(run, plan, scene, config, model=model, objective=objective, **rest)
