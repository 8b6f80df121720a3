"""Scenes of COLMAP models: which model is read, and its images with their cameras, poses, pictures and masks."""

import codecs
import itertools
import math
import os
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.text import notes_of
from finer_nerf.scenes.checks import brief, printable, readable
from finer_nerf.scenes.colmap_files import CAMERAS, IMAGES, POINTS, Image, count_images, records, wrong_comment
from finer_nerf.scenes.frames import Found, PosedFrame, check_pose, split_by_names
from finer_nerf.scenes.images import find_picture, missing_note

_PLACES = ("", "sparse/*", "sparse", "colmap/sparse/*")
"""Where a model is looked for; of several, COLMAP's numbered components, the one with most images is read."""


def find_colmap(folder: Path) -> list[Path]:
    """Return the folders of the COLMAP models in or below a scene's folder, the one to read first."""
    for place in _PLACES:
        found = sorted(folder.glob(place), key=lambda model: (len(model.name), model.name)) if place else [folder]
        models = [
            model
            for model in found
            if (model.name.isdecimal() or "*" not in place)
            and any((model / f"cameras{suffix}").is_file() for suffix in (".bin", ".txt"))
        ]
        if models:
            return sorted(models, key=count_images, reverse=True) if len(models) > 1 else models
    return []


def read_colmap(folder: Path, *, memory: int | None = None) -> Found:
    """Read a COLMAP model; its pictures lie in images/ beside sparse/, masks in masks/ under the picture's name + .png.

    A camera_mask.png in the scene's folder holds for every picture, and sparse/0/test.txt lists the views to judge by.
    """
    model, *others = find_colmap(folder)
    suffix = ".bin" if (model / "cameras.bin").is_file() else ".txt"
    files = [model / f"{part}{suffix}" for part in ("cameras", "images", "points3D")]
    with readable(model):
        numbered = sorted(records(files[0], CAMERAS, memory), key=lambda camera: camera[0])
        cameras = dict(numbered)
        if twice := [number for (number, _), (other, _) in itertools.pairwise(numbered) if number == other]:
            raise InputError(f"{files[0]}: it has camera {twice[0]} twice; leave one out")
        images = sorted(records(files[1], IMAGES, memory))
        values = records(files[2], POINTS, memory) if files[2].is_file() else iter(())
        known = np.fromiter(itertools.chain.from_iterable(values), dtype=np.float64).reshape(-1, 3)
        points = known[np.isfinite(known).all(axis=1)]
        left = ", ".join(other.name for other in others[:8])
        several = f"{model.parent.name}/ holds {len(others) + 1} models that share no coordinates: {model.name} is read"
        notes = [f"{several}, which has most images; left aside: {left}"] if others else []
        lost = len(known) - len(points)
        found = {
            f"{lost} of {len(known)} known points are not finite: left out": lost,
            "its text files are left aside: the binary ones are read": suffix == ".bin"
            and any(file.with_suffix(".txt").is_file() for file in files),
        }
        notes += notes_of(found)
        notes += wrong_comment(files[0], len(cameras)) + wrong_comment(files[1], len(images))
    frames, missing, unmasked = [], [], 0
    common = find_picture(folder, "camera_mask.png")
    for image in images:
        where = f"{model}: image {brief(image.name)}"
        picture = find_picture(folder / "images", image.name) or find_picture(folder, image.name)
        if picture is None:
            missing.append(image.name)
            continue
        if image.camera not in cameras:
            raise InputError(f"{where}: its camera {image.camera} is not in {files[0].name}")
        own = _own_mask(folder / "masks", image.name)
        unmasked += own is None
        frames.append(
            PosedFrame(
                name=printable(image.name),
                where=where,
                picture=picture,
                pose=_pose(image, where=where),
                lens=cameras[image.camera],
                masks=tuple((mask, False) for mask in (own, common) if mask is not None),
            )
        )
    if not frames:
        first = f", the first: {brief(missing[0])}" if missing else ""
        raise InputError(f"{model}: no posed picture exists ({len(missing)} are missing in {folder / 'images'}{first})")
    notes += missing_note(missing)
    if 0 < unmasked < len(frames):
        notes.append(f"{unmasked} of {len(frames)} pictures have no mask in masks/")
    listed, lists = model / "test.txt", {}
    if listed.is_file():
        files.append(listed)
        names = [line.strip() for line in listed.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()]
        lists["test"] = [printable(os.fsdecode(name)) for name in names if name]
    splits, more = split_by_names(frames, lists)
    return Found(
        kind="colmap",
        frames=frames,
        files=[file for file in files if file.is_file()],
        splits=splits,
        skipped=len(missing),
        notes=[*notes, *more],
        points=points if len(points) else None,
    )


def _own_mask(masks: Path, name: str) -> Path | None:
    """Return the mask of a picture; a name that leads out of the folder would find the picture itself."""
    if os.path.isabs(name) or ".." in Path(name).parts:
        return None
    return find_picture(masks, f"{name}.png") or find_picture(masks, name)


def _pose(image: Image, *, where: str) -> np.ndarray:
    """Return camera-to-world from COLMAP's world-to-camera, x right, y down, z forwards to y up, z backwards."""
    from scipy.spatial.transform import Rotation

    if not 1e-6 < math.hypot(*image.pose[:4]) < 1e6:
        raise InputError(f"{where}: its rotation {brief(image.pose[:4])} is no quaternion")
    world_to_camera = np.eye(4)
    world_to_camera[:3, :3] = Rotation.from_quat([*image.pose[1:4], image.pose[0]]).as_matrix()
    world_to_camera[:3, 3] = image.pose[4:]
    check_pose(world_to_camera, where=where)
    return np.linalg.inv(world_to_camera) @ np.diag([1.0, -1.0, -1.0, 1.0])
