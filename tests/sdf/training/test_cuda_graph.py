"""A surface's step is one that a CUDA graph can repeat: it follows from tensors of the same shapes at every step."""

import pytest
import torch

from finer_core import build_network
from finer_core.networks.build import published_config
from finer_core.training import Fit, build_optimizers, warmup_cosine
from finer_core.training.cuda_graph import GraphedStep
from finer_core.training.objective import CapturableObjective
from finer_sdf.training.objective import DistanceObjective
from finer_sdf.training.precomputed import PrecomputedSamples
from finer_sdf.training.samples import SdfSamples
from tests.sdf.analytic import SHAPES


def fit_of(*, error: str, sampler=None, device: str = "cpu") -> Fit:
    config = published_config(method="finer", task="sdf", in_features=3, out_features=1, hidden_features=16)
    network = build_network(config, generator=torch.Generator().manual_seed(0)).to(device)
    sampler = sampler or PrecomputedSamples(SHAPES["sphere"], samples=2000, batch_points=300, steps=20, seed=0)
    return Fit(
        network=network,
        objective=DistanceObjective(sampler, error=error, chunk_points=128, device=device),
        optimizers=build_optimizers(network, name="adam", learning_rate=1e-3),
        schedule=warmup_cosine(),
        steps=20,
        log_every=10,
    )


def graphed(fit: Fit, *, recorded: bool = False) -> GraphedStep:
    assert isinstance(fit.objective, CapturableObjective)
    step = GraphedStep(fit.network, fit.objective, fit.optimizers, max_grad_norm=None)
    step.is_refused = not recorded
    return step


@pytest.mark.parametrize("error", ["squared", "absolute"])
def test_it_takes_the_plain_steps(error):
    plain, other = fit_of(error=error), fit_of(error=error)
    step = graphed(other)
    for number in range(5):
        assert torch.allclose(plain.update(number), step(number), rtol=1e-4)
    shapes = [[tensor.shape for tensor in other.objective.batch_tensors(number)] for number in range(3)]
    assert shapes[0] == shapes[1] == shapes[2]


class Growing:
    """Give more samples every third step, as nothing of ours does."""

    def batch(self, step: int) -> SdfSamples:
        count = 100 + step // 3
        coords = torch.linspace(-0.5, 0.5, 3 * count).reshape(count, 3)
        norm = coords.norm(dim=1, keepdim=True)
        return SdfSamples(coords=coords, sdf=norm - 0.3, weight=torch.full_like(norm, 1 / count))


def test_a_batch_of_another_size_is_seen():
    plain, other = (fit_of(error="squared", sampler=Growing()) for _ in range(2))
    step = graphed(other)
    for number in range(8):
        assert torch.allclose(plain.update(number), step(number), rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_graph_repeats_the_step():
    plain, other = fit_of(error="absolute", device="cuda"), fit_of(error="absolute", device="cuda")
    one, two = graphed(plain), graphed(other, recorded=True)
    assert all(torch.equal(one(number).clone(), two(number)) for number in range(12))
    assert two._graph is not None
