"""Views, camera paths, films and pictures of depth and normals."""

import json
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

from finer_core.errors import InputError
from finer_nerf.camera_paths import look_at, mean_up, orbit, read_path, scene_center, spiral
from finer_nerf.normalization import Normalization
from finer_nerf.rendering.colormaps import depth_picture, error_picture, normals_picture
from finer_nerf.rendering.video import check_movie_path, write_movie
from finer_nerf.rendering.views import normals_of, render_view
from tests.nerf.models import BALL, ball_model


@pytest.fixture(scope="module")
def model():
    return ball_model()


def first_view(model):
    return render_view(model, torch.from_numpy(model.train_poses[0]).float(), model.camera)


def test_a_view_has_exact_depth_and_silhouette(model):
    view = first_view(model)
    eye, ahead = model.train_poses[0][:3, 3], model.train_poses[0][:3, 2]
    assert np.allclose(eye / np.linalg.norm(eye), -ahead, atol=1e-6)  # it looks at the ball's center
    middle = view.depth[11:13, 11:13].mean()
    # The mean depth lies a step and the ball's softness, 1/200 times some, behind its surface.
    assert middle == pytest.approx(np.linalg.norm(eye) - BALL, abs=0.035)
    assert np.isinf(view.depth[0, 0]) and view.opacity[0, 0] == 0
    assert view.color[0, 0].tolist() == [1, 1, 1]
    np.testing.assert_allclose(view.color[12, 12], (view.points[12, 12] + 1) / 2, atol=0.03)
    black = render_view(model, torch.from_numpy(model.train_poses[0]).float(), model.camera, background="black")
    assert black.color[0, 0].tolist() == [0, 0, 0]


def test_normals_point_outwards_in_the_inputs_axes(model):
    view = first_view(model)
    normals = normals_of(model, view)
    solid = np.isfinite(view.depth)
    points = Normalization(scale=1.0).to_input(view.points[solid])
    expected = points / np.linalg.norm(points, axis=1, keepdims=True)
    assert (normals[solid] * expected).sum(axis=1).min() > 0.999
    assert np.isnan(normals[~solid]).all()


def test_an_orbit_circles_the_center_without_mirroring(model):
    path = orbit(model, frames=16)
    eyes, ahead = path.poses[:, :3, 3], path.poses[:, :3, 2]
    assert path.note == ""
    assert torch.allclose(torch.linalg.det(path.poses[:, :3, :3]), torch.ones(16), atol=1e-5)
    distance = eyes.norm(dim=-1)
    assert float(distance.max() - distance.min()) < 1e-4
    assert float((ahead + eyes / distance[:, None]).abs().max()) < 1e-4
    steps = (eyes - eyes.roll(1, 0)).norm(dim=-1)
    assert float(steps.max() / steps.min()) < 1.001  # the last joins the first
    up = torch.from_numpy(mean_up(model.train_poses)).float()
    assert bool((-path.poses[:, :3, 1] @ up > 0).all())  # y is down


def test_views_of_one_side_are_not_circled(model):
    one_side = ball_model()
    order = np.argsort(np.arctan2(model.train_poses[:, 2, 3], model.train_poses[:, 0, 3]))
    object.__setattr__(one_side, "train_poses", model.train_poses[order[:4]])
    path = orbit(one_side, frames=12)
    assert "85 degrees" in path.note
    angles = torch.atan2(path.poses[:, 2, 3], path.poses[:, 0, 3])
    assert float(angles.max() - angles.min()) < np.radians(95)


def test_a_spiral_stays_near_the_middle_camera(model):
    poses = spiral(model, frames=20).poses
    assert len(poses) == 20 and float((poses[:, :3, 3] - poses[0, :3, 3]).norm(dim=-1).max()) < 2.0
    assert bool((torch.linalg.det(poses[:, :3, :3]) > 0.99).all())


@pytest.mark.parametrize("path_of", [orbit, spiral])
def test_a_film_of_a_left_handed_scene_is_no_mirror_image_of_its_pictures(model, path_of):
    mirrored, flip = ball_model(), np.diag([-1.0, 1.0, 1.0, 1.0])
    mirrored.train_poses = model.train_poses @ flip
    np.testing.assert_allclose(path_of(mirrored, frames=5).poses, path_of(model, frames=5).poses.numpy() @ flip)


def test_a_camera_that_looks_along_the_vertical_has_a_side_whatever_the_vertical_is():
    up = np.ones(3) / np.sqrt(3)
    pose = look_at(2 * up, np.zeros(3), up)
    np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-12)


def test_the_center_is_where_the_cameras_look(model):
    np.testing.assert_allclose(scene_center(model.train_poses), 0, atol=1e-6)
    pose = look_at(np.array([0.0, 0.0, 2.0]), np.zeros(3), np.array([0.0, 0.0, 1.0]))  # along the vertical
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)


def test_a_path_from_a_file(model, tmp_path):
    poses = model.frame.poses_to_input(model.train_poses[:3])
    file = tmp_path / "path.json"
    file.write_text(json.dumps({"frames": [{"transform_matrix": pose.tolist()} for pose in poses]}))
    np.testing.assert_allclose(read_path(str(file), model).poses.numpy(), model.train_poses[:3], atol=1e-5)
    for text, message in (("{", "JSON"), ("{}", "frames"), ('{"frames": [{}]}', "frame 0")):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            read_path(str(file), model)
    with pytest.raises(InputError, match="orbitt"):
        read_path("orbitt", model)


@pytest.mark.parametrize(("mark", "signs"), [("from_na", (1, -1, -1, 1)), ("from_mitsuba", (-1, 1, -1, 1))])
def test_a_path_follows_the_marks_of_axes_as_a_scene_does(mark, signs, model, tmp_path):
    poses = model.frame.poses_to_input(model.train_poses[:3]) @ np.diag(signs)
    file = tmp_path / "path.json"
    file.write_text(json.dumps({mark: True, "frames": [{"transform_matrix": pose.tolist()} for pose in poses]}))
    path = read_path(str(file), model)
    np.testing.assert_allclose(path.poses.numpy(), model.train_poses[:3], atol=1e-5)
    assert path.note == f"{mark}: two axes of every camera reversed, to x right, y up, z backwards"


def test_the_lenses_of_a_path_are_used(model, tmp_path):
    pose = model.frame.poses_to_input(model.train_poses[:1])[0].tolist()
    own, file = model.camera, tmp_path / "path.json"
    twice = {"fl_x": 2 * own.fx, "fl_y": 2 * own.fy, "w": 2 * own.width, "h": 2 * own.height}
    for top, frame, focals, note in (
        ({}, {}, [], ""),
        ({"w": 64, "h": 48, "aabb_scale": 4}, {}, [], ""),
        (twice, {}, [2 * own.fx] * 2, ""),
        ({"fl_x": 9.0}, {"fl_x": 11.0, "k1": 0.1}, [9, 11], ""),
        (
            {"camera_model": "ORTHOGRAPHIC"},
            {},
            [],
            "the model's own lens is used, not the file's: its lens: camera_model",
        ),
        ({"fl_x": "wide" * 5000}, {}, [], "the model's own lens is used, not the file's: its lens: fl_x"),
    ):
        frames = [{"transform_matrix": pose}, {"transform_matrix": pose, **frame}]
        file.write_text(json.dumps({**top, "frames": frames}))
        path = read_path(str(file), model)
        assert [camera.fx for camera in path.cameras] == pytest.approx(focals) and not any(
            any(camera.distortion) for camera in path.cameras
        )
        assert path.note.startswith(note) and (note or not path.note) and len(path.note) < 250, top
    file.write_text(json.dumps({**twice, "frames": frames}))
    assert (read_path(str(file), model).cameras[0].width) == 2 * own.width


def test_a_film_holds_every_frame_and_odd_sizes(tmp_path):
    shades = [0, 60, 120, 180, 240]
    write_movie((np.full((33, 47, 3), shade, np.uint8) for shade in shades), tmp_path / "f.mp4", fps=10)
    read = ["-i", str(tmp_path / "f.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *read]
    done = subprocess.run(command, capture_output=True, check=True)
    assert b"48x34" in done.stderr and b"10 fps" in done.stderr
    frames = np.frombuffer(done.stdout, np.uint8).reshape(len(shades), 34, 48, 3)
    assert frames.mean(axis=(1, 2, 3)).tolist() == pytest.approx(shades, abs=4)
    write_movie((np.full((4, 5, 3), shade, np.uint8) for shade in shades), tmp_path / "frames", fps=10)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [f"frame_{i:04d}.png" for i in range(5)]
    assert np.asarray(Image.open(tmp_path / "frames" / names[2])).shape == (4, 5, 3)


def test_bad_film_names(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        check_movie_path(tmp_path / "gone" / "f.mp4")
    with pytest.raises(InputError, match="gif"):
        check_movie_path(tmp_path / "f.gif")


def test_pictures_of_depth_normals_and_errors():
    depth = np.array([[1.0, 2.0, np.inf]])
    picture = depth_picture(depth)
    assert picture[0, 2].tolist() == [255, 255, 255]
    assert picture[0, 0].sum() > picture[0, 1].sum()  # near is bright
    assert depth_picture(np.full((2, 2), np.inf)).min() == 255
    normals = np.array([[[0, 0, 1.0], [np.nan] * 3]])
    assert normals_picture(normals).tolist() == [[[128, 128, 255], [255, 255, 255]]]
    error = error_picture(np.array([[[0.0] * 3, [1.0] * 3]]))
    assert error[0, 0].sum() < 30 < error[0, 1].sum()
