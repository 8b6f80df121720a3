"""Adam without PyTorch's compiler is PyTorch's Adam, to the bit."""

import pytest
import torch

from finer_core.training.optimizers.eager import Adam


def trained(kind: type[torch.optim.Adam], **options: object) -> tuple[list[torch.Tensor], torch.optim.Adam]:
    generator = torch.Generator().manual_seed(0)
    weights = [torch.nn.Parameter(torch.randn(5, 3, generator=generator)) for _ in range(2)]
    optimizer = kind([{"params": weights[:1]}, {"params": weights[1:], "lr": 0.5}], lr=0.1, **options)
    for _ in range(7):
        optimizer.zero_grad()
        sum(weight.sin().sum() for weight in weights).backward()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
    return weights, optimizer


@pytest.mark.parametrize("options", [{}, {"fused": True}, {"amsgrad": True}, {"betas": (0.5, 0.9), "eps": 1e-3}])
def test_steps_have_the_same_bits(options):
    ours, optimizer = trained(Adam, **options)
    theirs, reference = trained(torch.optim.Adam, **options)
    assert all(map(torch.equal, ours, theirs))
    assert optimizer.state_dict()["param_groups"] == reference.state_dict()["param_groups"]


def test_no_gradient_is_followed_through_a_step_and_a_closure_gives_the_loss():
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    optimizer = Adam([weight], lr=0.1)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == 2
    assert weight.is_leaf and weight.requires_grad
