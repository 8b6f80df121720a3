"""Muon: the published rule, in products that the processor multiplies fast."""

import pytest
import torch

from finer_core.training import Muon
from finer_core.training.optimizers.muon import orthogonalize


def test_singular_values_come_near_one():
    matrices = torch.randn(3, 40, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.linalg.svdvals(orthogonalize(matrices, dtype=torch.float64))
    assert values.median() == pytest.approx(0.9, abs=0.2)
    assert values.max() < 1.25


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_singular_vectors_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    core = u.T @ orthogonalize(matrix[None], dtype=torch.float64)[0] @ vh.T
    torch.testing.assert_close(core, torch.diag(core.diagonal()), rtol=0, atol=1e-9)


def test_a_matrix_of_zeros_stays_one():
    assert not orthogonalize(torch.zeros(1, 9, 9)).any()


def test_matrices_do_not_influence_each_other():
    matrices = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(orthogonalize(matrices)[1:], orthogonalize(matrices[1:]))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon to compare with")
@pytest.mark.parametrize("shape", [(24, 24), (24, 16), (16, 24)])
def test_it_follows_pytorch_s_own_up_to_bfloat16(shape):
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(shape, generator=generator)
    ours, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    optimizers = Muon([ours], lr=0.1, momentum=0.9), torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.0)
    for _ in range(4):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved = (theirs - start).norm()
    assert ((ours - theirs).norm() / moved).item() < 0.02  # a bfloat16 has 8 bits
    assert moved.item() > 0.5


def test_a_parameter_without_gradient_stays():
    first, second = (torch.nn.Parameter(torch.ones(10, 10)) for _ in range(2))
    first.grad = torch.eye(10)
    Muon([first, second], lr=0.1).step()
    assert not torch.equal(first, torch.ones(10, 10))
    assert torch.equal(second, torch.ones(10, 10))


@pytest.mark.parametrize("parameter", [torch.ones(3), torch.ones(2, 2, dtype=torch.complex64)])
def test_it_refuses_what_is_no_real_matrix(parameter):
    with pytest.raises(ValueError, match="Muon updates real matrices, got"):
        Muon([torch.nn.Parameter(parameter)])


def optimizer_of(seed: int, *, lr: float, momentum: float = 0.95) -> tuple[list[torch.nn.Parameter], Muon]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((16, 16), (24, 12), (12, 24), (16, 16))
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return parameters, Muon(parameters, lr=lr, momentum=momentum)


def test_groups_of_equal_shapes_keep_their_rates_and_momenta():
    hows = {"lr": 0.1, "momentum": 0.9}, {"lr": 0.02, "momentum": 0.5}
    apart = [optimizer_of(seed, **how) for seed, how in enumerate(hows)]
    together = [optimizer_of(seed, lr=1.0)[0] for seed in range(2)]
    one = Muon([{"params": each, **how} for each, how in zip(together, hows, strict=True)], lr=1.0)
    for _ in range(3):
        one.step()
        for _, optimizer in apart:
            optimizer.step()
    for ours, (theirs, _) in zip(together, apart, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_a_step_moves_by_the_rate():
    (parameters, optimizer), before = optimizer_of(0, lr=0.1), optimizer_of(0, lr=0.1)[0]
    optimizer.step()
    for parameter, was in zip(parameters, before, strict=True):
        moved = torch.linalg.svdvals((was - parameter).detach()) / (0.1 * max(1, was.shape[0] / was.shape[1]) ** 0.5)
        assert moved.min() > 0.3 and moved.max() < 1.4
