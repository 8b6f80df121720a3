"""Every lens model, forwards and backwards, and against COLMAP's own library."""

import math

import numpy as np
import pytest
import torch

from finer_core.errors import InputError
from finer_core.schema import build
from finer_nerf.cameras import (
    Camera,
    all_pixels,
    camera_directions,
    equirectangular_camera,
    project_to_pixels,
    seen_pixels,
)
from finer_nerf.lenses import MODELS, Distortion, distort, fold_radius, undistort
from finer_nerf.normalization import Normalization
from finer_nerf.scenes.colmap_files import _lens
from finer_nerf.training.visual_hull import carve

from .small_scenes import ball_views

WIDTH, HEIGHT = 40, 30
# Below a right angle off the axis, where COLMAP has rays too.
PARAMETERS = {
    "SIMPLE_PINHOLE": [30, 21, 14],
    "PINHOLE": [30, 33, 21, 14],
    "SIMPLE_RADIAL": [30, 21, 14, -0.1],
    "RADIAL": [30, 21, 14, -0.1, 0.02],
    "OPENCV": [30, 33, 21, 14, -0.1, 0.02, 0.003, -0.002],
    "OPENCV_FISHEYE": [16, 17, 21, 14, 0.03, 0.005, 0.0006, 0.0001],
    "FULL_OPENCV": [30, 33, 21, 14, 0.1, 0.02, 0.003, -0.002, 0.01, 0.2, 0.03, 0.004],
    "FOV": [30, 33, 21, 14, 0.9],
    "SIMPLE_RADIAL_FISHEYE": [16, 21, 14, 0.03],
    "RADIAL_FISHEYE": [16, 21, 14, 0.03, -0.002],
    "THIN_PRISM_FISHEYE": [16, 17, 21, 14, 0.03, 0.005, 0.001, -0.002, 0.0006, 0.0001, 0.002, -0.001],
    "SIMPLE_FISHEYE": [18, 21, 14],
    "FISHEYE": [18, 19, 21, 14],
    "EQUIRECTANGULAR": [40, 20],
}


def camera_of(model: str) -> Camera:
    """Return the camera of a model with the parameters above."""
    height = 20 if model == "EQUIRECTANGULAR" else HEIGHT
    lens = _lens(model, WIDTH, height, [float(value) for value in PARAMETERS[model]])
    return lens.camera(height=height, width=WIDTH, downscale=1)


def pixel_centers(camera: Camera) -> np.ndarray:
    rows, columns = np.meshgrid(np.arange(camera.height) + 0.5, np.arange(camera.width) + 0.5, indexing="ij")
    return np.stack([columns, rows], axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("model", MODELS)
def test_pixels_come_back(model):
    camera = camera_of(model)
    directions = camera_directions(camera, all_pixels(camera))
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(len(directions)), rtol=0, atol=1e-6)
    assert bool(seen_pixels(camera).all())
    column, row, seen = project_to_pixels(camera, directions * 3)
    assert bool(seen.all())
    # float32 has 24 bits; pixels go up to 40, and a fisheye's edge stretches a direction's error 4 times.
    np.testing.assert_allclose(torch.stack([column, row], dim=-1), pixel_centers(camera), rtol=0, atol=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_rays_are_colmaps(model):
    pycolmap = pytest.importorskip("pycolmap")
    if model not in pycolmap.CameraModelId.__members__:
        pytest.skip(f"this pycolmap does not know {model}")
    camera = camera_of(model)
    theirs = pycolmap.Camera(
        model=model, width=WIDTH, height=camera.height, params=PARAMETERS[model], camera_id=1
    ).cam_ray_from_img(pixel_centers(camera))
    ours = camera_directions(camera, all_pixels(camera)).double().numpy()
    np.testing.assert_allclose(ours, theirs / np.linalg.norm(theirs, axis=1, keepdims=True), rtol=0, atol=1e-6)


def test_a_fisheye_ray_is_as_many_radians_off_the_axis_as_its_pixel_is_focal_lengths_away():
    camera = Camera(width=3, height=1, fx=1.0, fy=1.0, cx=0.5, cy=0.5, projection="fisheye")
    directions = camera_directions(camera, all_pixels(camera))
    expected = [[math.sin(angle), 0, math.cos(angle)] for angle in (0, 1, 2)]
    torch.testing.assert_close(directions, torch.tensor(expected), rtol=0, atol=1e-6)


def test_a_panorama_looks_everywhere():
    camera = equirectangular_camera(width=8, height=4)
    directions = camera_directions(camera, all_pixels(camera)).view(4, 8, 3)
    assert bool((directions[:2, :, 1] < 0).all()) and bool((directions[2:, :, 1] > 0).all())  # y is down
    assert bool((directions[:, 2:6, 2] > 0).all()) and bool((directions[:, 6:, 2] < 0).all())  # the middle is ahead
    assert bool((directions[:, 4:, 0] > 0).all())  # and the right half is right
    torch.testing.assert_close(directions.mean(dim=(0, 1)), torch.zeros(3), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "distortion",
    [
        (-0.2, 0.05, 0.001, -0.002),
        (0.0, 0.0, 0.0, 0.0, -0.2),
        (0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2, 0.03, 0.004),
        (0.05, 0.0, 0.001, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.01, -0.02),
    ],
)
def test_undistortion_inverts_distortion_of_every_kind(distortion):
    x, y = (axis.reshape(-1).double() for axis in torch.meshgrid(*[torch.linspace(-0.6, 0.6, 15)] * 2, indexing="ij"))
    back = undistort(*distort(x, y, distortion=distortion), distortion=distortion)
    torch.testing.assert_close(torch.stack(back), torch.stack([x, y]), rtol=0, atol=1e-9)


def test_where_a_lens_folds_back():
    # r (1 - 0.2 r^2) is largest where 1 = 0.6 r^2.
    assert fold_radius((-0.2, 0.0, 0.0, 0.0)) == pytest.approx(math.sqrt(1 / 0.6))
    assert fold_radius((0.2, 0.0, 0.0, 0.0)) == math.inf
    # r / (1 + 0.5 r^2) is largest at r^2 = 2.
    assert fold_radius(tuple(Distortion(q1=0.5))) == pytest.approx(math.sqrt(2))


def test_pixels_beyond_the_lens_have_no_ray_and_what_folds_back_is_not_in_the_picture():
    barrel = Camera(width=20, height=20, fx=8, fy=8, cx=10, cy=10, distortion=(-0.2, 0, 0, 0))
    seen = seen_pixels(barrel).view(20, 20)
    assert bool(seen[10, 10]) and not bool(seen[0, 0])  # at most 0.86 of a focal length is reached, the corner is 1.7
    assert bool(torch.isfinite(camera_directions(barrel, all_pixels(barrel))).all())
    folded = torch.tensor([[math.sqrt(5.0), 0.0, 1.0]])  # where 1 - 0.2 r^2 = 0: it would be in the very middle
    assert project_to_pixels(barrel, folded)[2].tolist() == [False]
    circle = Camera(width=20, height=20, fx=3, fy=3, cx=10, cy=10, projection="fisheye")
    assert not bool(seen_pixels(circle)[0])  # 4.5 radians off the axis


def test_carving_leaves_open_what_any_lens_sees():
    views = ball_views(4, size=16)
    frame = Normalization(scale=0.5)
    fisheye = Camera(width=16, height=16, fx=14.0, fy=14.0, cx=8, cy=8, projection="fisheye")
    seen = carve(
        type(views)(names=views.names, images=views.images, poses=views.poses, cameras=(fisheye,) * 4),
        frame,
        resolution=8,
        bound=1.0,
        silhouettes=True,
    )
    assert bool(seen[2:6, 2:6, 2:6].all())


def test_cameras_go_into_a_model_file_and_come_back():
    for model in MODELS:
        camera = camera_of(model)
        assert build(Camera, camera.to_dict(), what="the camera") == camera
    old = {"width": 4, "height": 4, "fx": 3.0, "fy": 3.0, "cx": 2.0, "cy": 2.0, "distortion": [0.1, 0, 0, 0]}
    assert build(Camera, old, what="the camera").projection == "perspective"
    for wrong in ({"projection": "anamorphic"}, {"width": 10**9}, {"fx": 10**400}, {"distortion": 5}):
        with pytest.raises(InputError):
            build(Camera, {**old, **wrong}, what="the camera")


def test_new_views_are_seen_through_a_pinhole():
    camera = camera_of("OPENCV_FISHEYE").pinhole()
    assert (camera.projection, any(camera.distortion)) == ("perspective", False)
    assert camera.fx >= camera.width / 2  # no wider than a right angle
