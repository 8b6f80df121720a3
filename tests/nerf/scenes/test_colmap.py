"""COLMAP models, text and binary: as COLMAP writes them, with odd names, masks and lists, and damaged."""

import struct

import numpy as np
import pytest
from PIL import Image

from finer_core.errors import InputError
from finer_nerf.lenses import MODELS
from finer_nerf.scenes.reader import read_scene
from tests.nerf.small_scenes import ball_views

COUNT = 6


def write_pictures(folder, names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((16, 16, 3), 100, np.uint8)).save(folder / name)


def write_model(folder, *, names=None, binary=True, model="OPENCV", params=(20.0, 21, 8, 7, 0.1, 0, 0, 0.01)):
    """Write a scene by COLMAP's own library."""
    pycolmap = pytest.importorskip("pycolmap")
    names = names or [f"{i}.png" for i in range(COUNT)]
    write_pictures(folder / "images", names)
    reconstruction = pycolmap.Reconstruction()
    camera = pycolmap.Camera(model=model, width=16, height=16, params=list(params), camera_id=1)
    reconstruction.add_camera_with_trivial_rig(camera)
    for i, (name, pose) in enumerate(zip(names, ball_views(COUNT, size=2).poses, strict=True)):
        to_camera = np.linalg.inv(pose @ np.diag([1.0, -1, -1, 1]))
        image = pycolmap.Image(name=name, camera_id=1, image_id=i + 1)
        reconstruction.add_image_with_trivial_frame(image, pycolmap.Rigid3d(to_camera[:3]))
    for i in range(3):
        reconstruction.add_point3D(np.array([0.1, 0.2, 0.3 + i]), pycolmap.Track(), np.zeros(3, dtype=np.uint8))
    (folder / "sparse" / "0").mkdir(parents=True)
    (reconstruction.write_binary if binary else reconstruction.write_text)(str(folder / "sparse" / "0"))
    return folder


@pytest.mark.parametrize("binary", [True, False])
def test_what_colmap_writes(tmp_path, binary):
    scene = read_scene(str(write_model(tmp_path, binary=binary)), test_every=3)
    assert (scene.kind, scene.train.names, scene.test.names) == (
        "colmap",
        ("1.png", "2.png", "4.png", "5.png"),
        ("0.png", "3.png"),
    )
    np.testing.assert_allclose(scene.train.poses, ball_views(COUNT, size=2).poses[[1, 2, 4, 5]], atol=1e-9)
    camera = scene.train.cameras[0]
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (20, 21, 8, 7)
    assert camera.distortion == (0.1, 0.0, 0.0, 0.01)
    np.testing.assert_allclose(scene.points, [[0.1, 0.2, 0.3 + i] for i in range(3)])


@pytest.mark.parametrize("binary", [True, False])
def test_names_with_blanks_folders_and_letters(tmp_path, binary):
    names = [f"left side/my pic  ({i}).png" for i in range(3)] + [
        f"\N{LATIN SMALL LETTER U WITH DIAERESIS} {i}.png" for i in range(3)
    ]
    scene = read_scene(str(write_model(tmp_path, names=names, binary=binary)))
    assert sorted([*scene.train.names, *scene.test.names]) == sorted(names)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_that_is_read_has_colmaps_number_and_order(tmp_path, model, binary):
    pycolmap = pytest.importorskip("pycolmap")
    if model not in pycolmap.CameraModelId.__members__:
        pytest.skip(f"this pycolmap does not know {model}")
    names = MODELS[model][1].split()
    values = {"f": 20.0, "fx": 20.0, "fy": 21.0, "cx": 8.0, "cy": 7.0, "w": 32.0, "h": 16.0}
    params = [values.get(name, 0.001 * place) for place, name in enumerate(names)]
    write_model(tmp_path, model=model, params=params, binary=binary)
    if model == "EQUIRECTANGULAR":
        with pytest.raises(InputError, match="equirectangular"):
            read_scene(str(tmp_path))
        return
    camera = read_scene(str(tmp_path)).train.cameras[0]
    assert (camera.fx, camera.cx, camera.projection) == (20, 8, MODELS[model][0])
    assert [value for value in camera.distortion if value] == [
        dict(zip(names, params, strict=True))[name] for name in sorted(names[3:], key=_order) if name not in values
    ]


def _order(name: str) -> int:
    from finer_nerf.lenses import Distortion

    return Distortion._fields.index(name) if name in Distortion._fields else -1


@pytest.mark.parametrize("binary", [True, False])
def test_models_that_are_not_read_are_named(tmp_path, binary):
    write_model(tmp_path, model="SIMPLE_DIVISION", params=(20.0, 8, 7, 0.1), binary=binary)
    with pytest.raises(InputError, match=r"SIMPLE_DIVISION.*undistort"):
        read_scene(str(tmp_path))


def test_masks_and_a_list_of_test_views(tmp_path):
    write_model(tmp_path)
    half = np.full((16, 16), 255, np.uint8)
    half[:, :8] = 0
    (tmp_path / "masks").mkdir()
    for i in range(3):
        Image.fromarray(half).save(tmp_path / "masks" / f"{i}.png.png")
    Image.fromarray(half.T).save(tmp_path / "camera_mask.png")
    (tmp_path / "sparse" / "0" / "test.txt").write_text("2.png\n5.png\n\n")
    scene = read_scene(str(tmp_path))
    assert scene.test.names == ("2.png", "5.png") and len(scene.train) == 4
    assert scene.train.masks[0].double().mean() == 0.25 and scene.train.masks[3].double().mean() == 0.5
    assert any("3 of 6 pictures have no mask" in note for note in scene.notes)


def test_missing_pictures_are_named(tmp_path):
    write_model(tmp_path)
    (tmp_path / "images" / "3.png").unlink()
    scene = read_scene(str(tmp_path))
    assert scene.skipped == 1 and any("'3.png'" in note for note in scene.notes)
    for i in range(COUNT):
        (tmp_path / "images" / f"{i}.png").unlink(missing_ok=True)
    with pytest.raises(InputError, match=r"no posed picture exists \(6 are missing.*'0\.png'"):
        read_scene(str(tmp_path))


def binary_model(
    folder, *, images=5, points=1, name=b"0.png", model=1, quaternion=(1.0, 0, 0, 0), focal=20.0, claims=()
):
    """Write a binary model.

    Args:
        folder: Where.
        images: Number of them.
        points: Number of them.
        name: Of the first image.
        model: Number of the camera's.
        quaternion: Of every image.
        focal: Of the camera.
        claims: What the files say of the number of cameras, images, points, points seen and sightings of a point.
    """
    write_pictures(folder / "images", [f"{i}.png" for i in range(images)])
    usual = {"cameras": 1, "images": images, "points": points, "seen": 1, "sightings": 1}
    count = {key: struct.pack("<Q", value) for key, value in {**usual, **dict(claims)}.items()}
    place = folder / "sparse" / "0"
    place.mkdir(parents=True)
    camera = struct.pack("<IiQQ4d", 1, model, 16, 16, focal, 20, 8, 8)
    (place / "cameras.bin").write_bytes(count["cameras"] + camera)
    records = [
        struct.pack("<I7dI", i + 1, *quaternion, i, 0, 3, 1)
        + (f"{i}.png".encode() if i else name)
        + b"\0"
        + count["seen"]
        + struct.pack("<2dq", 1, 1, -1)
        for i in range(images)
    ]
    (place / "images.bin").write_bytes(count["images"] + b"".join(records))
    point = struct.pack("<Q3d3Bd", 1, 0, 0, 0, 1, 2, 3, 0.1) + count["sightings"] + struct.pack("<II", 1, 0)
    (place / "points3D.bin").write_bytes(count["points"] + point * points)
    return folder


def test_the_binary_model_is_read(tmp_path):
    scene = read_scene(str(binary_model(tmp_path)))
    assert len(scene.train) + len(scene.test) == 5 and scene.points.shape == (1, 3)
    (tmp_path / "sparse" / "0" / "remarks.txt").write_text("")
    assert not any("text" in note for note in read_scene(str(tmp_path)).notes)
    (tmp_path / "sparse" / "0" / "images.txt").write_text("")
    assert "its text files are left aside: the binary ones are read" in read_scene(str(tmp_path)).notes


def test_what_a_text_model_says_twice_or_not_in_numbers(tmp_path):
    pytest.importorskip("pycolmap")
    model = write_model(tmp_path, binary=False) / "sparse" / "0"
    points = (model / "points3D.txt").read_text()
    (model / "points3D.txt").write_text(points + "9 nan 0 0 1 2 3 0.5\n")
    scene = read_scene(str(tmp_path))
    assert "1 of 4 known points are not finite: left out" in scene.notes and len(scene.points) == 3
    images = (model / "images.txt").read_text()
    (model / "images.txt").write_text(images.replace("4.png", "0.png"))
    assert "1 frame with the picture of another frame" in read_scene(str(tmp_path)).notes
    cameras = (model / "cameras.txt").read_text()
    (model / "cameras.txt").write_text(cameras + cameras.splitlines()[-1].replace("20", "30") + "\n")
    with pytest.raises(InputError, match=r"cameras\.txt: it has camera 1 twice"):
        read_scene(str(tmp_path))


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_numbers_that_only_python_writes_are_none(tmp_path, name):
    file = write_model(tmp_path, binary=False) / "sparse" / "0" / f"{name}.txt"
    lines = file.read_text().splitlines()
    place = next(place for place, line in enumerate(lines) if not line.startswith("#"))
    words = lines[place].split()
    words[3] += "_0"
    lines[place] = " ".join(words)
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=rf"{name}\.txt: line {place + 1}: not a line of a COLMAP model"):
        read_scene(str(tmp_path))


@pytest.mark.parametrize("count", [1000, 2**26, 2**40, 2**63, 2**64 - 1])
@pytest.mark.parametrize("claim", ["cameras", "images", "points", "seen", "sightings"])
def test_no_count_of_a_binary_file_is_believed(tmp_path, claim, count):
    with pytest.raises(InputError, match=r"\.bin") as refusal:
        read_scene(str(binary_model(tmp_path, claims={claim: count})))
    assert len(str(refusal.value)) <= 300


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": b"a" * 5000}, "name does not end"),
        ({"model": 99}, "number 99"),
        ({"model": -1}, "number -1"),
        ({"quaternion": (0.0, 0, 0, 0)}, "quaternion"),
        ({"quaternion": (float("nan"), 0, 0, 0)}, "quaternion"),
        ({"focal": -1.0}, "no camera"),
        ({"focal": float("inf")}, "no camera"),
    ],
)
def test_what_a_binary_model_must_not_say(tmp_path, wrong, words):
    with pytest.raises(InputError, match=words) as refusal:
        read_scene(str(binary_model(tmp_path, **wrong)))
    assert len(str(refusal.value)) <= 300 and "sparse" in str(refusal.value)


@pytest.mark.parametrize("file", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("length", [0, 5, 20, 100])
def test_a_cut_binary_file(tmp_path, file, length):
    path = binary_model(tmp_path, points=3) / "sparse" / "0" / f"{file}.bin"
    content = path.read_bytes()
    path.write_bytes(content[: min(length, len(content) - 1)])
    with pytest.raises(InputError, match=rf"{file}\.bin"):
        read_scene(str(tmp_path))


def test_text_of_other_systems(tmp_path):
    write_pictures(tmp_path / "images", ["a b.png", "c.png"])
    place = tmp_path / "sparse"
    place.mkdir()
    bom = b"\xef\xbb\xbf"
    (place / "cameras.txt").write_bytes(bom + b"1\tPINHOLE\t16 16 20 20 8 8\r\n")
    (place / "images.txt").write_bytes(bom + b"1 1 0 0 0 0 0 3 1\ta b.png\r\n\r\n2 1 0 0 0 1 0 3 1 c.png\r\n\r\n")
    scene = read_scene(str(tmp_path))
    assert (scene.test.names, scene.train.names, scene.points) == (("a b.png",), ("c.png",), None)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("cameras", "1 PINHOLE 16"),
        ("cameras", "1 PINHOLE 16 16 20 20 8"),
        ("cameras", "1 PINHOLE 16 16 20 20 8 x"),
        ("cameras", "1 PINHOLE 1e5 16 20 20 8 8"),
        ("cameras", "2 PINHOLE 16 16 20 20 8 8"),
        ("images", "1 1 0 0 0 0 0 3 1"),
        ("images", "1 1 0 0 zero 0 0 3 1 0.png"),
        ("images", "1 1 0 0 0 0 0 nan 1 0.png"),
        ("points3D", "1 0 0"),
        ("points3D", "1 0 0 " + "9" * 5000 + "x"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, file, line):
    write_pictures(tmp_path / "images", ["0.png", "1.png"])
    place = tmp_path / "sparse"
    place.mkdir()
    lines = {
        "cameras": "1 PINHOLE 16 16 20 20 8 8",
        "images": "1 1 0 0 0 0 0 3 1 0.png",
        "points3D": "1 0 0 0 1 2 3 0.1",
    }
    for name, usual in lines.items():
        (place / f"{name}.txt").write_text(f"# a comment\n{line if name == file else usual}\n\n")
    with pytest.raises(InputError) as refusal:
        read_scene(str(tmp_path))
    text = str(refusal.value)
    assert "sparse" in text and len(text) <= 300 and "\n" not in text


@pytest.mark.parametrize("file", ["cameras", "images", "points3D"])
def test_a_binary_file_that_holds_more_than_it_claims(tmp_path, file):
    claims = {"points" if file == "points3D" else file: 2}
    binary_model(tmp_path, points=3, claims=claims if file != "cameras" else {})
    path = tmp_path / "sparse" / "0" / f"{file}.bin"
    if file == "cameras":
        path.write_bytes(path.read_bytes() + b"\0" * 56)
    left = {"cameras": 56, "images": 3 * (64 + 6 + 8 + 24), "points3D": 51 + 8}[file]
    with pytest.raises(InputError, match=rf"{file}\.bin: {left} bytes follow after the \d "):
        read_scene(str(tmp_path))


@pytest.mark.parametrize("wrong", ["cameras", "images"])
def test_a_text_file_whose_comment_counts_otherwise(tmp_path, wrong):
    pytest.importorskip("pycolmap")
    path = write_model(tmp_path, binary=False) / "sparse" / "0" / f"{wrong}.txt"
    count = {"cameras": 1, "images": COUNT}[wrong]
    assert not any("says that it has" in note for note in read_scene(str(tmp_path)).notes)
    path.write_text(path.read_text().replace(f"Number of {wrong}: {count}", f"Number of {wrong}: 9"))
    assert f"{wrong}.txt says that it has 9 records, and has {count}" in read_scene(str(tmp_path)).notes


@pytest.mark.parametrize("binary", [True, False])
def test_of_several_models_the_largest_is_read_and_the_others_named(tmp_path, binary):
    def parts(place):
        if binary:
            return {name: (place / name).read_bytes() for name in ("cameras.bin", "images.bin", "points3D.bin")}
        images = "".join(f"{i} 1 0 0 0 {i} 0 3 1 {i}.png\n1 2 -1\n" for i in range(5)).encode()
        return {"cameras.txt": b"1 PINHOLE 16 16 20 20 8 8\n", "images.txt": b"# Number of images: 5\n" + images}

    place = binary_model(tmp_path) / "sparse" / "0"
    model = parts(place)
    for file in place.iterdir():
        file.unlink()
    for number, content in {"10": model, "2": model, "0": model, "1_notes": model}.items():
        (tmp_path / "sparse" / number).mkdir(exist_ok=True)
        for name, stored in content.items():
            if number == "0" and name.startswith("images"):  # its first two images only
                stored = struct.pack("<Q", 2) + stored[8 : 8 + 2 * 102] if binary else stored[: stored.index(b"2 1 0")]
            (tmp_path / "sparse" / number / name).write_bytes(stored)
    scene = read_scene(str(tmp_path))
    assert len(scene.train) + len(scene.test) == 5
    words = "sparse/ holds 3 models that share no coordinates: 2 is read, which has most images; left aside: 10, 0"
    assert words in scene.notes


def test_a_model_beside_the_others_that_was_not_written_whole_is_none(tmp_path):
    """As of a reconstruction that was stopped."""
    place = binary_model(tmp_path) / "sparse" / "1"
    place.mkdir()
    (place / "cameras.bin").write_bytes((tmp_path / "sparse" / "0" / "cameras.bin").read_bytes())
    scene = read_scene(str(tmp_path))
    assert len(scene.train) + len(scene.test) == 5
    assert any("sparse/ holds 2 models" in note and "left aside: 1" in note for note in scene.notes)


@pytest.mark.parametrize("binary", [True, False])
def test_points_that_memory_has_no_room_for_are_not_read(tmp_path, binary):
    place = binary_model(tmp_path) / "sparse" / "0"
    if binary:
        with open(place / "points3D.bin", "wb") as file:
            file.write(struct.pack("<Q", 2_000_000))
            file.truncate(8 + 2_000_000 * 51)  # of zeros that take no place
    else:
        for file in place.iterdir():
            file.unlink()
        (place / "cameras.txt").write_text("1 PINHOLE 16 16 20 20 8 8\n")
        (place / "images.txt").write_text("".join(f"{i} 1 0 0 0 {i} 0 3 1 {i}.png\n\n" for i in range(5)))
        (place / "points3D.txt").write_text("1 0 0 0 1 2 3 .1\n" * 40_000)
    memory = 600_000_000 if binary else 503_000_000
    with pytest.raises(InputError, match=r"points3D\.\w+: .*reading \d+ points needs about \d+ MB") as refusal:
        read_scene(str(tmp_path), memory=memory)
    assert len(str(refusal.value)) <= 300
