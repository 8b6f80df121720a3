"""Importance sampling by error: unbiased, attentive, and resumable."""

import numpy as np
import pytest
import torch

from finer_core.networks.build import published_config
from finer_core.training import fresh_network
from finer_image.app.cli import main
from finer_image.training.importance import ErrorSampledObjective
from finer_image.training.objective import PixelTarget


def target_of(height: int = 24, width: int = 20) -> PixelTarget:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return PixelTarget(pixels, value_range=(0, 255), target_range=(-1, 1))


def objective_of(**settings) -> ErrorSampledObjective:
    given = {"batch_pixels": 30, "seed": 0, "chunk_pixels": 16, **settings}
    return ErrorSampledObjective(target_of(), **given)


def network_of():
    config = published_config(
        method="siren", task="image", in_features=2, out_features=3, hidden_features=8, hidden_layers=1
    )
    return fresh_network(config, seed=0, device="cpu", compiled=False, precision="fp32")


@pytest.mark.parametrize("size", [(24, 20), (7, 13), (1, 30), (5, 1)])
def test_the_weighted_mean_is_the_image_s(size):
    objective = ErrorSampledObjective(target_of(*size), batch_pixels=16, seed=1, chunk_pixels=99)
    objective.errors = torch.rand(len(objective.errors), dtype=torch.float64) * 9
    values = torch.rand(size[0] * size[1], dtype=torch.float64)
    means = []
    for step in range(3000):
        _, pixels, weights = objective.draw(step)
        assert pixels.min() >= 0 and pixels.max() < len(values)
        means.append(float((values[pixels] * weights).mean()))
    deviation = float(np.std(means)) / len(means) ** 0.5
    assert np.mean(means) == pytest.approx(float(values.mean()), abs=5 * deviation)


def test_every_pixel_can_be_drawn():
    objective = objective_of()
    drawn = torch.cat([objective.draw(step)[1] for step in range(400)])
    assert len(drawn.unique()) == 24 * 20


def test_a_bad_cell_is_drawn_more_often_and_no_weight_exceeds_two():
    objective = objective_of()
    objective.errors[3] = 100.0
    cells, _, weights = objective.draw(0)
    assert (cells == 3).sum() > len(cells) / 4
    assert float(weights.max()) <= 2.0 + 1e-9


def test_a_step_learns_where_the_errors_are():
    objective, network = objective_of(), network_of()
    before = objective.errors.clone()
    cells, pixels, _ = objective.draw(0)
    objective.backward(network, 0)
    changed = (objective.errors != before).nonzero().ravel()
    assert changed.tolist() == cells.unique().tolist()
    coords, values = objective.target.at(pixels)
    with torch.no_grad():
        errors = (network(coords) - values).square().mean(dim=-1)
    first = int(cells[0])
    expected = 0.7 + 0.3 * float(errors[cells == first].mean())
    assert float(objective.errors[first]) == pytest.approx(expected, rel=1e-5)


def test_pieces_do_not_change_the_loss():
    losses = [float(objective_of(chunk_pixels=chunk).backward(network_of(), 0)) for chunk in (5, 30)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_its_state_makes_the_rest_the_same():
    first, second = objective_of(), objective_of()
    first.backward(network_of(), 0)
    assert not all(torch.equal(a, b) for a, b in zip(first.draw(1), second.draw(1), strict=True))
    second.load_state_dict(first.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(first.draw(1), second.draw(1), strict=True))


def test_errors_that_cannot_be_are_refused():
    objective = objective_of()
    with pytest.raises(ValueError, match=r"objective\.errors is negative"):
        objective.load_state_dict({"errors": -objective.errors})


def test_bad_sizes():
    with pytest.raises(ValueError, match="must be at least 1, got 0, 16"):
        objective_of(batch_pixels=0)


def test_a_command_fits_by_it(tmp_path):
    from PIL import Image as Pillow

    Pillow.fromarray(np.random.default_rng(1).integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    small = ["--hidden-features", "16", "--hidden-layers", "1", "--steps", "6", "--batch-pixels", "64", "--quiet"]
    common = ["fit", str(tmp_path / "a.png"), *small]
    assert main([*common, "--sampling", "importance", "--out", str(tmp_path / "error")]) == 0
    assert main([*common, "--out", str(tmp_path / "even")]) == 0
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("error", "even")]
    assert models[0] != models[1]


def test_a_full_batch_cannot_be_sampled(tmp_path, capsys):
    out = ["--out", str(tmp_path / "run"), "--quiet"]
    assert main(["fit", "--sampling", "importance", "--batch-pixels", "0", *out]) == 2
    assert "--sampling importance needs a batch" in capsys.readouterr().err
