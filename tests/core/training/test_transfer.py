"""Sending numbers to a device: from page-locked memory to a GPU, and only what is not there yet."""

import pytest
import torch

from finer_core.training.transfer import send


class Recorded:
    """Stand in for a tensor, and list what was asked of it."""

    def __init__(self, device: str) -> None:
        self.device, self.asked = torch.device(device), []

    def pin_memory(self):
        self.asked.append("pin_memory")
        return self

    def to(self, device, **options):
        self.asked.append((device, options))
        return self


@pytest.mark.parametrize(
    ("here", "there", "asked"),
    [
        ("cpu", "cuda", ["pin_memory", ("cuda", {"non_blocking": True})]),
        ("cpu", "cuda:1", ["pin_memory", ("cuda:1", {"non_blocking": True})]),
        ("cuda", "cuda", [("cuda", {})]),
        ("cpu", "mps", [("mps", {})]),
        ("cpu", "cpu", [("cpu", {})]),
    ],
)
def test_what_is_asked_of_a_tensor(here, there, asked):
    tensor = Recorded(here)
    assert send(tensor, there) is tensor
    assert tensor.asked == asked


def test_what_is_there_is_not_copied():
    tensor = torch.arange(3)
    assert send(tensor, "cpu") is tensor


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_numbers_arrive():
    tensor = torch.arange(100_000)
    assert torch.equal(send(send(tensor, "cuda"), "cuda").cpu(), tensor)
