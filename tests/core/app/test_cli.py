"""Command lines: one-line errors, exit codes, settings from several sources, no PyTorch for --help."""

import argparse
import contextlib
import errno
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch

from finer_core import InputError
from finer_core._version import __version__
from finer_core.app.cli import OneLineParser, add_options, run_command, version_text
from finer_core.app.fit_command import run_in_team
from finer_core.app.loading import loading
from finer_core.app.network_options import NetworkOptions, add_network_options, given_options
from finer_core.app.run_folder import open_run_folder
from finer_core.config import NONE, merge_settings, setting
from finer_core.distributed.sharing import Sharing
from finer_core.errors import DivergenceError, exit_code_and_line
from finer_core.io.files import atomic_path
from finer_core.training import Interrupted
from finer_core.training_config import RunConfig, check_at_least, check_positive


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of every kind that options have."""

    steps: int | None = setting(None, "updates")
    rate: float = setting(0.5, "rate")
    scale: float | None = setting(2.0, "scale, or none")
    mode: str = setting("fast", "how", choices=("fast", "paper"))
    first_name: str | None = setting("x", "a name", metavar="NAME")
    guard: bool | None = setting(None, "look out")
    hidden: tuple[float, float] = (0.9, 0.99)
    network: dict = field(default_factory=dict)


def parser_of(action=lambda arguments: None, *, commands: bool = False) -> OneLineParser:
    parser = OneLineParser(prog="tool")
    target = parser
    if commands:
        target = parser.add_subparsers(metavar="COMMAND").add_parser("fit")
    target.add_argument("--debug", action="store_true")
    target.add_argument("--out", metavar="DIR")
    add_options(target, Settings, group="settings")
    target.set_defaults(run=action, parser=target)
    return parser


def parse(*arguments: str) -> argparse.Namespace:
    return parser_of().parse_args(arguments)


def run(action, *arguments: str) -> int:
    return run_command(lambda: parser_of(action), list(arguments))


def failing(error: BaseException):
    def action(arguments: argparse.Namespace) -> None:
        raise error

    return action


def one_line(capsys) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    return captured.err[:-1]


def test_done(capsys):
    seen = []
    assert run(seen.append, "--steps", "3") == 0
    assert seen[0].steps == 3
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("x.png: no such file"), 2, "tool: x.png: no such file"),
        (InputError("two\n  lines"), 2, "tool: two lines"),
        (ValueError("a bug"), 1, "tool: ValueError: a bug (--debug shows the traceback)"),
        (DivergenceError("the loss became nan"), 1, "tool: DivergenceError: the loss became nan"),
        (AssertionError(), 1, "tool: AssertionError: AssertionError"),
        (KeyboardInterrupt(), 130, "tool: interrupted"),
        (Interrupted(40), 130, "tool: interrupted; saved at step 40"),
        (MemoryError(), 1, "tool: out of memory (MemoryError); lower --memory"),
        (RuntimeError("CUDA out of memory. Tried"), 1, "tool: out of memory (CUDA out of memory. Tried)"),
        (RuntimeError("alloc: can't allocate memory: you"), 1, "tool: out of memory (alloc: can't"),
    ],
)
def test_exit_codes_and_one_line_errors(capsys, error, code, line):
    assert run(failing(error)) == code
    text = one_line(capsys)
    assert text.startswith(line)
    assert "Traceback" not in text


@pytest.mark.parametrize("error", [InputError("wrong"), ValueError("a bug"), KeyboardInterrupt()])
def test_debug_shows_the_traceback_and_keeps_the_code(capsys, error):
    code = run(failing(error), "--debug")
    text = capsys.readouterr().err
    assert "Traceback (most recent call last)" in text
    assert "in action" in text
    assert run(failing(error)) == code


def test_a_closed_pipe_is_not_an_error_message():
    code = (
        "import sys\nfrom finer_core.app.cli import OneLineParser, run_command\n"
        "def action(arguments):\n    print('x' * 100_000, flush=True)\n    print('more', flush=True)\n"
        "parser = OneLineParser(prog='tool')\nparser.set_defaults(run=action)\n"
        "sys.exit(run_command(lambda: parser, []))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.parametrize("package", ["finer_image", "finer_sdf", "finer_nerf", "finer_ntk"])
def test_ctrl_c_while_a_program_is_loaded_ends_it_without_a_word(package):
    code = (
        "import os, runpy, signal, sys\n"
        "class Pressed:\n"
        "    def find_spec(name, path=None, target=None):\n"
        f"        if name == '{package}.app.cli': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressed)\n"
        f"runpy.run_module('{package}', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_ctrl_c_is_handled_as_before_once_modules_are_loaded():
    with loading():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_ends_a_command_as_ctrl_c_does_so_that_it_tidies_up(capsys, tmp_path):
    def action(arguments: argparse.Namespace) -> None:
        with atomic_path(tmp_path / "a"):
            signal.raise_signal(signal.SIGTERM)

    assert run(action) == 130
    assert one_line(capsys) == "tool: interrupted" and not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_no_command_prints_help(capsys):
    assert run_command(lambda: OneLineParser(prog="tool", description="What it does."), []) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "What it does." in captured.err


@pytest.mark.parametrize("commands", [False, True])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stepss", "3"], "unrecognized argument '--stepss'; did you mean --steps?"),
        (["--first_name", "a"], "unrecognized argument '--first_name'; did you mean --first-name?"),
        (["--gaurd"], "unrecognized argument '--gaurd'; did you mean --guard?"),
        (["--mod=fast"], "unrecognized argument '--mod=fast'; did you mean --mode?"),
        (["--qqqqqq"], "unrecognized argument '--qqqqqq' (see"),
        (["extra"], "unrecognized argument 'extra' (see"),
        (["--steps", "many"], "argument --steps: invalid int value: 'many'"),
        (["--rate", "fast"], "argument --rate: invalid float value: 'fast'"),
        (["--rate", "none"], "argument --rate: invalid float value: 'none'"),
        (["--steps"], "argument --steps: expected one argument"),
        (["--mode", "quick"], "argument --mode: invalid choice: 'quick'"),
    ],
)
def test_wrong_arguments(capsys, commands, arguments, message):
    prefix = ["fit"] if commands else []
    with pytest.raises(SystemExit) as caught:
        run_command(lambda: parser_of(commands=commands), prefix + arguments)
    assert caught.value.code == 2
    line = one_line(capsys)
    assert line.startswith("tool fit: " if commands else "tool: ")
    assert message in line


def test_abbreviations_are_not_options(capsys):
    with pytest.raises(SystemExit):
        run(lambda arguments: None, "--step", "3")
    assert "did you mean --steps?" in one_line(capsys)


def test_unknown_command(capsys):
    with pytest.raises(SystemExit) as caught:
        run_command(lambda: parser_of(commands=True), ["fti"])
    assert caught.value.code == 2
    assert "'fti'" in one_line(capsys)


def test_options_of_every_kind():
    parsed = parse("--steps", "3", "--rate", "1e-3", "--mode", "paper", "--first-name", "none", "--no-guard")
    assert (parsed.steps, parsed.rate, parsed.mode, parsed.first_name, parsed.guard) == (
        3,
        1e-3,
        "paper",
        "none",
        False,
    )
    assert not hasattr(parsed, "hidden"), "fields without a help text are not options"


def test_options_that_are_not_given_are_none():
    parsed = parse()
    assert {name: getattr(parsed, name) for name in ("steps", "rate", "scale", "mode", "guard")} == dict.fromkeys(
        ("steps", "rate", "scale", "mode", "guard")
    )


@pytest.mark.parametrize("text", ["none", "None", "NONE"])
def test_an_explicit_none(text):
    assert parse("--scale", text).scale is NONE
    assert repr(NONE) == "none"


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for shown in ("--steps INT", "--rate FLOAT", "--mode {fast,paper}", "--first-name NAME", "--guard, --no-guard"):
        assert shown in text
    assert "--hidden" not in text


def test_help_says_the_default_of_a_setting(capsys):
    @dataclass(frozen=True, kw_only=True)
    class Defaults:
        size: int = setting(256, "points per axis")
        memory: str = setting("4GB", "memory to stay within", choices=("4GB", "8GB"))
        exposure: bool = setting(False, "fit exposure")
        steps: int | None = setting(None, "updates in all")
        bound: float = setting(1.0, "half the side (default: from the cameras)")

    parser = OneLineParser(prog="tool")
    add_options(parser, Defaults, group="settings")
    parser.print_help()
    text = " ".join(capsys.readouterr().out.split())
    for shown in ("axis (default: 256)", "within (default: 4GB)", "exposure (default: --no-exposure)"):
        assert shown in text
    assert "updates in all --bound" in text and text.endswith("(default: from the cameras)")


def test_later_layers_win_and_none_means_not_given():
    first, second = {"steps": 1, "rate": 0.1, "scale": 3.0}, {"steps": 2, "rate": None, "scale": NONE}
    assert merge_settings(Settings) == Settings()
    assert merge_settings(Settings, first, second) == Settings(steps=2, rate=0.1, scale=None)
    assert merge_settings(Settings, second, first).scale == 3.0
    assert merge_settings(Settings, {"guard": True}, {"guard": False}).guard is False


def test_preset_file_and_command_line_in_this_order():
    given = vars(parse("--steps", "9", "--scale", "none"))
    given = {name: given[name] for name in ("steps", "rate", "scale", "mode", "guard")}
    merged = merge_settings(Settings, {"steps": 1, "rate": 1.0, "mode": "paper"}, {"steps": 5, "rate": 2.0}, given)
    assert merged == Settings(steps=9, rate=2.0, mode="paper", scale=None)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"step": 3}, "unknown setting 'step'; did you mean 'steps'"),
        ({"zzz": 3}, "unknown setting 'zzz'$"),
        ({"steps": "3"}, "setting 'steps' must be an integer, got '3'"),
        ({"steps": 3.0}, "setting 'steps' must be an integer, got 3.0"),
        ({"steps": True}, "setting 'steps' must be an integer, got True"),
        ({"rate": "fast"}, "setting 'rate' must be a number, got 'fast'"),
        ({"rate": [1.0]}, r"setting 'rate' must be a number, got \[1.0\]"),
        ({"guard": 1}, "setting 'guard' must be true or false, got 1"),
        ({"first_name": 1}, "setting 'first_name' must be a string, got 1"),
        ({"mode": "quick"}, "setting 'mode' must be one of fast, paper, got 'quick'"),
    ],
)
def test_settings_of_a_file_are_checked(layer, message):
    with pytest.raises(InputError, match=message):
        merge_settings(Settings, layer)


def test_a_whole_number_is_a_number():
    assert merge_settings(Settings, {"rate": 3, "hidden": (1, 2), "network": {"x": 1}}).rate == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--steps must be at least 1, got 0"),
        ({"checkpoint_seconds": -1.0}, "--checkpoint-seconds must be at least 0, got -1.0"),
        ({"seed": -1}, r"--seed must be between 0 and 2\^63 - 1, got -1"),
        ({"seed": 2**63}, r"'seed' must be an integer between 1 - 2\^63 and 2\^63 - 1, got 9223372036854775808"),
        ({"seed": "1"}, r"'seed' must be an integer, got '1' \(--seed\)"),
        ({"seed": None}, "'seed' must be an integer, got None"),
        ({"steps": 2.5}, "'steps' must be an integer, got 2.5"),
        ({"checkpoint_seconds": [1]}, r"'checkpoint_seconds' must be a number, got \[1\]"),
        ({"preset": "Fast"}, "'preset' must be one of fast, paper, got 'Fast'"),
    ],
)
def test_shared_settings_are_checked(change, message):
    with pytest.raises(InputError, match=message):
        RunConfig(**change)


def test_shared_settings_defaults():
    expected = {"method": "finer", "preset": "fast", "steps": None, "seed": 0, "device": "auto", "memory": "4GB"}
    assert {name: getattr(RunConfig(), name) for name in expected} == expected


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_positive_settings(value):
    settings = argparse.Namespace(learning_rate=value, other=None)
    with pytest.raises(InputError, match="--learning-rate must be a positive number, got "):
        check_positive(settings, "other", "learning_rate")
    settings.learning_rate = 1e-9
    check_positive(settings, "learning_rate")


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_settings_with_a_least_value(value):
    with pytest.raises(InputError, match="--log-every must be at least 1, got "):
        check_at_least(argparse.Namespace(log_every=value), 1, "log_every")
    check_at_least(argparse.Namespace(log_every=1, other=None), 1, "log_every", "other")


def test_network_options_given_by_the_user():
    parser = OneLineParser(prog="tool")
    add_options(parser, NetworkOptions, group="network")
    parsed = parser.parse_args(["--first-bias-scale", "none", "--hidden-features", "64", "--scale-req-grad"])
    assert given_options(parsed) == {"first_bias_scale": None, "hidden_features": 64, "scale_req_grad": True}
    assert given_options(parser.parse_args([])) == {}


def test_an_option_has_one_value():
    parser = OneLineParser(prog="toy")
    add_network_options(parser)
    parsed = parser.parse_args(["--option", "beta=2.0", "--option", "gamma=none", "--scale", "3"])
    assert given_options(parsed) == {"beta": 2.0, "gamma": None, "scale": 3.0}
    for twice, words in (
        (["--option", "scale=2", "--scale", "3"], "--option scale=2 and --scale both give 'scale' a value"),
        (["--option", "scale=2", "--scale", "2"], "give it once"),
        (["--option", "first_bias_scale=2", "--first-bias-scale", "none"], "--first-bias-scale both"),
        (["--option", "beta=2", "--option", "beta=3"], "--option beta=3 and another --option both"),
    ):
        with pytest.raises(InputError, match=words):
            given_options(parser.parse_args(twice))


def test_version_text():
    assert version_text("tool", "9.8") == f"tool 9.8 (finer-core {__version__})"


@pytest.mark.parametrize(
    "module",
    ["", ".app.cli", ".errors", ".config", ".training_config", ".methods", ".app.network_options", ".app.run_folder"]
    + [".io.files", ".progress", ".resources", ".io.report", ".distributed.interruption"],
)
def test_light_modules_do_not_load_torch(module):
    code = f"import finer_core{module}, sys; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("odd", ["\x1b[2Ja", "a\x00b", "\ud800", "a\x9bb", "\u202eb"])
def test_a_message_holds_nothing_that_a_terminal_would_obey(odd):
    assert str(InputError(f"file: {odd}")).isprintable()


def test_a_file_name_that_is_not_utf8_stays_as_it_is_in_a_message():
    assert str(InputError("caf\udce9.png: no such file")) == "caf\udce9.png: no such file"


def note_threads(team) -> None:
    team.seen.append(torch.get_num_threads())


def test_a_process_that_helps_has_the_threads_that_were_asked_for(monkeypatch):
    """Of joining, which gives it a share of the machine's, nothing is left."""
    before, team = torch.get_num_threads(), SimpleNamespace(ranks=SimpleNamespace(is_first=False), seen=[])

    @contextlib.contextmanager
    def joined():
        torch.set_num_threads(4)
        yield team

    monkeypatch.setattr("finer_core.app.fit_command.joined", joined)
    try:
        run_in_team(lambda _: pytest.fail("leads"), f"{__name__}:note_threads", Sharing(threads=3))
        run_in_team(lambda _: pytest.fail("leads"), f"{__name__}:note_threads", Sharing())
    finally:
        torch.set_num_threads(before)
    assert team.seen == [3, 4]


@pytest.mark.parametrize(
    ("value", "words"),
    [('{"a": 1, "a": 2}', "'a' stands there twice"), ("[" * 100_000, "beta: lists nested too deep")],
)
def test_an_option_s_value_is_what_it_says(value, words, capsys):
    parser = OneLineParser()
    add_network_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--option", f"beta={value}"])
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line and len(line) <= 320


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EACCES, errno.EROFS])
def test_a_place_that_the_user_may_not_use_is_wrong_input(number):
    code, line = exit_code_and_line(OSError(number, os.strerror(number), "/a/place"))
    assert code == 2 and line.startswith(f"/a/place: cannot be used ({os.strerror(number)}); ")
    assert exit_code_and_line(OSError(number, os.strerror(number)))[0] == 1  # of no file: a fault of ours, perhaps


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_place_that_is_taken_away_from_a_run_under_way_is_no_wrong_input(number, tmp_path, capsys):
    def action(arguments: argparse.Namespace) -> None:
        run = open_run_folder(tmp_path / "run", mode="new")
        assert run.lock
        raise OSError(number, os.strerror(number), str(tmp_path / arguments.file))

    def program() -> OneLineParser:
        parser = OneLineParser(prog="tool")
        parser.add_argument("file")
        parser.set_defaults(run=action)
        return parser

    assert run_command(program, ["run/checkpoint/state.safetensors"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"state.safetensors: cannot be used any more ({os.strerror(number)}); " in line and "--resume" in line
    assert run_command(program, ["other.png"]) == 2
