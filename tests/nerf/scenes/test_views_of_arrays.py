"""Views that a program makes of what it holds in memory are those of a file, and what cannot be views is told."""

import dataclasses

import numpy as np
import pytest
import torch

from finer_core.errors import InputError
from finer_nerf import Camera, Scene, Views, evaluate, fit
from tests.nerf.small_scenes import ball_scene

SMALL = {
    **{"steps": 3, "device": "cpu", "max_samples": 8, "grid_resolution": 8, "batch_samples": 200, "batch_rays": 32},
    **{"network": {"hidden_features": 4, "hidden_layers": 1}, "geometry_features": 4},
}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return ball_scene()


KINDS = {
    "array": lambda x: x,
    "backwards": lambda x: np.ascontiguousarray(x[::-1])[::-1],
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "list": list,
    "tensor": torch.as_tensor,
    "shares": lambda x: torch.tensor(x / 255, requires_grad=True),
    "halves": lambda x: torch.as_tensor(x / 255).bfloat16() if x.dtype == np.uint8 else torch.as_tensor(x),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_arrays_of_any_kind_are_the_views_of_a_file(scene, kind):
    images, poses = scene.train.images.numpy(), scene.train.poses
    given = torch.tensor(poses, requires_grad=True) if kind == "shares" else KINDS[kind](poses)
    lens = scene.train.cameras[0]
    views = Views.of(KINDS[kind](images), poses=given, cameras=lens, masks=np.ones(images.shape[:3], dtype=bool)[::-1])
    difference = views.images.int() - scene.train.images.int()
    assert int(difference.abs().max()) <= (kind == "halves")
    np.testing.assert_array_equal(views.poses, poses)
    assert views.cameras == (lens,) * len(poses) and views.names[:2] == ("view_0", "view_1")
    assert views.masks is not None and views.masks.dtype == torch.bool
    mine = Scene(name="mine", kind=scene.kind, train=dataclasses.replace(views, masks=None))
    if kind == "array":
        model, _ = fit(mine, **SMALL)
        theirs, _ = fit(scene, **SMALL)
        assert evaluate(model, mine.train)["psnr"] == evaluate(theirs, scene.train)["psnr"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"images": lambda x: x.astype(float)},
            r"images of floating-point numbers must be in \[0, 1\], found 0 to 255",
        ),
        ({"images": lambda x: x / 255 + 1e-7}, r"must be in \[0, 1\], found .* to 1\.0000001; scale"),
        ({"images": lambda x: np.full(x.shape, np.nan)}, r"must be in \[0, 1\], found nan to nan"),
        ({"images": lambda x: x.astype(np.uint16)}, r"images must be uint8, or shares in \[0, 1\], got uint16"),
        ({"images": lambda x: x.astype(object)}, "images must be real numbers, got dtype object"),
        (
            {"images": lambda x: np.moveaxis(x, -1, 1)},
            r"train views: images must be a tensor \(n, height, width, 3 or 4\)",
        ),
        ({"images": lambda x: x[0]}, r"images must be \(n, height, width, 3 or 4\), got shape \(24, 24, 4\)"),
        ({"poses": lambda x: x[:, :3]}, "a pose is a camera-to-world matrix of 4x4 numbers"),
        ({"poses": lambda x: x[:2]}, "names, and 2 poses; every view needs one"),
        ({"cameras": lambda x: x[:1]}, "names, and 1 cameras; every view needs one"),
        ({"cameras": lambda x: 35.0}, "cameras must be a Camera or several, got 35.0"),
        ({"cameras": lambda x: [35.0] * len(x)}, "camera must be a Camera, got 35.0"),
        ({"masks": lambda x: np.zeros(3)}, "masks must be a tensor of bool"),
        ({"masks": lambda x: "mask.png"}, "masks cannot be read as a tensor"),
        ({"names": lambda x: ("a",)}, "1 names, and"),
        ({"names": lambda x: "abcd"}, "names must be several texts, got 'abcd'"),
        ({"names": lambda x: 3}, "names must be several texts, got 3"),
    ],
)
def test_what_is_no_view_is_told(scene, change, words):
    given = {"images": scene.train.images.numpy(), "poses": scene.train.poses, "cameras": scene.train.cameras}
    with pytest.raises(InputError, match=words):
        given |= {name: make(given.get(name)) for name, make in change.items()}
        fit(Scene(name="mine", kind="blender", train=Views.of(given.pop("images"), **given)), **SMALL)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": lambda views: views.images.numpy()}, r"got an array of uint8 \(.*\); Views\.of takes arrays"),
        ({"poses": lambda views: torch.as_tensor(views.poses)}, r"poses must be an array .*, got a Tensor; Views\.of"),
        ({"cameras": lambda views: views.cameras[0]}, r"cameras must be a tuple, got a Camera; Views\.of takes one"),
    ],
)
def test_what_the_class_itself_does_not_take_is_told(scene, change, words):
    made = {name: make(scene.train) for name, make in change.items()}
    with pytest.raises(InputError, match=words):
        fit(dataclasses.replace(scene, train=dataclasses.replace(scene.train, **made)), **SMALL)


def test_a_camera_of_another_size_is_told(scene):
    lens = Camera(width=5, height=5, fx=5.0, fy=5.0, cx=2.5, cy=2.5)
    views = Views.of(scene.train.images, poses=scene.train.poses, cameras=lens)
    with pytest.raises(InputError, match="camera 0 has 5x5 pixels, its picture 24x24"):
        fit(Scene(name="mine", kind="blender", train=views), **SMALL)
