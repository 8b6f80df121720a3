"""The place of a process among others, its part of the work, and what a command does with it."""

import argparse
import os
import signal

import pytest
import torch

from finer_core.app.cli import OneLineParser, run_command
from finer_core.distributed.gradient_sum import GradientReducer, checksum_of
from finer_core.distributed.interruption import interruptible
from finer_core.distributed.ranks import ALONE, Ranks, part_of, ranks_of_environment, threads_of
from finer_core.distributed.team import Team, collective, joined
from finer_core.errors import CollectiveError, InputError, ToldByFirst, exit_code_and_line

PLACE = {
    **{"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
    **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
}


def ranks_of(size: int) -> list[Ranks]:
    return [Ranks(rank=rank, size=size) for rank in range(size)]


def test_the_place_is_what_torchrun_says():
    assert ranks_of_environment(PLACE) == Ranks(rank=3, size=4, local_rank=1, local_size=2)
    assert not ranks_of_environment(PLACE).is_first
    assert ranks_of_environment({}) == ranks_of_environment({"WORLD_SIZE": "1", "RANK": "0"}) == ALONE
    assert ALONE.is_first
    assert ALONE.is_alone


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"RANK": "x"}, "RANK='x' is not a number"),
        ({"RANK": "4"}, "process 4 of 4"),
        ({"WORLD_SIZE": "0"}, "process 3 of 0"),
        ({"LOCAL_RANK": "2"}, "2 of 2 on its machine"),
        ({"MASTER_PORT": None}, "WORLD_SIZE is 4 but MASTER_PORT is not set"),
    ],
)
def test_a_place_that_cannot_be(change, words):
    place = {name: value for name, value in {**PLACE, **change}.items() if value is not None}
    with pytest.raises(InputError, match=words):
        ranks_of_environment(place)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [0, 1, 6, 100])
def test_parts_cover_everything_once_and_evenly(count, size):
    items = list(range(count))
    parts = [items[part_of(count, ranks)] for ranks in ranks_of(size)]
    assert [item for part in parts for item in part] == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_threads_are_shared_out_unless_the_user_chose(monkeypatch):
    monkeypatch.setattr("finer_core.distributed.ranks.usable_cores", lambda: 8)
    pair = Ranks(size=2, local_size=2)
    assert threads_of(pair, {"OMP_NUM_THREADS": "1"}) == threads_of(pair, {}) == 4
    assert threads_of(Ranks(size=20, local_size=20), {}) == 1
    assert threads_of(pair, {"OMP_NUM_THREADS": "3"}) is None
    assert threads_of(ALONE, {}) is None


def test_alone_nothing_happens(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as team:
        assert team.ranks is ALONE
        team.tell({"a": 1})
        assert team.gather({"a": 1}) == [{"a": 1}]
        assert team.broadcast(b"abc") == b"abc"
        with pytest.raises(ZeroDivisionError), team.agreed():
            raise ZeroDivisionError
        with team.interruptible() as should_stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert should_stop()
    asked = iter([False, True])
    alone = GradientReducer(asked_to_stop=lambda: next(asked))
    loss = torch.tensor(1.0)
    assert alone(torch.nn.Linear(1, 1), loss) is loss
    assert [alone.should_stop(), alone.should_stop()] == [False, True]


def test_a_team_is_left_with_its_exception(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ZeroDivisionError), joined():
        raise ZeroDivisionError


def test_a_device_without_a_backend_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="2 processes on a machine with 1 GPUs"):
        Team(Ranks(size=2, local_size=2)).take_device("cuda")
    Team(Ranks(size=2, local_size=2)).take_device("cpu")
    Team().take_device("cuda")


def test_what_gloo_says_becomes_one_clear_line():
    gloo = "[../gloo/pair.cc:543] Read error [127.0.0.1]:9: Connection reset by peer. This is\ntypically caused by x."
    with pytest.raises(CollectiveError) as caught, collective():
        raise RuntimeError(gloo)
    assert str(caught.value).endswith("(Read error [127.0.0.1]:9: Connection reset by peer)")
    assert exit_code_and_line(caught.value) == (1, str(caught.value))


def test_a_checksum_sees_every_bit():
    values = [torch.randn(5, 3), torch.randn(4, dtype=torch.complex64), torch.randn(())]
    before = checksum_of(values)
    assert 0 <= before < 4096
    assert checksum_of([value.clone() for value in values]) == before
    values[0].view(torch.int32)[3, 1] ^= 1
    assert checksum_of(values) != before


def program(run=lambda parsed: None, **defaults) -> OneLineParser:
    parser = OneLineParser(prog="program")
    parser.add_argument("--size", type=int)
    parser.set_defaults(run=run, **defaults)
    return parser


def as_process(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    monkeypatch.setattr("finer_core.app.cli.time.sleep", lambda seconds: None)
    for name, value in {**PLACE, "RANK": str(rank), "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)


def test_a_command_of_one_process_is_refused_in_several(monkeypatch, capsys):
    as_process(monkeypatch, 0)
    assert run_command(program, []) == 2
    assert capsys.readouterr().err == "program: this command runs in one process, and WORLD_SIZE is 4; " + (
        "start it without torchrun\n"
    )
    assert run_command(lambda: program(workers=0), []) == 2
    assert "start it without torchrun, with --workers 4" in capsys.readouterr().err
    assert run_command(lambda: program(shares_work=True), []) == 0


def test_only_the_first_process_speaks(monkeypatch, capsys):
    def fail(parsed: argparse.Namespace) -> None:
        raise ToldByFirst(130)

    as_process(monkeypatch, 2)
    assert run_command(program, []) == 2
    assert run_command(lambda: program(fail, shares_work=True), []) == 130
    for arguments, code in ((["--size", "x"], 2), (["--sise", "1"], 2), (["--help"], 0)):
        with pytest.raises(SystemExit) as exit:
            run_command(lambda: program(shares_work=True), arguments)
        assert exit.value.code == code
    assert capsys.readouterr() == ("", "")


def test_a_failure_of_one_process_names_it(monkeypatch, capsys):
    def fail(parsed: argparse.Namespace) -> None:
        raise MemoryError

    as_process(monkeypatch, 2)
    assert run_command(lambda: program(fail, shares_work=True), []) == 1
    assert capsys.readouterr().err.startswith("program (process 2): out of memory")


def test_a_repeated_signal_of_a_launcher_does_not_interrupt():
    with interruptible(insisting=False) as should_stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert should_stop()


def test_a_handler_set_meanwhile_stays():
    before = signal.getsignal(signal.SIGTERM)
    try:
        with interruptible():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
