"""A ball in front of nothing, seen from a ring of cameras: small enough to train on in a test."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from finer_nerf.cameras import Camera, all_pixels, camera_rays
from finer_nerf.normalization import Normalization
from finer_nerf.scenes import Scene, Views

RADIUS = 0.6


def look_at(eye: np.ndarray) -> np.ndarray:
    """Return the camera-to-world matrix of a camera that looks at the origin: x right, y up, z backwards."""
    back = eye / np.linalg.norm(eye)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(back, right), back, eye], axis=1)
    return pose


def ball_views(count: int, *, size: int, phase: float = 0.0, alpha: bool = True, names: str = "r") -> Views:
    """Return views of a ball whose color is its normal."""
    camera = Camera(width=size, height=size, fx=size * 1.2, fy=size * 1.2, cx=size / 2, cy=size / 2)
    poses, images = [], []
    for i in range(count):
        angle = 2 * np.pi * (i + phase) / count
        height = 0.9 * np.sin(2.4 * (i + phase))
        pose = look_at(2.5 * np.array([np.cos(angle), np.sin(angle), height]))
        box_pose = torch.from_numpy(Normalization(scale=1.0).poses_to_box(pose[None])[0])
        rays_o, rays_d = camera_rays(box_pose, camera, all_pixels(camera))
        along = -(rays_o * rays_d).sum(-1)
        inside = RADIUS**2 - (rays_o.square().sum(-1) - along.square())
        t = along - inside.clamp_min(0).sqrt()
        normal = (rays_o + rays_d * t[:, None]) / RADIUS
        rgb = torch.where(inside[:, None] > 0, normal / 2 + 0.5, 1.0)
        opaque = (inside > 0).float()[:, None]
        pixels = torch.cat([rgb, opaque], dim=-1) if alpha else rgb
        images.append((pixels * 255).round().to(torch.uint8).view(size, size, -1))
        poses.append(pose)
    return Views(
        names=tuple(f"{names}_{i}" for i in range(count)),
        images=torch.stack(images),
        poses=np.stack(poses),
        cameras=(camera,) * count,
    )


def ball_scene(*, size: int = 24, train: int = 12, test: int = 3, alpha: bool = True) -> Scene:
    """Return a scene of the ball."""
    return Scene(
        name="ball",
        kind="blender",
        train=ball_views(train, size=size, alpha=alpha),
        test=ball_views(test, size=size, phase=0.4, alpha=alpha, names="t"),
        digest="ball",
    )


def write_ball(folder: Path, **options) -> Path:
    """Write the ball as a Blender scene."""
    scene = ball_scene(**options)
    for split, views in (("train", scene.train), ("test", scene.test)):
        (folder / split).mkdir(parents=True)
        frames = []
        for name, image, pose in zip(views.names, views.images, views.poses, strict=True):
            Image.fromarray(image.numpy()).save(folder / split / f"{name}.png")
            frames.append({"file_path": f"./{split}/{name}", "transform_matrix": pose.tolist()})
        camera = views.cameras[0]
        angle = 2 * np.arctan(camera.width / (2 * camera.fx))
        text = json.dumps({"camera_angle_x": float(angle), "frames": frames})
        (folder / f"transforms_{split}.json").write_text(text)
    return folder


def write_transforms(
    folder: Path, count: int = 6, *, size: tuple[int, int] = (12, 16), each=lambda i: {}, **top
) -> Path:
    """Write a transforms.json with gray pictures on a ring.

    Args:
        folder: Where.
        count: Of pictures.
        size: Their height and width.
        each: Further entries of a frame, by its number.
        top: Further entries of the file; None takes a usual one away.
    """
    (folder / "images").mkdir(parents=True)
    height, width = size
    frames = []
    for i, pose in enumerate(ball_views(count, size=2).poses):
        Image.fromarray(np.full((height, width, 3), 20 + 30 * i % 200, np.uint8)).save(folder / f"images/{i}.png")
        frames.append({"file_path": f"images/{i}.png", "transform_matrix": pose.tolist(), **each(i)})
    usual = {"w": width, "h": height, "fl_x": 20.0, "fl_y": 20.0, "cx": width / 2, "cy": height / 2}
    data = {name: value for name, value in {**usual, **top}.items() if value is not None}
    (folder / "transforms.json").write_text(json.dumps({**data, "frames": frames}))
    return folder
