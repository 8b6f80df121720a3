"""What transforms files of instant-ngp and nerfstudio say: lenses, poses, lists of views; and must not say."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from finer_core.errors import InputError
from finer_nerf.inputs import read_input
from finer_nerf.scenes.frames import straighten
from finer_nerf.scenes.reader import read_scene
from tests.nerf.small_scenes import ball_views, write_transforms

NO_LENS = {"w": None, "h": None, "fl_x": None, "fl_y": None, "cx": None, "cy": None}


def read(folder, **changes):
    return read_scene(str(write_transforms(folder / "scene", **changes)))


def first_camera(folder, **changes):
    return read(folder, **changes).train.cameras[0]


def test_a_lens_without_a_size_is_that_of_the_picture(tmp_path):
    lens = {"camera_angle_x": 1.0, "fl_x": 20.0, "fl_y": 15.0, "cx": 7.0, "cy": 5.0, "k1": -0.1}
    camera = first_camera(tmp_path, **{**NO_LENS, **lens})
    assert (camera.width, camera.height) == (16, 12)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (20, 15, 7, 5)
    assert camera.distortion == (-0.1, 0, 0, 0)


@pytest.mark.parametrize(
    ("size", "cx"), [({"w": 16, "h": None}, 14.0), ({"w": 32, "h": None}, 7), ({"h": 24, "w": None}, 7)]
)
def test_a_size_that_is_half_given_has_the_pictures_shape(tmp_path, size, cx):
    focal = 20.0 if size["w"] == 16 else 40.0
    camera = first_camera(tmp_path, **size, fl_x=focal, fl_y=None, cx=14.0, cy=None)
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (16, 12, 20, 20, cx, 6)


@pytest.mark.parametrize(
    ("size", "said"), [((16, 12), 0), ((160, 120), 0), ((32, 25), 0), ((12, 16), 1), ((64, 64), 1)]
)
def test_a_lens_of_another_shape_than_the_picture_is_said(tmp_path, size, said):
    notes = read(tmp_path, w=size[0], h=size[1]).notes
    assert sum("cropped or turned" in note for note in notes) == said


def test_a_downscaled_lens(tmp_path):
    folder = write_transforms(tmp_path / "scene", **{**NO_LENS, "fl_x": 20.0, "fl_y": 15.0, "cx": 7.0})
    camera = read_scene(str(folder), downscale=2).train.cameras[0]
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == (8, 6, 10, 7.5, 3.5, 3)


@pytest.mark.parametrize(
    ("shared", "own", "focal"),
    [
        ({"fl_x": 10.0, "fl_y": 10.0}, {"camera_angle_x": 2 * np.arctan(8 / 60)}, (60, 60)),
        ({"fl_x": 10.0, "fl_y": 10.0}, {"fl_x": 60.0}, (60, 60)),
        ({"fl_x": 10.0, "fl_y": 50.0}, {"fl_x": 60.0}, (60, 50)),
        ({"fl_x": 10.0, "fl_y": 50.0}, {"fl_y": 60.0}, (10, 60)),
        ({"fl_x": 10.0, "fl_y": None}, {"fl_x": None}, (10, 10)),
        ({"fl_x": None, "fl_y": 30.0}, {}, (30, 30)),
        ({"fl_x": 10.0, "camera_angle_x": 0.3, "fl_y": None}, {}, (10, 10)),
        ({"fl_x": None, "fl_y": None, "x_fov": 90.0}, {}, (8, 8)),
        ({"fl_x": None, "fl_y": None, "x_fov": 90.0, "y_fov": 90.0}, {}, (8, 6)),
    ],
)
def test_a_frames_own_focal_length_overrules_the_files(tmp_path, shared, own, focal):
    camera = first_camera(tmp_path, **shared, each=lambda i: own)
    assert (camera.fx, camera.fy) == pytest.approx(focal)


def test_null_is_as_good_as_absent(tmp_path):
    camera = first_camera(tmp_path, k1=-0.1, each=lambda i: {"cx": None, "k1": None, "w": None})
    assert (camera.cx, camera.distortion[0], camera.width) == (8, -0.1, 16)
    (tmp_path / "scene" / "transforms.json").write_text(
        json.dumps({**json.loads((tmp_path / "scene" / "transforms.json").read_text()), "cx": None})
    )
    assert read_scene(str(tmp_path / "scene")).train.cameras[0].cx == 8


@pytest.mark.parametrize(
    ("says", "projection", "coefficients"),
    [
        ({"camera_model": "OPENCV_FISHEYE", "k1": 0.1, "k4": 0.2}, "fisheye", {"k1": 0.1, "k4": 0.2}),
        ({"is_fisheye": True, "k1": 0.1, "k3": 0.2}, "fisheye", {"k1": 0.1, "k3": 0.2}),
        ({"is_fisheye": True, "each": lambda i: {"is_fisheye": None}}, "fisheye", {}),
        ({"is_fisheye": True, "each": lambda i: {"is_fisheye": False}}, "perspective", {}),
        ({"k3": 0.2, "k4": 0.1}, "perspective", {"k3": 0.2, "k4": 0.1}),
        ({"camera_model": "pinhole"}, "perspective", {}),
        ({"camera_model": None}, "perspective", {}),
        ({"camera_model": "FOV", "omega": 0.9}, "fov", {"omega": 0.9}),
        ({"camera_model": "FULL_OPENCV", "k4": 0.1, "k6": 0.2}, "perspective", {"q1": 0.1, "q3": 0.2}),
        ({"camera_model": "THIN_PRISM_FISHEYE", "p1": 0.1, "sx1": 0.2}, "fisheye", {"p1": 0.1, "sx1": 0.2}),
    ],
)
def test_lens_models(tmp_path, says, projection, coefficients):
    from finer_nerf.lenses import Distortion

    camera = first_camera(tmp_path, **says)
    assert camera.projection == projection
    assert Distortion(*camera.distortion) == Distortion(**coefficients)


def test_a_panorama(tmp_path):
    camera = first_camera(tmp_path, size=(8, 16), camera_model="EQUIRECTANGULAR", **NO_LENS)
    assert (camera.projection, camera.width, camera.height) == ("equirectangular", 16, 8)


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({"camera_model": "ORTHOPHOTO"}, ("camera_model", "ORTHOPHOTO")),
        ({"camera_model": "FISHEYE624"}, ("FISHEYE624",)),
        ({"camera_model": 7}, ("camera_model", "7")),
        ({"camera_model": "FOV"}, ("FOV", "omega")),
        ({"camera_model": "EQUIRECTANGULAR"}, ("equirectangular", "12x16")),
        ({"k5": 0.1}, ("k5", "FULL_OPENCV")),
        ({"ftheta_p0": 0.0, "ftheta_p1": 0.1}, ("ftheta_p1",)),
        ({"latlong": True}, ("latlong",)),
        ({"fl_x": 10**400}, ("fl_x", "between")),
        ({"fl_x": "7" * 5000}, ("fl_x", "'777")),
        ({"fl_x": True}, ("fl_x", "True")),
        ({"fl_x": -5}, ("fl_x", "-5")),
        ({"fl_x": [20.0]}, ("fl_x", "[20.0]")),
        ({"fl_y": 0}, ("fl_y", "0")),
        ({"w": 10**9}, ("w must", "1000000000")),
        ({"h": 0.0}, ("h must",)),
        ({"cx": float("nan")}, ("cx", "nan")),
        ({"k1": float("inf")}, ("k1", "inf")),
        ({"camera_angle_x": 4.0}, ("camera_angle_x", "4.0")),
        ({"aabb_scale": "16"}, ("aabb_scale", "'16'")),
        ({"is_fisheye": "false"}, ("is_fisheye", "'false'")),
        ({"mask_path": 3}, ("mask_path", "3")),
        ({"mask_path": "none.png"}, ("mask_path", "none.png", "missing")),
    ],
)
@pytest.mark.parametrize("by_frame", [False, True])
def test_what_a_file_must_not_say(tmp_path, says, words, by_frame):
    with pytest.raises(InputError) as refusal:
        read(tmp_path, **({"each": lambda i: says} if by_frame else says))
    text = str(refusal.value)
    assert len(text) <= 300 and "\n" not in text
    assert all(word in text for word in ("transforms.json", *words)), text


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ({"train_filenames": "images/0.png"}, ("train_filenames", "list")),
        ({"test_filenames": [1]}, ("test_filenames", "[1]")),
    ],
)
def test_what_lists_must_not_be(tmp_path, says, words):
    with pytest.raises(InputError) as refusal:
        read(tmp_path, **says)
    assert all(word in str(refusal.value) for word in words)


@pytest.mark.parametrize("matrix", [10**400, "x" * 5000, None, [[1, 2], [3]], [["a"] * 4] * 4, {"a": 1}])
def test_what_is_no_matrix(tmp_path, matrix):
    with pytest.raises(InputError, match="transform_matrix") as refusal:
        read(tmp_path, each=lambda i: {"transform_matrix": matrix})
    assert len(str(refusal.value)) <= 300


@pytest.mark.parametrize(
    "name", ["images/" + "a" * 5000 + ".png", "images/\ud800.png", "images/\0.png", "/dev/null", ""]
)
def test_a_picture_that_no_file_system_has_is_missing(tmp_path, name):
    scene = read(tmp_path, each=lambda i: {"file_path": name} if i == 2 else {})
    assert scene.skipped == 1 and len(scene.train) + len(scene.test) == 5
    assert all(len(note) < 300 and note.isprintable() for note in scene.notes)


def test_file_paths_of_other_systems_and_places(tmp_path):
    outside = tmp_path / "elsewhere.png"
    Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(outside)
    names = {0: "images\\0.png", 1: "./images/1", 2: "../elsewhere.png", 3: str(outside)}
    scene = read(tmp_path, each=lambda i: {"file_path": names[i]} if i in names else {})
    assert scene.skipped == 0
    assert {"images/0.png", "images/1", "../elsewhere.png"} < {*scene.train.names, *scene.test.names}


@pytest.mark.parametrize(
    "content", [b"\xff\xfe{}", b"[1]", b"{" * 100_000, b'{"frames": [' + b"1" * 5000 + b"]}", b'{"frames": [{}]}', b""]
)
def test_what_is_no_file_of_cameras(tmp_path, content):
    (tmp_path / "transforms.json").write_bytes(content)
    with pytest.raises(InputError, match=r"transforms\.json") as refusal:
        read_scene(str(tmp_path))
    assert len(str(refusal.value)) <= 300


def test_a_name_that_stands_twice_is_refused(tmp_path):
    file = write_transforms(tmp_path / "scene") / "transforms.json"
    file.write_text('{"fl_x": 99, ' + file.read_text()[1:])
    with pytest.raises(InputError, match=r"not valid JSON \('fl_x' stands there twice"):
        read_scene(str(tmp_path / "scene"))


def test_a_folder_whose_name_is_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    try:
        folder = write_transforms(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    assert read_scene(str(folder)).name == "caf\N{REPLACEMENT CHARACTER}"


def test_a_byte_order_mark_before_the_file(tmp_path):
    path = write_transforms(tmp_path / "scene") / "transforms.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_scene(str(path)).train) == 5


def test_the_views_that_the_file_lists(tmp_path):
    lists = {
        "train_filenames": ["images/0.png", "./images/1.png", "images/2.png"],
        "val_filenames": ["images/3.png"],
        "test_filenames": ["images\\4.png", "images/2.png", "images/9.png"],
    }
    scene = read(tmp_path, **lists)
    assert scene.train.names == ("images/0.png", "images/1.png")
    assert scene.val.names == ("images/3.png",)
    assert scene.test.names == ("images/4.png", "images/2.png")
    notes = " | ".join(scene.notes)
    assert "images/9.png" in notes and "1 frame in no list" in notes and "not trained on" in notes


@pytest.mark.parametrize(
    ("lists", "train", "test"),
    [
        ({"test_filenames": ["images/1.png"]}, "02345", "1"),
        ({"train_filenames": [f"images/{i}.png" for i in range(4)]}, "0123", "45"),
        ({"train_filenames": [f"images/{i}.png" for i in range(6)]}, "12345", "0"),
        ({"train_filenames": None, "test_filenames": None}, "12345", "0"),
    ],
)
def test_lists_that_leave_something_open(tmp_path, lists, train, test):
    scene = read(tmp_path, **lists)
    assert [name[-5] for name in scene.train.names] == list(train)
    assert [name[-5] for name in scene.test.names] == list(test)


def test_lists_that_leave_nothing_to_train_on(tmp_path):
    with pytest.raises(InputError, match="no view is left"):
        read(tmp_path, train_filenames=[], test_filenames=["images/1.png"])


def test_a_split_that_does_nothing_is_said(tmp_path):
    words = "test_every 5 does nothing: the scene has test or validation views of its own"
    names = [f"images/{number}.png" for number in range(4)]
    split = {"train_filenames": names[1:], "test_filenames": names[:1]}
    for form, said in (({}, False), (split, True)):
        folder = str(write_transforms(tmp_path / f"scene{said}", **form))
        assert (words in read_scene(folder, test_every=5).notes) is said
        assert words not in read_scene(folder).notes
    assert words in read_input(None, downscale=16, test_every=5).notes
    assert not read_input(None, downscale=16).notes


def test_what_is_left_aside_is_said(tmp_path):
    notes = read(tmp_path, rolling_shutter=[0, 0, 0.5, 0], mask_color=[255, 0, 255], white_transparent=True).notes
    assert all(f"{name} is left aside" in notes for name in ("rolling_shutter", "mask_color", "white_transparent"))
    assert not any("aside" in note for note in read(tmp_path / "b", rolling_shutter=[0.0, 0, 0, 0]).notes)
    assert "depth_file_path is left aside" in read(tmp_path / "d", each=lambda i: {"depth_file_path": "a.png"}).notes
    assert "projection_type is left aside" in read(tmp_path / "e", projection_type="ortho").notes
    assert (
        "intrinsics is left aside" in read(tmp_path / "f", each=lambda i: {"intrinsics": [[9, 0, 4], [0, 9, 4]]}).notes
    )
    assert "time is left aside" in read(tmp_path / "c", each=lambda i: {"time": i / 6}).notes


@pytest.mark.parametrize("scales", [(2.0,) * 6, (0.009,) * 6, (1, 2, 3, 0.5, 0.1, 40)])
def test_a_scale_in_the_rotations_is_divided_out(scales):
    poses = ball_views(6, size=2).poses
    scaled = poses.copy()
    scaled[:, :3, :3] *= np.array(scales)[:, None, None]
    straight, notes = straighten(scaled, places=["f"] * 6)
    np.testing.assert_allclose(straight, poses, atol=1e-12)
    assert len(notes) == 1 and "scale" in notes[0]


def test_rotations_are_left_as_they_are():
    poses = ball_views(6, size=2).poses
    straight, notes = straighten(poses, places=["f"] * 6)
    assert np.array_equal(straight, poses) and notes == []
    straight, notes = straighten(poses.round(4), places=["f"] * 6)
    assert notes == []
    rotations = straight[:, :3, :3]
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (6, 1, 1)), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (np.diag([1, 1, 2.0]), "lengths"),
        (np.array([[1, 0.3, 0], [0, 1, 0], [0, 0, 1.0]]), "shear"),
        (np.zeros((3, 3)), "singular"),
        (np.diag([1, 1, 0.0]), "singular"),
        (np.diag([1, -1, 1.0]), "reflection"),
    ],
)
def test_matrices_that_are_no_rotations(change, words):
    poses = ball_views(6, size=2).poses
    poses[3, :3, :3] = poses[3, :3, :3] @ change
    with pytest.raises(InputError, match=words) as refusal:
        straighten(poses, places=[f"frame {i}" for i in range(6)])
    assert "frame 3" in str(refusal.value)


def test_a_scene_that_is_mirrored_as_a_whole_stays_so():
    poses = np.diag([1.0, -1, 1, 1]) @ ball_views(6, size=2).poses
    straight, notes = straighten(poses, places=["f"] * 6)
    assert np.array_equal(straight, poses) and "reflection" in notes[0]


@pytest.mark.parametrize(("row", "words"), [([0, 0, 0, 2.0], "0 0 0 1"), ([1.0, 2, 3, 1], "0 0 0 1")])
def test_the_last_row_of_a_pose(tmp_path, row, words):
    poses = ball_views(6, size=2).poses.tolist()
    with pytest.raises(InputError, match=words):
        read(tmp_path, each=lambda i: {"transform_matrix": [*poses[i][:3], row]})
    with pytest.raises(InputError, match="1e\\+300"):
        read(tmp_path / "far", each=lambda i: {"transform_matrix": [[1, 0, 0, 1e300], *poses[i][1:]]})


@pytest.mark.parametrize(("mark", "signs"), [("from_na", [1, -1, -1, 1]), ("from_mitsuba", [-1, 1, -1, 1])])
def test_poses_of_other_conventions_are_turned_and_it_is_said(tmp_path, mark, signs):
    """A camera looks along -z and has y up here; in NeuS2's files along +z with y down, in Mitsuba's with x left."""
    usual = read(tmp_path / "a")
    as_given = read(tmp_path / "b", **{mark: False})
    np.testing.assert_array_equal(as_given.train.poses, usual.train.poses)
    turned = read(tmp_path / "c", **{mark: True})
    np.testing.assert_allclose(turned.train.poses, usual.train.poses @ np.diag(signs), atol=1e-12)
    assert any(note.startswith(f"{mark}: two axes of every camera reversed") for note in turned.notes)


@pytest.mark.parametrize("name", ["shift_x", "shift_y"])
def test_a_shifted_lens_of_blender_is_refused_by_name(tmp_path, name):
    with pytest.raises(InputError, match=f"{name} is of a lens that is not supported; give cx and cy"):
        read(tmp_path, **{name: 0.1})
    read(tmp_path / "zero", **{name: 0.0})


@pytest.mark.parametrize("share", [0.5, 1.0, 0.02])
def test_a_principal_point_in_shares_of_the_size_is_refused(tmp_path, share):
    with pytest.raises(InputError, match=r"frame 'images/.*give the principal point in pixels, not as shares"):
        read(tmp_path, cx=share, cy=share)
    assert first_camera(tmp_path / "right", cx=1.5, cy=0.5).cx == 1.5


def test_no_message_shows_what_a_file_outside_of_the_scene_holds(tmp_path):
    (tmp_path / "secret").write_bytes(b"PASSWORD=hunter2")
    write_transforms(tmp_path / "scene")
    for name in ("../secret", str(tmp_path / "secret")):
        for key in ("file_path", "mask_path"):
            data = json.loads((tmp_path / "scene" / "transforms.json").read_text())
            data["frames"][0][key] = name
            (tmp_path / "scene" / "other.json").write_text(json.dumps(data))
            with pytest.raises(InputError) as refusal:
                read_scene(str(tmp_path / "scene" / "other.json"))
            assert "hunter" not in str(refusal.value) and len(str(refusal.value)) <= 300


def test_a_file_of_cameras_that_memory_has_no_room_for(tmp_path):
    folder = write_transforms(tmp_path / "scene", more=[[]] * 2_000_000)
    with pytest.raises(InputError, match=r"transforms\.json: a file of 8 MB needs about \d+ MB of memory"):
        read_scene(str(folder), memory=600_000_000)
