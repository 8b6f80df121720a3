"""Memory that finished work leaves to the next: the same memory, to nobody who must not have it."""

import threading

import pytest
import torch

from finer_core import build_network
from finer_core.activations import buffers as spare
from finer_core.training import SquaredError, accumulate_gradients

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(spare, "_kept", spare._Kept())


def fresh(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return spare.empty(*shape, dtype=dtype, device=CPU)


def test_what_was_given_back_comes_again_once():
    first = fresh(256, 200)
    spare.give_back(first)
    again, other = spare.empty_like(first), fresh(256, 200)
    assert again.data_ptr() == first.data_ptr() != other.data_ptr()


@pytest.mark.parametrize(("shape", "dtype"), [((200, 256), torch.float32), ((256, 200), torch.float64)])
def test_only_the_same_kind_gets_it(shape, dtype):
    first = fresh(256, 200)
    spare.give_back(first)
    other = fresh(*shape, dtype=dtype)
    assert other.shape == shape and other.dtype == dtype
    assert other.data_ptr() != first.data_ptr()


@pytest.mark.parametrize("size", [spare.SMALLEST - 1, spare.LARGEST + 1])
def test_small_and_large_ones_are_not_kept(size):
    spare.give_back(torch.empty(size))
    assert spare._kept.total == 0


def test_a_change_of_what_is_asked_for_frees_the_rest():
    for _ in range(spare.MOST // spare.LARGEST):
        spare.give_back(torch.empty(spare.LARGEST))
    assert spare._kept.total == spare.MOST
    spare.give_back(torch.empty(spare.SMALLEST))
    assert spare._kept.total == spare.SMALLEST
    assert sum(len(kept) for kept in spare._kept.tensors.values()) == 1


def test_threads_keep_their_own():
    first = fresh(256, 200)
    spare.give_back(first)
    found = []
    thread = threading.Thread(target=lambda: found.append(fresh(256, 200).data_ptr()))
    thread.start()
    thread.join()
    assert found != [first.data_ptr()]
    assert fresh(256, 200).data_ptr() == first.data_ptr()


@pytest.mark.parametrize("rows", [256, 1 << 17])  # of 200 bytes, and of 100 MB in large pages
def test_what_is_asked_for_on_the_cpu_is_there_whatever_the_default_device_is(rows):
    with torch.device("meta"):
        made = fresh(rows, 200)
    assert made.device == CPU and made.data_ptr()


def test_other_devices_are_left_alone():
    spare.give_back(torch.empty(256, 200, device="meta"))
    assert spare._kept.total == 0
    assert spare.empty(256, 200, dtype=torch.float32, device=torch.device("meta")).is_meta


def test_memory_of_inference_mode_is_not_kept_for_training():
    network = build_network("finer", in_features=2, out_features=1, hidden_features=64)
    coords = torch.rand(1024, 2)
    error = SquaredError(network, lambda piece: (coords[piece], coords[piece, :1]), count=1024)
    with torch.inference_mode():
        accumulate_gradients(network, [slice(0, 1024)], error)
    network.zero_grad()
    assert accumulate_gradients(network, [slice(0, 1024)], error) > 0
