"""ZIP bundle: files in other formats, as one archive or as volumes of a size that the user chooses."""

from exports.formats.zip.format import Bundle, limit_of

__all__ = ["Bundle", "limit_of"]
