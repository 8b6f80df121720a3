"""Weights of distances are those that their noise asks for: even for normal noise, small in long tails."""

import numpy as np
import pytest

from finer_sdf.training.noise_weights import noise_weights


def long_tailed(*size: int) -> np.ndarray:
    """Return a coordinate of displacements of normal length in random directions."""
    random = np.random.default_rng(0)
    return random.normal(size=size) * random.uniform(-1, 1, size)


def test_normal_noise_has_even_weights():
    assert noise_weights(np.random.default_rng(0).normal(size=20_000)) == pytest.approx(np.ones(20_000), abs=0.15)


def test_a_weighted_mean_of_long_tails_is_closer_than_the_mean():
    samples = long_tailed(300, 200)
    weights = np.stack([noise_weights(sample) for sample in samples])
    weighted = (weights * samples).sum(axis=1) / weights.sum(axis=1)
    assert weighted.std() < 0.85 * samples.mean(axis=1).std()


def test_the_unit_of_distances_does_not_matter_and_only_their_size_does():
    distances = long_tailed(5000)
    weights = noise_weights(distances)
    assert noise_weights(-1e-6 * distances) == pytest.approx(weights)
    assert (np.diff(weights[np.argsort(np.abs(distances))]) <= 0).all()


def test_weights_bend_the_sum_as_much_as_least_squares():
    """The derivative of the mean of w(r) r at a shift of all distances is 1."""
    distances = long_tailed(20_000)
    order = np.argsort(distances)
    pulls = (noise_weights(distances) * distances)[order]
    step = 0.01
    ahead, behind = (np.interp(distances + sign * step, distances[order], pulls) for sign in (1, -1))
    assert (ahead - behind).mean() / (2 * step) == pytest.approx(1, rel=0.03)


def test_points_on_the_surface_count_alike():
    assert (noise_weights(np.zeros(5)) == 1).all()
