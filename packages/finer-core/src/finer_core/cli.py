"""What every command line has in common: shared options, exit codes, one-line errors.

Importing this module does not load PyTorch, so `--help` stays fast. Options are described once, as dataclass fields
made by `option`; `add_options` turns them into arguments whose default is None, so that a preset, a config file and the
command line can be merged in this order by `merge_settings`.
"""

import argparse
import dataclasses
import difflib
import errno
import os
import sys
import time
import traceback
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

from finer_core._version import __version__
from finer_core.c_library import allow_building
from finer_core.errors import CollectiveError, InputError, Interrupted, ToldByFirst, shortened
from finer_core.folder_lock import release_folders
from finer_core.ranks import ranks_of_environment
from finer_core.schema import described, fits, shown
from finer_core.surroundings import check_surroundings, steady_streams

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130


def option(default: Any, help: str, *, choices: Sequence[str] | None = None, metavar: str | None = None) -> Any:
    """Describe a setting: its default, its help text, and the values it may take.

    Args:
        default: Value when no preset, file or argument gives one.
        help: One line for `--help`.
        choices: The allowed values.
        metavar: Name of the value in the help.
    """
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "metavar": metavar})


class OneLineParser(argparse.ArgumentParser):
    """Report a usage error as one line and exit code 2, with the nearest option when one is misspelt."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, **kwargs})

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
        """Report unrecognised arguments."""
        known = [name for action in self._actions for name in action.option_strings]
        near = difflib.get_close_matches(unknown[0].split("=")[0], known, n=1, cutoff=0.6)
        self.error(f"unrecognised argument {unknown[0]!r}" + (f"; did you mean {near[0]}?" if near else ""))


def add_options(parser: argparse.ArgumentParser, settings: type, *, group: str, without: Collection[str] = ()) -> None:
    """Add one argument for every `option` field of a settings dataclass.

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
        text = field.metadata["help"]
        if _plain_type(kind) is bool:
            section.add_argument(name, action=argparse.BooleanOptionalAction, default=None, help=text)
            continue
        section.add_argument(
            name,
            type=_reader(kind),
            choices=field.metadata["choices"],
            metavar=field.metadata["metavar"]
            or (None if field.metadata["choices"] else _plain_type(kind).__name__.upper()),
            default=None,
            help=text,
        )


def merge_settings(settings: type, *layers: Mapping[str, Any]) -> Any:
    """Build a settings object from layers of values, the later winning.

    A layer's None means "not given"; the string "none" on the command line arrives as `NONE` and sets None.

    Raises:
        InputError: For a name that the settings do not have, or a value of another type or choice than the option's.
    """
    known = {field.name: field for field in dataclasses.fields(settings)}
    types_of = typing.get_type_hints(settings)
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InputError(f"unknown setting {name!r}{hint}")
            if value is not None and value is not NONE:
                _check_value(name, value, _plain_type(types_of[name]), known[name].metadata.get("choices"))
            if value is not None:
                merged[name] = None if value is NONE else value
    return settings(**merged)


def _check_value(name: str, value: Any, kind: Any, choices: Sequence[str] | None) -> None:
    """Raise InputError for a value, mostly from a config file, that an option cannot have."""
    if not fits(value, kind):
        as_option = "--" + name.replace("_", "-")
        raise InputError(f"setting {name!r} must be {described(kind)}, got {shown(value)} ({as_option})")
    if choices and value not in choices:
        raise InputError(f"setting {name!r} must be one of {', '.join(choices)}, got {value!r}")


class _None:
    def __repr__(self) -> str:
        return "none"


NONE = _None()
"""An explicit "none" given by the user, which is not the same as nothing given."""


def _plain_type(kind: Any) -> type:
    """Return T of T | None."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def _reader(kind: Any) -> Callable[[str], Any]:
    plain = _plain_type(kind)
    optional = plain is not kind

    def read(text: str) -> Any:
        return NONE if optional and plain is not str and text.lower() == "none" else plain(text)

    read.__name__ = plain.__name__  # argparse names the type in its message
    return read


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


def run_command(build_parser: Callable[[], OneLineParser], arguments: Sequence[str] | None = None) -> int:
    """Parse, run the chosen command, and turn what happens into an exit code.

    The parser's commands set `run`, a function of the parsed arguments. Wrong input gives one line and 2, an
    interruption 130, anything else one line and 1; `--debug` shows the traceback. A command that can share its work
    with the other processes that torchrun started says so by the default `shares_work`.

    Args:
        build_parser: Makes the program's parser.
        arguments: Command line; None for the process's own.

    Returns:
        The exit code.
    """
    share_processor_politely()
    allow_building()
    with steady_streams() as out:
        try:
            code, parsed = _run(build_parser(), arguments)
        finally:
            release_folders()
        out.flush()
        if code == EXIT_DONE and out.failure and not hasattr(parsed, "out"):  # what it printed was its result
            code = EXIT_FAILED
            if not isinstance(out.failure, BrokenPipeError):  # then its reader had enough
                print(f"the result could not be printed ({out.failure})", file=sys.stderr)
        return code


def _run(parser: OneLineParser, arguments: Sequence[str] | None) -> tuple[int, argparse.Namespace]:
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
            raise InputError(
                f"this command runs in one process, and WORLD_SIZE is {ranks.size}; start it without torchrun"
            )
        parsed.run(parsed)
        return EXIT_DONE, parsed
    except (Exception, KeyboardInterrupt) as error:
        if getattr(parsed, "debug", False):
            traceback.print_exc()
        code, message = judge(error)
        if isinstance(error, ToldByFirst):
            return code, parsed
        if isinstance(error, InputError) and not _is_first():
            _let_the_first_speak()
            return code, parsed
        place = "" if _is_first() else f" (process {os.environ['RANK']})"
        print(shortened(f"{chosen.prog}{place}: {message}"), file=sys.stderr)
        return code, parsed


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


def judge(error: BaseException) -> tuple[int, str]:
    """Return the exit code and the one line for an exception."""
    code, text = _judge(error, " ".join(str(error).split()) or type(error).__name__)
    return code, shortened(text)


def _judge(error: BaseException, text: str) -> tuple[int, str]:
    if isinstance(error, InputError):
        return EXIT_USAGE, text
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED, "interrupted"
    if isinstance(error, Interrupted):
        return EXIT_INTERRUPTED, text
    if isinstance(error, ToldByFirst):
        return error.exit_code, text
    if isinstance(error, CollectiveError):
        return EXIT_FAILED, text
    if isinstance(error, OSError) and error.errno in _FULL:
        place = f"{error.filename}: " if error.filename else ""
        return EXIT_FAILED, f"{place}nothing more can be written ({error.strerror}); make room and use --resume"
    memory = ("not enough memory", "out of memory", "can't allocate memory")
    if isinstance(error, MemoryError) or any(words in text for words in memory):
        return EXIT_FAILED, f"out of memory ({text}); lower --memory or the size of the job"
    return EXIT_FAILED, f"{type(error).__name__}: {shortened(text, 240)} (--debug shows the traceback)"


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says where a disk, a quota or a limit is full."""
