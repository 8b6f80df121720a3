"""Read a scene: tell its format, read its cameras and pictures, split it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_nerf.cameras import Intrinsics
from finer_nerf.scenes.colmap import find_colmap, read_colmap
from finer_nerf.scenes.pictures import downscale_picture, read_picture, stack_pictures
from finer_nerf.scenes.posed_frames import Found, PosedFrame
from finer_nerf.scenes.transforms import read_blender, read_transforms
from finer_nerf.scenes.types import Scene, Views


def read_scene(path: str, *, downscale: int = 1, every: int = 1, test_every: int = 8) -> Scene:
    """Read a scene.

    Args:
        path: A folder with transforms_train.json (Blender), transforms.json (instant-ngp) or a COLMAP model, or a
            transforms file itself.
        downscale: Divide the pictures' size by this.
        every: Keep every n-th training view. The published code keeps every fourth whatever is asked.
        test_every: Hold out views 0, n, 2n ... as test views where the scene has no test split.

    Raises:
        InputError: For anything that is not a readable scene.
    """
    given = Path(path)
    if not given.exists():
        raise InputError(f"{path}: no such file or folder")
    folder = given if given.is_dir() else given.parent
    name = folder.resolve().name
    if given.is_file() and given.suffix.lower() != ".json":
        raise InputError(f"{path}: a scene is a folder or a transforms.json")
    if given.is_file() and given.name != "transforms_train.json":
        found = read_transforms(given)
        kind = "transforms"
    elif (folder / "transforms_train.json").is_file():
        return _blender(folder, name, read_blender(folder), downscale=downscale, every=every)
    elif (folder / "transforms.json").is_file():
        found, kind = read_transforms(folder / "transforms.json"), "transforms"
    elif find_colmap(folder):
        found, kind = read_colmap(folder), "colmap"
    else:
        raise InputError(
            f"{path}: no scene here (looked for transforms_train.json, transforms.json, and a COLMAP model in sparse/0)"
        )
    frames = sorted(found.frames, key=lambda frame: frame.name)
    if len(frames) < 2:
        raise InputError(f"{path}: {len(frames)} usable pictures; a scene needs at least two")
    held_out = list(range(0, len(frames), test_every))
    learned = [i for i in range(len(frames)) if i not in set(held_out)][::every]
    digest = _digest(found.files, frames)
    views, notes = views_of(frames, downscale=downscale)
    notes = [*found.notes, *notes, f"{len(held_out)} of {len(frames)} views held out for judging"]
    return Scene(
        name=name,
        kind=kind,
        train=views.take(learned),
        test=views.take(held_out),
        digest=digest,
        skipped=found.skipped,
        points=found.points,
        notes=tuple(notes),
        extra=found.extra,
    )


def _blender(folder: Path, name: str, splits: dict[str, Found], *, downscale: int, every: int) -> Scene:
    views: dict[str, Views | None] = {"val": None, "test": None}
    files: list[Path] = []
    frames: list[PosedFrame] = []
    notes: list[str] = []
    skipped = 0
    for split, found in splits.items():
        kept = list(found.frames)[::every] if split == "train" else list(found.frames)
        files += found.files
        frames += kept
        skipped += found.skipped
        notes += found.notes
        views[split], more = views_of(kept, downscale=downscale)
        notes += more
    train = views["train"]
    assert train is not None
    if views["test"] is None and views["val"] is None:
        raise InputError(f"{folder}: no transforms_test.json and no transforms_val.json to judge by")
    return Scene(
        name=name,
        kind="blender",
        train=train,
        test=views["test"],
        val=views["val"],
        digest=_digest(files, frames),
        skipped=skipped,
        notes=tuple(dict.fromkeys(notes)),
    )


def views_of(frames: Sequence[PosedFrame], *, downscale: int) -> tuple[Views, list[str]]:
    """Read the pictures of frames.

    Returns:
        The views, and notes for the user.

    Raises:
        InputError: If a picture cannot be read, or sizes differ.
    """
    pictures = [read_picture(frame.picture) for frame in frames]
    names = [frame.name for frame in frames]
    notes = []
    cameras = []
    for picture, frame in zip(pictures, frames, strict=True):
        height, width = picture.shape[0], picture.shape[1]
        camera = frame.camera
        if camera is None:
            assert frame.angle_x is not None
            # The published loader takes the focal length of the reduced width, which size // factor may shorten.
            small = (height // downscale, width // downscale)
            cameras.append(_of_angle(frame.angle_x, height=max(1, small[0]), width=max(1, small[1])))
            continue
        if (camera.width, camera.height) != (width, height):
            notes.append(f"cameras of {camera.height}x{camera.width} resized to pictures of {height}x{width}")
        cameras.append(camera.resized(width=max(1, width // downscale), height=max(1, height // downscale)))
    images = stack_pictures([downscale_picture(picture, downscale) for picture in pictures], names)
    poses = np.stack([frame.pose for frame in frames])
    return Views(names=tuple(names), images=images, poses=poses, cameras=tuple(cameras)), list(dict.fromkeys(notes))


def _of_angle(angle_x: float, *, height: int, width: int) -> Intrinsics:
    focal = width / (2 * float(np.tan(angle_x / 2)))
    return Intrinsics(width=width, height=height, fx=focal, fy=focal, cx=width / 2, cy=height / 2)


def _digest(files: Sequence[Path], frames: Sequence[PosedFrame]) -> str:
    digest = hashlib.sha256()
    for path in [*files, *(frame.picture for frame in frames)]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
