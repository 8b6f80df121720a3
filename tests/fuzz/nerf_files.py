"""Scenes of every format that finer-nerf reads, camera paths, models, and a run to go on with."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from finer_nerf.app.cli import main
from finer_nerf.camera_paths import read_path
from finer_nerf.model import NerfModel
from finer_nerf.normalization import Normalization
from finer_nerf.scenes.auto_scale import place_scene
from finer_nerf.scenes.reader import read_scene
from tests.nerf.scenes.test_colmap import binary_model
from tests.nerf.small_scenes import ball_views, write_ball, write_transforms

from .model_files import MODEL, run_sample, saved_model_sample
from .sample import Sample, files_of

TINY = (
    *("--steps", "2", "--hidden-features", "16", "--batch-rays", "64", "--max-samples", "16"),
    *("--grid-resolution", "8", "--orbit-frames", "0", "--quiet"),
)


def _transforms(folder: Path) -> list[str]:
    write_transforms(folder, count=4, mask_path="m.png", test_filenames=["images/1.png"], k1=0.1, aabb_scale=2)
    Image.fromarray(np.full((12, 16), 255, np.uint8)).save(folder / "m.png")
    return ["transforms.json", "transforms.json", "m.png", "images/1.png"]


def _fisheye(folder: Path) -> list[str]:
    own = {"fl_x": 9.0, "fl_y": 8.5, "k1": 0.02, "k4": 0.001}
    write_transforms(folder, count=4, each=lambda i: own, camera_model="OPENCV_FISHEYE", fl_x=None, fl_y=None)
    return ["transforms.json"]


def _angles(folder: Path) -> list[str]:
    lens = {"camera_angle_x": 0.7, "camera_angle_y": 0.6, "fl_x": None, "fl_y": None, "w": None, "h": None}
    write_transforms(folder, count=4, camera_model="FULL_OPENCV", k3=0.01, k6=0.01, p1=0.001, **lens)
    return ["transforms.json"]


def _panorama(folder: Path) -> list[str]:
    write_transforms(folder, count=4, size=(8, 16), camera_model="EQUIRECTANGULAR")
    return ["transforms.json"]


def _blender(folder: Path) -> list[str]:
    write_ball(folder, size=8, train=3, test=2)
    return ["transforms_train.json", "transforms_test.json"]


def _colmap_binary(folder: Path) -> list[str]:
    binary_model(folder, points=3)
    return [f"sparse/0/{part}.bin" for part in ("cameras", "images", "points3D")]


def _colmap_text(folder: Path) -> list[str]:
    place = binary_model(folder) / "sparse" / "0"
    for path in place.iterdir():
        path.unlink()
    (place / "cameras.txt").write_text("# cameras\n1 OPENCV 16 16 20 20 8 8 0.1 0 0 0\n")
    (place / "images.txt").write_text("".join(f"{i + 1} 1 0 0 0 {i} 0 3 1 {i}.png\n1 2 -1\n" for i in range(5)))
    (place / "points3D.txt").write_text("".join(f"{i + 1} 0 0 {i} 1 2 3 0.1 1 0\n" for i in range(5)))
    (place / "test.txt").write_text("1.png\n3.png\n")
    return [f"sparse/0/{name}.txt" for name in ("cameras", "images", "points3D", "test")]


def _pictures(suffix: str, **options: Any) -> Callable[[Path], list[str]]:
    """Return what writes a scene whose pictures, and a mask, are of another format."""

    def write(folder: Path) -> list[str]:
        names = [f"images/{i}{suffix}" for i in range(4)]
        write_transforms(folder, count=4, each=lambda i: {"file_path": names[i], "mask_path": names[3]})
        for name in names:
            values = np.random.default_rng(0).integers(1, 255, (12, 16, 3), dtype=np.uint8)
            Image.fromarray(values).convert(options.pop("mode", "RGB")).save(folder / name, **options)
            (folder / name).with_suffix(".png").unlink()
        return names[2:]

    return write


SCENES: dict[str, Callable[[Path], list[str]]] = {
    "transforms": _transforms,
    "fisheye": _fisheye,
    "angles": _angles,
    "panorama": _panorama,
    "blender": _blender,
    "colmap-binary": _colmap_binary,
    "colmap-text": _colmap_text,
    "pictures-jpeg": _pictures(".jpg"),
    "pictures-tiff": _pictures(".tif", compression="tiff_lzw"),
    "pictures-webp": _pictures(".webp"),
    "pictures-gif": _pictures(".gif", mode="P"),
}


def _read(folder: Path) -> None:
    scene = read_scene(str(folder), memory=700_000_000)
    frame = place_scene(scene).frame
    assert np.isfinite(frame.poses_to_box(scene.train.poses)).all()
    assert all(len(note) <= 300 and note.isprintable() for note in scene.notes), scene.notes


def samples(folder: Path) -> dict[str, Sample]:
    """Return the samples of finer-nerf; `folder` is for making them."""
    found = {}
    for name, write in SCENES.items():
        hit = write(folder / name)
        command = ("finer-nerf", "train", "{input}", "--out", "{out}", *TINY)
        found[name] = Sample(files=files_of(folder / name), hit=hit, read=_read, command=command)
    views = ball_views(3, size=2)
    frames = [{"transform_matrix": pose.tolist()} for pose in views.poses]
    path = json.dumps({"camera_angle_x": 0.9, "w": 8, "h": 8, "from_na": True, "frames": frames})
    model = SimpleNamespace(frame=Normalization(scale=1.0), camera=views.cameras[0])
    found["path"] = Sample(
        files={"path.json": path.encode()},
        read=lambda inside: read_path(str(inside / "path.json"), model),  # type: ignore[arg-type]
    )
    run = run_sample(main, ["train", str(folder / "blender"), *TINY], folder / "run")
    render = ("finer-nerf", "render", "{input}/" + MODEL, "--out", "{out}.png", "--size", "6x6", "--quiet")
    found["model"] = saved_model_sample(folder / "run" / MODEL, lambda path: NerfModel.load(path), render)
    return found | {"run": run}
