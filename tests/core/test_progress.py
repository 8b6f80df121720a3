"""Progress: what is shown on a terminal, in a log file, and not at all. Time is simulated."""

import fcntl
import io
import os
import re
import select
import struct
import sys
import termios

import pytest

from finer_core import progress
from finer_core.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """Give a clock that the test sets: clock[0] is the time."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_elsewhere(clock):
    stream = io.StringIO()
    bar = Progress("fit", total=200, stream=stream)
    clock[0] += 10
    bar.update(50, lambda: "PSNR 30.1 dB")
    clock[0] += 10
    bar.update(200)
    bar.close()
    assert stream.getvalue().splitlines() == [
        "fit   0.0% | 0/200 steps",
        "fit  25.0% | 50/200 steps | 5.0 steps/s | 00:30 left | PSNR 30.1 dB",
        "fit 100.0% | 200/200 steps | 10.0 steps/s | 00:00 left",
    ]


def test_plain_lines_come_every_five_seconds_and_at_the_end(clock):
    stream = io.StringIO()
    bar = Progress("fit", total=100, stream=stream)
    for done in range(1, 101):
        clock[0] += 0.125
        bar.update(done)
    shown = [line.split(" | ")[1] for line in stream.getvalue().splitlines()]
    assert shown == ["0/100 steps", "40/100 steps", "80/100 steps", "100/100 steps"]


def test_a_terminal_gets_a_bar_that_redraws_itself(clock):
    stream = Terminal()
    bar = Progress("render", total=10, unit="row", stream=stream)
    clock[0] += 4
    bar.update(1, lambda: "a long figure")
    clock[0] += 0.1
    bar.update(2, lambda: "too early")
    clock[0] += 4
    bar.update(9)
    bar.close()
    lines = [line for line in stream.getvalue().split("\r") if line.strip()]
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\n")
    assert [re.search(r"\d+/10", line)[0] for line in lines if "?row" not in line] == ["1/10", "9/10", "9/10"]
    assert all(line.startswith("render: ") for line in lines)
    assert [line for line in lines if "a long figure" in line and "1/10" in line and "row" in line]
    assert "too early" not in stream.getvalue()


def test_the_length_may_change_and_a_note_stays(clock):
    stream = Terminal()
    bar = Progress("fit", total=10, stream=stream)
    bar.total = 20
    clock[0] += 1
    bar.update(15)
    bar.note("went back to step 12")
    clock[0] += 1
    bar.update(12)
    bar.close()
    assert "fit: went back to step 12\n" in stream.getvalue()
    assert re.findall(r"1[25]/\d+", stream.getvalue())[-1] == "12/20"


def test_closing_twice_ends_the_line_once(clock):
    stream = Terminal()
    bar = Progress("fit", total=10, stream=stream)
    bar.close()
    bar.close()
    assert stream.getvalue().count("\n") == 1


def test_a_notebook_s_stream_is_watched_though_it_is_no_terminal(clock):
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    Progress("fit", total=10, stream=stream)
    assert "0/10" in stream.getvalue()
    assert stream.getvalue().startswith("\rfit: ")


@pytest.mark.parametrize("columns", [0, 60])
def test_the_bar_fits_a_terminal_of_any_width(clock, columns):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24 if columns else 0, columns, 0, 0))
    with open(theirs, "w") as stream:
        bar = Progress("fit", total=10, stream=stream)
        clock[0] += 1
        bar.update(10, lambda: "x" * 200)
        bar.close()
        shown = b""
        while not (b"10/10" in shown and shown.endswith(b"\n")) and select.select([ours], [], [], 5)[0]:
            shown += os.read(ours, 10_000)  # what is written arrives in pieces
    lines = shown.decode().replace("\r\n", "\n").split("\r")
    os.close(ours)
    assert "10/10" in lines[-1]
    assert all(len(line.rstrip()) <= (columns or 80) for line in lines)


def test_without_tqdm_there_are_lines(clock, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    stream = Terminal()
    Progress("fit", total=10, stream=stream).close()
    assert stream.getvalue() == "fit   0.0% | 0/10 steps\n"


@pytest.mark.parametrize("watched", [True, False])
def test_a_stream_that_fails_ends_no_work(clock, watched):
    class Full(io.StringIO):
        def isatty(self) -> bool:
            return watched

        def write(self, text):
            raise OSError(28, "No space left on device")

    bar = Progress("fit", total=10, stream=Full())
    clock[0] += 10
    bar.update(5, lambda: pytest.fail("asked, though nobody sees it"))
    bar.note("a note")
    bar.close()


def test_the_figure_is_asked_only_when_drawn(clock):
    asked = []
    bar = Progress("fit", total=10_000, stream=Terminal())
    for done in range(1, 1001):
        clock[0] += 2**-10
        bar.update(done, lambda: asked.append(1) or "x")
    assert len(asked) == 4, "every 0.2 s of 1 s, beginning after the first"


def test_quiet_shows_nothing_and_asks_nothing(clock):
    stream = Terminal()
    bar = Progress("fit", total=10, stream=stream, quiet=True)
    clock[0] += 100
    bar.update(10, lambda: pytest.fail("asked"))
    bar.close()
    assert stream.getvalue() == ""


def test_a_resumed_fit_s_rate_is_of_this_process(clock):
    stream = io.StringIO()
    bar = Progress("fit", total=1000, stream=stream, done=900)
    clock[0] += 10
    bar.update(950)
    assert stream.getvalue().splitlines() == [
        "fit  90.0% | 900/1000 steps",
        "fit  95.0% | 950/1000 steps | 5.0 steps/s | 00:10 left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "00:00"), (59.4, "00:59"), (59.6, "01:00"), (3599, "59:59"), (7325, "2:02:05")]
)
def test_remaining_time(clock, seconds, text):
    stream = io.StringIO()
    bar = Progress("fit", total=2, stream=stream)
    clock[0] += max(seconds, 5)
    bar.update(1 if seconds else 2)
    remaining = stream.getvalue().splitlines()[-1].split(" | ")[3]
    assert remaining == f"{text} left"


def test_stderr_is_the_default(clock, capsys):
    Progress("fit", total=2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "fit   0.0% | 0/2 steps\n")
