"""Signals become a polite request, once."""

import os
import signal
import threading

import pytest

from finer_core.distributed.interruption import interruptible


@pytest.fixture(autouse=True)
def handlers():
    """Check that every test leaves the handlers as they were."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert after == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_a_request(number):
    with interruptible() as should_stop:
        assert not should_stop()
        os.kill(os.getpid(), number)
        assert should_stop()
        assert should_stop()


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_interrupts_at_once(first):
    with pytest.raises(KeyboardInterrupt), interruptible() as should_stop:
        os.kill(os.getpid(), first)
        assert should_stop()
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on")


def test_a_second_sigterm_is_the_same_request():
    with interruptible() as should_stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert should_stop()


def test_the_handlers_before_are_back_afterwards():
    received = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        with interruptible():
            os.kill(os.getpid(), signal.SIGTERM)
        assert received == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_new_block_starts_without_a_request():
    with interruptible():
        os.kill(os.getpid(), signal.SIGINT)
    with interruptible() as should_stop:
        assert not should_stop()


def test_the_handlers_are_back_after_an_error():
    with pytest.raises(ZeroDivisionError), interruptible():
        raise ZeroDivisionError


def test_outside_the_main_thread_nothing_is_caught_and_nothing_fails():
    answers = []

    def work() -> None:
        with interruptible() as should_stop:
            answers.append(should_stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert answers == [False]
