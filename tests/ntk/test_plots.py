"""Figures of kernels are drawn of what the functions of finer-ntk return, arrays and tensors, of any size."""

import numpy as np
import pytest
import torch

from finer_ntk import plots


@pytest.mark.filterwarnings("error")
def test_a_tensor_is_drawn_as_its_array_is():
    kernel = torch.eye(6, requires_grad=True) + 0.25
    drawn = plots.draw_kernels({"tensor": kernel, "array": kernel.detach().numpy()}, normalize=True)
    first, second = (axes.images[0].get_array() for axes in drawn.axes[:2])
    assert np.array_equal(first, second) and first.max() == pytest.approx(1)


def test_large_kernels_lose_rows_and_channels_are_added_up():
    kernels = {"large": np.eye(1030), "channels": np.stack([np.eye(4), 2 * np.eye(4)], axis=-1)}
    large, channels = (axes.images[0].get_array() for axes in plots.draw_kernels(kernels, normalize=False).axes[:2])
    assert large.shape == (344, 344) and np.array_equal(channels, 3 * np.eye(4))
