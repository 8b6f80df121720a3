"""Gradients piece by piece, in threads or not, are those of the whole."""

import threading

import pytest
import torch

from finer_core.parallel import threads_an_operation
from finer_core.training import accumulate_gradients
from tests.core import small


def whole_and_pieces(pieces: int, *, threads: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return all parameters' gradients of a loss taken whole and in pieces."""
    coords = torch.linspace(-1, 1, 240).reshape(120, 2)
    networks = [small.network_of("siren"), small.network_of("siren")]
    networks[1].load_state_dict(networks[0].state_dict())
    networks[0](coords).square().sum().backward()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        parts = coords.chunk(pieces)
        total = accumulate_gradients(networks[1], parts, lambda part: networks[1](part).square().sum())
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(total, networks[0](coords).square().sum().detach(), rtol=1e-5, atol=0)
    assert not total.requires_grad
    return tuple([p.grad for p in network.parameters()] for network in networks)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_pieces_add_up(pieces, threads):
    for a, b in zip(*whole_and_pieces(pieces, threads=threads), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_the_same_threads_give_the_same_bits():
    first, second = (whole_and_pieces(7, threads=2)[1] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_gradients_are_added_to_what_is_there():
    network = small.network_of("siren")
    coords = torch.zeros(4, 2)

    def loss_of(part: torch.Tensor) -> torch.Tensor:
        return network(part).sum()

    accumulate_gradients(network, [coords], loss_of)
    once = [p.grad.clone() for p in network.parameters()]
    accumulate_gradients(network, [coords[:2], coords[2:]], loss_of)
    for p, grad in zip(network.parameters(), once, strict=True):
        torch.testing.assert_close(p.grad, 2 * grad)


def test_an_error_in_a_thread_arrives_and_leaves_the_thread_count():
    network, before = small.network_of("siren"), torch.get_num_threads()
    torch.set_num_threads(2)
    try:

        def fail(part: int) -> torch.Tensor:
            raise ArithmeticError(f"piece {part} in {threading.current_thread().name}")

        with pytest.raises(ArithmeticError, match="piece"):
            accumulate_gradients(network, [1, 2], fail)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_batch_needs_a_piece():
    with pytest.raises(ValueError, match="at least one piece"):
        accumulate_gradients(small.network_of("siren"), [], lambda part: part)


class Added(torch.nn.Module):
    """x (a + b), of whose gradients autograd makes one tensor, or the sum of a and b, one number in memory for all."""

    def __init__(self, *, sums: bool):
        super().__init__()
        self.a, self.b = (torch.nn.Parameter(torch.full((3, 1), value)) for value in (0.5, -1.0))
        self.sums = sums

    def forward(self, x):
        return x.sum(1) * (self.a.sum() + self.b.sum()) if self.sums else x @ (self.a + self.b)


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("threads", [1, 2])
def test_parameters_whose_gradients_share_memory_get_their_own(sums, threads):
    network, x = Added(sums=sums), torch.linspace(-1, 1, 24).reshape(8, 3)
    network(x).square().sum().backward()
    wanted = [p.grad for p in network.parameters()]
    network.zero_grad()
    with threads_an_operation(threads):
        accumulate_gradients(network, x.chunk(4), lambda part: network(part).square().sum())
    torch.testing.assert_close([p.grad for p in network.parameters()], wanted)
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)  # in place
    assert torch.nn.utils.get_total_norm([p.grad for p in network.parameters()]).item() == pytest.approx(1.0, rel=1e-4)
