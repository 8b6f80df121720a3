"""Find the picture among the pages of a TIFF: many have thumbnails, smaller copies, masks or slices of a stack."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from finer_image.io.source import ImageSource

MOSAIC = 32803
_REDUCED, _MASK = 1, 4
_OLD_SUBFILE_TAG, _OLD_REDUCED = 255, 2
_LOOKED_AT = 64
"""Pages whose kind is looked at; the others of a longer file count as pictures."""


def picture_page(source: ImageSource, tiff: Any) -> Any:
    """Choose the page that holds the picture, and note what else the file holds.

    It is the first page; if that one is a thumbnail, the largest that is none, be it a page or inside one (SubIFD). A
    raw camera mosaic that is larger than everything else is what the file is about.

    Returns:
        A page of tifffile.
    """
    count = len(tiff.pages)
    listed = [tiff.pages[number] for number in range(min(count, _LOOKED_AT))]
    inside = [page for parent in listed for page in _sub_pages(parent)]
    first = listed[0]
    pictures = [page for page in (*listed, *inside) if not _is_side_product(page)] or [first]
    page = max(pictures, key=_area) if _is_side_product(first) else first
    mosaics = [other for other in pictures if int(other.photometric) == MOSAIC and _area(other) > _area(page)]
    page = max(mosaics, key=_area, default=page)
    if page is not first:
        source.note(f"its first picture, of {_size(first)} pixels, is a thumbnail; the one of {_size(page)} is used")
    pages = count - sum(_is_side_product(other) for other in listed)
    planes = _planes(tiff, page)
    if pages > 1:
        source.note(f"has {pages} pages; only the first is used")
    elif planes > 1:
        source.note(f"is a stack of {planes} planes; only the first is used")
    larger = [other for other in inside if other is not page and _area(other) > _area(page)]
    if larger:
        source.note(f"holds a larger picture inside a page (SubIFD), of {_size(larger[0])} pixels, which is not used")
    if any(_kind(other) & _MASK for other in (*listed, *inside)):
        source.note("holds a transparency mask, which is not used")
    return page


def _sub_pages(page: Any) -> Iterator[Any]:
    """Yield the pages inside a page, and those inside them."""
    for sub in list(page.pages or ())[:_LOOKED_AT] if page.subifds else ():
        yield sub
        if sub.subifds:
            yield from list(sub.pages)[:_LOOKED_AT]


def _kind(page: Any) -> int:
    old = page.tags.get(_OLD_SUBFILE_TAG)
    return int(page.subfiletype) | (_REDUCED if old is not None and old.value == _OLD_REDUCED else 0)


def _is_side_product(page: Any) -> bool:
    """Return whether a page is a smaller copy of another one, or its mask."""
    return bool(_kind(page) & (_REDUCED | _MASK))


def _area(page: Any) -> int:
    return int(page.imagelength) * int(page.imagewidth)


def _size(page: Any) -> str:
    return f"{page.imagewidth} x {page.imagelength}"


def _planes(tiff: Any, page: Any) -> int:
    """Return how many pictures the descriptions of ImageJ, MetaMorph, OME or tifffile promise.

    The first two, and the last, may store all of a stack behind the data of one page.
    """
    description = page.description[:100_000]
    if tiff.is_imagej:
        found = re.search(r"^images=(\d{1,9})$", description, re.MULTILINE)
        return int(found[1]) if found else 1
    if "UIC2tag" in page.tags:  # MetaMorph's
        return int(page.tags["UIC2tag"].count)
    if tiff.is_ome:
        sizes = dict(re.findall(r'\bSize([CZT])="(\d{1,6})"', description.partition("<Pixels")[2].partition(">")[0]))
        return math.prod(int(size) for size in sizes.values()) // (page.samplesperpixel if "C" in sizes else 1)
    if tiff.is_shaped:
        try:
            shape = [int(size) for size in json.loads(description)["shape"]]
        except (ValueError, TypeError, KeyError, RecursionError):  # a description is no reason to refuse the picture
            return 1
        return int(math.prod(shape) // max(1, math.prod(page.shape)))
    return 1
