"""One run of an application's fitting command, from the input file to the finished run folder."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from finer_core.app.fit_command import refuse_changes
from finer_core.app.run_folder import Habits, Mode, RunFolder, open_run_folder
from finer_core.app.saved_run import (
    check_weights,
    config_content,
    kernels_of,
    read_run,
    tell_of_other_circumstances,
)
from finer_core.app.shared_fit import Assemble, help_fit, help_timing
from finer_core.config import NONE, SavedPlan, given_fields
from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.team import Team
from finer_core.errors import InputError
from finer_core.io.files import printable, write_json
from finer_core.networks.own_network import OwnNetwork
from finer_core.resources import memory_figures, parse_memory
from finer_core.training.loop import Fit


@dataclass(frozen=True)  # two of a kind are equal, such as one that was sent to a worker
class Experiment(ABC):
    """Start runs, go on with them, and help with them: what an application adds is below, in its own methods.

    Attributes:
        plan_class: Class of its plans.
        command: The program and its command, e.g. "finer-image fit".
        kind: What an input is, e.g. "image".
        built_in: Name of the built-in input.
    """

    plan_class: ClassVar[type[SavedPlan]]
    command: ClassVar[str]
    kind: ClassVar[str]
    built_in: ClassVar[str]

    def start(
        self,
        out: Path,
        *,
        settings: Any,
        signal: str | None,
        mode: Mode,
        habits: Habits,
        given: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Check everything, make the run folder, fit, and fill it; return the figures.

        With a team of several processes, its first calls this, or `resume`, and the others `help`.

        Args:
            out: The run folder.
            settings: As given, with all that is open.
            signal: The input; None for the built-in one.
            mode: What happens to a run that is there.
            habits: How.
            given: Settings that were named, from which a longer run is decided; None for those that are no defaults.

        Raises:
            InputError: Before anything was written, for any wrong input.
        """
        if given is None:
            given = {name: getattr(settings, name) for name in sorted(given_fields(settings, ()))}
        named = {"method": settings.method, **{name: value for name, value in given.items() if value is not NONE}}
        data, sha256, settings = self.open(signal, settings)

        def config_of(plan: Any) -> dict[str, Any]:
            networks, about = self.networks_of(plan), {**self.about(plan, data), "given": named}
            name = signal or self.built_in
            return config_content(
                plan, command=self.command, signal=name, input_sha256=sha256, networks=networks, **about
            )

        plan = self.plan(settings, data, habits.team, config_of)
        run = open_run_folder(out, mode=mode)
        config = config_of(plan)
        write_json(run.config, config)
        told = self.told(run, config)
        habits.team.tell(told)
        return self._filled(run, plan, data, told, habits)

    def resume(self, out: Path, *, signal: str | None, given: Mapping[str, Any], habits: Habits) -> dict[str, Any]:
        """Go on with a run to the result that it would have had without interruption; return the figures.

        Args:
            out: The run folder.
            signal: The input; None for the one that `config.json` names.
            given: Settings that were named, which the run must have.
            habits: How; it resumes, whatever these say.

        Raises:
            InputError: If there is no such run, it was changed, or the input or a setting is another now.
        """
        run = open_run_folder(out, mode="resume")
        config = read_run(run, command=self.command)
        plan = self._plan_of_run(run, config, given)
        self.check_resumed(plan, habits.team)
        networks = self.networks_of(plan)
        check_weights(run, networks, memory=parse_memory(plan.settings.memory))
        kernels = kernels_of(networks, device=plan.device, compiled=plan.settings.compile)
        tell_of_other_circumstances(config, kernels, device=plan.device, out=out)
        name = signal or config["signal"]
        data, sha256 = self.read(name, plan.settings)
        self._refuse_another(name, sha256, config)
        config |= self.about(plan, data)  # the report shows it
        told = self.told(run, config)
        habits.team.tell({**told, "signal": name})
        return self._filled(run, plan, data, told, replace(habits, resume=True))

    def _filled(
        self, run: RunFolder, plan: Any, data: Any, config: Mapping[str, Any], habits: Habits
    ) -> dict[str, Any]:
        """Fill a run folder, and end it; return the figures as written."""
        figures = self.fill(run, plan, data, config, habits)
        run.write_metrics({**figures, **memory_figures(plan.device)})  # last: it says that the run is complete
        if not habits.quiet:
            print(f"report: {printable(run.report)}", file=sys.stderr)
        return run.read_metrics()

    def finished(self, out: Path, *, signal: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the figures of a run that is complete, if it is of this input and these settings; compute nothing.

        Raises:
            InputError: As `resume`.
        """
        run = open_run_folder(out, mode="resume")
        config = read_run(run, command=self.command)
        plan = self._plan_of_run(run, {**config, "device": "cpu"}, given)  # wherever it was computed
        name = signal or config["signal"]
        self._refuse_another(name, self.digest(name, plan.settings), config)
        return run.read_metrics()

    def _plan_of_run(self, run: RunFolder, config: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
        """Return the plan of a run, which must be of a method and have the settings that were named."""
        plan: Any = self.plan_class.from_config(config, source=run.config)
        if isinstance(plan.network, OwnNetwork):
            raise InputError(
                f"{run.config}: the network is a module of its user's own, {plan.network.own}, which no command has"
            )
        refuse_changes(plan.settings, plan.network.to_dict(), given, run.path)
        return plan

    def _refuse_another(self, name: str, sha256: str, config: Mapping[str, Any]) -> None:
        if sha256 != config["input_sha256"]:
            what = f"not the {self.kind} this run was started with"
            raise InputError(f"{name}: {what}; start a new run with another --out")

    def read_as_told(self, config: Mapping[str, Any], plan: Any) -> Any:
        """Read, in another process than the first, the input that the first one has told of, and no other.

        Raises:
            InputError: If it is another one here.
        """
        name = config["signal"]
        data, sha256 = self.read(name, plan.settings)
        if sha256 != config["input_sha256"]:
            raise InputError(f"{name}: not the {self.kind} that the first process has; copy it to every machine")
        return data

    @abstractmethod
    def read(self, name: str | None, settings: Any) -> tuple[Any, str]:
        """Return an input, the built-in one for None, and its SHA-256, read as resolved settings say."""

    @abstractmethod
    def plan(self, settings: Any, data: Any, team: Team, config_of: Callable[[Any], dict[str, Any]]) -> Any:
        """Return the plan of a new run; `config_of` makes of a plan what the other processes are told."""

    @abstractmethod
    def about(self, plan: Any, data: Any) -> dict[str, Any]:
        """Return what `config.json` says of the input beside its name and digest."""

    @abstractmethod
    def fill(self, run: RunFolder, plan: Any, data: Any, config: Mapping[str, Any], habits: Habits) -> dict[str, Any]:
        """Fit, and fill the run folder but for the figures; return these."""

    def assembly(self, plan: Any, data: Any, team: Team) -> Assemble[Any]:
        """Return what puts the fit together in a process of the team, for `help`; who has its own `help` needs none."""
        raise NotImplementedError

    def help(self, team: Team) -> None:
        """Do this process's part of the run that the team's first process starts or resumes.

        Raises:
            ToldByFirst: For whatever the first process reports.
        """
        config, data = team.listen(), None

        def assemble(gradient_sum: GradientReducer) -> AbstractContextManager[tuple[Any, Fit]]:
            nonlocal data
            plan: Any = self.plan_class.from_config(config, source="config.json")
            data = self.read_as_told(config, plan) if data is None else data
            return self.assembly(plan, data, team)(gradient_sum)

        while "is_timed" in config:
            help_timing(team, assemble)
            config = team.listen()
        help_fit(team, assemble)

    def open(self, name: str | None, settings: Any) -> tuple[Any, str, Any]:
        """Return an input, its SHA-256, and the settings, perhaps with how it was read."""
        return *self.read(name, settings), settings

    def digest(self, name: str, settings: Any) -> str:
        """Return the SHA-256 of an input."""
        return self.read(name, settings)[1]

    def networks_of(self, plan: Any) -> Sequence[Any]:
        """Return the configs of a plan's networks."""
        return [plan.network]

    def check_resumed(self, plan: Any, team: Team) -> None:
        """Refuse a plan that cannot be gone on with here."""
        return

    def told(self, run: RunFolder, config: dict[str, Any]) -> dict[str, Any]:
        """Return what the other processes are told of a run that begins or goes on."""
        return config
