"""Uploaded pictures: which are accepted, and their thumbnails. Every fault is one sentence for the person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import IO

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP")
MOST_BYTES = 20_000_000
MOST_PIXELS = 50_000_000
"""A picture takes four bytes a pixel in memory, however small its file is."""
QUALITY = 80
BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
BROKEN = (OSError, SyntaxError, ValueError, EOFError)
"""What Pillow raises for the data of a damaged file (https://github.com/python-pillow/Pillow/issues/3863)."""


class BadPicture(Exception):
    """The file is no picture that can be used. Its text says why, and how to fix it."""


def check(file: IO[bytes]) -> None:
    """Raise BadPicture if the file is too large, or its header is not that of an accepted picture. Decodes nothing."""
    size = file.seek(0, 2)
    file.seek(0)
    if size > MOST_BYTES:
        words = _("The file has %(size)s MB. Choose one of up to %(most)s MB.")
        raise BadPicture(words % {"size": size // 1_000_000, "most": MOST_BYTES // 1_000_000})
    with _opened(file):
        pass
    file.seek(0)


def thumbnail(data: bytes, side: int) -> bytes:
    """Return the picture as WebP, upright, at most `side` pixels wide and high, without metadata. Raises BadPicture."""
    with _opened(BytesIO(data)) as picture, _refusing_truncated():
        try:
            picture.draft("RGB", (side, side))  # a JPEG is decoded at a fraction of its size
            upright = ImageOps.exif_transpose(picture)
            upright.thumbnail((side, side), Image.Resampling.LANCZOS)
            small = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
        except BROKEN as error:
            raise BadPicture(_("The file is damaged. Choose another copy of it.")) from error
    result = BytesIO()
    small.info.clear()  # EXIF data may tell where the picture was taken
    small.save(result, "WEBP", quality=QUALITY)
    return result.getvalue()


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[Image.Image]:
    """Open a picture of an accepted format and size. Raises BadPicture."""
    try:
        picture = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise BadPicture(_("The file is not a picture. Choose a JPEG, PNG or WebP file.")) from error
    except BOMBS as error:
        raise BadPicture(_too_many(None)) from error
    except BROKEN as error:
        raise BadPicture(_("The file is damaged. Choose another copy of it.")) from error
    with picture:
        if (pixels := picture.width * picture.height) > MOST_PIXELS:
            raise BadPicture(_too_many(pixels))
        yield picture


@contextmanager
def _refusing_truncated() -> Iterator[None]:
    """Let Pillow refuse incomplete files. The import of WeasyPrint makes it accept them in the whole process."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def _too_many(pixels: int | None) -> str:
    most = MOST_PIXELS // 1_000_000
    if pixels is None:
        return _("The picture has too many pixels. Choose one of up to %(most)s million.") % {"most": most}
    words = _("The picture has %(pixels)s million pixels. Choose one of up to %(most)s million.")
    return words % {"pixels": number_format(pixels / 1_000_000, 0), "most": most}
