"""What scenes of other programs say in their own ways: read as it is meant, said, or refused with the reason."""

import io
import json
import math
import re
import sys

import numpy as np
import pytest
from PIL import Image

from finer_core.errors import InputError
from finer_nerf.lenses import Distortion
from finer_nerf.meshing import ColoredMesh
from finer_nerf.rendering.video import write_movie
from finer_nerf.scenes.auto_scale import place_scene
from finer_nerf.scenes.images import read_picture
from finer_nerf.scenes.reader import read_scene
from finer_nerf.scenes.scene import Scene
from tests.nerf.small_scenes import ball_views, write_ball, write_transforms

COUNT = 5


def write_text_model(folder, *, names=None, points="1 2 -1\n", more=None):
    """Write a COLMAP text model of small pictures, with a line of points after each image."""
    names = names or [f"{i}.png" for i in range(COUNT)]
    model = folder / "sparse" / "0"
    model.mkdir(parents=True)
    (folder / "images").mkdir()
    for i in range(COUNT):
        Image.fromarray(np.full((12, 16, 3), 40 * i, np.uint8)).save(folder / "images" / f"{i}.png")
    turns = [(math.cos(i / 2), math.sin(i / 2)) for i in range(COUNT)]
    lines = [f"{i + 1} {w} 0 {y} 0 0 0 3 1 {names[i]}\n{points}" for i, (w, y) in enumerate(turns)]
    (model / "images.txt").write_text("".join(lines))
    (model / "cameras.txt").write_text("1 PINHOLE 16 12 20 20 8 6\n")
    for name, content in (more or {}).items():
        (model / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("points", ["", "# no points\n1 2 -1\n"])
def test_images_without_their_line_of_points_are_never_taken_for_one(tmp_path, points):
    folder = write_text_model(tmp_path, points=points)
    if points:  # a comment stands for the line, and the points for an image, which they are not
        with pytest.raises(InputError, match="not a line of a COLMAP model"):
            read_scene(str(folder))
        return
    with pytest.raises(InputError, match=r"images\.txt: line 2: an image where the points of the one above belong"):
        read_scene(str(folder))


@pytest.mark.parametrize("points", ["\n", "1 2 -1\n", "1.5 2.5 7 3 4 -1 5 6 12\n", "1 2 3 4 5 6 7 8 9 10 11 12\n"])
def test_lines_of_points_are_passed_over(tmp_path, points):
    scene = read_scene(str(write_text_model(tmp_path, points=points)))
    assert len(scene.train.names) + len(scene.test.names) == COUNT


@pytest.mark.parametrize("lead", ["../images/", "{folder}/images/"])
def test_a_name_that_leads_out_of_the_folder_is_not_its_own_mask(tmp_path, lead):
    names = [lead.format(folder=tmp_path) + f"{i}.png" for i in range(COUNT)]
    folder = write_text_model(tmp_path, names=names)
    (folder / "masks").mkdir()
    assert read_scene(str(folder)).train.masks is None


def test_a_byte_order_mark_before_a_list_of_views(tmp_path):
    more = {"test.txt": b"\xef\xbb\xbf0.png\r\n3.png\r\n"}
    assert read_scene(str(write_text_model(tmp_path, more=more))).test.names == ("0.png", "3.png")


def test_distortion_params_of_nerfstudio(tmp_path):
    listed = [0.1, -0.02, 0.003, 0.0, 0.001, -0.002]
    of_all = read_scene(str(write_transforms(tmp_path / "a", distortion_params=listed)))
    right = tuple(Distortion(k1=0.1, k2=-0.02, k3=0.003, p1=0.001, p2=-0.002))
    assert tuple(Distortion(*of_all.train.cameras[0].distortion)) == right
    own = {"distortion_params": [0.2, 0, 0, 0, 0, 0]}
    of_one = read_scene(str(write_transforms(tmp_path / "b", each=lambda i: own if i == 1 else {}, k1=0.1)))
    assert [camera.distortion[0] for camera in of_one.train.cameras[:2]] == [0.2, 0.1]


@pytest.mark.parametrize("value", [[0.1] * 7, "0.1", ["a"], [float("nan")], [10**400]])
def test_distortion_params_of_another_form(tmp_path, value):
    with pytest.raises(InputError, match="distortion_params"):
        read_scene(str(write_transforms(tmp_path / "a", distortion_params=value)))


@pytest.mark.parametrize("name", ["skew", "b1", "xi", "distortion"])
def test_parts_of_a_lens_that_are_not_read_are_refused_by_name(tmp_path, name):
    with pytest.raises(InputError, match=f"{name} is of a lens that is not supported"):
        read_scene(str(write_transforms(tmp_path / "a", **{name: 0.1})))
    read_scene(str(write_transforms(tmp_path / "b", **{name: 0})))


def scene_of(poses: np.ndarray) -> Scene:
    views = ball_views(len(poses), size=2)
    moved = type(views)(names=views.names, images=views.images, poses=poses, cameras=views.cameras)
    return Scene(name="a", kind="transforms", train=moved, digest="")


def test_a_camera_far_from_all_others_is_said():
    poses = ball_views(8, size=2).poses
    assert place_scene(scene_of(poses)).notes == ()
    poses[3, :3, 3] += 1e6
    assert "'r_3' is 1.732e+06 units from the other cameras" in place_scene(scene_of(poses)).notes[0]
    assert place_scene(scene_of(poses), scale=0.1).notes == ()


def test_cameras_in_one_place_that_look_one_way_are_refused():
    with pytest.raises(InputError, match="all cameras are in one place"):
        place_scene(scene_of(np.tile(np.eye(4), (4, 1, 1))))


def test_lists_of_views_in_the_files_of_splits_say_nothing(tmp_path):
    folder = write_ball(tmp_path / "s", size=8, train=3, test=2)
    path = folder / "transforms_train.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "train_filenames": ["train/r_0"]}))
    scene = read_scene(str(folder))
    assert len(scene.train.names) == 3 and not any("list" in note for note in scene.notes)


@pytest.mark.parametrize("left", ["poses without pictures", "nothing"])
def test_a_blender_scene_without_pictures_to_judge_by_holds_some_out(tmp_path, left):
    """Add-ons of Blender write the poses of test views, and no pictures of them, or no test views at all."""
    folder = write_ball(tmp_path / "ball")
    for path in (folder / "test").iterdir():
        path.unlink()
    if left == "nothing":
        (folder / "transforms_test.json").unlink()
    scene = read_scene(str(folder), test_every=4)
    assert (scene.kind, len(scene.train), len(scene.test)) == ("blender", 9, 3)
    assert "3 of 12 views held out for judging" in scene.notes
    assert scene.skipped == (3 if left == "poses without pictures" else 0)
    assert any("3 frames skipped" in note for note in scene.notes) == bool(scene.skipped)


def test_what_libraries_print_of_a_damaged_picture_stays_away(tmp_path, capfd):
    file = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(values).save(file, "TIFF", compression="tiff_lzw")
    content = bytearray(file.getvalue())
    for start in range(200, 3000, 100):
        content[start : start + 20] = b"\xff" * 20
    (tmp_path / "p.tif").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a picture"):
        read_picture(tmp_path / "p.tif")
    sys.stderr.flush()
    assert capfd.readouterr() == ("", "")


def test_outputs_that_cannot_be_written_are_named(tmp_path):
    tables = {"colors": np.zeros((3, 3), dtype=np.uint8), "normals": np.full((3, 3), 3**-0.5)}
    corner = ColoredMesh(vertices=np.eye(3), faces=np.array([[0, 1, 2]]), **tables)
    folder = tmp_path / "none"
    with pytest.raises(InputError, match=re.escape(f"the folder {folder} does not exist")):
        corner.write(folder / "a.ply")
    with pytest.raises(InputError, match=re.escape(f"{folder / 'a.mp4'}: cannot be written")) as caught:
        write_movie([np.zeros((4, 4, 3), np.uint8)], folder / "a.mp4", fps=10)
    assert "partial" not in str(caught.value)
