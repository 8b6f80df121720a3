"""The workbench: a globe, a striped pillar with a pearl, and a die, on a chequered plate."""

import functools
import hashlib
import math

import numpy as np
import torch

from finer_nerf.cameras import Camera, all_pixels, camera_directions
from finer_nerf.config import BUILT_IN
from finer_nerf.scenes.builtin.primitives import Ball, Box, Cylinder, Solid
from finer_nerf.scenes.builtin.textures import checks, dice, globe, pearl, spiral
from finer_nerf.scenes.scene import Scene, Views

_SOLIDS: tuple[Solid, ...] = (
    Box(center=(0.0, 0.0, -0.5), half=(0.85, 0.85, 0.06), texture=checks),
    Ball(center=(-0.32, -0.25, -0.07), radius=0.37, texture=globe, gloss=0.35),
    Cylinder(center=(0.38, 0.34, -0.09), radius=0.2, half_height=0.35, texture=spiral, gloss=0.1),
    Ball(center=(0.38, 0.34, 0.4), radius=0.14, texture=pearl, gloss=0.6),
    Box(center=(0.36, -0.4, -0.24), half=(0.2, 0.2, 0.2), turn=0.6, texture=dice, gloss=0.1),
)
_LIGHT = np.array([0.45, -0.35, 0.82]) / np.linalg.norm([0.45, -0.35, 0.82])
_AMBIENT, _SHARPNESS, _SHADOW = 0.45, 24.0, 0.35
_DISTANCE, _ANGLE = 3.9, 0.69
"""Of the cameras: from the origin, and the horizontal field of view in radians."""
_SUPERSAMPLING = 3
_RAYS_AT_ONCE = 8192
"""Whose arrays stay in the cache, and in memory that is used again."""
_GOLDEN = math.pi * (3 - math.sqrt(5))


_PHASES = {"train": 0.0, "val": 0.31, "test": 0.17}
"""Where the views of a split begin, between those of the others."""
_SMALL = 16
"""Side of the pictures that the digest is of: what there is to see in the scene shows there too."""

BUILT_IN_SIZE, BUILT_IN_VIEWS = 128, 36
"""Side of the pictures in pixels, and number of training views, by default."""


def builtin_scene(*, size: int = BUILT_IN_SIZE, train: int = BUILT_IN_VIEWS, val: int = 4, test: int = 8) -> Scene:
    """Return the scene: RGBA pictures from the upper half of a sphere, all looking at the origin.

    Args:
        size: Side of the pictures in pixels.
        train: Training views, spread evenly.
        val: Validation views, between them.
        test: Test views, between them.
    """
    camera = builtin_camera(size)
    splits = {
        name: _views(name, count, camera=camera, phase=_PHASES[name])
        for name, count in (("train", train), ("val", val), ("test", test))
    }
    return Scene(
        name=BUILT_IN,
        kind="blender",
        train=splits["train"],
        val=splits["val"],
        test=splits["test"],
        digest=builtin_digest(size=size, train=train, val=val, test=test),
    )


def builtin_digest(*, size: int = BUILT_IN_SIZE, train: int = BUILT_IN_VIEWS, val: int = 4, test: int = 8) -> str:
    """Return the digest of the scene without drawing it: of its size, its poses, and how its views look in small.

    Args:
        size: As `builtin_scene` takes it.
        train: As `builtin_scene` takes it.
        val: As `builtin_scene` takes it.
        test: As `builtin_scene` takes it.
    """
    digest, small = hashlib.sha256(f"{size} {train} {val} {test}".encode()), builtin_camera(min(size, _SMALL))
    for name, count in (("train", train), ("val", val), ("test", test)):
        poses, images = _drawn(count, small, _PHASES[name])
        digest.update(poses.tobytes())
        digest.update(images.tobytes())
    return digest.hexdigest()


def builtin_camera(size: int) -> Camera:
    """Return the camera of a picture of that size."""
    focal = size / (2 * math.tan(_ANGLE / 2))
    return Camera(width=size, height=size, fx=focal, fy=focal, cx=size / 2, cy=size / 2)


def builtin_depth(pose: np.ndarray, camera: Camera) -> np.ndarray:
    """Return the exact distance along the ray of each pixel's center.

    Args:
        pose: Camera-to-world matrix (4, 4): x right, y up, z backwards.
        camera: The camera.

    Returns:
        (height, width) float32 in the scene's units, infinite where nothing is.
    """
    origins, directions = _rays(pose, camera)
    depth, _ = _first_hit(origins, directions)
    return depth.reshape(camera.height, camera.width).astype(np.float32)


def _views(split: str, count: int, *, camera: Camera, phase: float) -> Views:
    poses, images = _drawn(count, camera, phase)
    return Views(
        names=tuple(f"{split}/r_{i}" for i in range(count)),
        images=torch.from_numpy(images.copy()),
        poses=poses.copy(),
        cameras=(camera,) * count,
    )


@functools.lru_cache(maxsize=9)
def _drawn(count: int, camera: Camera, phase: float) -> tuple[np.ndarray, np.ndarray]:
    """Return poses and pictures of a split; drawing them takes seconds, and a study reads its scene for every cell."""
    poses = np.stack([_look_at_origin(_eye(i, count, phase)) for i in range(count)])
    return poses, np.stack([_picture(pose, camera) for pose in poses])


def _eye(index: int, count: int, phase: float) -> np.ndarray:
    """Return a point of a Fibonacci spiral on the upper half of the sphere of cameras."""
    height = 0.08 + 0.84 * (index + 0.5 + phase) / (count + 1)
    turn = _GOLDEN * index + 2 * math.pi * phase
    across = math.sqrt(1 - height**2)
    return _DISTANCE * np.array([across * math.cos(turn), across * math.sin(turn), height])


def _look_at_origin(eye: np.ndarray) -> np.ndarray:
    back = eye / np.linalg.norm(eye)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(back, right), back, eye], axis=1)
    return pose


def _rays(pose: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    directions = _camera_rays(camera) @ pose[:3, :3].T
    return np.broadcast_to(pose[:3, 3], directions.shape), directions


@functools.lru_cache(maxsize=1)
def _camera_rays(camera: Camera) -> np.ndarray:
    """Return the directions of all pixels, x right, y up, z backwards: the same in every picture."""
    return camera_directions(camera, all_pixels(camera)).double().numpy() * np.array([1.0, -1.0, -1.0])


def _first_hit(origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distance and number of the nearest solid of each ray."""
    distances = np.full((len(_SOLIDS), len(directions)), np.inf)
    for solid, found in zip(_SOLIDS, distances, strict=True):
        near = solid.is_near(origins, directions)
        found[near] = solid.distance(origins[near], directions[near])
    nearest = distances.argmin(axis=0)
    return np.take_along_axis(distances, nearest[None], axis=0)[0], nearest


def _picture(pose: np.ndarray, camera: Camera) -> np.ndarray:
    """Trace a picture as uint8 (height, width, 4); colors are averaged over what is opaque, so edges stay clean."""
    fine = camera.resized(width=camera.width * _SUPERSAMPLING, height=camera.height * _SUPERSAMPLING)
    origins, directions = _rays(pose, fine)
    rows = max(1, _RAYS_AT_ONCE // (fine.width * _SUPERSAMPLING)) * fine.width * _SUPERSAMPLING
    parts = [_traced(origins[i : i + rows], directions[i : i + rows]) for i in range(0, len(directions), rows)]
    colors, hit = (np.concatenate(part) for part in zip(*parts, strict=True))
    shape = (camera.height, _SUPERSAMPLING, camera.width, _SUPERSAMPLING)
    alpha = hit.reshape(shape).mean(axis=(1, 3))
    total = colors.reshape(*shape, 3).sum(axis=(1, 3))
    straight = total / np.maximum(alpha, 1e-9)[..., None] / _SUPERSAMPLING**2
    return np.rint(np.concatenate([straight, alpha[..., None]], axis=-1).clip(0, 1) * 255).astype(np.uint8)


def _traced(origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the color of each ray, black where it meets nothing, and whether it meets something."""
    depth, nearest = _first_hit(origins, directions)
    hit = np.isfinite(depth)
    colors = np.zeros((len(depth), 3))
    points = origins[hit] + directions[hit] * depth[hit, None]
    colors[hit] = _shade(points, directions[hit], nearest[hit])
    return colors, hit


def _shade(points: np.ndarray, directions: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Return colors: ambient and diffuse light, a shadow, and a highlight that moves with the viewer."""
    normals, colors, gloss = np.zeros_like(points), np.zeros_like(points), np.zeros(len(points))
    for number, solid in enumerate(_SOLIDS):
        mine = nearest == number
        if mine.any():
            normals[mine], colors[mine] = solid.normal_and_color(points[mine])
            gloss[mine] = solid.gloss
    lit = np.maximum(normals @ _LIGHT, 0)
    above = points + 1e-4 * normals
    blocked = np.isfinite(_first_hit(above, np.broadcast_to(_LIGHT, points.shape))[0])
    light = np.where(blocked, _SHADOW, 1.0)
    mirrored = directions - 2 * (directions * normals).sum(axis=-1, keepdims=True) * normals
    highlight = gloss * light * np.maximum(mirrored @ _LIGHT, 0) ** _SHARPNESS
    return colors * (_AMBIENT + (1 - _AMBIENT) * lit * light)[:, None] + highlight[:, None]
