"""SOAP: the steps of another implementation, whatever the number of cores, and a state that can be resumed."""

import copy

import pytest
import torch
from torch import nn

from finer_core.training import Soap
from finer_core.training.optimizers.soap import RENEW_EVERY, followed

SHAPES = ((20, 20), (20, 2), (3, 20))


def matrices(seed: int, dtype: torch.dtype = torch.float64) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in SHAPES]


def give_gradients(parameters: list[nn.Parameter], step: int) -> None:
    """Give gradients that depend on the parameters, so that every difference is carried on."""
    generator = torch.Generator().manual_seed(1000 + step)
    for parameter in parameters:
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.grad = (parameter.detach() * (1 + parameter.shape[1] / 10) + 0.3 * noise).contiguous()


def run(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        give_gradients(parameters, step)
        optimizer.step()


@pytest.mark.parametrize(
    ("steps", "tolerance"),
    [(RENEW_EVERY, 1e-9), (3 * RENEW_EVERY + 5, 1e-4)],  # theirs renews bases in single precision, whatever it is given
)
def test_it_follows_another_implementation(steps, tolerance):
    theirs_of = pytest.importorskip("pytorch_optimizer").SOAP
    ours, theirs = matrices(0), matrices(0)
    settings = {"lr": 0.02, "betas": (0.9, 0.97)}
    run(ours, Soap(ours, **settings), range(steps))
    other = theirs_of(theirs, weight_decay=0.0, precondition_frequency=RENEW_EVERY, **settings)
    run(theirs, other, range(steps))
    for a, b, start in zip(ours, theirs, matrices(0), strict=True):
        assert (a - start).abs().max() > 0.1
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("stacked", [False, True])
def test_nesterov_momentum_is_that_of_nadam(stacked):
    """Numbers have no bases to turn to: SOAP is Adam on them, but for the first gradient."""
    ours, theirs = (nn.Parameter(torch.full((1, 1), 3.0, dtype=torch.float64)) for _ in range(2))
    soap = Soap([ours], lr=0.02, betas=(0.9, 0.97), eps=0.0, nesterov=True)
    # PyTorch's momentum rises to beta_1; with so large a decay it is there at once.
    nadam = torch.optim.NAdam([theirs], lr=0.02, betas=(0.9, 0.97), eps=0.0, momentum_decay=1e9)
    for step in range(25):
        for parameter in (ours, theirs):
            give_gradients([parameter], step)
        if stacked:
            soap.advance()
            soap.finish()
        else:
            soap.step()
        if step:
            nadam.step()
        # Theirs keeps beta_1^t in single precision: t 6e-8 beta^t / (1 - beta^t) of a step of 0.02, in sum 148 times.
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2 * 148 * 0.02 * 6e-8)
    assert abs(ours.item() - 3) > 0.1


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_number_of_cores_changes_nothing(nesterov):
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            parameters = matrices(1, torch.float32)
            run(parameters, Soap(parameters, lr=0.01, nesterov=nesterov), range(15))
            results.append(parameters)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_state_goes_on_to_the_same_bits():
    through, first, second = (matrices(2, torch.float32) for _ in range(3))
    run(through, Soap(through), range(24))
    begun = Soap(first)
    run(first, begun, range(13))
    with torch.no_grad():
        for a, b in zip(second, first, strict=True):
            a.copy_(b)
    resumed = Soap(second)
    resumed.load_state_dict(copy.deepcopy(begun.state_dict()))
    run(second, resumed, range(13, 24))
    assert all(torch.equal(a, b) for a, b in zip(through, second, strict=True))


def test_the_first_gradient_moves_nothing_and_a_missing_one_neither():
    parameters, start = matrices(3), matrices(3)
    optimizer = Soap(parameters, lr=0.1)
    give_gradients(parameters, 0)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(parameters, start, strict=True))
    parameters[0].grad = None
    optimizer.step()
    assert torch.equal(parameters[0], start[0]) and not torch.equal(parameters[1], start[1])


def test_bases_stay_orthonormal_and_find_the_eigenvectors():
    generator = torch.Generator().manual_seed(4)
    vectors, _ = torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64))
    covariance = vectors @ torch.diag(2.0 ** -torch.arange(12, dtype=torch.float64)) @ vectors.T
    basis = torch.eye(12, dtype=torch.float64)
    for _ in range(60):
        basis, _ = followed(basis, covariance)
    torch.testing.assert_close(basis.T @ basis, torch.eye(12, dtype=torch.float64))
    torch.testing.assert_close((vectors.T @ basis).abs(), torch.eye(12, dtype=torch.float64), atol=1e-9, rtol=0)


def test_gradients_that_are_not_finite_do_not_stop_it():
    parameter = nn.Parameter(torch.ones(4, 4))
    optimizer = Soap([parameter])
    for _ in range(RENEW_EVERY + 2):
        parameter.grad = torch.full((4, 4), torch.nan)
        optimizer.step()
    assert parameter.isnan().all()  # which the divergence guard sees


def test_it_refuses_what_is_no_matrix():
    with pytest.raises(ValueError, match="Soap updates matrices, got"):
        Soap([nn.Parameter(torch.ones(3))])


def test_complex_numbers_that_are_real_take_the_steps_of_real_ones():
    real = matrices(5)[:1]  # square: the covariances of others have eigenvalues of 0, whose vectors are anyone's
    others = [nn.Parameter(parameter.detach().to(torch.complex128)) for parameter in real]
    ours, theirs = Soap(real, lr=0.02), Soap(others, lr=0.02)
    for step in range(2 * RENEW_EVERY + 5):
        give_gradients(real, step)
        for parameter, other in zip(real, others, strict=True):
            other.grad = parameter.grad.to(other.dtype)
        ours.step()
        theirs.step()
    for parameter, other in zip(real, others, strict=True):
        torch.testing.assert_close(other.detach(), parameter.detach().to(other.dtype), rtol=1e-9, atol=1e-11)


def test_steps_turn_with_complex_gradients():
    """Gradients U G V give steps U D V where those of G are D, for unitary U and V: bases are eigenvectors."""
    generator = torch.Generator().manual_seed(6)
    left, right = (
        torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.complex128)).Q for size in (12, 5)
    )
    plain, turned = (nn.Parameter(torch.zeros(12, 5, dtype=torch.complex128)) for _ in range(2))
    one, other = Soap([plain], lr=0.02), Soap([turned], lr=0.02)
    for _ in range(RENEW_EVERY - 1):  # before bases are ordered anew
        plain.grad = torch.randn(12, 5, generator=generator, dtype=torch.complex128)
        turned.grad = left @ plain.grad @ right
        one.step()
        other.step()
    # The first covariance has rank 5 of 12, and what lies beyond has no eigenvectors of its own.
    within = one.state[plain]["left_basis"][:, :5]
    torch.testing.assert_close(
        (left @ within).mH @ turned.detach(), within.mH @ plain.detach() @ right, rtol=1e-8, atol=1e-10
    )


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_stacked_matrices_take_the_same_steps(nesterov, dtype):
    apart, stacked = matrices(4, dtype), matrices(4, dtype)
    alone, together = (Soap(each, lr=0.02, nesterov=nesterov) for each in (apart, stacked))
    for step in range(2 * RENEW_EVERY + 5):
        give_gradients(apart, step)
        give_gradients(stacked, step)
        alone.step()
        together.advance()  # what `step` does on a GPU
        together.finish()
    for a, b in zip(apart, stacked, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    resumed = Soap(matrices(4, dtype))
    resumed.load_state_dict(copy.deepcopy(together.state_dict()))
    for a, b in zip(resumed.state.values(), alone.state.values(), strict=True):
        assert a.keys() == b.keys() and a["step"] == b["step"]
        torch.testing.assert_close(a["mean"].abs(), b["mean"].abs(), rtol=1e-6, atol=1e-9)


def test_stacks_are_of_one_type():
    """A first layer that is real may have the shape of complex ones."""
    parameters = [nn.Parameter(torch.ones(12, 12, dtype=dtype)) for dtype in (torch.float64, torch.complex128)]
    optimizer = Soap(parameters, lr=0.02)
    for step in range(3):
        give_gradients(parameters, step)
        optimizer.advance()
        optimizer.finish()
    assert [parameter.dtype for parameter in parameters] == [torch.float64, torch.complex128]
    assert all(bool((parameter != 1).all()) for parameter in parameters)
