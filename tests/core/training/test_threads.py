"""Who gets the cores: whole pieces of work or single operations, and never both at once."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch

from finer_core.parallel import one_thread_per_op, parallel_map, worker_count
from finer_core.training import accumulate as pieces
from finer_core.training import accumulate_gradients
from finer_core.training.optimizers.build import step_optimizer
from tests.core import small


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def seen(_: object = None) -> tuple[bool, int, int]:
    """Return whether this is the main thread, and the threads of an operation and of work."""
    return threading.current_thread() is threading.main_thread(), torch.get_num_threads(), worker_count()


def test_pieces_get_a_thread_each_and_may_not_share_again():
    assert parallel_map(seen, range(5)) == [(False, 1, 1)] * 5
    assert seen() == (True, 3, 3)


def test_on_another_device_all_pieces_stay_in_this_thread():
    assert parallel_map(seen, range(5), device="meta") == [(True, 3, 3)] * 5


def test_a_single_piece_keeps_all_threads_wherever_it_is_asked_for():
    assert parallel_map(seen, [0]) == [(True, 3, 3)]
    with one_thread_per_op():
        assert parallel_map(seen, [0]) == [(True, 3, 3)]


def test_work_between_pieces_has_one_thread_and_knows_how_many_there_are():
    with one_thread_per_op() as threads:
        assert threads == 3 and seen() == (True, 1, 3)
        with one_thread_per_op() as again:
            assert again == 3
        assert parallel_map(seen, range(2)) == [(False, 1, 1)] * 2
        assert seen() == (True, 1, 3)


def test_an_error_gives_the_threads_back():
    with pytest.raises(ArithmeticError), one_thread_per_op():
        raise ArithmeticError
    assert seen() == (True, 3, 3)


def test_sums_are_added_up_in_one_thread(monkeypatch):
    threads, add_up = [], pieces._add_up
    monkeypatch.setattr(pieces, "_add_up", lambda *given: (threads.append(torch.get_num_threads()), add_up(*given))[1])
    network = small.network_of("finer")
    accumulate_gradients(network, small.coords_of(30).split(10), lambda part: network(part).sum())
    assert threads == [1]


@pytest.mark.parametrize(
    ("kind", "numbers", "expected"), [(torch.optim.Adam, 9, 1), (torch.optim.Adam, 1 << 20, 3), (torch.optim.SGD, 9, 3)]
)
def test_only_a_small_adam_steps_in_one_thread(kind, numbers, expected, monkeypatch):
    threads = []
    monkeypatch.setattr(kind, "step", lambda self: threads.append(torch.get_num_threads()))
    step_optimizer(kind([torch.nn.Parameter(torch.zeros(numbers))], lr=1.0))
    assert threads == [expected]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_threads_of_its_own():
    """As the workers of a DataLoader are made: the threads that a pool of the parent had are not there."""
    program = (
        "import os, signal, torch\n"
        "from finer_core.parallel import parallel_map\n"
        "torch.set_num_threads(2)\n"
        "squares = lambda: parallel_map(lambda each: each * each, [1, 2, 3])\n"
        "assert squares() == [1, 4, 9]\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.alarm(20)\n"
        "    os._exit(squares() != [1, 4, 9])\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
