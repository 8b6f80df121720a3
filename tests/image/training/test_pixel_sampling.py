"""Stratified batches: every pixel once a pass, spread over the image, a pure function of seed and step."""

import pytest
import torch

from finer_image.training.stratified import StratifiedPixels

SHAPES = [(64, 64, 128), (60, 44, 100), (7, 300, 64), (300, 1, 16), (1, 999, 32), (33, 31, 5000), (5, 5, 1)]


@pytest.mark.parametrize(("height", "width", "batch_pixels"), SHAPES)
def test_a_pass_is_a_permutation(height, width, batch_pixels):
    sampler = StratifiedPixels(height=height, width=width, batch_pixels=batch_pixels, seed=3)
    for number in range(2):
        first = number * sampler.steps_per_pass
        batches = [sampler.batch(first + step) for step in range(sampler.steps_per_pass)]
        assert all(batch.numel() > 0 for batch in batches)
        assert torch.equal(torch.cat(batches).sort().values, torch.arange(height * width))


@pytest.mark.parametrize(("height", "width", "batch_pixels"), SHAPES)
def test_batches_have_about_the_size_asked_for(height, width, batch_pixels):
    sampler = StratifiedPixels(height=height, width=width, batch_pixels=batch_pixels, seed=0)
    mean = height * width / sampler.steps_per_pass
    assert min(batch_pixels, height * width) / 2 <= mean <= 2 * batch_pixels


def test_one_pixel_from_every_cell():
    sampler = StratifiedPixels(height=64, width=64, batch_pixels=128, seed=0)
    assert (sampler.cell_height, sampler.cell_width) == (8, 4)
    for step in (0, 5, 31, 32):
        batch = sampler.batch(step)
        cells = torch.stack([batch // 64 // sampler.cell_height, batch % 64 // sampler.cell_width], dim=1)
        assert len({tuple(cell) for cell in cells.tolist()}) == batch.numel() == 128


def test_a_batch_depends_on_seed_and_step_alone():
    def make(seed: int) -> StratifiedPixels:
        return StratifiedPixels(height=32, width=32, batch_pixels=64, seed=seed)

    used = make(1)
    for step in range(40):
        used.batch(step)
    assert torch.equal(used.batch(23), make(1).batch(23))
    assert not torch.equal(make(1).batch(23), make(2).batch(23))
    assert not torch.equal(make(1).batch(3), make(1).batch(3 + used.steps_per_pass))
    state = torch.get_rng_state()
    make(1).batch(0)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("height", "width", "batch_pixels"), SHAPES)
def test_a_batch_is_in_the_order_of_the_cells(height, width, batch_pixels):
    sampler = StratifiedPixels(height=height, width=width, batch_pixels=batch_pixels, seed=5)
    across = -(-width // sampler.cell_width)
    for step in (0, 7, 2 * sampler.steps_per_pass - 1):
        batch = sampler.batch(step)
        cells = batch // width // sampler.cell_height * across + batch % width // sampler.cell_width
        assert (cells.diff() > 0).all()


def test_bad_sizes():
    with pytest.raises(ValueError, match="got 0, 5, 1"):
        StratifiedPixels(height=0, width=5, batch_pixels=1, seed=0)


def test_places_are_made_where_they_are_used_and_batches_on_the_cpu():
    there, here = (
        StratifiedPixels(height=61, width=47, batch_pixels=128, seed=0, device=device) for device in ("meta", "cpu")
    )
    # A tensor of "meta" met by one of the CPU is an error: nothing is copied from step to step.
    assert {place.device.type for place in there.places(*there.drawn(17))} == {"meta"}
    assert torch.equal(there.batch(17), here.batch(17))
