"""The ZIP bundle as a format that users can choose. The other modules of this package build it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from django.utils.translation import gettext_lazy as _

from exports.formats import register
from exports.formats.base import Kind, Option

MB, GB = 10**6, 10**9
SIZES: dict[str, int | None] = {"one": None, "50mb": 50 * MB, "500mb": 500 * MB, "2gb": 2 * GB, "4gb": 4 * GB}
"""Maximum size of a volume in bytes, by option value. 4 GB is the limit of a memory stick with FAT32."""


@register
class Bundle(Kind):
    """Several datasets, each in several formats, with a page that shows them and a manifest for programs."""

    key = "zip"
    label = _("ZIP bundle")
    hint = _("Several kinds of data and formats together, with a page that shows what is inside")
    extension = "zip"
    content_type = "application/zip"
    options: ClassVar = (
        Option(
            "volume",
            _("Split into files"),
            (
                ("one", _("No: one file, whatever its size")),
                ("50mb", _("Of up to 50 MB")),
                ("500mb", _("Of up to 500 MB")),
                ("2gb", _("Of up to 2 GB")),
                ("4gb", _("Of up to 4 GB, which any memory stick takes")),
            ),
        ),
    )


def limit_of(options: Mapping[str, str]) -> int | None:
    """Return the maximum size of a volume in bytes, or None for one file of any size."""
    return SIZES[options.get("volume", "one")]
