"""What every command line has in common: shared options, exit codes, one-line errors.

Importing this module does not load PyTorch, so `--help` stays fast. Options are described once, as dataclass fields
made by `finer_core.config.setting`; `add_options` turns them into arguments whose default is None, so that a preset, a
config file and the command line can be merged in this order by `finer_core.config.merge_settings`.
"""

import argparse
import dataclasses
import difflib
import os
import re
import signal
import sys
import threading
import time
import traceback
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from finer_core._version import __version__
from finer_core.app.folder_lock import is_at_work, release_folders
from finer_core.c_library import allow_building
from finer_core.config import NONE, plain_type
from finer_core.distributed.ranks import ranks_of_environment
from finer_core.errors import EXIT_DONE, EXIT_FAILED, EXIT_USAGE, InputError, ToldByFirst, exit_code_and_line, shortened
from finer_core.io.files import reason_of
from finer_core.schema import fits, shown, wanted
from finer_core.surroundings import check_surroundings, steady_streams

Command = Callable[[argparse.Namespace], None]


class OneLineParser(argparse.ArgumentParser):
    """Report a usage error as one line and exit code 2, with the nearest option when one is misspelt."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})
        self.register("type", int, _whole_number)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print help, version or a usage error, once where several processes were started with the same arguments."""
        if _is_first():
            super()._print_message(message, file)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Print a message and exit."""
        if status:
            _let_the_first_speak()
        super().exit(status, message)

    def error(self, message: str) -> NoReturn:
        """Print one line to stderr and exit with 2."""
        self.exit(EXIT_USAGE, f"{self.prog}: {shortened(f'{message} (see {self.prog} --help)')}\n")

    def suggest(self, unknown: Sequence[str]) -> NoReturn:
        """Report unrecognized arguments."""
        known = [name for action in self._actions for name in action.option_strings]
        near = difflib.get_close_matches(unknown[0].split("=")[0], known, n=1, cutoff=0.6)
        self.error(f"unrecognized argument {unknown[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))


def add_options(parser: argparse.ArgumentParser, settings: type, *, group: str, without: Collection[str] = ()) -> None:
    """Add one argument for every `setting` field of a settings dataclass.

    Args:
        parser: The parser.
        settings: A dataclass; fields without a help text are not options.
        group: Heading in the help.
        without: Fields to leave out.
    """
    section = parser.add_argument_group(group)
    types_of = typing.get_type_hints(settings)
    for field in dataclasses.fields(settings):
        if "help" not in field.metadata or field.name in without:
            continue
        name = "--" + field.name.replace("_", "-")
        kind = types_of[field.name]
        text = _help_of(field)
        if plain_type(kind) is bool:
            section.add_argument(name, action=argparse.BooleanOptionalAction, default=None, help=text)
            continue
        section.add_argument(
            name,
            type=_reader(kind),
            choices=field.metadata["choices"],
            metavar=field.metadata["metavar"]
            or (None if field.metadata["choices"] else plain_type(kind).__name__.upper()),
            default=None,
            help=text,
        )


def _help_of(field: dataclasses.Field[Any]) -> str:
    """Return a setting's help with its default, unless it says that itself or it is decided later."""
    text: str = field.metadata["help"]
    if field.default is None or "default:" in text:
        return text
    shown_default = field.default
    if isinstance(shown_default, bool):
        shown_default = f"--{'' if shown_default else 'no-'}{field.name.replace('_', '-')}"
    return f"{text} (default: {shown_default})"


def _whole_number(text: str) -> int:
    """Return what `int` does, if the machine's integers have room for it."""
    value = int(text)
    if not fits(value, int):
        raise argparse.ArgumentTypeError(f"must be {wanted(value, int)}, got {shown(value)}")
    return value


_whole_number.__name__ = "int"  # argparse names the type in its message


def _reader(kind: Any) -> Callable[[str], Any]:
    plain = plain_type(kind)
    optional = plain is not kind

    def read(text: str) -> Any:
        return NONE if optional and plain is not str and text.lower() == "none" else plain(text)

    read.__name__ = plain.__name__  # argparse names the type in its message
    return read


def refuse_without_effect(arguments: argparse.Namespace, *names: str, why: str) -> None:
    """Raise InputError for an option that was given and would do nothing.

    Args:
        arguments: The command line; an option that was not given, or that a command does not have, is None.
        *names: The options.
        why: Says why, after the option.
    """
    for name in names:
        if (value := getattr(arguments, name, None)) is not None:
            raise InputError(f"--{name.replace('_', '-')} {shown(value)} does nothing {why}; leave it out")


def parse_size(text: str, *, least: int = 1, most: int = 99_999) -> tuple[int, int]:
    """Turn the "HxW" of `--size` into height and width.

    Args:
        text: What was given.
        least: Pixels that a side has at least.
        most: And at most.

    Raises:
        InputError: If it is no such size.
    """
    match = re.fullmatch(r"(\d{1,9})[xX](\d{1,9})", text.strip())
    height, width = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (least <= height <= most and least <= width <= most):
        raise InputError(
            f"--size {text!r} is not a size; write HEIGHTxWIDTH in pixels, {least} to {most} each, e.g. 480x640"
        )
    return height, width


def version_text(program: str, version: str) -> str:
    """Return the text of `--version`: the program's and finer-core's versions."""
    return f"{program} {version} (finer-core {__version__})"


def share_processor_politely() -> None:
    """Let PyTorch's threads soon sleep, not spin, while they wait for each other; call it before PyTorch is loaded.

    Training is thousands of short parallel operations. By default GNU OpenMP spins for milliseconds; then any other
    busy process makes a step 5 times slower and more, because a spinning thread holds the core that the awaited one
    needs.
    Spinning briefly costs nothing on an idle machine. Users who set either variable keep their choice.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def run_command(
    build_parser: Callable[[], OneLineParser],
    arguments: Sequence[str] | None = None,
    *,
    around: Callable[[Command], Command] = lambda run: run,
) -> int:
    """Parse, run the chosen command, and turn what happens into an exit code.

    The parser's commands set `run`, a function of the parsed arguments. Wrong input gives one line and 2, an
    interruption 130, anything else one line and 1; `--debug` shows the traceback. A command that can share its work
    with the other processes that torchrun started says so by the default `shares_work`, and one that prints its result
    where it is given no `--out` by `prints`: a result that stdout does not take is a failure.

    Args:
        build_parser: Makes the program's parser.
        arguments: Command line; None for the process's own.
        around: Goes around whichever command runs.

    Returns:
        The exit code.
    """
    share_processor_politely()
    allow_building()
    with steady_streams() as out, _terminated_as_interrupted():
        try:
            code, parsed = _run(build_parser(), arguments, around)
        finally:
            release_folders()
        out.flush()
        if code == EXIT_DONE and out.failure and _printed_the_result(parsed):
            code = EXIT_FAILED
            if not isinstance(out.failure, BrokenPipeError):  # then its reader had enough
                print(f"the result could not be printed ({reason_of(out.failure)})", file=sys.stderr)
        return code


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, so that no half of a file stays behind; of several processes, a launcher cares.

    Who handles it in a way of their own keeps that.
    """
    is_main = threading.current_thread() is threading.main_thread() and os.environ.get("WORLD_SIZE", "1") == "1"
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _run(
    parser: OneLineParser, arguments: Sequence[str] | None, around: Callable[[Command], Command]
) -> tuple[int, argparse.Namespace]:
    """Return the exit code, and the parsed arguments."""
    parsed, unknown = parser.parse_known_args(arguments)
    chosen = getattr(parsed, "parser", parser)
    if unknown:
        chosen.suggest(unknown)
    _refuse_empty(chosen, parsed)
    if not hasattr(parsed, "run"):
        parser.print_help(sys.stderr)
        return EXIT_USAGE, parsed
    try:
        check_surroundings()
        ranks = ranks_of_environment()
        if not ranks.is_alone and not getattr(parsed, "shares_work", False):
            instead = f", with --workers {ranks.size}" if hasattr(parsed, "workers") else ""
            raise InputError(
                f"this command runs in one process, and WORLD_SIZE is {ranks.size}; start it without torchrun{instead}"
            )
        around(parsed.run)(parsed)
        return EXIT_DONE, parsed
    except (Exception, KeyboardInterrupt) as error:
        if getattr(parsed, "debug", False):
            traceback.print_exc()
        code, message = exit_code_and_line(error)
        if code == EXIT_USAGE and isinstance(error, OSError) and is_at_work(error.filename):  # it was usable before
            why = f"cannot be used any more ({error.strerror}); make it usable, and go on with --resume"
            code, message = EXIT_FAILED, f"{error.filename}: {why}"
        if isinstance(error, ToldByFirst):
            return code, parsed
        if isinstance(error, InputError) and not _is_first():
            _let_the_first_speak()
            return code, parsed
        place = "" if _is_first() else f" (process {os.environ['RANK']})"
        print(shortened(f"{chosen.prog}{place}: {message}"), file=sys.stderr)
        return code, parsed


def _printed_the_result(parsed: argparse.Namespace) -> bool:
    """Say whether what a command printed is what it was asked for, rather than a word on the files that it wrote."""
    asked = getattr(parsed, "json", False) or getattr(parsed, "list", False) or not hasattr(parsed, "out")
    return asked or (getattr(parsed, "prints", False) and parsed.out is None)


def _refuse_empty(parser: OneLineParser, parsed: argparse.Namespace) -> None:
    """Refuse an argument without a letter: it is a variable of the shell that is not set, and no name or number."""
    for action in parser._actions:
        value = getattr(parsed, action.dest, None)
        if any(isinstance(part, str) and not part.strip() for part in (value if isinstance(value, list) else [value])):
            name = "/".join(action.option_strings) or action.metavar or action.dest
            parser.error(f"argument {name}: is empty (an unset variable?); give a value, or leave it out")


def _is_first() -> bool:
    """Return whether this process speaks for all that torchrun started."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


def _let_the_first_speak() -> None:
    """Wait, in every process but the first: a launcher ends all once one has ended, be it before the first spoke."""
    if not _is_first():
        time.sleep(2)
