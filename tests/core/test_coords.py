"""Coordinate grids: the published convention, any number of axes, parts without the whole."""

import itertools

import pytest
import torch

from finer_core.coords import axis_coords, coords_of_index, grid_coords

from . import golden


def test_golden_image_grid():
    arrays = golden.load("image/data_semantics")
    # Processors round the steps of an axis differently, by at most the last bit of 1.
    torch.testing.assert_close(grid_coords(64, 64), torch.from_numpy(arrays["coords"]), rtol=0, atol=2**-23)


@pytest.mark.parametrize("length", [2, 3, 64, 1001])
def test_an_axis_holds_both_ends_and_even_steps(length):
    axis = axis_coords(length, dtype=torch.float64)
    assert (axis[0], axis[-1]) == (-1, 1)
    torch.testing.assert_close(axis.diff(), torch.full((length - 1,), 2 / (length - 1), dtype=torch.float64))


def test_a_single_sample_sits_in_the_center():
    assert axis_coords(1).tolist() == [0.0]
    assert grid_coords(1, 2).tolist() == [[0.0, -1.0], [0.0, 1.0]]


@pytest.mark.parametrize("length", [0, -3])
def test_an_axis_needs_a_sample(length):
    with pytest.raises(ValueError, match=f"got {length}"):
        axis_coords(length)


@pytest.mark.parametrize("shape", [(4,), (3, 5), (2, 3, 4)])
def test_first_axis_is_slow(shape):
    axes = [axis_coords(length).tolist() for length in shape]
    assert grid_coords(*shape).tolist() == [list(point) for point in itertools.product(*axes)]


@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4)])
def test_coordinates_of_some_samples_equal_the_grid_s(shape):
    grid = grid_coords(*shape)
    index = torch.randperm(len(grid), generator=torch.Generator().manual_seed(0))
    axes = tuple(axis_coords(length) for length in shape)
    assert torch.equal(coords_of_index(index, axes), grid[index])


def test_coordinates_of_a_sample_of_a_grid_that_would_not_fit():
    axes = (axis_coords(10**6), axis_coords(10**6))
    assert coords_of_index(torch.tensor([10**12 - 1, 10**6 - 1]), axes).tolist() == [[1.0, 1.0], [-1.0, 1.0]]


def test_dtype_and_device():
    assert grid_coords(2, 2, dtype=torch.float64).dtype == torch.float64
    assert grid_coords(2, 2).dtype == torch.get_default_dtype()
    assert grid_coords(2, 2, device="meta").is_meta


def test_a_grid_without_axes_is_refused():
    with pytest.raises(ValueError, match="at least one axis"):
        grid_coords()
