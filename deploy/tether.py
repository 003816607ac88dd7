"""Run a command that ends when its parent does: `python tether.py COMMAND ARGUMENT...`.

The process manager runs each program through this, so that nothing outlives a killed manager. It becomes the
command (same process), so signals and exit codes are the command's own. Run as a file, with -I -S: 20 ms.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    """Linux only; elsewhere an orderly stop still ends everything, only a killed launcher does not."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def end_with_parent(how: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send `how` to this process when its parent dies. Holds across exec."""
    _prctl(PR_SET_PDEATHSIG, how)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, so that none can slip away."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


if __name__ == "__main__":
    end_with_parent()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  to become it is the point
