"""ZIP: a bundle of files in other formats, as one archive or as volumes of a size that the person chose."""

from exports.formats.zip.format import Bundle, limit_of

__all__ = ["Bundle", "limit_of"]
