"""What surrounds a command: streams that fail, an environment that would, arguments that are empty."""

import argparse
import os
import subprocess
import sys
import warnings

import pytest

from finer_core import InputError
from finer_core.app.cli import OneLineParser, add_options, run_command
from finer_core.errors import LONGEST_MESSAGE, shortened
from finer_core.io.text import integer, numbers
from finer_core.networks.config import NetworkConfig
from finer_core.progress import Progress
from finer_core.surroundings import SteadyStream, native_silence, no_warnings
from finer_core.training_config import RunConfig

TOOL = """
import sys
from finer_core.app.cli import OneLineParser, run_command
from finer_core.progress import Progress

def action(arguments):
    progress = Progress("work", total=3)
    for done in range(1, 4):
        progress.update(done)
        print("noise", file=sys.stderr)
    progress.close()
    print("x" * 100_000)
    if arguments.file:
        open(arguments.file, "w").write("the result")
        print(f"written: {arguments.file}")

parser = OneLineParser(prog="tool")
parser.add_argument("file", nargs="?")
for name in ("--out", "--json", "--list"):
    if name in sys.argv:
        parser.add_argument(name, action="store_const", const=name)
if "--perhaps-out" in sys.argv:
    parser.add_argument("--perhaps-out", action="store_true")
    parser.set_defaults(out=None, prints=True)
parser.set_defaults(run=action)
sys.exit(run_command(lambda: parser))
"""


def shell(command: str, *arguments: str, cwd=None, **environment: str) -> subprocess.CompletedProcess:
    """Run the tool in a shell line, in which "$@" stands for it."""
    return subprocess.run(
        ["bash", "-c", command, "-", sys.executable, "-c", TOOL, *arguments],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={**os.environ, **environment},
        cwd=cwd,
        check=False,
    )


@pytest.mark.parametrize(
    "streams", ["2>&-", "2>/dev/full", "2> >(true)", "1>&- 2>&-", "0<&- 1>&- 2>&-", ">/dev/full", ">&-", "> >(true)"]
)
def test_streams_never_end_the_work(tmp_path, streams):
    result = shell(f'"$@" {streams}', str(tmp_path / "file"), "--out")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "file").read_text() == "the result"
    assert "Traceback" not in result.stderr
    assert "Exception ignored" not in result.stderr


@pytest.mark.parametrize(
    ("streams", "says"),
    [(">/dev/full", "printed (No space"), (">&-", "printed (Bad file descriptor"), ("> >(true)", None)],
)
@pytest.mark.parametrize("options", [(), ("--out", "--json"), ("--out", "--list"), ("--perhaps-out",)])
def test_a_result_that_only_stdout_would_hold_is_missed(streams, says, options):
    result = shell(f'"$@" {streams}', *options)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert says is None or says in " ".join(result.stderr.split())


def test_a_file_gets_none_of_the_words_of_a_closed_stream(tmp_path):
    code = "import os, sys; open(sys.argv[1], 'w').close(); print(os.open(sys.argv[1], os.O_WRONLY) > 2)"
    tool = TOOL.replace(
        "def action(arguments):", f"def action(arguments):\n    {code.split('; ', 1)[1]}\n    return"
    ).replace("import sys\n", "import os, sys\n", 1)
    command = ["bash", "-c", '"$@" 0<&- 2>&-', "-", sys.executable, "-c", tool, str(tmp_path / "file")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_progress_without_a_stream_or_with_one_that_fails(monkeypatch):
    class Full:
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    progress = Progress("work", total=2, stream=Full())
    progress.update(2)
    progress.close()
    monkeypatch.setattr(sys, "stderr", None)
    progress = Progress("work", total=2)
    progress.update(2)
    progress.close()


@pytest.mark.parametrize(
    ("quiet", "state"),
    [
        (native_silence, lambda: (os.fstat(2).st_dev, os.fstat(2).st_ino)),
        (no_warnings, lambda: list(warnings.filters)),
    ],
    ids=["native", "warnings"],
)
def test_what_is_quiet_for_all_threads_ends_whoever_is_the_last(quiet, state):
    before = state()
    first, second = quiet(), quiet()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert state() != before
    second.__exit__(None, None, None)
    assert state() == before


def test_numbers_of_a_text_are_read_without_filters_of_warnings(monkeypatch):
    monkeypatch.setattr(warnings, "catch_warnings", lambda: pytest.fail("another thread may be in between"))
    assert numbers("1 2.5\n -3e2 ", where="line 1").tolist() == [1.0, 2.5, -300.0]
    assert numbers(" \n", where="line 1").tolist() == []
    for word in ("x3", "1_0", "\u0663"):
        with pytest.raises(InputError, match=f"line 1: '{word}' is not a number"):
            numbers(f"1 2 {word} 4", where="line 1")
        with pytest.raises(InputError, match=f"line 1: '{word}' is not a whole number"):
            integer(word, where="line 1")


def test_a_stream_that_fails_says_so_once_and_is_no_terminal():
    class Closed:
        def write(self, text: str) -> int:
            raise ValueError("I/O operation on closed file")

        def isatty(self) -> bool:
            return True

        def fileno(self) -> int:
            raise ValueError("I/O operation on closed file")

    stream = SteadyStream(Closed())
    assert stream.isatty()
    assert stream.write("text") == 4
    assert isinstance(stream.failure, ValueError)
    assert not stream.isatty()
    assert not SteadyStream(None).isatty()


@pytest.mark.parametrize("locale", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_any_file_name_is_printed_as_it_was_given(tmp_path, locale):
    name = os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff-\xc3\xa9")
    result = shell('"$@" | tail -n 1', name, "--out", **locale)
    assert result.stderr.count("Error") == 0, result.stderr
    assert os.fsencode(result.stdout) == b"written: " + os.fsencode(name) + b"\n"


def test_what_a_stream_s_encoding_lacks_is_escaped():
    code = TOOL.replace('print("x" * 100_000)', 'print("\\u2026\\xe9")')
    result = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True, check=True
    )
    assert result.stdout == b"\\u2026\xe9\n"


def test_a_working_folder_that_was_deleted_is_refused(tmp_path):
    (tmp_path / "gone").mkdir()
    result = shell('rmdir "$PWD"; "$@"', cwd=tmp_path / "gone")
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        "tool: the current folder is gone (No such file or directory); change to a folder that exists"
    ]
    assert shell('rmdir "$PWD"; "$@"', "--help", cwd=(tmp_path / "gone").mkdir() or tmp_path / "gone").returncode == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MPLBACKEND", "nonsense"),
        ("SOURCE_DATE_EPOCH", "yesterday"),
        ("SOURCE_DATE_EPOCH", "99999999999999999"),
        ("MATPLOTLIBRC", "usetex"),
        ("MPLCONFIGDIR", "/proc/nowhere"),
    ],
)
def test_an_environment_that_matplotlib_cannot_use_is_neutralized(tmp_path, name, value):
    if value == "usetex":
        (tmp_path / "matplotlibrc").write_text("text.usetex: True\ntext.latex.preamble: \\\\nonsense\n")
        value = str(tmp_path / "matplotlibrc")
    work = (
        "import matplotlib\n    from matplotlib.figure import Figure\n    figure = Figure()\n"
        "    figure.add_subplot(title='t')\n    figure.savefig(arguments.file, format='svg')\n    return"
    )
    code = TOOL.replace("def action(arguments):", f"def action(arguments):\n    {work}")
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "figure.svg")],
        env={**os.environ, name: value, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "figure.svg").stat().st_size > 1000


def test_a_film_maker_that_is_not_there_is_forgotten(monkeypatch):
    for name, kept in (("/nowhere/ffmpeg", None), (sys.executable, sys.executable)):
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", name)
        assert run_command(tool, []) == 0
        assert os.environ.get("IMAGEIO_FFMPEG_EXE") == kept


def tool() -> OneLineParser:
    parser = OneLineParser(prog="tool")
    parser.add_argument("signal", nargs="?", metavar="IMAGE")
    parser.add_argument("--out")
    parser.add_argument("--methods", nargs="+", default=["finer"])
    add_options(parser, RunConfig, group="settings")
    parser.set_defaults(run=lambda arguments: None)
    return parser


@pytest.mark.parametrize(
    ("arguments", "name"),
    [([""], "IMAGE"), (["--out", ""], "--out"), (["--out="], "--out"), (["--methods", "finer", ""], "--methods"),
     (["--method", ""], "--method"), (["--memory", ""], "--memory"), ([" "], "IMAGE"), (["--out", "\t "], "--out")],
)  # fmt: skip
def test_an_empty_argument_is_refused(capsys, arguments, name):
    with pytest.raises(SystemExit) as caught:
        run_command(tool, arguments)
    assert caught.value.code == 2
    assert f"tool: argument {name}: is empty (an unset variable?)" in capsys.readouterr().err
    assert run_command(tool, ["x.png", "--out", "r"]) == 0


@pytest.mark.parametrize("words", [1, 3, 200])
@pytest.mark.parametrize("length", [10, 200, 20_000])
def test_messages_are_short_and_keep_both_ends(words, length):
    text = f"x.png: a value of {' '.join(['v' * length] * words)} is wrong; take another"
    short = shortened(text)
    assert len(short) <= LONGEST_MESSAGE
    assert short.startswith("x.png: a value of v")
    assert short.endswith("v is wrong; take another")
    assert (short == text) == (len(text) <= LONGEST_MESSAGE)


def test_every_refusal_and_every_failure_is_short(capsys):
    with pytest.raises(InputError) as caught:
        NetworkConfig(method="x" * 4000, in_features=2, out_features=1)
    assert len(str(caught.value)) <= LONGEST_MESSAGE
    for error in (InputError("x" * 5000), RuntimeError("word " * 5000), OSError("y" * 5000), MemoryError("z" * 5000)):
        assert run_command(failing(error), ["--out", "r"]) in (1, 2)
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert len(line) <= LONGEST_MESSAGE + 1
    with pytest.raises(SystemExit):
        run_command(tool, ["--seed", "9" * 5000])
    assert len(capsys.readouterr().err) <= LONGEST_MESSAGE + 1


def failing(error: BaseException):
    def action(arguments: argparse.Namespace) -> None:
        raise error

    def build() -> OneLineParser:
        parser = tool()
        parser.set_defaults(run=action)
        return parser

    return build


@pytest.mark.parametrize("number", [28, 27, 122])
def test_a_full_disk_is_told_in_words(capsys, number):
    error = OSError(number, "No room", "/runs/a/state.safetensors")
    assert run_command(failing(error), []) == 1
    assert (
        "state.safetensors: nothing more can be written (No room); make room and start again" in capsys.readouterr().err
    )
