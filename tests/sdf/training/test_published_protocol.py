"""`--preset paper` draws, targets, weighs and schedules as published (tests/golden/sdf)."""

import threading

import numpy as np
import pytest
import torch

from finer_core.errors import InputError
from finer_sdf.geometry import PointCloud
from finer_sdf.training.bacon import (
    CloudDistance,
    PublishedSampler,
    published_batch,
    published_schedule,
    published_weights,
    wrap_into_box,
)
from finer_sdf.training.objective import WeightedError
from finer_sdf.training.samples import Prefetcher, SdfSamples, workers_beside
from tests.core import golden


@pytest.fixture(scope="module")
def distance() -> CloudDistance:
    arrays = golden.load("sdf/point_cloud")
    return CloudDistance(PointCloud(points=arrays["points_normalised"], normals=arrays["normals_unit"]))


def test_a_batch_is_drawn_in_the_published_order(distance):
    golden_batch = golden.load("sdf/sample_batch")
    drawn = published_batch(np.random.RandomState(int(golden_batch["seed"])), distance, batch_points=2000)
    assert np.array_equal(drawn.index, golden_batch["index"])
    np.testing.assert_allclose(drawn.unwrapped, golden_batch["points_before_wrap"], rtol=0, atol=1e-15)
    np.testing.assert_allclose(drawn.points, golden_batch["points"], rtol=0, atol=1e-15)
    np.testing.assert_allclose(drawn.sdf, golden_batch["sdf"], rtol=0, atol=1e-14)


def test_the_three_nearest_points_are_exact(distance):
    golden_batch = golden.load("sdf/sample_batch")
    near, index = distance.neighbors(golden_batch["points"])
    np.testing.assert_allclose(near, golden_batch["neighbour_distance"], rtol=0, atol=1e-14)
    assert np.array_equal(index, golden_batch["neighbour_index"])


def test_the_trainer_sees_single_precision(distance):
    golden_batch = golden.load("sdf/sample_batch")
    drawn = published_batch(np.random.RandomState(int(golden_batch["seed"])), distance, batch_points=2000)
    assert np.array_equal(drawn.points.astype(np.float32), golden_batch["coords_f32"])
    np.testing.assert_allclose(drawn.sdf.astype(np.float32), golden_batch["sdf_f32"], rtol=0, atol=6e-8)


def test_points_wrap_once():
    points = np.array([[0.5, -0.5, 0.5000001], [-0.51, 1.7, 0.0]])
    np.testing.assert_allclose(wrap_into_box(points), [[0.5, -0.5, -0.4999999], [0.49, 0.7, 0.0]])


def test_an_odd_batch_is_refused(distance):
    with pytest.raises(InputError, match="even"):
        published_batch(np.random.RandomState(0), distance, batch_points=2001)


def samples_of(target: torch.Tensor, weight: torch.Tensor) -> SdfSamples:
    return SdfSamples(coords=torch.zeros(len(target), 3), sdf=target, weight=weight)


def loss_at(prediction: torch.Tensor, samples: SdfSamples) -> torch.Tensor:
    return WeightedError(lambda coords: prediction, error="squared")(samples)


@pytest.mark.parametrize("coarse_weight", [0.01, 0.5])
def test_loss_and_its_gradient_are_published(coarse_weight):
    arrays = golden.load("sdf/losses")
    prediction = torch.from_numpy(arrays["prediction"])[0].requires_grad_()
    weight = published_weights(len(prediction), coarse_weight=coarse_weight)
    loss = loss_at(prediction, samples_of(torch.from_numpy(arrays["target"])[0], weight))
    loss.backward()
    assert loss.item() == pytest.approx(float(arrays[f"weight{coarse_weight}.total"]), rel=1e-6)
    np.testing.assert_allclose(
        prediction.grad.numpy(), arrays[f"weight{coarse_weight}.grad_prediction"][0], rtol=1e-6, atol=1e-9
    )


def test_the_loss_of_several_heads_is_published():
    arrays = golden.load("sdf/losses")
    prediction = torch.from_numpy(arrays["multiscale.prediction"])[:, 0].requires_grad_()
    samples = samples_of(torch.from_numpy(arrays["target"])[0], published_weights(2000))
    loss = loss_at(prediction, samples)
    loss.backward()
    assert loss.item() == pytest.approx(float(arrays["multiscale.total"]), rel=1e-6)
    np.testing.assert_allclose(
        prediction.grad.numpy(), arrays["multiscale.grad_prediction"][:, 0], rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize(("name", "rate"), [("lr_1e4_over50", 1e-4), ("lr_5e4_over50", 5e-4), ("lr_1e2_over50", 1e-2)])
def test_the_learning_rate_is_published(name, rate):
    arrays = golden.load("sdf/learning_rate_schedule")
    factor = published_schedule(initial_rate=rate)
    ours = [rate * factor(int(step), 50) for step in arrays["step"]]
    np.testing.assert_allclose(ours, arrays[name], rtol=1e-12)


def test_a_step_depends_on_seed_and_number_alone(distance):
    def coords(seed: int, step: int) -> torch.Tensor:
        return PublishedSampler(distance, batch_points=200, seed=seed).batch(step).coords

    assert torch.equal(coords(0, 7), coords(0, 7))
    assert not torch.equal(coords(0, 7), coords(0, 8))
    assert not torch.equal(coords(0, 7), coords(1, 7))


@pytest.mark.parametrize("workers", [1, 3])
def test_samples_made_ahead_are_those_of_their_step(distance, workers):
    sampler = PublishedSampler(distance, batch_points=200, seed=0)
    ahead = Prefetcher(sampler, steps=12, workers=workers)
    for step in (0, 1, 2, 5, 6, 3, 4, 10, 11):  # jumps, as after a resumption or a rollback
        assert torch.equal(ahead.batch(step).coords, sampler.batch(step).coords)
    ahead.close()


def test_samples_of_several_steps_are_made_at_once():
    meet = threading.Barrier(3, timeout=20)

    class Waiting:
        def batch(self, step: int) -> SdfSamples:
            if step < 3:
                meet.wait()  # passes only if three are at work together
            row = torch.full((1, 1), float(step))
            return SdfSamples(coords=row.expand(1, 3), sdf=row, weight=row)

    ahead = Prefetcher(Waiting(), steps=5, workers=3)
    assert [float(ahead.batch(step).sdf) for step in range(5)] == [0, 1, 2, 3, 4]
    ahead.close()


def test_a_cpu_that_trains_has_one_thread_for_samples(monkeypatch):
    monkeypatch.setattr("finer_sdf.training.samples.worker_count", lambda: 16)
    assert (workers_beside("cpu"), workers_beside("cuda")) == (1, 4)
    monkeypatch.setattr("finer_sdf.training.samples.worker_count", lambda: 2)
    assert workers_beside("cuda") == 2
