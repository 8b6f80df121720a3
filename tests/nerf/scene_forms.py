"""One scene as three programs write it: Blender's format, nerfstudio's transforms.json, and COLMAP's text model."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from finer_nerf.cameras import Camera
from finer_nerf.scenes import Scene
from finer_nerf.scenes.builtin import builtin_depth
from finer_nerf.scenes.writer import write_blender_scene

FORMS = ("blender", "transforms", "colmap")
COLMAP_SCALE, COLMAP_SHIFT = 2.7, np.array([11.0, -4.0, 6.0])
"""COLMAP knows neither size nor place of a scene."""


def colmap_turn() -> np.ndarray:
    """Return the rotation between the scene's axes and COLMAP's, which are its first picture's, more or less."""
    turn, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))
    return turn * np.sign(np.linalg.det(turn))


def write_form(scene: Scene, folder: Path, form: str, *, opaque: tuple[int, int, int] | None = None) -> Path:
    """Write the training and test views of the workbench, or of a scene with its points.

    Args:
        scene: The scene.
        folder: Where.
        form: One of `FORMS`.
        opaque: Color, 0 to 255, that transparent pictures are put on; None to leave them as they are.
    """
    if opaque is not None:
        scene = on_color(scene, opaque)
    {"blender": write_blender_scene, "transforms": _write_transforms, "colmap": _write_colmap}[form](scene, folder)
    return folder


def on_color(scene: Scene, color: tuple[int, int, int]) -> Scene:
    """Return the scene with opaque pictures."""
    from dataclasses import replace

    def put(views):
        images = views.images.float()
        alpha = images[..., 3:] / 255
        mixed = images[..., :3] * alpha + torch.tensor(color) * (1 - alpha)
        return replace(views, images=mixed.round().to(torch.uint8))

    return replace(scene, train=put(scene.train), val=put(scene.val), test=put(scene.test))


def _write_pictures(scene: Scene, folder: Path) -> Iterator[tuple[str, str, np.ndarray, Camera]]:
    """Write images/SPLIT_0.png and so on; yield split, name, pose and camera of each."""
    (folder / "images").mkdir(parents=True)
    for split, views in (("train", scene.train), ("test", scene.test)):
        for number, (image, pose) in enumerate(zip(views.images, views.poses, strict=True)):
            name = f"{split}_{number:03}.png"
            Image.fromarray(image.numpy()).save(folder / "images" / name)
            yield split, name, pose, views.cameras[number]


def _write_transforms(scene: Scene, folder: Path) -> None:
    frames, names = [], {"train": [], "test": []}
    for split, name, pose, _ in _write_pictures(scene, folder):
        frames.append({"file_path": f"images/{name}", "transform_matrix": pose.tolist()})
        names[split].append(f"images/{name}")
    lens = scene.train.cameras[0]
    camera = {"w": lens.width, "h": lens.height, "fl_x": lens.fx, "fl_y": lens.fy, "cx": lens.cx, "cy": lens.cy}
    lists = {f"{split}_filenames": listed for split, listed in names.items()}
    (folder / "transforms.json").write_text(json.dumps({**camera, **lists, "frames": frames}))


def _write_colmap(scene: Scene, folder: Path) -> None:
    place, turn = folder / "sparse" / "0", colmap_turn()
    place.mkdir(parents=True)
    lens, images, tests = scene.train.cameras[0], [], []
    for number, (split, name, pose, _) in enumerate(_write_pictures(scene, folder), 1):
        moved = np.eye(4)
        moved[:3, :3] = turn @ pose[:3, :3] @ np.diag([1.0, -1, -1])
        moved[:3, 3] = COLMAP_SCALE * turn @ pose[:3, 3] + COLMAP_SHIFT
        inverse = np.linalg.inv(moved)
        numbers = " ".join(f"{x!r}" for x in [*map(float, _quaternion(inverse[:3, :3])), *map(float, inverse[:3, 3])])
        images.append(f"{number} {numbers} 1 {name}\n\n")
        tests += [name] if split == "test" else []
    (place / "images.txt").write_text("".join(images))
    (place / "test.txt").write_text("\n".join(tests))
    (place / "cameras.txt").write_text(
        f"1 PINHOLE {lens.width} {lens.height} {lens.fx!r} {lens.fy!r} {lens.cx!r} {lens.cy!r}\n"
    )
    points = scene.points if scene.points is not None else surface_points(scene)
    lines = [
        f"{number} {x!r} {y!r} {z!r} 90 90 90 0.5\n"
        for number, (x, y, z) in enumerate((COLMAP_SCALE * points @ turn.T + COLMAP_SHIFT).tolist(), 1)
    ]
    (place / "points3D.txt").write_text("".join(lines))


def surface_points(scene: Scene, *, count: int = 400, astray: int = 8) -> np.ndarray:
    """Return points on what the training views of the workbench see, and a few that were matched wrongly, far off."""
    random, found = np.random.default_rng(0), []
    for pose, camera in zip(scene.train.poses, scene.train.cameras, strict=True):
        depth = builtin_depth(pose, camera)
        rows, columns = np.nonzero(np.isfinite(depth))
        some = random.permutation(len(rows))[: max(1, count // len(scene.train))]
        local = np.stack(
            [
                (columns[some] + 0.5 - camera.cx) / camera.fx,
                -(rows[some] + 0.5 - camera.cy) / camera.fy,
                -np.ones(len(some)),
            ],
            axis=1,
        )
        local *= (depth[rows[some], columns[some]] / np.linalg.norm(local, axis=1))[:, None]
        found.append(local @ pose[:3, :3].T + pose[:3, 3])
    return np.concatenate([*found, random.normal(size=(astray, 3)) * 40])


def _quaternion(turn: np.ndarray) -> np.ndarray:
    """Return w, x, y, z of a rotation: the eigenvector of a symmetric matrix (Bar-Itzhack)."""
    (a, b, c), (d, e, f), (g, h, i) = turn
    matrix = np.array(
        [[a - e - i, 0, 0, 0], [d + b, e - a - i, 0, 0], [g + c, h + f, i - a - e, 0], [h - f, c - g, d - b, a + e + i]]
    )
    values, vectors = np.linalg.eigh(matrix / 3)
    x, y, z, w = vectors[:, values.argmax()]
    return np.array([w, x, y, z])
