"""Model files whose image data was changed and signed again: refused by name, before anything is computed."""

import math

import numpy as np
import pytest
import torch

from finer_core import InputError, build_network, save_model
from finer_core.networks.build import published_config
from finer_image.app.cli import main
from finer_image.io.image import Image
from finer_image.model import TASK, ImageModel
from tests import refusals

HUGE = 10**400


@pytest.fixture
def made(tmp_path):
    """Give a network, its image data, and the path that they are to be saved at."""
    config = published_config(method="finer", task="image", in_features=2, out_features=3, hidden_features=8)
    network = build_network(config, generator=torch.Generator().manual_seed(0))
    image = Image.from_pixels(np.zeros((4, 5, 3), dtype=np.uint8), value_range=(0.0, 255.0))
    model = ImageModel.of(network, image, target_range=(-1.0, 1.0))
    return network, model.task_data(), tmp_path / "m.safetensors"


def test_it_is_loaded_as_it_was_saved(made):
    network, data, path = made
    save_model(network, path, task=TASK, task_data=data)
    assert ImageModel.load(str(path)).height == 4


@pytest.mark.parametrize(
    ("names", "value"),
    [
        *((("target_range",), value) for value in ([1, 1], [2, 1], [0, HUGE], [0], "ab", None, [0, "1"], [[], []])),
        *(((side,), value) for side in ("height", "width") for value in (0, -1, 10**12, HUGE, 2.5, "4", None, True)),
        *((("image",), value) for value in (None, [], 3, {})),
        *((("image", "dtype"), value) for value in ("V1000000000", "O", "uint9", "complex64", 3, None, "x" * 5000)),
        *((("image", "channels"), value) for value in (0, 4, HUGE, "3", None)),
        *((("image", "value_range"), value) for value in ([1, 0], [0, HUGE], [0], None)),
        *((("image", "mode"), value) for value in ("L", "XYZ", 3, "x" * 5000)),
        *((("image", "icc_profile"), value) for value in ("!", 3)),
        *((("image", "channel_names"), value) for value in ([1], "abc", ["a"])),
    ],
    ids=str,
)
def test_changed_image_data_is_refused_by_name(made, capsys, names, value):
    network, data, path = made
    inner = data
    for name in names[:-1]:
        inner = inner[name]
    inner[names[-1]] = value
    save_model(network, path, task=TASK, task_data=data)
    refusals.assert_refused(main, ["render", str(path), "--out", str(path.parent / "o.png")], capsys, "m.safetensors: ")
    with pytest.raises(InputError) as caught:
        ImageModel.load(str(path))
    assert len(str(caught.value)) <= 300
    assert not any(raw in str(caught.value) for raw in ("KeyError", "TypeError", "ValueError("))


def test_weights_that_are_no_numbers_are_refused(made):
    network, data, path = made
    with torch.no_grad():
        network.head.bias[1] = math.nan
    save_model(network, path, task=TASK, task_data=data)
    with pytest.raises(InputError, match=r"weights 'head\.bias' hold NaN or infinity"):
        ImageModel.load(str(path))


def test_a_picture_that_no_disk_holds_is_refused_before_it_is_begun(made, capsys):
    network, data, path = made
    save_model(network, path, task=TASK, task_data={**data, "height": 10**7, "width": 10**7})
    out = path.parent / "o.tif"
    refusals.assert_refused(main, ["render", str(path), "--out", str(out), "--quiet"], capsys, "do not fit on the disk")
    assert not out.exists()
