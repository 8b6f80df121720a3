"""One `finer-nerf train`, from the scene to the finished run folder."""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from finer_core.app.experiment import Experiment
from finer_core.app.run_folder import Habits, RunFolder
from finer_core.distributed.team import Team
from finer_core.errors import shortened
from finer_core.training.checkpoint import read_state
from finer_nerf.app.folder_fit import fill_run, fit_scene, help_scene
from finer_nerf.config import BUILT_IN, NerfConfig
from finer_nerf.inputs import input_digest, open_scene, read_as_resolved
from finer_nerf.scenes import Scene
from finer_nerf.training.build import attempt_of
from finer_nerf.training.plan import FitPlan, check_sharing, plan_fit


class NerfExperiment(Experiment):
    """Runs of `finer-nerf train`."""

    plan_class, command, kind, built_in = FitPlan, "finer-nerf train", "scene", BUILT_IN

    def open(self, name: str | None, settings: NerfConfig) -> tuple[Scene, str, NerfConfig]:
        """Return a scene, its SHA-256, and the settings with how it was read."""
        scene, settings = open_scene(name, settings)
        return scene, scene.digest, settings

    def read(self, name: str | None, settings: NerfConfig) -> tuple[Scene, str]:
        """Return a scene and its SHA-256."""
        scene = read_as_resolved(name, settings)
        return scene, scene.digest

    def digest(self, name: str, settings: NerfConfig) -> str:
        """Return the SHA-256 of a scene, whose pictures are not decoded."""
        how = {"downscale": settings.downscale or 1, "every": settings.train_every or 1}
        return input_digest(name, test_every=settings.test_every, **how)

    def plan(
        self, settings: NerfConfig, data: Scene, team: Team, config_of: Callable[[FitPlan], dict[str, Any]]
    ) -> FitPlan:
        """Return the plan of a new run."""
        return plan_fit(settings, data, processes=team.ranks.size)

    def networks_of(self, plan: FitPlan) -> Any:
        """Return the configs of a plan's networks."""
        return plan.networks

    def check_resumed(self, plan: FitPlan, team: Team) -> None:
        """Refuse what several processes cannot go on with."""
        check_sharing(plan, processes=team.ranks.size, resumed=True)

    def about(self, plan: FitPlan, data: Scene) -> dict[str, Any]:
        """Return what `config.json` says of the scene."""
        return {
            "scene": {
                "name": data.name,
                "kind": data.kind,
                "train_views": len(data.train),
                "size": f"{data.train.height}x{data.train.width}",
                "skipped_frames": data.skipped,
                "notes": [*data.notes, *plan.notes],
            }
        }

    def told(self, run: RunFolder, config: dict[str, Any]) -> dict[str, Any]:
        """Return what the other processes are told, with the attempt that is begun with."""
        state = read_state(run.checkpoint) if run.checkpoint.is_file() else None
        return {**config, "attempt": attempt_of(state, run.checkpoint)}

    def fill(
        self, run: RunFolder, plan: FitPlan, data: Scene, config: Mapping[str, Any], habits: Habits
    ) -> dict[str, Any]:
        """Train, judge, and fill the run folder but for the figures; return these."""
        if not habits.quiet:
            for note in [*data.notes, *plan.notes]:
                print(shortened(f"{data.name}: {note}"), file=sys.stderr)
        model, objective, last = fit_scene(run, plan, data, habits, first=config["attempt"])
        return fill_run(run, plan, data, config, habits, model=model, objective=objective, last=last)

    def help(self, team: Team) -> None:
        """Do this process's part of the training that the team's first process starts or resumes."""
        config = team.listen()
        with team.agreed():
            plan: Any = self.plan_class.from_config(config, source="config.json")
            team.take_device(plan.device)
            scene = self.read_as_told(config, plan)
        help_scene(plan, scene, team, first=config["attempt"])


EXPERIMENT = NerfExperiment()
