"""Paths of cameras through a scene: round it, in a spiral before it, or from a file."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from finer_core.errors import InputError
from finer_core.schema import check_number
from finer_core.shapes import Float, Real
from finer_nerf.arguments import are_mirrored
from finer_nerf.cameras import Camera
from finer_nerf.rendering.fitted import FittedScene
from finer_nerf.scenes.auto_scale import looked_at
from finer_nerf.scenes.checks import read_json
from finer_nerf.scenes.frames import check_pose, straighten
from finer_nerf.scenes.transforms import axes_of, path_camera

_WIDEST_GAP = math.radians(120)
"""Views that leave a larger gap than this show the scene from one side only: an orbit would pass unseen space."""
_LONGEST = 150
"""Letters of what is wrong with a lens, in a note."""


@dataclass(frozen=True, kw_only=True)
class CameraPath:
    """Hold a path.

    Attributes:
        poses: Camera-to-box matrices (n, 4, 4) float32: x right, y down, z forwards.
        cameras: The lens of each; empty where a path says nothing of lenses.
        note: What to know about it; empty for nothing.
    """

    poses: Tensor
    cameras: tuple[Camera, ...] = ()
    note: str = ""


def orbit(model: FittedScene, *, frames: int) -> CameraPath:
    """Return a circle round the scene at the training cameras' median height and distance.

    Where the training views cover one side only, the cameras swing to and fro inside that side.

    Raises:
        InputError: If there are less than one.
    """
    check_number(frames, what="frames", is_whole=True)
    if frames < 1:
        raise InputError(f"frames must be at least 1, got {frames!r}")
    center, up, polar = _seen_from(model)
    distance, elevation = np.median(polar[:, 0]), np.median(polar[:, 2])
    start, width = _covered(polar[:, 1])
    share = np.arange(frames) / frames
    if 2 * math.pi - width < _WIDEST_GAP:
        angles, note = start + 2 * math.pi * share, ""
    else:
        angles = start + width * (0.5 - 0.5 * np.cos(2 * math.pi * share))
        note = f"the training views cover {math.degrees(width):.0f} degrees: the camera swings inside these"
    first, second = _across(up)
    eyes = [
        center
        + distance
        * (math.cos(elevation) * (math.cos(angle) * first + math.sin(angle) * second) + math.sin(elevation) * up)
        for angle in angles
    ]
    return CameraPath(poses=_stacked([look_at(eye, center, up) for eye in eyes], model), note=note)


def spiral(model: FittedScene, *, frames: int) -> CameraPath:
    """Return a forward-facing spiral, twice round the mean camera, a third as wide as the training cameras' spread."""
    center, up, _ = _seen_from(model)
    origins = np.asarray(model.train_poses)[:, :3, 3]
    eye = origins[np.linalg.norm(origins - np.median(origins, axis=0), axis=1).argmin()]
    base = look_at(eye, center, up)
    spread = np.abs((origins - eye) @ base[:3, :3]).mean(axis=0) / 3
    poses = []
    for share in np.arange(frames) / frames:
        turn = 4 * math.pi * share
        shift = np.array([math.cos(turn), math.sin(turn), math.sin(turn / 2)]) * spread
        poses.append(look_at(eye + base[:3, :3] @ shift, center, up))
    return CameraPath(poses=_stacked(poses, model))


def read_path(file: str, model: FittedScene) -> CameraPath:
    """Read a path: a JSON file with "frames", each with a "transform_matrix" as in a transforms.json.

    The file's marks of axes are followed, and so are its lenses, without their distortion. One that is not supported
    is the model's, and the note says so.

    Raises:
        InputError: If it is not such a file.
    """
    path = Path(file)
    if not os.path.isfile(path):
        raise InputError(f"--path {file!r}: not orbit, spiral, or a file of cameras")
    data = read_json(path)
    frames = data.get("frames")
    if not isinstance(frames, list) or not frames:
        raise InputError(f'{file}: no cameras; a path lists them under "frames"')
    places = [f"{file}: frame {number}" for number in range(len(frames))]
    poses = [
        check_pose(frame.get("transform_matrix") if isinstance(frame, dict) else None, where=place)
        for frame, place in zip(frames, places, strict=True)
    ]
    axes, notes = axes_of(data)
    straight, more = straighten(np.stack(poses) @ axes, places=places)
    notes += more
    cameras: tuple[Camera, ...] = ()
    try:
        found = [path_camera(data, frame, like=model.camera, where="its lens") for frame in frames]
        if any(camera != model.camera for camera in found):
            cameras = tuple(camera if camera.projection == "equirectangular" else camera.pinhole() for camera in found)
    except InputError as error:
        notes.append(f"the model's own lens is used, not the file's: {str(error)[:_LONGEST]}")
    poses_to_box = torch.from_numpy(model.frame.poses_to_box(straight))
    return CameraPath(poses=poses_to_box, cameras=cameras, note="; ".join(notes))


def look_at(
    eye: Real[np.ndarray, "3"], target: Real[np.ndarray, "3"], up: Real[np.ndarray, "3"]
) -> Float[np.ndarray, "4 4"]:
    """Return the pose (4, 4) of a camera at `eye` that looks at `target`: x right, y down, z forwards."""
    forwards = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forwards, up)
    if np.linalg.norm(right) < 1e-6:  # looking along the vertical: any side will do
        right = _across(up)[0]
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forwards, right), forwards, eye], axis=1)
    return pose


def mean_up(poses: Float[np.ndarray, "cameras 4 4"]) -> Float[np.ndarray, "3"]:
    """Return the mean upward direction of cameras (n, 4, 4) with y down, (3,), unit."""
    up = -np.asarray(poses, dtype=np.float64)[:, :3, 1].mean(axis=0)
    length = np.linalg.norm(up)
    return up / length if length > 1e-6 else np.array([0.0, 1.0, 0.0])


def scene_center(poses: Float[np.ndarray, "cameras 4 4"]) -> Float[np.ndarray, "3"]:
    """Return the point that cameras (n, 4, 4) with z forwards look at, (3,)."""
    turned = np.array(poses, dtype=np.float64)
    turned[:, :3, 2] *= -1
    return looked_at(turned)


def _seen_from(model: FittedScene) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return center, up, and each training camera's distance, azimuth and elevation, (n, 3)."""
    poses = np.asarray(model.train_poses, dtype=np.float64)
    center, up = scene_center(poses), mean_up(poses)
    offsets = poses[:, :3, 3] - center
    distance = np.linalg.norm(offsets, axis=1)
    first, second = _across(up)
    azimuth = np.arctan2(offsets @ second, offsets @ first)
    elevation = np.arcsin(np.clip(offsets @ up / np.maximum(distance, 1e-9), -1, 1))
    return center, up, np.stack([distance, azimuth, elevation], axis=1)


def _covered(azimuths: np.ndarray) -> tuple[float, float]:
    """Return the first angle and the width of the smallest arc that holds all azimuths."""
    ordered = np.sort(azimuths)
    gaps = np.diff(np.append(ordered, ordered[0] + 2 * math.pi))
    widest = int(gaps.argmax())
    return float(ordered[(widest + 1) % len(ordered)]), float(2 * math.pi - gaps[widest])


def _across(up: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two unit vectors that make a right-handed frame with `up`."""
    first = np.cross(up, np.eye(3)[np.abs(up).argmin()])
    first /= np.linalg.norm(first)
    return first, np.cross(up, first)


def _stacked(poses: list[np.ndarray], model: FittedScene) -> Tensor:
    """Return poses (n, 4, 4), as reflections where the scene's cameras are, so that its films are no mirror images."""
    stacked = np.stack(poses).astype(np.float32)
    if are_mirrored(np.asarray(model.train_poses)):
        stacked[:, :3, 0] *= -1
    return torch.from_numpy(stacked)
