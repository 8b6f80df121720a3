"""Progress: what is shown on a terminal, in a log file, and not at all. Time is simulated."""

import io

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


def test_a_terminal_gets_one_line_that_redraws_itself(clock):
    stream = Terminal()
    bar = Progress("render", total=10, unit="row", stream=stream)
    clock[0] += 4
    bar.update(1, lambda: "a long figure")
    clock[0] += 4
    bar.update(9)
    bar.close()
    lines = stream.getvalue().split("\r")
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\n")
    assert lines[2] == "render  10.0% | 1/10 rows | 4.0 s/row | 00:36 left | a long figure"
    assert lines[3].rstrip() == "render  90.0% | 9/10 rows | 1.1 rows/s | 00:01 left"
    assert len(lines[3].rstrip("\n")) >= len(lines[2]), "the old text is covered"


def test_closing_twice_ends_the_line_once(clock):
    stream = Terminal()
    bar = Progress("fit", total=10, stream=stream)
    bar.close()
    bar.close()
    assert stream.getvalue().count("\n") == 1


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
