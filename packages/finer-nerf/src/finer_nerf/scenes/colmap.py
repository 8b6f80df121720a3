"""Cameras of COLMAP models, text and binary, through pycolmap."""

from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_nerf.cameras import Intrinsics
from finer_nerf.scenes.pictures import find_picture
from finer_nerf.scenes.posed_frames import Found, PosedFrame, check_pose

_PLACES = (".", "sparse/0", "sparse", "colmap/sparse/0")


def find_colmap(folder: Path) -> Path | None:
    """Return the folder of a COLMAP model in or below a scene's folder, or None."""
    for place in _PLACES:
        model = folder / place
        if any((model / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt")):
            return model
    return None


def read_colmap(folder: Path) -> Found:
    """Read a COLMAP model; its pictures lie in images/ beside sparse/.

    Raises:
        InputError: If pycolmap is absent, the model is damaged or empty, or a camera model is not a supported one.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise InputError(f'{folder}: reading a COLMAP model needs pip install "finer-nerf[colmap]"') from error
    model = find_colmap(folder)
    assert model is not None
    try:
        reconstruction = pycolmap.Reconstruction(str(model))
    except Exception as error:  # pycolmap raises what its C++ raised: any failure means an unusable model
        raise InputError(f"{model}: not a readable COLMAP model ({str(error).splitlines()[0]})") from error
    frames, missing = [], []
    for image in reconstruction.images.values():
        if not image.has_pose:
            continue
        picture = find_picture(folder / "images", image.name) or find_picture(folder, image.name)
        if picture is None:
            missing.append(image.name)
            continue
        camera = reconstruction.cameras[image.camera_id]
        frames.append(
            PosedFrame(
                name=image.name,
                picture=picture,
                pose=check_pose(_pose(image), where=f"{model}: image {image.name!r}"),
                camera=_lens(camera, where=f"{model}: camera {image.camera_id}"),
            )
        )
    if not frames:
        raise InputError(f"{model}: no posed picture exists ({len(missing)} are missing in {folder / 'images'})")
    points = np.array([point.xyz for point in reconstruction.points3D.values()], dtype=np.float64).reshape(-1, 3)
    files = sorted(path for path in model.iterdir() if path.stem in ("cameras", "images", "points3D", "rigs", "frames"))
    notes = [f"{len(missing)} images skipped: their pictures are missing (the first: {missing[0]})"] if missing else []
    return Found(frames=frames, files=files, skipped=len(missing), notes=notes, points=points if len(points) else None)


def _pose(image: Any) -> np.ndarray:
    """Return camera-to-world from COLMAP's world-to-camera, x right, y down, z forwards to y up, z backwards."""
    world_to_camera = np.eye(4)
    world_to_camera[:3] = image.cam_from_world().matrix()
    return np.linalg.inv(world_to_camera) @ np.diag([1.0, -1.0, -1.0, 1.0])


def _lens(camera: Any, *, where: str) -> Intrinsics:
    name, values = camera.model.name, [float(value) for value in camera.params]
    if name == "SIMPLE_PINHOLE":
        focal, cx, cy = values
        lens = (focal, focal, cx, cy, 0.0, 0.0, 0.0, 0.0)
    elif name == "PINHOLE":
        lens = (*values, 0.0, 0.0, 0.0, 0.0)  # type: ignore[assignment]
    elif name == "SIMPLE_RADIAL":
        focal, cx, cy, k1 = values
        lens = (focal, focal, cx, cy, k1, 0.0, 0.0, 0.0)
    elif name == "RADIAL":
        focal, cx, cy, k1, k2 = values
        lens = (focal, focal, cx, cy, k1, k2, 0.0, 0.0)
    elif name == "OPENCV":
        lens = tuple(values)  # type: ignore[assignment]
    else:
        raise InputError(f"{where}: camera model {name} is not supported; undistort the pictures with COLMAP first")
    fx, fy, cx, cy, k1, k2, p1, p2 = lens
    return Intrinsics(
        width=int(camera.width), height=int(camera.height), fx=fx, fy=fy, cx=cx, cy=cy, distortion=(k1, k2, p1, p2)
    )
