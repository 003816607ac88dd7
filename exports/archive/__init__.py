"""Archives: ZIP files and their deflate streams, written as they come and joined without compressing again."""

from exports.archive.deflate import Deflater, Segment, inflated, join_crc
from exports.archive.zip import Entry, Listed, Zip

__all__ = ["Deflater", "Entry", "Listed", "Segment", "Zip", "inflated", "join_crc"]
