"""Camera files of Blender scenes (transforms_train.json ...) and of instant-ngp (transforms.json)."""

import json
import math
from pathlib import Path
from typing import Any

from finer_core.errors import InputError
from finer_nerf.cameras import Intrinsics
from finer_nerf.scenes.pictures import find_picture
from finer_nerf.scenes.posed_frames import Found, PosedFrame, check_pose


def read_blender(folder: Path) -> dict[str, Found]:
    """Read the splits of a Blender scene; "val" and "test" may be absent.

    Raises:
        InputError: If a file cannot be used.
    """
    splits = {}
    for split in ("train", "val", "test"):
        path = folder / f"transforms_{split}.json"
        if path.is_file():
            splits[split] = read_transforms(path)
    return splits


def read_transforms(path: Path) -> Found:
    """Read a transforms file: frames with poses, and a lens for all of them or for each.

    Frames whose picture is missing are left out and counted.

    Raises:
        InputError: If it is not such a file, or all pictures are missing.
    """
    data = _json(path)
    entries = data.get("frames")
    if not isinstance(entries, list) or not entries:
        raise InputError(f'{path}: no frames; a transforms file lists its pictures under "frames"')
    frames, missing = [], []
    for number, entry in enumerate(entries):
        where = f"{path}: frame {number}"
        if not isinstance(entry, dict) or not isinstance(entry.get("file_path"), str):
            raise InputError(f"{where} has no file_path")
        where = f"{path}: frame {entry['file_path']!r}"
        pose = check_pose(entry.get("transform_matrix"), where=where)
        picture = find_picture(path.parent, entry["file_path"])
        if picture is None:
            missing.append(entry["file_path"])
            continue
        camera, angle = _lens({**data, **entry}, where=where)
        frames.append(
            PosedFrame(
                name=str(entry["file_path"]).removeprefix("./"),
                picture=picture,
                pose=pose,
                camera=camera,
                angle_x=angle,
            )
        )
    if not frames:
        raise InputError(f"{path}: all {len(missing)} pictures are missing, for example {missing[0]!r}")
    notes = [f"{len(missing)} frames skipped: their pictures are missing (the first: {missing[0]})"] if missing else []
    extra = {"aabb_scale": data["aabb_scale"]} if isinstance(data.get("aabb_scale"), int | float) else {}
    return Found(frames=frames, files=[path], skipped=len(missing), notes=notes, extra=extra)


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot read it ({getattr(error, 'strerror', None) or error})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(data).__name__}")
    return data


def _lens(entry: dict[str, Any], *, where: str) -> tuple[Intrinsics | None, float | None]:
    """Return a frame's lens; or its horizontal angle, where the picture's size decides the rest."""

    def number(name: str, default: float | None = None) -> float | None:
        value = entry.get(name, default)
        if value is not None and (not isinstance(value, int | float) or not math.isfinite(value)):
            raise InputError(f"{where}: {name} must be a number, got {value!r}")
        return value

    width, height = number("w"), number("h")
    focal_x, angle_x = number("fl_x"), number("camera_angle_x")
    if angle_x is not None and not 0 < angle_x < math.pi:
        raise InputError(f"{where}: camera_angle_x must be between 0 and pi, got {angle_x!r}")
    if width is None or height is None:
        if angle_x is None:
            raise InputError(f"{where}: no lens; it needs camera_angle_x, or fl_x with w and h")
        return None, angle_x
    if focal_x is None and angle_x is not None:
        focal_x = width / (2 * math.tan(angle_x / 2))
    if focal_x is None:
        raise InputError(f"{where}: no lens; it needs camera_angle_x or fl_x")
    angle_y = number("camera_angle_y")
    focal_y = number("fl_y")
    if focal_y is None:
        focal_y = focal_x if angle_y is None else height / (2 * math.tan(angle_y / 2))
    k1, k2, p1, p2 = (number(name, 0.0) or 0.0 for name in ("k1", "k2", "p1", "p2"))
    try:
        camera = Intrinsics(
            width=int(width),
            height=int(height),
            fx=focal_x,
            fy=focal_y,
            cx=float(number("cx", width / 2) or 0.0),
            cy=float(number("cy", height / 2) or 0.0),
            distortion=(k1, k2, p1, p2),
        )
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    return camera, None
