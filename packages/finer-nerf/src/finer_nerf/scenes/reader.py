"""Read a scene: tell its format, read its cameras and pictures, split it."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import sha256_of_file
from finer_core.io.text import counted
from finer_nerf.config import NerfConfig
from finer_nerf.scenes.checks import printable, readable
from finer_nerf.scenes.colmap import find_colmap, read_colmap
from finer_nerf.scenes.frames import Found, PosedFrame, straighten
from finer_nerf.scenes.images import read_header
from finer_nerf.scenes.scene import Scene
from finer_nerf.scenes.transforms import read_blender, read_transforms
from finer_nerf.scenes.views import check_pictures, read_views

_FORMATS = {"transforms_train.json": read_blender, "transforms.json": read_transforms}
"""Readers by what they read in a scene's folder; the first that is there is taken, before a COLMAP model."""


def read_scene(
    path: str, *, downscale: int = 1, every: int = 1, test_every: int = 8, memory: int | None = None
) -> Scene:
    """Read a scene.

    The arguments are those of the package's own `read_scene`; `every` is its `train_every`, which the published code
    takes for four whatever is asked, and `memory` is in bytes, None for no limit.

    Raises:
        InputError: For anything that is not a readable scene, and pictures that do not fit the memory.
    """
    with readable(path):
        found = _find(path, memory)
        splits, notes = _split(found, path, every=every, test_every=test_every)
        frames = [frame for part in splits.values() for frame in part]
        straight, more = straighten(
            np.stack([frame.pose for frame in frames]), places=[frame.where for frame in frames]
        )
        headers = {frame.picture: read_header(frame.picture) for frame in frames}
        again = len(frames) - len(headers)
        notes += [f"{counted(again, 'frame')} with the picture of another frame"] if again else []
        notes = [*found.notes, *more, *notes, *check_pictures(frames, headers, downscale=downscale, memory=memory)]
        views, start = {}, 0
        for split, part in splits.items():
            poses = straight[start : start + len(part)]
            views[split], more = read_views(part, headers, poses, downscale=downscale)
            notes += more
            start += len(part)
        return Scene(
            name=printable(_folder_of(path).resolve().name),
            kind=found.kind,
            **views,
            digest=_digest(found.files, frames),
            skipped=found.skipped,
            points=found.points,
            notes=tuple(dict.fromkeys(notes)),
            aabb_scale=found.aabb_scale,
        )


def measure_scene(path: str, *, test_every: int = 8) -> tuple[int, int]:
    """Return the number of a scene's training views and the height of its pictures, which are not decoded.

    Raises:
        InputError: As `read_scene`.
    """
    with readable(path):
        train = _split(_find(path), path, every=1, test_every=test_every)[0]["train"]
        return len(train), read_header(train[0].picture).height


def digest_scene(path: str, *, every: int = 1, test_every: int = NerfConfig.test_every) -> str:
    """Return the `digest` of a scene that is read so, without decoding pictures.

    Args:
        path: As for `read_scene`.
        every: As for `read_scene`.
        test_every: As for `read_scene`.

    Raises:
        InputError: As `read_scene`.
    """
    with readable(path):
        found = _find(path)
        splits, _ = _split(found, path, every=every, test_every=test_every)
        return _digest(found.files, [frame for part in splits.values() for frame in part])


def _folder_of(path: str) -> Path:
    return Path(path) if Path(path).is_dir() else Path(path).parent


def _find(path: str, memory: int | None = None) -> Found:
    given = Path(path)
    if not given.exists():
        raise InputError(f"{path}: no such file or folder")
    if given.is_file() and given.suffix.lower() != ".json":
        raise InputError(f"{path}: a scene is a folder or a transforms.json")
    if given.is_file() and given.name != "transforms_train.json":
        return read_transforms(given, memory=memory)
    folder = _folder_of(path)
    here = [name for name in _FORMATS if (folder / name).is_file()]
    if here:
        found = _FORMATS[here[0]](folder / here[0], memory=memory)
        left = [*here[1:], *_models_beside(folder)] if given.is_dir() else []
        note = f"the folder holds several scenes: {here[0]} is read; left aside: {', '.join(left)}"
        return replace(found, notes=[*found.notes, note]) if left else found
    if find_colmap(folder):
        return read_colmap(folder, memory=memory)
    raise InputError(f"{path}: no scene here (looked for {', '.join(_FORMATS)}, a COLMAP model in sparse/0)")


def _models_beside(folder: Path) -> list[str]:
    """Return what a COLMAP model beside another scene is called; nerfstudio makes its scenes of those in colmap/."""
    places = [model.relative_to(folder) for model in find_colmap(folder)]
    return [f"the COLMAP model in {place.as_posix()}/" for place in places[:1] if "colmap" not in place.parts]


def _split(found: Found, path: str, *, every: int, test_every: int) -> tuple[dict[str, list[PosedFrame]], list[str]]:
    """Return the frames of each split, "train" first, and notes; InputError if no view is left to train on."""
    splits = {split: list(found.splits.get(split, ())) for split in ("train", "val", "test")}
    if not found.splits:
        splits["train"] = sorted(found.frames, key=lambda frame: frame.name)
    notes = []
    if not splits["test"] and not splits["val"]:
        frames = splits["train"]
        if len(frames) < 2:
            raise InputError(f"{path}: {len(frames)} usable pictures; a scene needs at least two")
        splits["test"] = frames[::test_every]
        splits["train"] = [frame for number, frame in enumerate(frames) if number % test_every]
        notes.append(f"{len(splits['test'])} of {len(frames)} views held out for judging")
    else:
        notes += note_of_own_split(test_every)
    splits["train"] = splits["train"][::every]
    if not splits["train"]:
        raise InputError(f"{path}: no view is left to train on")
    return {split: frames for split, frames in splits.items() if frames}, notes


def note_of_own_split(test_every: int) -> list[str]:
    """Return the note that a number of views to hold out did nothing; none where it is the default, asked by nobody."""
    if test_every == NerfConfig.test_every:
        return []
    return [f"test_every {test_every} does nothing: the scene has test or validation views of its own"]


def _digest(files: Sequence[Path], frames: Sequence[PosedFrame]) -> str:
    digest = hashlib.sha256()
    for path in [*files, *(frame.picture for frame in frames), *(mask for frame in frames for mask, _ in frame.masks)]:
        digest.update(bytes.fromhex(sha256_of_file(path)))
    return digest.hexdigest()
