"""What is trained on and judged by: a scene that was read, the built-in one, or one made in Python."""

import dataclasses
import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from finer_core.errors import InputError
from finer_core.io.files import given_path
from finer_core.resources import parse_memory
from finer_core.schema import check_flag, fits, plain, shown
from finer_core.training.batching import in_plain_modes
from finer_nerf.arguments import are_mirrored, check_views
from finer_nerf.config import BUILT_IN, NerfConfig
from finer_nerf.presets import resolve, with_reading
from finer_nerf.scenes import Scene, Views, builtin, reader
from finer_nerf.scenes.writer import write_blender_scene

_OF_READING = ("downscale", "train_every", "test_every")
"""Settings that say how a scene is read."""


@in_plain_modes()
def read_scene(
    path: str | os.PathLike[str],
    *,
    downscale: int = 1,
    train_every: int = 1,
    test_every: int = 8,
    memory: str | int = "4GB",
) -> Scene:
    """Read a scene.

    Args:
        path: A folder with transforms_train.json (Blender), transforms.json (instant-ngp, nerfstudio) or a COLMAP
            model, or a transforms file itself.
        downscale: Divide the pictures' size by this.
        train_every: Keep every n-th training view.
        test_every: Hold out views 0, n, 2n ... as test views where the scene has no test split.
        memory: What the process may take.

    Returns:
        The scene; its `notes` say what was done to the input.

    Raises:
        InputError: For anything that is not a readable scene, and pictures that do not fit the memory.

    Example:
        >>> import tempfile
        >>> from finer_nerf import builtin_scene, read_scene, write_scene
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_scene(builtin_scene(size=8), folder)
        ...     scene = read_scene(folder, train_every=4)
        >>> scene.kind, len(scene.train), len(scene.test), scene.train.images.shape
        ('blender', 9, 8, torch.Size([9, 8, 8, 4]))
    """
    for name, value, least in (
        ("downscale", downscale, 1),
        ("train_every", train_every, 1),
        ("test_every", test_every, 2),
    ):
        if not fits(plain(value), int) or value < least:
            raise InputError(f"{name} must be an integer of at least {least}, got {shown(value)}")
    return reader.read_scene(
        str(given_path(path)),
        downscale=downscale,
        every=train_every,
        test_every=test_every,
        memory=parse_memory(memory),
    )


@in_plain_modes()
def builtin_scene(size: int = builtin.BUILT_IN_SIZE) -> Scene:
    """Return the built-in scene: textured solids on a plate, ray-traced, with transparency.

    Args:
        size: Side of the pictures in pixels, 8 to 2048.

    Returns:
        36 training, 4 validation and 8 test views.

    Raises:
        InputError: If the size is out of bounds.

    Example:
        >>> from finer_nerf import builtin_scene
        >>> builtin_scene(size=8).train.images.shape
        torch.Size([36, 8, 8, 4])
    """
    if not fits(plain(size), int) or not 8 <= size <= 2048:
        raise InputError(f"size must be an integer between 8 and 2048, got {shown(size)}")
    return builtin.builtin_scene(size=size)


@in_plain_modes()
def write_scene(scene: Scene, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a scene in Blender's format: transforms_train.json and the like, and the pictures.

    Args:
        scene: One lens without distortion, whose center is that of all pictures, and no masks, for the format has none.
        folder: Where; its parent exists.
        overwrite: Write into a folder that holds something.

    Raises:
        InputError: If the format cannot hold the scene, or the folder holds something and may not be replaced.

    Example:
        >>> import os, tempfile
        >>> from finer_nerf import builtin_scene, write_scene
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_scene(builtin_scene(size=8), folder)
        ...     sorted(os.listdir(folder))[-3:]
        ['transforms_train.json', 'transforms_val.json', 'val']
    """
    splits = scene_splits(scene)
    for name, views in splits.items():
        check_views(views, name=name)
        if views.masks is not None:
            raise InputError(f"{scene.name}: {name} has masks, which Blender's format cannot hold")
    lenses = [camera for views in splits.values() for camera in views.cameras]
    lens = lenses[0]
    centered = dataclasses.replace(lens.pinhole(), fy=lens.fx, cx=lens.width / 2, cy=lens.height / 2)
    other = next((camera for camera in lenses if camera != centered), None)
    if other is not None:
        raise InputError(
            f"{scene.name}: Blender's format holds one lens without distortion for all, not {other!r:.150}"
        )
    out = given_path(folder)
    if not out.absolute().parent.is_dir():
        raise InputError(f"{out}: its parent folder does not exist")
    if out.is_file():
        raise InputError(f"{out}: a file; name a folder")
    check_flag(overwrite, what="overwrite")
    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: already holds something; give overwrite=True or another folder")
    write_blender_scene(scene, out)


def scene_splits(scene: Scene) -> dict[str, Views]:
    """Return the views of a scene by the names of its splits, but those without any."""
    splits = {"train": scene.train, "val": scene.val, "test": scene.test}
    return {name: views for name, views in splits.items() if name == "train" or not _is_empty(views)}


def _is_empty(views: Any) -> bool:
    return views is None or (isinstance(views, Views) and not views)


def judged_views(scene: Scene) -> Views:
    """Return the views a training is judged by: the test views, or the validation views where there are none."""
    return scene.split("test" if scene.test else "val")


def open_scene(name: str | None, settings: NerfConfig) -> tuple[Scene, NerfConfig]:
    """Read a scene as settings say, or make the built-in one.

    Returns:
        The scene, and the settings with how it was read.

    Raises:
        InputError: If it cannot be read as a scene, or does not fit the memory.
    """
    is_paper = settings.preset == "paper"  # which alone goes by what the scene has
    views, height = measure_input(name, test_every=settings.test_every) if is_paper else (1, 1)
    settings = with_reading(settings, views=views, height=height)
    resolve(settings, views=views, learning_rate=1.0, compiles=False)  # refuses settings before pictures are read
    return read_as_resolved(name, settings), settings


def given_scene(scene: Any, settings: NerfConfig, *, named: Collection[str]) -> tuple[Scene, NerfConfig]:
    """Return what a new training from Python is given, and the settings that go with it.

    Args:
        scene: A path, or a `Scene`, which is trained on as it is.
        settings: As given.
        named: Settings that were named.

    Raises:
        InputError: If it is no scene, or settings of reading are given with one that was read.
    """
    if isinstance(scene, str | os.PathLike):
        return open_scene(os.fspath(scene), settings)
    checked = checked_scene(scene)
    default = NerfConfig()
    for name in _OF_READING:
        if name in named or getattr(settings, name) != getattr(default, name):
            raise InputError(
                f"{name} says how a scene is read, and this one was; give it to read_scene, or give a path"
            )
    if settings.target_psnr is not None:
        judged_views(checked)  # refuses a scene without any
    return checked, settings


def checked_scene(scene: Any) -> Scene:
    """Return a scene that a program gave.

    Raises:
        InputError: If it is none, or its views cannot be trained on.
    """
    if not isinstance(scene, Scene):
        found = shown(type(scene).__name__)
        raise InputError(f"a scene is a path, what read_scene returns, or a Scene of Views.of(...), got {found}")
    for split, views in scene_splits(scene).items():
        check_views(views, name=f"{scene.name}: {split} views")
        if are_mirrored(views.poses) != are_mirrored(scene.train.poses):
            raise InputError(f"{scene.name}: its {split} or its train views are reflections: negate their x axes")
    return scene


def read_as_resolved(name: str | None, settings: NerfConfig) -> Scene:
    """Read a scene, or make the built-in one, as resolved settings say."""
    return read_input(
        name,
        downscale=settings.downscale or 1,
        every=settings.train_every or 1,
        test_every=settings.test_every,
        memory=parse_memory(settings.memory),
    )


def read_input(
    name: str | None, *, downscale: int = 1, every: int = 1, test_every: int = 8, memory: int | None = None
) -> Scene:
    """Read the scene, or make the built-in one.

    Args:
        name: Folder or file; None or the built-in scene's name for that, unless a file has that name.
        downscale: Divide the pictures' size by this.
        every: Keep every n-th training view.
        test_every: Hold out every n-th view where the scene has no test views.
        memory: Bytes that the process may take; None for no limit.

    Raises:
        InputError: If it cannot be read as a scene, or does not fit the memory.
    """
    if name is not None and not _is_built_in(name):
        return reader.read_scene(name, downscale=downscale, every=every, test_every=test_every, memory=memory)
    scene = builtin.builtin_scene(size=_built_in_size(downscale))
    kept = scene.train if every == 1 else scene.train.take(list(range(0, len(scene.train), every)))
    return dataclasses.replace(scene, train=kept, notes=(*scene.notes, *reader.note_of_own_split(test_every)))


def measure_input(name: str | None, *, test_every: int = 8) -> tuple[int, int]:
    """Return the number of a scene's training views and the height of its pictures, which are not decoded.

    Args:
        name: As `read_input` takes it.
        test_every: As `read_input` takes it.

    Raises:
        InputError: If it cannot be read as a scene.
    """
    if name is None or _is_built_in(name):
        return builtin.BUILT_IN_VIEWS, builtin.BUILT_IN_SIZE
    return reader.measure_scene(name, test_every=test_every)


def input_digest(name: str, *, downscale: int = 1, every: int = 1, test_every: int = NerfConfig.test_every) -> str:
    """Return the digest that a scene has when it is read so, of its files, or of the built-in scene.

    Args:
        name: As `read_input` takes it.
        downscale: As `read_input` takes it.
        every: As `read_input` takes it.
        test_every: As `read_input` takes it.

    Raises:
        InputError: If it cannot be read as a scene.
    """
    if _is_built_in(name):
        return builtin.builtin_digest(size=_built_in_size(downscale))
    return reader.digest_scene(name, every=every, test_every=test_every)


def _built_in_size(downscale: int) -> int:
    return max(1, builtin.BUILT_IN_SIZE // downscale)


def _is_built_in(name: str | None) -> bool:
    return name is None or (name == BUILT_IN and not Path(name).exists())


def content_digest(scene: Scene) -> str:
    """Return the SHA-256 over all that a training takes of a scene, to know it again."""
    digest = hashlib.sha256(f"{scene.kind} {scene.aabb_scale!r}".encode())
    for name, views in scene_splits(scene).items():
        digest.update(f"{name} {tuple(views.images.shape)} {views.cameras!r}".encode())
        digest.update(views.images.numpy().tobytes())
        digest.update(np.ascontiguousarray(views.poses, dtype=np.float64).tobytes())
        if views.masks is not None:
            digest.update(views.masks.numpy().tobytes())
    if scene.points is not None:
        digest.update(np.ascontiguousarray(scene.points, dtype=np.float64).tobytes())
    return digest.hexdigest()
