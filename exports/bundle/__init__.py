"""What the parts of an export become: one file, or a ZIP of files, or several ZIPs of a size that the person chose."""

from exports.bundle.job import Job, Made
from exports.bundle.making import make

__all__ = ["Job", "Made", "make"]
