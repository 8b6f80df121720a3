"""Eigenpairs with and without the matrix, the published figure's trend, and predicted against real training."""

import dataclasses
import mmap
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from finer_core import build_network
from finer_core.errors import InputError
from finer_core.networks.build import published_config
from finer_ntk import TrainingPrediction, analyze, line_grid, predict_training
from finer_ntk.analysis import analyze_kernel
from finer_ntk.app.kernel_file import _Stored
from finer_ntk.kernel import as_row_function, empirical_ntk, ntk_operator
from finer_ntk.spectrum import (
    alignment,
    all_eigenpairs,
    band_energy,
    descend,
    diagonal_energy,
    effective_rank,
    predicted_losses,
    target_alignment,
    target_energy,
    top_eigenpairs,
)


def network(method, *, seed=0, dtype=torch.float32, task="ntk", in_features=1, **options):
    config = published_config(method=method, task=task, in_features=in_features, out_features=1, **options)
    return build_network(config, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("method", ["finer", "gauss-finer", "wire-finer"])
def test_the_published_figure(method, seed):
    """1024 points, width 256: as k grows the kernel turns into a band and more directions are learned.

    For other draws than the first at a third of the points, which take a tenth of the time.
    """
    points = 1024 if seed == 0 else 352
    x = torch.arange(points)[:, None] / points
    kernels = [empirical_ntk(network(method, seed=seed, first_bias_scale=k), x).numpy() for k in (1.0, 5.0, 10.0, 20.0)]
    ranks = [effective_rank(all_eigenpairs(kernel).values) for kernel in kernels]
    for figures in (
        ranks,
        [diagonal_energy(k) for k in kernels],
        [band_energy(k, half_width=points // 64) for k in kernels],
    ):
        assert all(later > earlier for earlier, later in pairwise(figures)), figures


def test_top_pairs_from_products_are_those_of_the_matrix():
    net = network("finer", task="image", in_features=2, hidden_features=32, dtype=torch.float64)
    x = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = all_eigenpairs(empirical_ntk(net, x).numpy())
    operator = ntk_operator(net, x)
    top = top_eigenpairs(operator, count=20)
    np.testing.assert_allclose(top.values, whole.values[:20], rtol=1e-9)
    assert top.residuals.max() < 1e-6 and whole.residuals[:20].max() < 1e-6
    for count in (0, 200, 300):
        with pytest.raises(InputError, match="--top"):
            top_eigenpairs(operator, count=count)
    with pytest.raises(InputError, match="not symmetric"):
        ntk_operator(net, x, derivative="training")


def test_measures_at_their_ends():
    ones, unit = np.ones((8, 8)), np.eye(8)
    assert diagonal_energy(unit) == 1 and diagonal_energy(ones) == pytest.approx(1 / 8)
    assert band_energy(ones, half_width=1) == pytest.approx(22 / 64)
    assert effective_rank(np.ones(8)) == pytest.approx(8) and effective_rank(np.array([3.0, 0, -1e-9])) == 1
    assert alignment(ones, 5 * ones) == pytest.approx(1) and alignment(ones, unit) == pytest.approx(8 / 8**1.5)
    target = np.arange(8.0)
    assert target_energy(unit, target).sum() == pytest.approx(1)
    assert target_alignment(np.outer(target, target), target) == pytest.approx(1)
    with pytest.raises(InputError, match="square"):
        all_eigenpairs(np.ones((3, 4)))
    with pytest.raises(InputError, match="NaN"):
        all_eigenpairs(np.full((3, 3), np.nan))


def test_a_kernel_between_two_sets_of_points_has_no_eigenvalues():
    kernel = np.diag([3.0, 2.0, 1.0])
    kernel[0, 2] = 1e-3  # rounding, of a type of few digits
    assert all_eigenpairs(kernel).values == pytest.approx([3, 2, 1], rel=1e-6)
    kernel[0, 2] = 0.5
    with pytest.raises(InputError, match=r"not symmetric: values and their mirror images differ by up to 0\.5"):
        all_eigenpairs(kernel)


def test_kernels_at_their_ends_have_eigenvalues_or_are_refused():
    assert all_eigenpairs(np.zeros((0, 0))).vectors.shape == (0, 0)
    with pytest.raises(InputError, match=r"the kernel must be of real numbers, got dtype complex128"):
        all_eigenpairs(np.eye(3) * 1j)


@pytest.mark.parametrize("target", [np.ones(8) * (1 + 1j), np.array(["a"] * 8), torch.ones(8) * 1j])
def test_a_target_that_is_not_of_real_numbers_is_refused(target):
    points = line_grid(8)
    for ask in (analyze, predict_training):
        with pytest.raises(InputError, match="target must be real numbers, got "):
            ask(network("finer", hidden_features=8, dtype=torch.float32), points.coords, target)


class HeadLeftOut(torch.nn.Linear):
    """Has parameters that no output depends on."""

    def __init__(self):
        super().__init__(1, 1)
        self.head = torch.nn.Linear(3, 3)


def test_training_is_predicted_where_parameters_are_not_used():
    x = torch.linspace(-1, 1, 8)[:, None]
    found = predict_training(HeadLeftOut(), x, x, steps=5)
    assert found.deviation < 1e-6 and found.measured[-1] < found.measured[0]


def test_training_at_whole_numbers_is_that_at_the_same_in_double_precision():
    net, signal = network("finer", hidden_features=8, dtype=torch.float32), np.linspace(-0.9, 0.9, 3)
    for places in (np.arange(3)[:, None] - 1, np.array([[False], [True], [True]])):
        expected = predict_training(net, places.astype(np.float64), signal, steps=3)
        assert predict_training(net, places, signal, steps=3).measured == pytest.approx(expected.measured, rel=1e-6)
        assert expected.deviation < 0.1
    with pytest.raises(InputError, match=r"points must be real numbers, got dtype torch\.complex128"):
        predict_training(net, places + 1j, signal, steps=3)


class Constant(torch.nn.Linear):
    def forward(self, x):
        return 0 * super().forward(x)


@pytest.mark.parametrize(("target", "loss"), [(0.0, 0.0), (2.0, 4.0)])
def test_training_that_has_nothing_to_learn_or_cannot_is_predicted_without_deviation(target, loss):
    found = predict_training(Constant(1, 1), np.zeros((4, 1)), np.full(4, target), steps=2)
    assert found.predicted.tolist() == found.measured.tolist() == [loss] * 3 and found.deviation == 0
    assert dataclasses.replace(found, predicted=found.predicted + 1, measured=0 * found.measured).deviation == np.inf


@pytest.mark.parametrize("method", ["finer", "siren", "gauss", "gauss-finer"])
def test_training_as_the_kernel_predicts_it(method):
    """Within 5 % over 100 steps, while the loss falls by more than half."""
    net = network(method, dtype=torch.float64)
    x = torch.arange(128, dtype=torch.float64)[:, None] / 64 - 1
    y = torch.sin(3 * x) + 0.5 * torch.cos(9 * x)
    function = as_row_function(net)
    rate = 0.1 * 128 / all_eigenpairs(empirical_ntk(net, x).numpy()).values[0]
    residual = (function(function.params, x, exact=False) - y).numpy().ravel()
    kernel = empirical_ntk(net, x, derivative="training").numpy()
    predicted = predicted_losses(kernel, residual, learning_rate=rate, steps=100)
    real = descend(function, x, y, learning_rate=rate, steps=100)
    with torch.no_grad():  # of the caller
        np.testing.assert_array_equal(descend(function, x, y, learning_rate=rate, steps=100), real)
    assert real[-1] < 0.5 * real[0]
    np.testing.assert_allclose(predicted, real, rtol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_is_predicted_under_inference_mode(dtype):
    points, outside = line_grid(8), network("finer", dtype=dtype, hidden_features=8)
    expected = predict_training(outside, points.coords, points.target, steps=3)
    with torch.inference_mode():
        inside = network("finer", dtype=dtype, hidden_features=8)
        for model in (outside, inside):
            for coords in (points.coords, points.coords.clone()):
                found = predict_training(model, coords, points.target, steps=3)
                assert np.array_equal(found.measured, expected.measured)
        assert torch.is_inference_mode_enabled()


def test_a_spectrum_of_all_falls_back_to_the_top_where_memory_ends():
    net = build_network("finer", task="ntk", in_features=1, out_features=1, hidden_features=8)
    points = line_grid(256).coords
    whole, top = analyze(net, points, memory="4MB"), analyze(net, points, memory="3MB")  # six matrices take 3.1 MB
    assert (len(whole.eigenvalues), whole.estimated) == (256, False)
    assert (len(top.eigenvalues), top.estimated) == (64, True)
    rounding = 1e-6 * whole.eigenvalues[0]  # of a kernel in single precision
    np.testing.assert_allclose(top.eigenvalues, whole.eigenvalues[:64], rtol=0, atol=rounding)
    with pytest.raises(InputError, match="256 points needs about 3 MB"):
        analyze(net, points, top=256, memory="3MB")


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_the_unit_of_a_target_does_not_matter(scale):
    vectors, target = np.eye(3), np.array([1.0, 2.0, 3.0])
    kernel = np.diag([3.0, 2.0, 1.0])
    np.testing.assert_allclose(target_energy(vectors, target * scale), target_energy(vectors, target), rtol=1e-12)
    assert target_alignment(kernel, target * scale) == pytest.approx(target_alignment(kernel, target), rel=1e-12)


@pytest.mark.parametrize("scale", [1e90, 1e-90])
def test_the_unit_of_kernels_does_not_matter(scale):
    one, two = np.diag([3.0, 2.0, 1.0]), np.ones((3, 3))
    assert alignment(one * scale, two * scale) == pytest.approx(alignment(one, two), rel=1e-12)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_a_kernel_in_a_file_is_written_and_read_without_staying_in_memory(tmp_path):
    path, side = tmp_path / "kernel.npy", 5000  # 100 MB
    np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(side, side))
    before = mapped_bytes()
    for start in range(0, side, 500):
        _Stored(path)[start : start + 500, :] = np.ones((500, side), np.float32)
        assert mapped_bytes() - before < 20e6
    kernel = np.load(path, mmap_mode="r")
    assert diagonal_energy(kernel) == pytest.approx(1 / side)
    assert mapped_bytes() - before < 20e6, "each band is given back"
    assert diagonal_energy(kernel[:50, :50]) == pytest.approx(1 / 50), "a part of a mapped array is itself"


def mapped_bytes() -> int:
    """Return the bytes of files that are in this process's memory."""
    return int(Path("/proc/self/statm").read_text().split()[2]) * mmap.PAGESIZE


def test_points_and_predictions_are_told_in_a_line():
    points = line_grid(6)
    assert repr(points) == "Points: 6 points on [0, 1)"
    losses = {"predicted": np.array([1.0, 0.45]), "measured": np.array([1.0, 0.5])}
    assert repr(TrainingPrediction(**losses, learning_rate=0.1)) == "TrainingPrediction: 1 step at 0.1, deviation 0.1"


def test_a_spectrum_says_how_many_eigenvalues_it_holds():
    one, all_three = (analyze_kernel(np.eye(3), top=top) for top in (1, None))
    assert repr(one).startswith("NtkSpectrum: 1 eigenvalue of 3, ")
    assert repr(all_three).startswith("NtkSpectrum: 3 eigenvalues of 3, ")
