"""Scenes of every format are read as they are written, and placed in the box."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from finer_core.errors import InputError
from finer_nerf.cameras import Camera
from finer_nerf.normalization import Normalization
from finer_nerf.scenes.auto_scale import looked_at, place_scene
from finer_nerf.scenes.images import downscale_picture, read_picture
from finer_nerf.scenes.reader import read_scene
from finer_nerf.training.rays import TrainingRays, blend
from tests.nerf.golden import load, tensor
from tests.nerf.scene_forms import write_form
from tests.nerf.small_scenes import RADIUS, ball_scene, ball_views, write_ball


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """Write the golden Blender set as files."""
    arrays, folder = load("blender_loader"), tmp_path_factory.mktemp("golden")
    for split in ("train", "val", "test"):
        (folder / split).mkdir()
        frames = []
        poses = arrays[f"{split}.transform_matrix"]
        for i, (rgba, pose) in enumerate(zip(arrays[f"{split}.rgba"], poses, strict=True)):
            Image.fromarray(rgba).save(folder / split / f"r_{i}.png")
            frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": pose.tolist()})
        data = {"camera_angle_x": float(arrays["camera_angle_x"]), "frames": frames}
        (folder / f"transforms_{split}.json").write_text(json.dumps(data))
    return arrays, folder


@pytest.mark.parametrize(
    ("key", "split", "downscale", "every"),
    [
        ("train_downscale1_skip4", "train", 1, 4),
        ("train_downscale1_skip0", "train", 1, 1),
        ("train_downscale2_skip4", "train", 2, 4),
        ("train_downscale5_skip4", "train", 5, 4),
        ("val_downscale2", "val", 2, 1),
        ("test_downscale4", "test", 4, 1),
    ],
)
def test_the_published_loader(golden, key, split, downscale, every):
    arrays, folder = golden
    views = read_scene(str(folder), downscale=downscale, every=every).split(split)
    assert len(views) == int(arrays[f"{key}.count"]) == len(arrays[f"{key}.poses"])
    assert [views.height, views.width] == arrays[f"{key}.size"].tolist()
    poses = Normalization(scale=0.8).poses_to_box(views.poses)
    np.testing.assert_allclose(poses, arrays[f"{key}.poses"], atol=1e-6)
    camera = views.cameras[0]
    np.testing.assert_allclose([camera.fx, camera.fy, camera.cx, camera.cy], arrays[f"{key}.intrinsics"], rtol=1e-12)
    if f"{key}.images" in arrays:
        np.testing.assert_allclose(views.images.numpy() / 255, arrays[f"{key}.images"], atol=1e-6)


def test_every_n_means_every_n_which_the_published_loader_ignored(golden):
    arrays, folder = golden
    assert int(arrays["train_downscale1_skip1.count"]) == 3
    assert [len(read_scene(str(folder), every=n).train) for n in (1, 2, 3, 4)] == [9, 5, 3, 3]


def test_alpha_is_blended_on_white_as_published(golden):
    arrays, folder = golden
    images = read_scene(str(folder), downscale=2).split("val").images
    np.testing.assert_allclose(blend(images, background=1.0), arrays["val_downscale2.white_blend"], atol=1e-6)


def test_rays_of_a_published_batch(golden):
    arrays, folder = golden
    views = read_scene(str(folder), downscale=2, every=4).train.take([int(arrays["train_batch.frame"])])
    rays = TrainingRays(views, Normalization(scale=0.8), draw="all views", background=0.0, device="cpu")
    pixels = torch.randint(
        views.width * views.height, (64,), generator=torch.Generator().manual_seed(int(arrays["train_batch.seed"]))
    )
    rgba = rays.pixels[0, pixels] / 255
    torch.testing.assert_close(rgba, tensor(arrays["train_batch.rgba"][0]), atol=1e-6, rtol=0)
    rays_d = rays.directions[0, pixels] @ rays.poses[0, :3, :3].T
    torch.testing.assert_close(rays_d, tensor(arrays["train_batch.rays_direction"][0]), atol=1e-6, rtol=0)


def transforms(folder, frames: int = 10, *, missing: int = 0, **data):
    """Write an instant-ngp scene of RGB pictures."""
    views = ball_views(frames, size=16, alpha=False)
    (folder / "images").mkdir(parents=True)
    listed = []
    for i in range(frames + missing):
        name = f"images/{i:03d}.png"
        if i < frames:
            Image.fromarray(views.images[i].numpy()).save(folder / name)
        listed.append({"file_path": name, "transform_matrix": views.poses[i % frames].tolist()})
    lens = {"fl_x": 20.0, "fl_y": 21.0, "cx": 7.0, "cy": 9.0, "w": 16, "h": 16, "k1": 0.1, "p2": -0.01}
    (folder / "transforms.json").write_text(json.dumps({**lens, **data, "frames": listed}))
    return folder


def test_transforms_json_with_missing_pictures(tmp_path):
    scene = read_scene(str(transforms(tmp_path, missing=3)), test_every=4)
    assert (scene.kind, scene.skipped, len(scene.train), len(scene.test)) == ("transforms", 3, 7, 3)
    assert scene.test.names == ("images/000.png", "images/004.png", "images/008.png")
    assert any("3 frames skipped" in note for note in scene.notes)
    camera = scene.train.cameras[0]
    assert camera == Camera(width=16, height=16, fx=20.0, fy=21.0, cx=7.0, cy=9.0, distortion=(0.1, 0.0, 0.0, -0.01))
    assert scene.train.images.shape[-1] == 3


def test_a_file_reads_as_its_folder_does(tmp_path):
    folder = transforms(tmp_path)
    assert read_scene(str(folder / "transforms.json")).digest == read_scene(str(folder)).digest


def test_the_digest_follows_cameras_and_pictures(tmp_path):
    folder = transforms(tmp_path)
    before = read_scene(str(folder)).digest
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(folder / "images/004.png")
    assert read_scene(str(folder)).digest != before


def test_pictures_of_every_kind_become_bytes(tmp_path):
    gray = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(gray).save(tmp_path / "16.png")
    read = read_picture(tmp_path / "16.png")
    assert read.shape == (8, 8, 3) and read.dtype == np.uint8
    assert int(read[7, 6, 0]) == round(62000 / 65535 * 255)
    Image.fromarray(np.full((4, 4), 7, np.uint8)).save(tmp_path / "8.png")
    assert read_picture(tmp_path / "8.png").tolist() == [[[7, 7, 7]] * 4] * 4
    Image.new("P", (4, 4)).save(tmp_path / "p.png")
    assert read_picture(tmp_path / "p.png").shape == (4, 4, 3)


def test_downscaling_is_an_area_average():
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:2, :2] = [[[10], [20]], [[30], [41]]]
    small = downscale_picture(picture, 2)
    assert small.shape == (2, 3, 3) and small[0, 0, 0] == 25 and small[1, 1, 1] == 0
    with pytest.raises(InputError, match="no pixel"):
        downscale_picture(picture, 9)


def test_blender_scenes_have_the_published_place():
    assert place_scene(ball_scene()) == (Normalization(scale=0.8), 1.0, ())
    assert place_scene(ball_scene(), scale=0.5, bound=2.0) == (Normalization(scale=0.5), 2.0, ())


@pytest.mark.parametrize("times", [0.2, 2.0, 5.0, 1000.0])
@pytest.mark.parametrize("shift", [0.0, 7.0])
def test_blender_scenes_of_another_size_or_place_fit_the_box(times, shift):
    scene = ball_scene()
    scene.train.poses[:, :3, 3] = (scene.train.poses[:, :3, 3] + shift) * times
    frame, bound, notes = place_scene(scene)
    assert bound == 1.0 and "--scene-scale" in notes[0] and "--bound" in notes[0]
    np.testing.assert_allclose(frame.to_box(np.full((1, 3), shift * times)), 0, atol=1e-9)
    # The ball, of radius 0.6, is in every picture as a whole: it must lie inside the box, and not be lost in it.
    assert 0.4 < RADIUS * times * frame.scale < 1
    assert place_scene(scene, scale=0.1) == (Normalization(scale=0.1), 1.0, ())


def test_a_blender_scene_whose_cameras_meet_nowhere_keeps_the_published_place():
    scene = ball_scene()
    scene.train.poses[:] = scene.train.poses[:1]
    assert place_scene(scene) == (Normalization(scale=0.8), 1.0, ())


def test_cameras_in_one_place(tmp_path):
    scene = read_scene(str(transforms(tmp_path)))
    scene.train.poses[:, :3, 3] = [4e5, 5e6, 100]
    with pytest.raises(InputError, match="one place; give --scene-scale and --bound"):
        place_scene(scene)
    with pytest.raises(InputError, match=r"one place; give --scene-scale$"):
        place_scene(scene, contract=True)
    assert place_scene(scene, scale=0.5, bound=2.0).frame.scale == 0.5
    assert place_scene(scene, scale=0.5, contract=True).frame.scale == 0.5


def test_a_scene_far_from_the_origin_is_placed_to_a_millimeter(tmp_path):
    scene = read_scene(str(transforms(tmp_path)))
    poses, far = scene.train.poses.copy(), np.array([4.5e5, 5.4e6, 200.0])
    near = place_scene(scene).frame.poses_to_box(poses)
    scene.train.poses[:, :3, 3] += far
    np.testing.assert_allclose(place_scene(scene).frame.poses_to_box(scene.train.poses), near, atol=1e-6)


@pytest.mark.parametrize(("aabb_scale", "bound"), [(1, 1.0), (4, 2.0)])
def test_other_scenes_are_centerd_on_what_the_cameras_look_at(tmp_path, aabb_scale, bound):
    scene = read_scene(str(transforms(tmp_path, aabb_scale=aabb_scale)))
    scene.train.images[:] = torch.randint(256, scene.train.images.shape, generator=torch.Generator().manual_seed(0))
    shift = np.array([3.0, -2.0, 5.0])
    scene.train.poses[:, :3, 3] += shift
    frame, half, _ = place_scene(scene)
    assert half == bound
    np.testing.assert_allclose(looked_at(scene.train.poses), shift, atol=1e-9)
    np.testing.assert_allclose(frame.to_box(shift[None]), 0, atol=1e-9)
    cameras = np.linalg.norm(frame.poses_to_box(scene.train.poses)[:, :3, 3], axis=1)
    assert 0.85 < cameras.max() <= 1.0


def test_parallel_cameras_have_a_place_too():
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 0, 3] = np.arange(5)
    center = looked_at(poses)
    assert center[2] < 0 and np.isfinite(center).all()


def test_real_scenes(shared_data):
    fox = read_scene(str(shared_data / "nerf" / "fox_small"))
    assert (len(fox.train), len(fox.test), fox.train.height, fox.train.width) == (43, 7, 270, 152)
    assert any(fox.train.cameras[0].distortion)
    lego = read_scene(str(shared_data / "nerf" / "lego_200"), every=4)
    assert (len(lego.train), len(lego.test), lego.train.height) == (25, 200, 200)


def test_a_written_ball_comes_back(tmp_path):
    scene, read = ball_scene(), read_scene(str(write_ball(tmp_path / "ball")))
    assert torch.equal(read.train.images, scene.train.images)
    np.testing.assert_allclose(read.test.poses, scene.test.poses)
    assert read.train.cameras[0].fx == pytest.approx(scene.train.cameras[0].fx)


@pytest.mark.parametrize(
    ("forms", "told"),
    [
        (("transforms", "blender"), "transforms_train.json is read; left aside: transforms.json"),
        (("colmap", "blender"), "transforms_train.json is read; left aside: the COLMAP model in sparse/0/"),
        (("colmap", "transforms"), "transforms.json is read; left aside: the COLMAP model in sparse/0/"),
        (
            ("colmap", "transforms", "blender"),
            "transforms_train.json is read; left aside: transforms.json, the COLMAP model in sparse/0/",
        ),
    ],
)
def test_which_of_several_scenes_in_a_folder_is_read_is_told(tmp_path, forms, told):
    for form in forms:
        write_form(ball_scene(size=8, train=4, test=2), tmp_path / form, form)
        shutil.copytree(tmp_path / form, tmp_path / "all", dirs_exist_ok=True)
    note = f"the folder holds several scenes: {told}"
    assert note in read_scene(str(tmp_path / "all")).notes
    assert note not in read_scene(str(tmp_path / forms[-1])).notes
    name = told.split()[0]
    assert note not in read_scene(str(tmp_path / "all" / name)).notes  # which was asked for by its name


def test_the_model_that_nerfstudio_made_a_scene_of_is_no_other_scene(tmp_path):
    for form in ("colmap", "transforms"):
        write_form(ball_scene(size=8, train=4, test=2), tmp_path / form, form)
    (tmp_path / "transforms" / "colmap").mkdir()
    (tmp_path / "colmap" / "sparse").rename(tmp_path / "transforms" / "colmap" / "sparse")
    assert not any("several scenes" in note for note in read_scene(str(tmp_path / "transforms")).notes)
