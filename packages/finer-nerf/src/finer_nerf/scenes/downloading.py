"""Fetch the public scenes that papers train on."""

import os
from collections.abc import Sequence
from pathlib import Path

from finer_core.progress import ProgressOption, reporting
from finer_nerf.scenes.download import download_scenes


def download(
    names: str | Sequence[str],
    folder: str | os.PathLike[str] = ".",
    *,
    url: str | None = None,
    sha256: str | None = None,
    progress: ProgressOption = False,
) -> list[Path]:
    """Fetch Blender scenes of the NeRF paper, and check that they are the very files that the papers train on.

    Nothing else in the package uses the network. One archive holds all eight scenes, so name those that you want at
    once. What is there already is kept, and a download that broke off is gone on with. The scenes are under licenses of
    their own, some without commercial use.

    Args:
        names: "chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship", or several.
        folder: Where to; made if missing.
        url: Another address of the same archive.
        sha256: Digest to check against, where that address has another archive.
        progress: False, True for a bar on stderr, or a function of (bytes done, bytes in all or 0, {}).

    Returns:
        The scenes' folders, as `read_scene` takes them.

    Raises:
        InputError: If there is no such scene, the address cannot be reached, or the file is another one.

    Example:
        >>> from finer_nerf import download
        >>> download("fern")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: there is no scene 'fern' to download; known are chair, drums, ficus, hotdog, ...
    """
    wanted = [names] if isinstance(names, str) else list(names)
    with reporting("download", unit="byte", progress=progress) as tell:
        return download_scenes(wanted, folder=Path(folder), url=url, sha256=sha256, on_bytes=tell)
