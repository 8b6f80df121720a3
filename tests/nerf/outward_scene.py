"""Balls in a round room, seen by cameras that look outwards all round: a scene without bounds for a box."""

import numpy as np
import torch

from finer_nerf.cameras import Camera, all_pixels, camera_directions
from finer_nerf.scenes import Scene, Views

WALL = 9.0
BALLS = np.array([[2.2, 0.4, 0.3, 0.6], [-0.5, 2.6, -0.4, 0.8], [-2.4, -0.8, 0.5, 0.7], [0.7, -3.4, 0.1, 1.0]])
"""Centers and radii."""


def outward_views(count: int, *, size: int, phase: float = 0.0, names: str = "r") -> Views:
    """Return opaque pictures of cameras on a ring of radius 0.5, 86 degrees wide, nodding up and down."""
    focal = size / 1.87
    camera = Camera(width=size, height=size, fx=focal, fy=focal, cx=size / 2, cy=size / 2)
    local = camera_directions(camera, all_pixels(camera)).double().numpy() * np.array([1.0, -1.0, -1.0])
    poses, images = [], []
    for i in range(count):
        angle, nod = 2 * np.pi * (i + phase) / count, 0.35 * np.sin(2.4 * (i + phase))
        out = np.array([np.cos(angle), np.sin(angle), 0.0])
        ahead = np.cos(nod) * out + np.sin(nod) * np.array([0.0, 0.0, 1.0])
        right = np.cross(ahead, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3] = np.stack([right, np.cross(right, ahead), -ahead, 0.5 * out], axis=1)
        poses.append(pose)
        images.append((255 * _colors(pose[:3, 3], local @ pose[:3, :3].T)).round().astype(np.uint8))
    return Views(
        names=tuple(f"{names}_{i}" for i in range(count)),
        images=torch.from_numpy(np.stack(images)).view(count, size, size, 3),
        poses=np.stack(poses),
        cameras=(camera,) * count,
    )


def outward_scene(*, size: int = 24, train: int = 24, test: int = 6) -> Scene:
    """Return the scene."""
    return Scene(
        name="room",
        kind="transforms",
        train=outward_views(train, size=size),
        test=outward_views(test, size=size, phase=0.4, names="t"),
        digest="room",
    )


def _colors(eye: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Return the colors that rays (n, 3) see, (n, 3): waves of the place, each ball in its own shade."""
    depth = _distance(eye, rays, np.zeros(3), WALL, far_side=True)
    shade = np.tile([[0.75, 0.7, 0.6]], (len(rays), 1))
    for number, (*center, radius) in enumerate(BALLS):
        found = _distance(eye, rays, np.array(center), radius, far_side=False)
        nearer = found < depth
        depth = np.where(nearer, found, depth)
        shade[nearer] = 0.25 + 0.6 * np.eye(3)[number % 3]
    places = eye + rays * depth[:, None]
    waves = np.sin(1.3 * places @ np.array([[1.0, 0.3, -0.2], [0.2, 1.0, 0.4], [-0.3, 0.1, 1.0]])).prod(axis=1)
    return (shade * (0.75 + 0.25 * waves[:, None])).clip(0, 1)


def _distance(eye: np.ndarray, rays: np.ndarray, center: np.ndarray, radius: float, *, far_side: bool) -> np.ndarray:
    """Return where unit rays meet a sphere; infinite for those that miss it."""
    along = -(rays @ (eye - center))
    square = radius**2 - (((eye - center) ** 2).sum() - along**2)
    root = np.sqrt(np.maximum(square, 0))
    depth = along + root if far_side else along - root
    return np.where((square > 0) & (depth > 0), depth, np.inf)
