"""Camera files of Blender scenes (transforms_train.json ...), and of instant-ngp and nerfstudio (transforms.json)."""

import math
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_nerf.cameras import Camera
from finer_nerf.lenses import MODELS, Distortion
from finer_nerf.scenes.checks import brief, numbers_of, printable, read_json, value_of
from finer_nerf.scenes.frames import Focal, Found, Lens, PosedFrame, check_pose, split_by_names
from finer_nerf.scenes.images import find_picture, missing_note

_SPLITS = ("train", "val", "test")
_OTHER_LENSES = (
    *("latlong", "equirectangular", "orthographic", "ftheta_p0", "ftheta_p1", "s1", "s2", "s3", "s4", "p3", "p4"),
    *("b1", "b2", "xi", "skew", "distortion", "shift_x", "shift_y"),
)
"""Names that only lenses have which are not read; any value but null, false and zero is refused."""
_TURNED = {"from_na": (1.0, -1.0, -1.0, 1.0), "from_mitsuba": (-1.0, 1.0, -1.0, 1.0)}
"""Marks of poses whose axes are not x right, y up, z backwards, and the signs that make them so: NeuS2's (y down, z
forwards), and instant-ngp's for what Mitsuba renders (x left, z forwards)."""
_LISTED = ("k1", "k2", "k3", "k4", "p1", "p2")
"""What the entries of "distortion_params" are."""
_LEFT_ASIDE = (
    *("rolling_shutter", "mask_color", "sharpen", "white_transparent", "black_transparent", "fix_premult", "env_map"),
    *("fisheye_crop_radius", "time", "depth_path", "depth_file_path"),
    *("camera_type", "lens_mode", "lens_type", "projection", "projection_type", "ortho_scale", "fisheye624_params"),
    *("fx", "fy", "focal", "focal_length", "fov", "K", "intrinsics", "intrinsic_matrix", "camera_intrinsics"),
    *("distortion", "distortion_model", "distortion_coefficients", "distortion_coeffs", "dist_coeffs"),
    *("pixel_aspect_x", "pixel_aspect_y", "sensor_width", "sensor_height"),
)
"""What is not followed, also what others call parts of a lens."""


def read_blender(path: Path, *, memory: int | None = None) -> Found:
    """Read the splits of a Blender scene beside the one to train on; InputError if a file is of no use.

    A split to judge by may be absent, or have poses alone, as add-ons of Blender write them.
    """
    paths = {split: path.with_name(f"transforms_{split}.json") for split in _SPLITS}
    found = {
        split: read_transforms(path, lists=(), memory=memory, may_lack_pictures=split != "train")
        for split, path in paths.items()
        if path.is_file()
    }
    splits = {split: part.frames for split, part in found.items() if part.frames}
    return Found(
        kind="blender",
        frames=[frame for part in found.values() for frame in part.frames],
        files=[file for part in found.values() for file in part.files],
        splits=splits if len(splits) > 1 else {},
        skipped=sum(part.skipped for part in found.values()),
        notes=[note for part in found.values() for note in part.notes],
    )


def read_transforms(
    path: Path, *, lists: Sequence[str] = _SPLITS, memory: int | None = None, may_lack_pictures: bool = False
) -> Found:
    """Read a transforms file: frames with poses, and a lens for all of them or for each.

    What a frame says overrules what the file says for all; frames whose picture is missing are left out and counted.
    Of the splits in `lists`, the file's lists of names are followed: of none where it is of one split itself.
    """
    data = read_json(path, memory=memory)
    entries = data.get("frames")
    if not isinstance(entries, list) or not entries:
        raise InputError(f'{path}: no frames; a transforms file lists its pictures under "frames"')
    shared = _numbers(data, where=path)
    axes, turned = axes_of(data)
    frames, missing = [], []
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str):
            raise InputError(f"{path}: frame {number} has no file_path")
        where = f"{path}: frame {brief(entry['file_path'])}"
        pose = check_pose(entry.get("transform_matrix"), where=where) @ axes
        picture = find_picture(path.parent, entry["file_path"])
        if picture is None:
            missing.append(entry["file_path"])
            continue
        whole = _whole(data, entry)
        frames.append(
            PosedFrame(
                name=name_of(entry["file_path"]),
                where=where,
                picture=picture,
                pose=pose,
                lens=_lens(_model(whole, where=where), own=_numbers(entry, where=where), shared=shared, where=where),
                masks=_masks(whole, picture, folder=path.parent, where=where),
            )
        )
    if not frames and not may_lack_pictures:
        raise InputError(f"{path}: all {len(missing)} pictures are missing, for example {brief(missing[0])}")
    named = {split: value_of(data, f"{split}_filenames", list[str], where=path) for split in lists}
    splits, notes = split_by_names(
        frames, {split: [name_of(name) for name in names] for split, names in named.items() if names is not None}
    )
    left = [name for name in _LEFT_ASIDE if _says(data.get(name)) or any(_says(entry.get(name)) for entry in entries)]
    return Found(
        kind="transforms",
        frames=frames,
        files=[path],
        splits=splits,
        skipped=len(missing),
        notes=[
            *missing_note(missing),
            *notes,
            *turned,
            *(f"{name} is left aside" for name in left),
        ],
        aabb_scale=shared.get("aabb_scale", 1.0),
    )


def axes_of(data: Mapping[str, Any]) -> tuple[np.ndarray, list[str]]:
    """Return what poses of a file are multiplied by, (4, 4), to be x right, y up, z backwards, and notes on it."""
    turned = next((name for name in _TURNED if data.get(name)), None)
    if turned is None:
        return np.eye(4), []
    return np.diag(_TURNED[turned]), [f"{turned}: two axes of every camera reversed, to x right, y up, z backwards"]


def path_camera(data: Mapping[str, Any], entry: Mapping[str, Any], *, like: Camera, where: str) -> Camera:
    """Return the camera that a frame of a path of cameras is for: what the file or the frame says, or `like`.

    Args:
        data: The file.
        entry: The frame.
        like: The camera of what is looked at, whose size is that of a lens without one.
        where: The frame, for messages.

    Raises:
        InputError: If the lens is one that is not supported.
    """
    model = _model(_whole(data, entry), where=where)
    lens = _lens(model, own=_numbers(entry, where=where), shared=_numbers(data, where=where), where=where)
    if lens.focals == (_NOTHING, _NOTHING) and lens.projection != "equirectangular":  # a size alone is no lens
        return like
    height, width = lens.size_for(height=like.height, width=like.width)
    return lens.camera(height=height, width=width, downscale=1)


def _whole(data: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a frame with all that the file says for every frame."""
    return {**data, **{name: value for name, value in entry.items() if value is not None}}


def name_of(path: str) -> str:
    """Return the name of a frame by its file_path, which lists of splits may spell in another way."""
    return printable(posixpath.normpath(path.replace("\\", "/")))


def _says(value: object) -> bool:
    """Return whether a value is more than null, false, zero, or zeros."""
    return any(_says(item) for item in value) if isinstance(value, list) else bool(value)


def _masks(entry: Mapping[str, Any], picture: Path, *, folder: Path, where: str) -> tuple[tuple[Path, bool], ...]:
    """Return the masks of a frame: its own or the file's mask_path, and instant-ngp's file beside the picture."""
    named = value_of(entry, "mask_path", str, where=where)
    own = find_picture(folder, named) if named else None
    if named and own is None:
        raise InputError(f"{where}: mask_path {brief(named)} is missing")
    beside = find_picture(picture.parent, f"dynamic_mask_{picture.stem}.png")
    return tuple((mask, black) for mask, black in ((own, False), (beside, True)) if mask is not None)


def _numbers(entry: Mapping[str, Any], *, where: object) -> dict[str, float]:
    """Return the numbers of a file or a frame, with the coefficients that nerfstudio's "distortion_params" lists."""
    given = entry.get("distortion_params") or []
    if not isinstance(given, list) or len(given) > len(_LISTED):
        raise InputError(f"{where}: distortion_params must be a list of {' '.join(_LISTED)}, got {brief(given)}")
    listed = numbers_of(dict(zip(_LISTED, given, strict=False)), where=f"{where}: distortion_params")
    return {**listed, **numbers_of(entry, where=where)}


def _lens(model: str, *, own: Mapping[str, float], shared: Mapping[str, float], where: str) -> Lens:
    """Return the lens of a model, by the frame's own numbers and those that all frames share."""
    numbers = {**shared, **own}
    below = {}
    if model == "FULL_OPENCV":
        below = {"q1": numbers.pop("k4", 0.0), "q2": numbers.pop("k5", 0.0), "q3": numbers.pop("k6", 0.0)}
    elif other := [name for name in ("k5", "k6") if numbers.get(name)]:
        raise InputError(f"{where}: {other[0]} is read with camera_model FULL_OPENCV only, and this is {model}")
    if model == "FOV" and "omega" not in numbers:
        raise InputError(f"{where}: camera_model FOV needs omega")
    coefficients = {name: numbers[name] for name in Distortion._fields if name in numbers}
    return Lens(
        projection=MODELS[model][0],
        size=(_pixels(numbers.get("h")), _pixels(numbers.get("w"))),
        focals=_focals(own, shared),
        center=(numbers.get("cx"), numbers.get("cy")),
        distortion=tuple(Distortion(**{**coefficients, **below})),
    )


def _pixels(side: float | None) -> int | None:
    return None if side is None else max(1, round(side))


def _model(entry: Mapping[str, Any], *, where: str) -> str:
    for name in _OTHER_LENSES:
        if _says(entry.get(name)):
            advice = "give cx and cy" if name.startswith("shift") else "undistort the pictures first"
            raise InputError(f"{where}: {name} is of a lens that is not supported; {advice}")
    named = value_of(entry, "camera_model", str, where=where) or "OPENCV"
    model = {"PERSPECTIVE": "OPENCV"}.get(named.upper(), named.upper())
    is_fisheye = entry.get("is_fisheye") or False
    if is_fisheye not in (True, False):
        raise InputError(f"{where}: is_fisheye must be true or false, got {brief(is_fisheye)}")
    if is_fisheye and model in MODELS and MODELS[model][0] == "perspective":
        model = "OPENCV_FISHEYE"
    if model not in MODELS:
        raise InputError(f"{where}: camera_model {brief(named)} is not supported; undistort the pictures first")
    return model


_NOTHING: Focal = (None, None)


def _focals(own: Mapping[str, float], shared: Mapping[str, float]) -> tuple[Focal, Focal]:
    """Return what is known of the width's and the height's field of view; a frame overrules the file.

    Where a frame says how wide it is, and the file's pixels are square or the frame gives an angle, its pixels are
    square too: the file's height is of another lens.
    """
    (own_x, own_y), (all_x, all_y) = ([_axis(numbers, axis) for axis in "xy"] for numbers in (own, shared))
    if own_x != _NOTHING and own_y == _NOTHING and (own_x[0] is None or all_x == all_y):
        return own_x, _NOTHING
    return (own_x if own_x != _NOTHING else all_x), (own_y if own_y != _NOTHING else all_y)


def _axis(numbers: Mapping[str, float], axis: str) -> Focal:
    if f"fl_{axis}" in numbers:
        return numbers[f"fl_{axis}"], None
    degrees = numbers.get(f"{axis}_fov")
    return None, numbers.get(f"camera_angle_{axis}", None if degrees is None else math.radians(degrees))
