"""Model files whose shape data was changed and signed again: refused by name, before anything is computed."""

import numpy as np
import pytest
import torch

from finer_core import InputError, build_network, save_model
from finer_core.networks.build import published_config
from finer_sdf.model import SdfModel
from finer_sdf.model_data import TASK
from finer_sdf.normalization import SHAPE_HALF_SIDE, THE_BOX_ITSELF

HUGE = 10**400


def saved(path, **change):
    config = published_config(method="finer", task="sdf", in_features=3, out_features=1, hidden_features=8)
    network = build_network(config, generator=torch.Generator().manual_seed(0))
    data = SdfModel(network=network, normalization=THE_BOX_ITSELF, shape={"name": "n"}).task_data()
    save_model(network, path, task=TASK, task_data={**data, **change})
    return str(path)


@pytest.mark.parametrize(
    "change",
    [
        *({"frame": frame} for frame in (None, [], {}, {"scale": 1.0}, {"scale": 1.0, "offset": [0, 0]})),
        *(
            {"frame": {"scale": scale, "offset": [0, 0, 0]}}
            for scale in (0, -1, HUGE, "1", None, 1e-320, 1e-300, 1e300, True)
        ),
        *({"frame": {"scale": 1e-10, "offset": [0, offset, 0]}} for offset in (HUGE, 1e305, "0", None)),
        {"frame": {"scale": 1.0, "offset": [0, 0, 0], "more": 1}},
        *({"shape": shape} for shape in (None, [], 3)),
    ],
    ids=lambda change: str(change)[:60],
)
def test_changed_shape_data_is_refused_by_name(tmp_path, change):
    path = saved(tmp_path / "m.safetensors", **change)
    with pytest.raises(InputError) as caught:
        SdfModel.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    "bounds", [None, [], [[0, 0, 0]], [[0, 0, 0], [0, HUGE, 0]], [["a"] * 3] * 2, "x", [[0, 0], [1, 1]]]
)
def test_bounds_that_are_none_are_the_box_s(tmp_path, bounds):
    model = SdfModel.load(saved(tmp_path / "m.safetensors", shape={"bounds": bounds}))
    np.testing.assert_array_equal(model.bounds(), [[-SHAPE_HALF_SIDE] * 3, [SHAPE_HALF_SIDE] * 3])


@pytest.mark.parametrize("bounds", [[[0, 1e300, 0], [1, 1, 1]], [[0, 0, 0], [1, -1e308, 1]], [[0, 0, 0], [9, 9, 9]]])
def test_bounds_beyond_the_box_are_nobodys(tmp_path, bounds):
    model = SdfModel.load(saved(tmp_path / "m.safetensors", shape={"bounds": bounds}))
    assert np.abs(model.bounds()).max() == SHAPE_HALF_SIDE
    assert model.render(size=(4, 4)).shape == (4, 4, 3)
