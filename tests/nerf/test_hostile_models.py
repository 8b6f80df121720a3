"""Model files whose scene data was changed and signed again: refused by name, before anything is computed."""

import math

import numpy as np
import pytest
import torch

from finer_core import InputError, save_model
from finer_nerf.cameras import Camera
from finer_nerf.fields.radiance_field import RadianceField, field_config
from finer_nerf.model import TASK, NerfModel
from finer_nerf.normalization import Normalization
from finer_nerf.rendering.occupancy import OccupancyGrid

HUGE = 10**400


@pytest.fixture
def model():
    config = field_config(method="finer", geometry_features=4, color_layers=0, hidden_features=8, hidden_layers=0)
    return NerfModel(
        field=RadianceField.build(config, generator=torch.Generator().manual_seed(0)),
        frame=Normalization(scale=1.0),
        bound=1.0,
        grid=OccupancyGrid(resolution=4, bound=1.0, threshold=0.1),
        background="white",
        min_near=0.2,
        max_samples=16,
        min_weight=0.0,
        camera=Camera(width=4, height=3, fx=4.0, fy=4.0, cx=2.0, cy=1.5),
        train_poses=np.eye(4)[None],
        scene={"name": "n"},
    )


def saved(model, path, monkeypatch, *names, value):
    """Save a model with one value of its scene data replaced."""

    def save(parts, where, *, task, task_data):
        inner = task_data
        for name in names[:-1]:
            inner = inner[name]
        if names:
            inner[names[-1]] = value
        save_model(parts, where, task=task, task_data=task_data)

    monkeypatch.setattr("finer_nerf.model.save_model", save)
    model.save(str(path))
    return str(path)


def test_it_is_loaded_as_it_was_saved(model, tmp_path, monkeypatch):
    loaded = NerfModel.load(saved(model, tmp_path / "m.safetensors", monkeypatch, value=None))
    assert (loaded.bound, loaded.max_samples, loaded.camera) == (1.0, 16, model.camera)
    assert TASK == "nerf"


@pytest.mark.parametrize(
    ("names", "value"),
    [
        *((("bound",), value) for value in (0, -1, HUGE, 1e300, "1", None)),
        *((("min_near",), value) for value in (-1, HUGE, "1", None)),
        *((("max_samples",), value) for value in (0, HUGE, 10**12, 2.5, None)),
        *((("min_weight",), value) for value in (HUGE, "1", None)),
        *((("background",), value) for value in ("red", 3, None, "x" * 5000)),
        *((("directions",), value) for value in ("what", 3, None)),
        *(
            (("frame",), value)
            for value in (
                {},
                None,
                {"scale": HUGE, "offset": [0, 0, 0]},
                {"scale": 0, "offset": [0, 0, 0]},
                {"scale": 1e-300, "offset": [0, 0, 0]},
            )
        ),
        *((("camera",), value) for value in ({}, None, [])),
        *((("camera", "width"), value) for value in (0, None)),
        *((("camera", "fx"), value) for value in (0, HUGE, None, 1e300)),
        *((("camera", "projection"), value) for value in ("anamorphic", None, [])),
        *((("camera", "distortion"), value) for value in (5, [0] * 99, ["x"], None)),
        *((("train_poses",), value) for value in (None, [], [[1]], "x", [[[0] * 4] * 2], [[[HUGE] * 4] * 3])),
        (("train_poses",), [[[1e300] * 4] * 3]),
        *((("grid",), value) for value in (None, {}, [])),
        *((("grid", "resolution"), value) for value in (0, 10**9, HUGE, 4.5, None)),
        *((("grid", "threshold"), value) for value in (HUGE, "1", None)),
        *((("grid", "occupied"), value) for value in ("", "!", 3, None, "AAAA")),
        *((("scene",), value) for value in (None, [], 3)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_changed_scene_data_is_refused_by_name(model, tmp_path, monkeypatch, names, value):
    path = saved(model, tmp_path / "m.safetensors", monkeypatch, *names, value=value)
    with pytest.raises(InputError) as caught:
        NerfModel.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value)) <= 300


def test_weights_that_are_no_numbers_are_refused(model, tmp_path, monkeypatch):
    with torch.no_grad():
        next(model.field.parameters())[0] = math.inf
    with pytest.raises(InputError, match="hold NaN or infinity"):
        NerfModel.load(saved(model, tmp_path / "m.safetensors", monkeypatch, value=None))
