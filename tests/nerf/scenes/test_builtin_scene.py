"""The built-in scene: exact depth, views that agree, and files that read back."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from finer_nerf import write_scene
from finer_nerf.app.cli import main
from finer_nerf.cameras import all_pixels, camera_directions
from finer_nerf.inputs import input_digest, read_input
from finer_nerf.normalization import Normalization
from finer_nerf.scenes.builtin import builtin_depth, builtin_digest, builtin_scene
from finer_nerf.scenes.builtin import scene as drawing
from finer_nerf.scenes.builtin.primitives import Ball, Box, Cylinder
from finer_nerf.scenes.builtin.scene import builtin_camera
from finer_nerf.scenes.builtin.textures import pearl
from finer_nerf.scenes.reader import read_scene
from finer_nerf.scenes.scene import NO_VIEWS


@pytest.fixture(scope="module")
def scene():
    return builtin_scene(size=48, train=10, val=2, test=2)


DOWN = np.array([[0.0, 0.0, -1.0]])


@pytest.mark.parametrize(
    ("solid", "distance", "normal"),
    [
        (Ball(center=(0.0, 0.0, 1.0), radius=0.5, texture=pearl), 3.5, [0, 0, 1]),
        (Box(center=(0.0, 0.0, 1.0), half=(0.3, 0.3, 0.2), turn=0.7, texture=pearl), 3.8, [0, 0, 1]),
        (Cylinder(center=(0.0, 0.0, 1.0), radius=0.3, half_height=0.4, texture=pearl), 3.6, [0, 0, 1]),
    ],
)
def test_solids_from_above_and_beside(solid, distance, normal):
    origin = np.array([[0.1, 0.05, 5.0]]) if not isinstance(solid, Ball) else np.array([[0.0, 0.0, 5.0]])
    assert float(solid.distance(origin, DOWN)[0]) == pytest.approx(distance)
    found, _ = solid.normal_and_color(origin + distance * DOWN)
    np.testing.assert_allclose(found[0], normal, atol=1e-9)
    assert np.isinf(solid.distance(origin + [3.0, 0, 0], DOWN)[0])
    assert np.isinf(solid.distance(origin, -DOWN)[0])  # behind


def test_two_calls_give_the_same_bytes(scene):
    again = builtin_scene(size=48, train=10, val=2, test=2)
    assert torch.equal(again.train.images, scene.train.images)
    assert again.digest == scene.digest


def test_another_scene_has_another_digest(monkeypatch):
    few = {"size": 48, "train": 3, "val": 1, "test": 1}
    digests = [builtin_digest(**few)]
    digests += [builtin_digest(**{**few, name: value + 1}) for name, value in few.items()]
    for name in ("_AMBIENT", "_SHADOW", "_ANGLE", "_DISTANCE", "_SOLIDS"):
        value = getattr(drawing, name)
        with monkeypatch.context() as patch:
            patch.setattr(drawing, name, value[:-1] if isinstance(value, tuple) else 1.1 * value)
            drawing._drawn.cache_clear()
            digests.append(builtin_digest(**few))
    drawing._drawn.cache_clear()
    assert len(set(digests)) == len(digests) and builtin_digest(**few) == digests[0]


def test_the_digest_is_known_without_drawing_the_pictures(monkeypatch):
    sizes, drawn = [], drawing._picture

    def recording(pose, camera):
        sizes.append(camera.width)
        return drawn(pose, camera)

    monkeypatch.setattr(drawing, "_picture", recording)
    drawing._drawn.cache_clear()
    found = input_digest("workbench")
    assert max(sizes) < 20 and read_input(None, downscale=16).digest == input_digest("workbench", downscale=16) != found


def test_depth_is_where_the_silhouette_is(scene):
    depth = builtin_depth(scene.train.poses[3], scene.train.cameras[3])
    alpha = scene.train.images[3, ..., 3].numpy()
    assert np.isfinite(depth[alpha == 255]).all()
    assert np.isinf(depth[alpha == 0]).all()
    assert 0.1 < np.isfinite(depth).mean() < 0.7


def test_views_agree_on_what_they_see(scene):
    """A point seen in one view, by its depth, is found in another at the same depth with nearly the same color."""
    camera = builtin_camera(48)
    local = camera_directions(camera, all_pixels(camera)).double().numpy() * [1, -1, -1]
    first, second = scene.train.poses[4], scene.train.poses[9]
    depth = builtin_depth(first, camera).reshape(-1).astype(np.float64)
    solid = np.isfinite(depth)
    points = first[:3, 3] + (local @ first[:3, :3].T)[solid] * depth[solid, None]
    there = (points - second[:3, 3]) @ second[:3, :3]
    column = np.floor(there[:, 0] / -there[:, 2] * camera.fx + camera.cx).astype(int)
    row = np.floor(-there[:, 1] / -there[:, 2] * camera.fy + camera.cy).astype(int)
    inside = (column >= 0) & (column < 48) & (row >= 0) & (row < 48)
    other = builtin_depth(second, camera)
    seen = inside.copy()
    seen[inside] = np.abs(other[row[inside], column[inside]] - np.linalg.norm(there[inside], axis=1)) < 0.03
    assert seen.sum() > 100
    colors = scene.train.images[4].reshape(-1, 4).numpy()[solid][seen][:, :3].astype(float)
    matched = scene.train.images[9].numpy()[row[seen], column[seen]][:, :3].astype(float)
    assert np.median(np.abs(colors - matched)) < 20
    shuffled = np.random.default_rng(0).permutation(matched)
    assert np.median(np.abs(colors - shuffled)) > 1.5 * np.median(np.abs(colors - matched)) + 5


def test_the_scene_fits_the_box(scene):
    frame = Normalization(scale=0.8)
    camera = builtin_camera(48)
    local = camera_directions(camera, all_pixels(camera)).double().numpy() * [1, -1, -1]
    for pose in scene.train.poses[:4]:
        depth = builtin_depth(pose, camera).reshape(-1)
        solid = np.isfinite(depth)
        points = pose[:3, 3] + (local @ pose[:3, :3].T)[solid] * depth[solid, None]
        assert np.abs(frame.to_box(points)).max() < 1


def test_the_command_writes_a_scene_that_reads_back(tmp_path, capsys):
    assert main(["scene", "--out", str(tmp_path / "s"), "--size", "16"]) == 0
    assert "36 train, 4 val, 8 test" in capsys.readouterr().out
    read, made = read_scene(str(tmp_path / "s")), builtin_scene(size=16)
    assert torch.equal(read.train.images, made.train.images) and torch.equal(read.test.images, made.test.images)
    np.testing.assert_allclose(read.train.poses, made.train.poses)
    with np.load(tmp_path / "s" / "depth_test.npz") as depths:
        np.testing.assert_array_equal(depths["depth"][2], builtin_depth(made.test.poses[2], made.test.cameras[2]))
    frames = json.loads((tmp_path / "s" / "transforms_val.json").read_text())["frames"]
    assert frames[0]["file_path"] == "./val/r_0"


def test_a_scene_without_test_views_written_over_another_has_none_of_that(tmp_path, scene):
    assert main(["scene", "--out", str(tmp_path / "s"), "--size", "8"]) == 0
    smaller = dataclasses.replace(scene, val=NO_VIEWS, test=NO_VIEWS)
    write_scene(smaller, tmp_path / "s", overwrite=True)
    read = read_scene(str(tmp_path / "s"))
    assert (len(read.train), len(read.val), len(read.test)) == (8, 0, 2)  # two of ten held out
    assert not list((tmp_path / "s").glob("depth_*"))
