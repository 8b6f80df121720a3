"""Model files whose checksum is right and whose scene data is not: refused in one line, before anything is rendered."""

import copy

import numpy as np
import pytest
import torch

from finer_core.errors import InputError
from finer_core.model_file import load_model, save_model
from finer_nerf.fields.radiance_field import RadianceField, field_config
from finer_nerf.frame import Frame
from finer_nerf.model import RadianceModel, load_nerf_model
from finer_nerf.rendering.occupancy import OccupancyGrid

from .small_scenes import ball_views

HUGE = 10**400


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Save a small model; return its networks and scene data."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    config = field_config(method="siren", hidden_features=8, hidden_layers=1, color_layers=1)
    views = ball_views(3, size=4)
    RadianceModel(
        field=RadianceField.build(config, generator=torch.Generator().manual_seed(0)),
        frame=Frame(scale=0.8),
        bound=1.0,
        grid=OccupancyGrid(resolution=4, bound=1.0, threshold=1.0),
        background="white",
        min_near=0.2,
        max_samples=16,
        least_weight=0.0,
        camera=views.cameras[0],
        train_poses=Frame(scale=0.8).poses_to_box(views.poses),
    ).save(str(path))
    parts = load_model(path)
    return parts, parts.info.task_data


def test_the_model_itself_is_loaded(saved, tmp_path):
    parts, data = saved
    save_model(parts, tmp_path / "m.safetensors", task="nerf", task_data=data)
    model = load_nerf_model(str(tmp_path / "m.safetensors"))
    assert model.camera == ball_views(3, size=4).cameras[0] and model.bound == 1.0


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *[
            ((key,), value)
            for key in ("bound", "min_near", "least_weight")
            for value in (HUGE, "1", None, [], -1, True)
        ],
        *[(("max_samples",), value) for value in (HUGE, 2.5, 0, None)],
        *[(("grid", "resolution"), value) for value in (HUGE, 10**6, 1, "4", None)],
        *[(("grid", "threshold"), value) for value in (HUGE, "x", None)],
        *[(("grid", "occupied"), value) for value in ("", "%", 5, None, "eJw=")],
        *[(("train_poses",), value) for value in ([], [1], "x", None, [[[HUGE] * 4] * 3], [[[1e300] * 4] * 3])],
        *[
            (("camera", key), value)
            for key in ("width", "fx", "distortion")
            for value in (HUGE, "x", None, -1, [1] * 99)
        ],
        *[(("frame", key), value) for key in ("scale", "offset") for value in (HUGE, "x", None, 0, [1, 2])],
        *[((key,), value) for key in ("camera", "frame", "grid") for value in (None, [], "x", 5)],
        *[(("background",), value) for value in ("pink", None, [], 5)],
        *[(("directions",), value) for value in ("up", None, [], 5)],
        (("camera", "projection"), "x" * 5000),
        (("frame", "scale"), 1e-300),
    ],
)
def test_scene_data_of_any_kind(saved, tmp_path, place, value):
    parts, data = saved
    data = copy.deepcopy(dict(data))
    *above, last = place
    entry = data
    for key in above:
        entry = entry[key]
    entry[last] = value
    path = tmp_path / "m.safetensors"
    save_model(parts, path, task="nerf", task_data=data)
    with pytest.raises(InputError, match=r"m\.safetensors: ") as refusal:
        load_nerf_model(str(path))
    assert len(str(refusal.value)) <= 300 + len(str(path)) and "\n" not in str(refusal.value)


def test_positions_of_cameras_are_kept_to_nine_digits(saved):
    _, data = saved
    np.testing.assert_allclose(
        np.asarray(data["train_poses"]), Frame(scale=0.8).poses_to_box(ball_views(3, size=4).poses)[:, :3], atol=1e-8
    )
