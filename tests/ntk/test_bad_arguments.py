"""Kernels and measures from Python: modules, kernels and seeds that are none are refused by what they are."""

import numpy as np
import pytest
import torch
from torch import nn

from finer_core import InputError, published_config
from finer_ntk import analyze, empirical_ntk, line_grid, ntk_operator, sweep
from finer_ntk.spectrum import alignment, band_energy, diagonal_energy, effective_rank, target_alignment, target_energy

X = line_grid(6).coords.float()


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1))


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.LazyLinear(1), "network LazyLinear cannot be differentiated: it has lazy layers"),
        (lambda: small().to("meta"), "network Sequential cannot be differentiated: it is on the device meta"),
        (lambda: torch.jit.script(small()), "RecursiveScriptModule is compiled by torch.jit"),
        (lambda: nn.Linear(2, 1), r"the model cannot take points \(1, 1\): mat1 and mat2 shapes cannot be multiplied"),
    ],
    ids=["lazy", "meta", "jit", "columns"],
)
def test_modules_without_a_kernel(make, words):
    with pytest.raises(InputError, match=words):
        empirical_ntk(make(), X)


def test_an_array_that_must_not_be_written_to():
    with pytest.raises(InputError, match="out must not be written to"):
        empirical_ntk(small(), X, out=np.broadcast_to(np.float32(0), (6, 6)))


def test_measures_take_the_kernel_of_a_tensor():
    kernel = empirical_ntk(small(), X)
    array, target = kernel.numpy(), np.arange(1.0, 7.0)
    assert diagonal_energy(kernel) == diagonal_energy(array) == diagonal_energy(array.tolist())
    assert band_energy(kernel, half_width=1) == band_energy(array, half_width=1)
    assert alignment(kernel, torch.eye(6)) == alignment(array, np.eye(6))
    assert target_alignment(kernel, torch.as_tensor(target)) == target_alignment(array, target)
    assert target_energy(torch.eye(6), torch.as_tensor(target)).tolist() == target_energy(np.eye(6), target).tolist()
    assert effective_rank(torch.ones(4)) == pytest.approx(4)


MEASURES = {
    "diagonal": diagonal_energy,
    "band": lambda kernel: band_energy(kernel, half_width=1),
    "alignment": lambda kernel: alignment(kernel, kernel),
    "target": lambda kernel: target_alignment(kernel, np.ones(len(kernel))),
}


@pytest.mark.parametrize("name", MEASURES)
def test_measures_of_what_is_no_kernel(name):
    for wrong in (np.ones((3, 6)), np.ones(3), np.ones((0, 0)), np.ones((3, 3, 2))):
        with pytest.raises(InputError, match=r"a kernel of points is \(n, n\), got shape"):
            MEASURES[name](wrong)
    with pytest.raises(InputError, match="the kernel is zero everywhere"):
        MEASURES[name](np.zeros((3, 3)))


def test_a_signal_or_a_kernel_of_zeros():
    with pytest.raises(InputError, match="the target signal is zero everywhere"):
        target_alignment(np.ones((3, 3)), np.zeros(3))
    with pytest.raises(InputError, match="the kernel has no positive eigenvalue: it is zero everywhere"):
        analyze(torch.nn.Linear(1, 1, bias=False), torch.zeros(5, 1), top=2)


@pytest.mark.parametrize("top", [None, 2])
def test_a_kernel_that_overflows_is_not_one_of_zeros(top):
    network = small()
    with torch.no_grad():
        network[2].weight.fill_(1e25)  # whose kernel has numbers that float32 has not
    points = torch.linspace(0, 1, 5)[:, None]
    with pytest.raises(InputError, match="the kernel holds NaN or infinity, so it has no eigenvalues"):
        analyze(network, points, top=top)
    assert analyze(network.double(), points.double(), top=top).eigenvalues[0] > 1e40


def test_a_kernel_is_no_list_of_eigenvalues():
    with pytest.raises(InputError, match=r"effective_rank takes eigenvalues \(n,\), got shape \(6, 6\)"):
        effective_rank(np.eye(6))
    with pytest.raises(InputError, match=r"no positive eigenvalue \(the largest of 2 is -1\)"):
        effective_rank(np.array([-3.0, -1.0]))
    assert effective_rank(np.full(4, 1e308)) == pytest.approx(4)  # whose sum is no number


def test_eigenvalues_of_any_real_kind():
    expected = effective_rank(np.array([3.0, 1.0]))
    for given in ([3, 1], np.array([3, 1], dtype=np.uint8), torch.tensor([3, 1]), np.ma.array([3.0, 1.0])):
        assert effective_rank(given) == expected
    with pytest.raises(InputError, match="eigenvalues: 1 of 2 numbers are masked"):
        effective_rank(np.ma.array([3.0, 1.0], mask=[False, True]))


def test_a_target_of_other_points():
    with pytest.raises(InputError, match="the target has 3 values, the kernel 6 points"):
        target_alignment(np.eye(6), np.ones(3))


def test_seeds():
    sizes = {"in_features": 1, "out_features": 1, "hidden_features": 4}
    configs = {"low": published_config(method="siren", task="ntk", **sizes)}
    assert sweep(configs, X, seeds=np.arange(2)) == sweep(configs, X, seeds=range(2))
    for wrong, words in [(3, "seeds must be a list of integers, got 3"), ("01", "got '01'"), ([0.5], "a seed must be")]:
        with pytest.raises(InputError, match=words):
            sweep(configs, X, seeds=wrong)


@pytest.mark.parametrize(
    ("model", "given", "words"),
    [
        (nn.Identity, {}, r"got the class Identity; make one, as by Identity\(\.\.\.\)"),
        (nn.Identity, {"params": {"w": torch.ones(1)}}, "got the class Identity"),
        ("siren", {"params": {"w": torch.ones(1)}}, "got one of type str"),
        (
            lambda params, x: x * params["w"],
            {},
            "a function of parameters and coordinates, with params=, or a torch mod",
        ),
    ],
    ids=["class", "class with parameters", "text", "function alone"],
)
def test_what_is_no_model_is_told_what_it_is(model, given, words):
    for kernel_of in (empirical_ntk, ntk_operator):
        with pytest.raises(InputError, match=words):
            kernel_of(model, torch.zeros(3, 2), **given)
