"""Download the photographs of the published image tables, and check that they are those very files."""

import os
from pathlib import Path

from finer_core.errors import InputError
from finer_core.io.download import check_source, fetch, read_record, write_record
from finer_core.io.files import given_path, sha256_of_file, unwritable
from finer_core.progress import ProgressOption, reporting

SETS = ("div2k",)
ACKNOWLEDGEMENT = (
    "These are the 16 photographs of FINER's image table, cut from DIV2K (https://data.vision.ee.ethz.ch/cvl/DIV2K/), "
    "which is for academic research; cite Agustsson and Timofte, NTIRE 2017."
)
"""What users of the photographs must know; commands print it."""
ADDRESS = (
    "https://raw.githubusercontent.com/liuzhen0212/FINER/07a9a922e5bc20323d080ba382f71d333e9c7482/data/div2k/test_data"
)
"""Of the folder, in a revision that cannot change."""
IMAGES = tuple(f"{number:02d}" for number in range(16))
DIGESTS = {
    "00": "afab0bbfc40d232542798f8da7fffb195c622618112a3c132ba91de7d533e66a",
    "01": "31c2fc99ef1cbaf800e2bf2437c3669fb71fe4d5723b24d4c6b0d2b83958b7e2",
    "02": "51f3ad1c277e924562b0b7104bf15cd02473e2f863434c81637fa93728bc1db6",
    "03": "855fb56fb8f1e268c9e571332f79813a7014df563486c598a77c61281c007613",
    "04": "0f8447d16f3ca8bf1e0d3b11d6b589c1d382e489b04c346ed40619a29599e313",
    "05": "9e6770c26c239a76a3b3160b54b916c5f1441fb496c8354030f8d310f311a2bf",
    "06": "7ca61cdd52a9976bd09b33680f2640e196b286362fe7d8a7e6b27292d49c58ed",
    "07": "b77b0fb85d727e933bf726ce0e05a1ad2d42e7d2a6795a8dcebc97174c006ded",
}
"""SHA-256 of the files of which copies were at hand; the others' are kept in the record at the first download."""
MOST_BYTES = 1 << 25


def download(
    name: str, folder: str | os.PathLike[str] = "div2k", *, url: str | None = None, progress: ProgressOption = False
) -> list[Path]:
    """Fetch the photographs of the published image tables, and check that they are those very files.

    Nothing else in the package uses the network. What is there already is kept, and a download that broke off is gone
    on with. The photographs are of DIV2K, which is for academic research. Of the first eight the SHA-256 is known;
    those of the others are kept at the first download, in downloads.json, and hold from then on.

    Args:
        name: "div2k": the 16 of FINER's table, 512x512.
        folder: Where to; made if missing.
        url: Another address of a folder with the same files.
        progress: False, True for a bar on stderr, or a function of (images done, images, {}).

    Returns:
        The paths of the PNG files, as `reproduce` takes them.

    Raises:
        InputError: If there is no such set, the address cannot be reached, or a file is another one.

    Example:
        >>> from finer_image import download
        >>> download("kodak")
        Traceback (most recent call last):
        ...
        finer_core.errors.InputError: there is no set 'kodak' to download; known are div2k
    """
    if name not in SETS:
        raise InputError(f"there is no set {name!r} to download; known are {', '.join(SETS)}")
    check_source(url, None)
    paths, place = list[Path](), given_path(folder)
    with reporting("download", unit="image", progress=progress) as tell:
        for image in IMAGES:
            try:
                paths.append(_image(image, place, base=(url or ADDRESS).rstrip("/")))
            except OSError as error:
                raise unwritable(folder, error, advice="choose another folder") from error
            tell(len(paths), len(IMAGES))
    return paths


def _image(image: str, folder: Path, *, base: str) -> Path:
    path, record = folder / f"{image}.png", read_record(folder).get(image)
    first = record.get("sha256") if isinstance(record, dict) else None  # of the first download, where we know none
    known = DIGESTS.get(image, first)
    if path.exists():
        if path.is_file() and known is not None and sha256_of_file(path) == known:
            return path
        raise InputError(f"{path}: already exists and is not the file asked for; remove it or choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{image}.part"
    digest = fetch(f"{base}/{image}.png", part, sha256=known, most=MOST_BYTES)
    write_record(folder, {image: {"url": f"{base}/{image}.png", "sha256": digest}})
    part.replace(path)
    return path
