"""Full disks: a small tmpfs or, if mounting is not permitted, a limit on file sizes."""

from __future__ import annotations

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[], None]]:
    """Limit `folder` to `size` MiB. Yield a function that makes room. Everything is restored at the end."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _mount("-t", "tmpfs", "-o", f"size={size}m,mode=700", "carryall-test", str(folder)):
        try:
            yield lambda: _must(_mount("-o", "remount,size=256m", str(folder)))
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
    else:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size * MIB, before[1]))
        try:
            yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _mount(*arguments: str) -> bool:
    """Return whether mounting worked. It requires root, and is not permitted everywhere."""
    try:
        return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _must(done: bool) -> None:
    assert done
