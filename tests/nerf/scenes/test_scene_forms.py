"""One scene in the forms of three programs: it is placed by what its cameras see, and learnt as well from each."""

import dataclasses

import numpy as np
import pytest
import torch

from finer_nerf import builtin_scene, evaluate, fit, read_scene
from finer_nerf.scenes.auto_scale import looked_at, place_scene
from finer_nerf.scenes.extent import constant_background, points_extent, shown_pixels, silhouette_extent
from tests.nerf.scene_forms import COLMAP_SCALE, COLMAP_SHIFT, FORMS, colmap_turn, surface_points, write_form
from tests.nerf.small_scenes import RADIUS, ball_scene, ball_views

LOW, HIGH = np.array([-0.85, -0.85, -0.56]), np.array([0.85, 0.85, 0.54])
PLATE = [[x, y, z] for x in (-0.85, 0.85) for y in (-0.85, 0.85) for z in (-0.56, -0.44)]
CORNERS = np.array([*PLATE, [0.38, 0.34, 0.54]])
"""Of the workbench: its plate, and the top of its pearl."""
SHORT = {
    **{"steps": 40, "log_every": 40, "batch_samples": 3000, "max_samples": 48, "grid_resolution": 24, "seed": 0},
    **{"network": {"hidden_features": 32}, "device": "cpu"},
}


def in_colmap(points: np.ndarray) -> np.ndarray:
    return COLMAP_SCALE * points @ colmap_turn().T + COLMAP_SHIFT


@pytest.mark.parametrize("opaque", [None, (255, 255, 255), (30, 60, 90)], ids=["rgba", "white", "blue"])
@pytest.mark.parametrize("form", FORMS)
def test_a_scene_fills_the_box_in_every_form(form, opaque, tmp_path):
    scene = read_scene(write_form(builtin_scene(size=32), tmp_path / form, form, opaque=opaque))
    frame, bound, notes = place_scene(scene)
    corners = frame.to_box(in_colmap(CORNERS) if form == "colmap" else CORNERS)
    assert bound == 1.0 and notes == () and scene.kind == form
    assert 0.6 < np.abs(corners).max() < 1.0
    size = frame.scale * (COLMAP_SCALE if form == "colmap" else 1)
    assert 0.65 < size < 0.85
    if form == "blender":
        assert (frame.scale, frame.offset) == (0.8, (0.0, 0.0, 0.0))


def test_the_visual_hull_is_bounded_where_no_camera_looks():
    """No camera is below the plate, so the hull itself has a cone under it, twice as deep as the scene."""
    scene = builtin_scene(size=48)
    extent = silhouette_extent(scene.train, center=np.zeros(3), reach=3.9)
    np.testing.assert_allclose(extent.low, LOW, atol=0.4)
    np.testing.assert_allclose(extent.high, HIGH, atol=0.15)
    assert np.all(extent.low < LOW + 0.02) and np.all(extent.high > HIGH - 0.02)


def test_large_pictures_are_reduced_before_they_are_compared():
    scene = builtin_scene(size=48)
    times = 11  # 528 pixels, reduced by three
    images = scene.train.images.repeat_interleave(times, dim=1).repeat_interleave(times, dim=2)
    cameras = tuple(camera.resized(width=48 * times, height=48 * times) for camera in scene.train.cameras)
    large = dataclasses.replace(scene.train, images=images, cameras=cameras)
    assert shown_pixels(large, range(4)).shape == (4, 176, 176)
    found, expected = (silhouette_extent(views, center=np.zeros(3), reach=3.9) for views in (large, scene.train))
    np.testing.assert_allclose(found.low, expected.low, atol=0.15)
    np.testing.assert_allclose(found.high, expected.high, atol=0.1)


def test_one_wrong_silhouette_does_not_close_the_hull():
    scene = builtin_scene(size=48)
    scene.train.images[3, ..., 3] = 0
    extent = silhouette_extent(scene.train, center=np.zeros(3), reach=3.9)
    assert np.all(extent.high > HIGH - 0.02)


def test_points_astray_do_not_count():
    points = surface_points(builtin_scene(size=16))
    assert np.abs(points).max() > 20
    extent = points_extent(points)
    assert 0.75 < extent.reach(np.zeros(3)) < 1.1
    assert points_extent(points[:10]) is None


def test_points_place_a_scene_without_silhouettes(tmp_path):
    """Its pictures are noise: nothing but COLMAP's points says where it is."""
    folder = write_form(builtin_scene(size=16), tmp_path / "c", "colmap", opaque=(0, 0, 0))
    scene = read_scene(folder)
    scene.train.images[:] = torch.randint(256, scene.train.images.shape, generator=torch.Generator().manual_seed(0))
    assert shown_pixels(scene.train, range(36)) is None
    frame, bound, _ = place_scene(scene)
    assert bound == 1.0 and 0.6 < np.abs(frame.to_box(in_colmap(CORNERS))).max() < 1.05
    far = place_scene(dataclasses.replace(scene, points=None)).frame
    assert far.scale < 0.4 * frame.scale  # the cameras alone: the farthest is put into the box


def test_masks_are_silhouettes_too():
    alpha = ball_scene(size=32, train=16)
    views = alpha.train
    masked = dataclasses.replace(views, images=views.images[..., :3].clone(), masks=views.images[..., 3] > 0)
    masked.images[:] = torch.randint(256, masked.images.shape, generator=torch.Generator().manual_seed(0))
    extent = silhouette_extent(masked, center=np.zeros(3), reach=2.5)
    assert RADIUS - 0.02 < extent.reach(np.zeros(3)) < RADIUS + 0.3


def test_a_background_of_one_color_is_found_and_no_other():
    views = ball_views(4, size=24, alpha=False)
    assert constant_background(views).tolist() == [255, 255, 255]
    bright = dataclasses.replace(views, images=views.images // 2)
    assert constant_background(bright).tolist() == [127, 127, 127]
    torn = dataclasses.replace(views, images=views.images.clone())
    torn.images[:, 0] = torch.randint(256, (4, 24, 3), generator=torch.Generator().manual_seed(0))
    assert constant_background(torn) is None


def test_a_colmap_capture_is_learnt_where_it_is_placed(tmp_path):
    scene = read_scene(write_form(builtin_scene(size=16), tmp_path / "colmap", "colmap"))
    cameras_in_box = 0.9 / np.linalg.norm(scene.train.poses[:, :3, 3] - looked_at(scene.train.poses), axis=1).max()
    psnr = []
    for scale in (None, float(cameras_in_box)):  # the second is where it was placed before
        model, _ = fit(scene, **SHORT, scene_scale=scale)
        psnr.append(evaluate(model, scene.test)["psnr"])
    assert psnr[0] > psnr[1] + 1
