"""A model is fitted on, and loaded onto, a device that is here; another, or none, is refused in one line."""

import copy

import numpy as np
import pytest
import torch
import trimesh

import finer_image
import finer_nerf
import finer_sdf
from finer_core import InputError

SHORT = {"steps": 1, "log_every": 1, "device": torch.device("cpu")}  # as PyTorch names it, or a text
SMALL = {"hidden_features": 8, "hidden_layers": 1}
BALL = trimesh.creation.icosphere(subdivisions=1)
FITS = {
    "image": lambda: finer_image.fit(np.eye(6), network=SMALL, **SHORT),
    "surface": lambda: finer_sdf.fit(BALL, samples=1000, batch_points=64, network=SMALL, **SHORT),
    "scene": lambda: finer_nerf.fit(
        finer_nerf.builtin_scene(size=8), network={"hidden_features": 8}, max_samples=8, grid_resolution=8, **SHORT
    ),
}

PLACES = np.zeros((2, 3))
ARGUMENTS = {
    ("image", "__call__"): (PLACES[:, :2],),
    ("image", "at"): ([1.0], [2.0]),
    ("surface", "__call__"): (PLACES,),
    ("surface", "normals"): (PLACES,),
    ("scene", "__call__"): (PLACES, PLACES + 1),
    ("scene", "render"): (np.eye(4), finer_nerf.Camera(width=4, height=4, fx=4, fy=4, cx=2, cy=2)),
    ("scene", "video"): ("a.mp4", np.eye(4)[None]),
}


@pytest.mark.parametrize("kind", FITS)
def test_loading_onto_a_device(kind, tmp_path):
    model, _ = FITS[kind]()
    path = tmp_path / "model.safetensors"
    model.save(path)
    for device in ("auto", "tpu", "cuda:9999", "meta"):
        with pytest.raises(InputError, match=rf"^device '{device}' .*; give 'cpu'"):
            type(model).load(path, device=device)
    empty = copy.deepcopy(model).to("meta")
    for use in ("__call__", "render", "mesh", "at", "normals", "video", "_repr_png_"):
        if hasattr(model, use):
            with pytest.raises(InputError, match="on the device meta, without numbers; load it again"):
                getattr(empty, use)(*ARGUMENTS.get((kind, use), ()))
    loaded = type(model).load(path, device=torch.device("cpu"))
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
