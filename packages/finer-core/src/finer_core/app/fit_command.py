"""What every fitting command has in common: its options, and how it runs.

Importing this module does not load PyTorch, so `--help` stays fast.
"""

import argparse
import dataclasses
import json
import pkgutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from finer_core.app.cli import OneLineParser, add_options
from finer_core.app.config_file import asked_settings, merged_settings
from finer_core.app.loading import loading
from finer_core.app.network_options import add_network_options
from finer_core.app.run_folder import Habits, Mode, check_writable
from finer_core.distributed.sharing import Sharing
from finer_core.distributed.team import Team, joined
from finer_core.errors import InputError
from finer_core.io.files import folder_name, printable
from finer_core.methods import method_names
from finer_core.resources import parse_memory
from finer_core.schema import shown
from finer_core.training_config import RunConfig


def add_command(commands: Any, name: str, run: Callable[[argparse.Namespace], None] | str, text: str) -> OneLineParser:
    """Add a command to a program.

    Args:
        commands: What `add_subparsers` returned.
        name: The command.
        run: Function of the parsed arguments; or "module:function" of one that is loaded when the command runs, and
            returns the line to print, if any.
        text: One line for the help.

    Returns:
        The command's parser.
    """
    parser: OneLineParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(run=partial(_print_line, run) if isinstance(run, str) else run, parser=parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _print_line(function: str, arguments: argparse.Namespace) -> None:
    with loading():
        resolved = pkgutil.resolve_name(function)
    if line := resolved(arguments):
        print(line)


def add_fit_options(parser: argparse.ArgumentParser, settings: type[Any], *, out: str) -> None:
    """Add the options that every fitting command shares, those of its settings, and those of the network.

    Args:
        parser: The command's parser.
        settings: The application's settings class, with a field `network`.
        out: The default run folder, for the help.
    """
    add_run_options(parser, out=out)
    parser.add_argument("--threads", type=int, metavar="N", help="threads to compute with (default: all)")
    add_options(parser, settings, group="settings")
    add_network_options(parser)


def add_habits(parser: argparse.ArgumentParser, *, overwrite: bool = True) -> None:
    """Add the options of a command that uses a model."""
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="where to compute (default: auto)"
    )
    parser.add_argument("--memory", default="4GB", metavar="SIZE", help="memory to stay within (default: 4GB)")
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")
    if overwrite:
        parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def add_run_options(parser: argparse.ArgumentParser, *, out: str) -> None:
    """Add the options of a run folder, which every command that makes one shares."""
    parser.add_argument("--out", metavar="DIR", help=f"run folder (default: {out})")
    parser.add_argument("--resume", action="store_true", help="go on with the run in the folder, to the same result")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in the folder")
    parser.add_argument("--config", metavar="FILE", help="take settings from a JSON file, e.g. a run's config.json")
    parser.add_argument("--json", action="store_true", help="print metrics.json on stdout and nothing else")
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes")
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard scalars")


def run_mode(arguments: argparse.Namespace) -> Mode:
    """Return how the run folder is to be opened.

    Raises:
        InputError: If both --resume and --overwrite were given.
    """
    if arguments.resume and arguments.overwrite:
        raise InputError("--resume and --overwrite exclude each other")
    return "resume" if arguments.resume else "overwrite" if arguments.overwrite else "new"


@dataclass(frozen=True, kw_only=True)
class FitCommand:
    """Say what an application's fitting command is.

    Attributes:
        task: Whose methods it knows.
        settings: Class of its settings.
        experiment: "module:name" of its `Experiment`, imported when the command runs.
        built_in: Name of its built-in input.
        runs: Folder of its run folders, where the user names none.
        name_of: Returns what a run folder is called after an input.
        summary: Returns the most telling figures in a line.
    """

    task: str
    settings: type[Any]
    experiment: str
    built_in: str
    runs: str
    name_of: Callable[[str], str]
    summary: Callable[[Mapping[str, Any]], str]

    def add(self, commands: Any, name: str, text: str, *, metavar: str, inputs: str) -> None:
        """Add the command to a program; `metavar` and `inputs` are for the help."""
        parser = add_command(commands, name, self.run, text)
        parser.epilog = f"methods: {', '.join(method_names(self.task))}"
        parser.add_argument(
            "signal", nargs="?", metavar=metavar, help=f"{inputs} (default: the built-in {self.built_in})"
        )
        add_fit_options(parser, self.settings, out=f"{self.runs}/INPUT-METHOD")
        parser.set_defaults(shares_work=True)

    def run(self, arguments: argparse.Namespace) -> None:
        """Run the command; with the other processes that torchrun started, if it did."""
        sharing = Sharing(threads=arguments.threads)
        run_in_team(partial(self._lead, arguments, sharing), f"{self.experiment}.help", sharing)

    def _lead(self, arguments: argparse.Namespace, sharing: Sharing, team: Team) -> None:
        """Start or resume a run as the first process, and print its figures."""
        mode = run_mode(arguments)
        settings, named = merged_settings(arguments, self.settings)
        signal = arguments.signal or (None if named == self.built_in else named)
        name = folder_name(self.name_of(signal or self.built_in))
        out = Path(arguments.out or f"{self.runs}/{name}-{settings.method}")
        check_writable(out, mode=mode)
        if sys.stderr.isatty() and not arguments.quiet:
            # PyTorch takes seconds; what follows overwrites this.
            print("loading", end="\r", file=sys.stderr, flush=True)
        with loading():
            experiment = pkgutil.resolve_name(self.experiment)
        habits = Habits(quiet=arguments.quiet, tensorboard=arguments.tensorboard, team=team)
        if mode == "resume" and (out / "config.json").is_file():
            given = asked_settings(arguments, self.settings)
            make = partial(experiment.resume, out, signal=arguments.signal or named, given=given, habits=habits)
        else:
            given = asked_settings(arguments, self.settings, resolved=False)
            about = {"settings": settings, "given": given, "signal": signal}
            make = partial(experiment.start, out, **about, mode=mode, habits=habits)
        with sharing.threads_here():
            metrics = make()
        if arguments.json:
            print(json.dumps(metrics))
        else:
            print(f"{self.summary(metrics)}, {length_line(metrics)}: {printable(out)}")


def run_in_team(lead: Callable[[Team], None], helper: str, sharing: Sharing) -> None:
    """Run a command with the other processes that torchrun started, if it did.

    Args:
        lead: What the first process does, the only one of most jobs.
        helper: "module:function" that every other one calls with its team.
        sharing: Says with how many threads that one computes.
    """
    with joined() as team:
        if team.ranks.is_first:
            lead(team)
            return
        help_fit = pkgutil.resolve_name(helper)
        with sharing.threads_here():  # after joining, which takes a share of the machine's
            help_fit(team)


def length_line(metrics: Mapping[str, Any]) -> str:
    """Return what the last line of a fit says of its length, and of its target where it had one."""
    reached = metrics.get("target_reached")
    target = "" if reached is None else ", target reached" if reached else ", target not reached"
    return f"{metrics['steps']} steps in {metrics['seconds']:.1f} s{target}"


def refuse_changes(settings: RunConfig, network: Mapping[str, Any], given: Mapping[str, Any], out: Path) -> None:
    """Raise InputError for an argument that a resumed run cannot honor.

    Args:
        settings: The run's settings.
        network: The run's network as plain data.
        given: Settings that were named, which the run must have.
        out: The run folder, for the message.
    """
    before_settings, before_network = dataclasses.asdict(settings), {**network, **network["options"]}
    for name, value in {**given, **given.get("network", {})}.items():
        if name in ("network", "checkpoint_seconds") or (name == "device" and value == "auto"):
            continue
        before = before_network.get(name, "none") if name in given.get("network", {}) else before_settings[name]
        same = parse_memory(value) == parse_memory(before) if name == "memory" else value == before
        if not same:
            raise InputError(
                f"--{name.replace('_', '-')} {shown(value)} differs from the run in {out} ({shown(before)}); "
                "leave it out (or out of --config) to resume, or use another --out"
            )
