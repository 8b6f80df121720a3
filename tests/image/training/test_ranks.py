"""Fits shared by two processes: the same as one process makes, and the same bits in both.

Tolerances in float32: a sum over two processes is rounded otherwise than one over pieces, about 1e-7 of it. Over the
few steps here that grows to less than 1e-4 of a loss and 1e-3 of the largest weight. Where the backward products are in
bfloat16, each part's sum is rounded to 8 bits, and fits that group them otherwise drift apart: there it is the
gradients that have a bound. The settings name the precision, so both are tested on every processor.
"""

import json

import pytest
import torch

from finer_core.distributed.gradient_sum import GradientReducer
from finer_core.distributed.ranks import ALONE, Ranks, usable_cores
from finer_core.training.own_code import network_of
from finer_image.training.build import build_fit
from finer_image.training.plan import chunk_pixels, plan_fit
from tests.image import fits_by_ranks
from tests.processes import by_hand, ends_of

CASES = [name for name, _, _ in fits_by_ranks.cases()]
FLOAT32 = [name for name in CASES if not name.endswith("bf16")]
BFLOAT16 = [name for name in CASES if name.endswith("bf16")]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict], list[dict]]:
    """Return what each of two processes fitted and found."""
    folder = tmp_path_factory.mktemp("ranks")
    ends = ends_of(by_hand(fits_by_ranks.__file__, str(folder)))
    assert [code for code, _, _ in ends] == [0, 0], ends
    fits = [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]
    return fits, [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("case", CASES)
def test_both_processes_hold_the_same_bits(results, case):
    (first, second), _ = results
    assert equal(first[case], second[case])


def test_a_repeated_fit_gives_the_same_bits(results):
    (first, _), _ = results
    assert equal(first["again"], first[CASES[0]])
    assert not equal(first["again"], first[CASES[1]])


@pytest.mark.parametrize("case", FLOAT32)
def test_two_processes_fit_like_one(results, case):
    (shared, _), _ = results
    image, settings = next((image, settings) for name, image, settings in fits_by_ranks.cases() if name == case)
    alone = fits_by_ranks.run(image, settings, ALONE)
    assert alone["losses"][-1] < alone["losses"][0]
    torch.testing.assert_close(shared[case].pop("losses"), alone.pop("losses"), rtol=1e-4, atol=1e-7)
    for name, weight in alone.items():
        largest = float(weight.abs().max())
        torch.testing.assert_close(shared[case][name], weight, rtol=0, atol=1e-3 * largest, msg=name)


def test_two_processes_of_one_thread_give_the_bits_of_one_with_two(results):
    (shared, _), _ = results
    image, settings = fits_by_ranks.halves()
    assert chunk_pixels(plan_fit(settings, image).network, memory=10**9, image=image, device="cpu") == 1024
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        alone = fits_by_ranks.run(image, settings, ALONE)
    finally:
        torch.set_num_threads(before)
    assert {int(value) for name, value in alone.items() if "SOAP's step" in name} == {22}
    assert equal(shared["halves"], alone)


def test_exchanges(results):
    _, found = results
    for one in found:
        assert one["gathered"] == [{"number": 0, "text": ""}, {"number": 1, "text": "x"}]
        assert one["broadcast"] == ["abc", ""]
        assert one["threads"] == max(1, usable_cores() // 2)
    assert found[1]["heard"] == {"told": [1, None]}
    assert found[0]["failure 0"] == ["InputError", "bad", None]
    assert found[0]["failure 1"] == ["InputError", "process 1: bad", None]
    for failing in range(2):
        assert found[1][f"failure {failing}"][::2] == ["ToldByFirst", 2]


class Unsummed(GradientReducer):
    """Leave each part's gradients as they are."""

    def __call__(self, network: torch.nn.Module, loss: torch.Tensor) -> torch.Tensor:
        return loss


@pytest.mark.parametrize("case", BFLOAT16)
def test_two_processes_begin_like_one_in_bfloat16(results, case):
    (shared, _), _ = results
    image, settings = next((image, settings) for name, image, settings in fits_by_ranks.cases() if name == case)
    alone = fits_by_ranks.run(image, settings, ALONE)
    torch.testing.assert_close(shared[case]["losses"][0], alone["losses"][0], rtol=1e-5, atol=0)  # float32 until then
    assert shared[case]["losses"][-1] < shared[case]["losses"][0]


@pytest.mark.parametrize("case", BFLOAT16)
def test_parts_of_a_batch_add_up_in_bfloat16(case):
    image, settings = next((image, settings) for name, image, settings in fits_by_ranks.cases() if name == case)
    whole_loss, whole = loss_and_gradients(image, settings)
    parts = [loss_and_gradients(image, settings, Ranks(rank=rank, size=5)) for rank in range(5)]
    torch.testing.assert_close(torch.stack([loss for loss, _ in parts]).sum(), whole_loss, rtol=1e-5, atol=0)
    for gradient, *shares in zip(whole, *[gradients for _, gradients in parts], strict=True):
        # Every sum is rounded to 8 bits once, and so is what flows back through each of the two layers above.
        rounded = gradient.abs() + torch.stack(shares).abs().sum(0)
        bound = 3 * 2**-9 * rounded + 2**-9 * gradient.abs().max()
        assert ((torch.stack(shares).sum(0) - gradient).abs() <= bound).all()


def loss_and_gradients(image, settings, ranks: Ranks = ALONE) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the loss of step 3 and the gradients of every parameter, of a part of the batch."""
    plan = plan_fit(settings, image)
    network = network_of(plan)
    loss = build_fit(plan, network, image, gradient_sum=Unsummed(ranks)).objective.backward(network, 3)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return loss, [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]  # a part may be empty


@pytest.mark.parametrize("case", FLOAT32)
def test_parts_of_a_batch_add_up(case):
    image, settings = next((image, settings) for name, image, settings in fits_by_ranks.cases() if name == case)
    whole_loss, whole = loss_and_gradients(image, settings)
    parts = [loss_and_gradients(image, settings, Ranks(rank=rank, size=5)) for rank in range(5)]
    torch.testing.assert_close(torch.stack([loss for loss, _ in parts]).sum(), whole_loss, rtol=1e-5, atol=0)
    for gradient, *shares in zip(whole, *[gradients for _, gradients in parts], strict=True):
        torch.testing.assert_close(torch.stack(shares).sum(0), gradient, rtol=1e-4, atol=1e-6)
